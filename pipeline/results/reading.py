"""Reading committed files: only the partitions, columns and versions that are asked for.

Table of contents: `read`, `scan`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from pipeline.errors import InputError, ResultsError
from pipeline.results.schemas import BY_CALL, PARTITION, check_table, schema_of, with_partition
from pipeline.results.storage import DataFile, Storage

_FORMAT = ds.ParquetFileFormat(
    default_fragment_scan_options=ds.ParquetFragmentScanOptions(page_checksum_verification=True)
)
_PARTITIONING = ds.partitioning(pa.schema([PARTITION]), flavor="hive")


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
        return scan(table, files, columns=columns, call_ids=call_ids)
    wanted = columns if columns is None else list(dict.fromkeys([*columns, "call_id", "version"]))
    found = scan(table, files, columns=wanted, call_ids=call_ids)
    keys = (
        found
        if table == "scores"
        else scan("scores", score_files, columns=("call_id", "version"), call_ids=call_ids)
    )
    if dates is not None:
        # A call whose date was corrected has its newer version in a partition that is not read here.
        moved = scan("moves", _of_dates(storage.files("moves"), dates), call_ids=call_ids)
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
) -> pa.Table:
    """Read the given files of a dataset.

    Raises
    ------
    InputError
        If a column does not exist.
    ResultsError
        If a file is damaged.
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
    try:
        dataset = ds.dataset(
            paths,
            schema=schema,
            format=_FORMAT,
            partitioning=_PARTITIONING,
            partition_base_dir=str(Path(paths[0]).parent.parent),
        )
        return dataset.to_table(columns=names, filter=condition)
    except (pa.ArrowException, OSError) as error:
        raise ResultsError(
            f"{_damaged(paths)}: cannot be read ({type(error).__name__}); restore it from a backup"
        ) from error


def _of_dates(files: Sequence[DataFile], dates: Collection[str | None] | None) -> list[DataFile]:
    return [file for file in files if dates is None or file.call_date in dates]


def _key(call_ids: pa.ChunkedArray, versions: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(call_ids, versions.cast(pa.string()), "\0")


def _damaged(paths: Sequence[str]) -> str:
    for path in paths:
        try:
            pq.ParquetFile(path, page_checksum_verification=True).read()
        except (pa.ArrowException, OSError):
            return path
    return f"{Path(paths[0]).parents[1]}"
