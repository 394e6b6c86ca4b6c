"""Reading committed files: only the partitions, columns and versions that are asked for.

Table of contents: `read`, `scan`, `dataset`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import AccessRefusedError, InputError
from pipeline.results import sealing
from pipeline.results.parquet import is_whole, open_files
from pipeline.results.schemas import BY_CALL, check_table, schema_of, with_partition
from pipeline.results.storage import DamagedResultsError, DataFile, Storage


def read(
    storage: Storage,
    table: str,
    *,
    columns: Sequence[str] | None = None,
    dates: Collection[str | None] | None = None,
    call_ids: Collection[str] | None = None,
    latest: bool = True,
) -> pa.Table:
    """Read a dataset; see `pipeline.results.store.Store.read`."""
    check_table(table)
    # The scores' files are listed first: whatever they hold, the other datasets hold already.
    score_files = _of_dates(storage.files("scores"), dates)
    files = score_files if table == "scores" else _of_dates(storage.files(table), dates)
    if not latest or table not in BY_CALL:
        return scan(table, files, columns=columns, call_ids=call_ids, filesystem=storage.filesystem)
    wanted = columns if columns is None else list(dict.fromkeys([*columns, "call_id", "version"]))
    scanned = partial(scan, call_ids=call_ids, filesystem=storage.filesystem)
    found = scanned(table, files, columns=wanted)
    keys = found if table == "scores" else scanned("scores", score_files, columns=("call_id", "version"))
    if dates is not None:
        # A call whose date was corrected has its newer version in a partition that is not read here.
        moved = scanned("moves", _of_dates(storage.files("moves"), dates))
        keys = pa.concat_tables([keys.select(["call_id", "version"]), moved.select(["call_id", "version"])])
    newest = keys.group_by("call_id").aggregate([("version", "max")])
    mask = pc.is_in(
        _key(found["call_id"], found["version"]), value_set=_key(newest["call_id"], newest["version_max"])
    )
    if not pc.all(mask).as_py():  # usually nothing is superseded, and a night's words are large
        found = found.filter(mask)
    return found if columns is None else found.select(list(columns))


def scan(
    table: str,
    files: Sequence[DataFile],
    *,
    columns: Sequence[str] | None = None,
    call_ids: Collection[str] | None = None,
    filesystem: Any = None,
) -> pa.Table:
    """Read the given files of a dataset.

    Raises
    ------
    InputError
        If a column does not exist.
    DamagedResultsError
        If files are damaged; it names them.
    FileNotFoundError
        If a file was replaced since it was listed.
    """
    schema = with_partition(schema_of(table))
    names = list(schema.names if columns is None else columns)
    unknown = [name for name in names if name not in schema.names]
    if unknown:
        raise InputError(
            f"{table} has no column {', '.join(unknown)}; expected some of: {', '.join(schema.names)}"
        )
    if not files or (call_ids is not None and not call_ids):
        return schema.empty_table().select(names)
    paths = [file.path for file in files]
    condition = None
    if call_ids is not None:
        condition = pc.field("call_id").isin(pa.array(sorted(call_ids), pa.string()))
    closed = [name for name in sealing.sealed_columns(schema) if name in names]
    try:
        files_of_table = open_files(paths, schema, filesystem, sealed=bool(closed))
        return files_of_table.to_table(columns=names, filter=condition)
    except FileNotFoundError:
        raise  # compacted meanwhile; whoever listed the files lists them again
    except AccessRefusedError as error:
        raise sealing.refusal(table, closed) from error
    except (pa.ArrowException, OSError) as error:
        if closed and "FileDecryption is not setup" in str(error):
            raise sealing.refusal(table, closed) from error
        raise DamagedResultsError(_damaged(paths, filesystem), cause=type(error).__name__) from error


def dataset(storage: Storage, table: str, *, without: Collection[str] = ()) -> Any:
    """Open all files of a dataset at once; see `pipeline.results.store.Store.dataset`."""
    schema = with_partition(schema_of(check_table(table)))
    schema = pa.schema([field for field in schema if field.name not in without])
    paths = [file.path for file in storage.files(table)]
    return open_files(paths, schema, storage.filesystem) if paths else schema.empty_table()


def _of_dates(files: Sequence[DataFile], dates: Collection[str | None] | None) -> list[DataFile]:
    return [file for file in files if dates is None or file.call_date in dates]


def _key(call_ids: pa.ChunkedArray, versions: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(call_ids, versions.cast(pa.string()), "\0")


def _damaged(paths: Sequence[str], filesystem: Any) -> list[str]:
    return [path for path in paths if not is_whole(path, filesystem)] or [
        str(PurePosixPath(paths[0]).parents[1])
    ]
