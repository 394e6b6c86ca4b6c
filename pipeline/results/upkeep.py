"""Upkeep of stored results: many small files into few, and damaged files out of the way.

Conventions
-----------
Both are one commit each, so they may be killed at any instant, and nobody ever reads rows twice or not at
all. Files of one commit and partition share their name in every dataset and hold the same calls; compaction
keeps that, and so a damaged file takes exactly its calls with it.

Table of contents: `Compacted`, `compact`; `Damaged`, `damaged_names`, `set_aside`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial

import pyarrow as pa

from pipeline.errors import ResultsError
from pipeline.results.entries import QuarantineRow
from pipeline.results.packing import quarantine_files
from pipeline.results.parquet import encode, is_whole
from pipeline.results.reading import scan
from pipeline.results.schemas import BY_CALL, TABLES, schema_of
from pipeline.results.storage import DAMAGED, DamagedResultsError, DataFile, NewFile, Storage, transact

GROUP_BYTES = 64 * 1024**2
ROW_GROUP_ROWS = 20_000
_CALL_TABLES = tuple(name for name in TABLES if name in BY_CALL)


@dataclass(frozen=True, slots=True)
class Compacted:
    """What a compaction did: files before and after, and partitions that changed."""

    partitions: int
    files_before: int
    files_after: int
    orphans: int = 0


@dataclass(frozen=True, slots=True)
class Damaged:
    """Files that were set aside together, and the calls they held as far as their sisters tell."""

    paths: tuple[str, ...]
    call_date: str | None
    call_ids: tuple[str, ...]


def compact(
    storage: Storage, *, dates: Collection[str | None] | None = None, group_bytes: int = GROUP_BYTES
) -> Iterator[Compacted]:
    """Put many small files into few, one partition at a time; each is committed by itself.

    Parameters
    ----------
    storage : Storage
    dates : collection of str, optional
        Only these partitions.
    group_bytes : int
        Files are put together up to about this many stored bytes over all datasets, which bounds the
        memory that is needed (about ten times as much).

    Yields
    ------
    Compacted
        For every partition that had something to gain.
    """
    for day in _dates(storage, dates):
        done = transact(storage, partial(_compact_partition, storage, day, group_bytes), place=str(day))
        if done is not None:
            yield done


def _compact_partition(storage: Storage, day: str | None, group_bytes: int) -> Compacted | None:
    by_table = {name: [f for f in storage.files(name) if f.call_date == day] for name in TABLES}
    sizes = _sizes(storage, [file for files in by_table.values() for file in files])
    new: list[NewFile] = []
    old: list[DataFile] = []
    for number, names in enumerate(_groups(by_table, sizes, group_bytes)):
        for table in _CALL_TABLES:
            files = [file for file in by_table[table] if file.name in names]
            if files:
                new.append(_merged(storage, table, day, files, f"c{number}"))
                old += files
    for table in TABLES:
        if table not in BY_CALL and len(by_table[table]) > 1:
            new.append(_merged(storage, table, day, by_table[table], "c"))
            old += by_table[table]
    if not new:
        return None
    storage.commit(new, replaces=old)
    before = sum(map(len, by_table.values()))
    return Compacted(1, before, before - len(old) + len(new))


def _groups(by_table: dict[str, list[DataFile]], sizes: dict[str, int], limit: int) -> Iterator[set[str]]:
    """Commits (by file name) whose files are put together; each at least two."""
    weight: dict[str, int] = defaultdict(int)
    for table in _CALL_TABLES:
        for file in by_table[table]:
            weight[file.name] += sizes[file.path]
    group: set[str] = set()
    total = 0
    for name in sorted(weight):
        if group and total + weight[name] > limit:
            if len(group) > 1:
                yield group
            group, total = set(), 0
        group.add(name)
        total += weight[name]
    if len(group) > 1:
        yield group


def _merged(storage: Storage, table: str, day: str | None, files: Sequence[DataFile], label: str) -> NewFile:
    schema = schema_of(table)
    rows = scan(table, files, columns=schema.names, filesystem=storage.filesystem)
    if table in BY_CALL:
        # The sort is stable: turns and events of a call stay in their order.
        rows = rows.sort_by([("call_id", "ascending"), ("version", "ascending")])
    return NewFile(table, day, encode(rows.cast(schema), row_group_rows=ROW_GROUP_ROWS), label)


def _sizes(storage: Storage, files: Sequence[DataFile]) -> dict[str, int]:
    import pyarrow.fs

    filesystem = storage.filesystem or pyarrow.fs.LocalFileSystem()
    infos = filesystem.get_file_info([file.path for file in files])
    return {file.path: info.size or 0 for file, info in zip(files, infos, strict=True)}


def damaged_names(storage: Storage, dates: Collection[str | None]) -> list[str]:
    """Paths of files of these partitions that cannot be read whole.

    Reads every page of every file: some seconds for a night of 20,000 calls.
    """
    return [
        file.path
        for table in TABLES
        for file in storage.files(table)
        if file.call_date in dates and not is_whole(file.path, storage.filesystem)
    ]


def set_aside(storage: Storage, paths: Collection[str], *, run_id: str | None = None) -> list[Damaged]:
    """Move damaged files and their sisters under ``_damaged/``, so that their calls are heard again.

    A call's rows lie in one file a dataset, all of one name. When one of them is damaged, all of them go:
    the calls are then unknown to the store and the next night hears them. Each call that can be named gets
    a row in quarantine, which its new score settles.

    Parameters
    ----------
    storage : Storage
    paths : collection of str
        As `damaged_names` or `DamagedResultsError.paths` gave them.
    run_id : str, optional

    Returns
    -------
    list of Damaged

    Raises
    ------
    ResultsError
        A path is no committed file of these results.
    """
    return transact(storage, partial(_set_aside, storage, paths, run_id), place="results")


def _set_aside(storage: Storage, paths: Collection[str], run_id: str | None) -> list[Damaged]:
    everything = {table: storage.files(table) for table in TABLES}
    known = {file.path: table for table, files in everything.items() for file in files}
    strangers = [path for path in paths if path not in known]
    if strangers:
        raise ResultsError(
            f"{strangers[0]}: is no committed file of these results; restore them from a backup"
        )
    marks = {(f.call_date, f.name) for files in everything.values() for f in files if f.path in paths}
    groups: dict[tuple[str | None, str], list[DataFile]] = defaultdict(list)
    for file in (file for files in everything.values() for file in files):
        if (file.call_date, file.name) in marks:
            groups[file.call_date, file.name].append(file)
    now = datetime.now(UTC)
    done = [
        Damaged(tuple(f.path for f in files if f.path in paths), day, _calls_in(storage, files, known))
        for (day, _), files in groups.items()
    ]
    rows = [row for found in done for row in _rows(found, now, run_id)]
    storage.commit(list(quarantine_files(rows)), aside=[f for files in groups.values() for f in files])
    return done


def _calls_in(storage: Storage, files: Sequence[DataFile], known: dict[str, str]) -> tuple[str, ...]:
    ids: set[str] = set()
    for file in files:
        table = known[file.path]
        if table not in BY_CALL:
            continue
        try:
            found: pa.Table = scan(table, [file], columns=("call_id",), filesystem=storage.filesystem)
        except DamagedResultsError:
            continue  # this is the damaged one; a sister tells
        ids |= set(found["call_id"].to_pylist())
    return tuple(sorted(ids))


def _rows(found: Damaged, now: datetime, run_id: str | None) -> list[QuarantineRow]:
    day = date.fromisoformat(found.call_date) if found.call_date else None
    path = found.paths[0]
    message = f"{path}: damaged; moved under {DAMAGED}/ with what belongs to it, and the call is heard again"
    call_ids: Sequence[str | None] = found.call_ids or [None]
    return [
        QuarantineRow(
            call_id,
            path,
            "results",
            DamagedResultsError.kind,
            message,
            now,
            now,
            call_date=day,
            run_id=run_id,
        )
        for call_id in call_ids
    ]


def _dates(storage: Storage, dates: Collection[str | None] | None) -> list[str | None]:
    found = {file.call_date for table in TABLES for file in storage.files(table)}
    return sorted(found if dates is None else found & set(dates), key=str)
