"""Taking calls out of the results for good: every row of theirs, in every dataset, in all versions.

Files are replaced as in a compaction: one commit for each partition, in which the old files go in the same
instant as the new ones appear. Stopped anywhere, a partition holds all of a call's rows or none.

Table of contents: `erase`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.results.parquet import encode
from pipeline.results.reading import scan
from pipeline.results.schemas import BY_CALL, TABLES, schema_of
from pipeline.results.storage import DataFile, NewFile, Storage, transact

_WITH_CALLS = tuple(name for name in TABLES if "call_id" in schema_of(name).names)
_ORDER = tuple(name for name in _WITH_CALLS if name not in BY_CALL) + tuple(
    name for name in _WITH_CALLS if name in BY_CALL
)


def erase(storage: Storage, call_ids: Collection[str]) -> dict[str, int]:
    """Delete all rows of some calls.

    Parameters
    ----------
    storage : Storage
    call_ids : collection of str

    Returns
    -------
    dict of str to int
        Rows that were deleted, by dataset.

    Raises
    ------
    AccessRefusedError
        If files are sealed and their key is not at hand: the rows that stay must be written again.
    """
    total: Counter[str] = Counter()
    days = {file.call_date for table in _WITH_CALLS for file in storage.files(table)}
    for day in sorted(days, key=str):
        done = transact(storage, partial(_erase_day, storage, day, sorted(call_ids)), place=str(day))
        total.update(done)
    return dict(total)


def _erase_day(storage: Storage, day: str | None, call_ids: list[str]) -> dict[str, int]:
    wanted = pa.array(call_ids, pa.string())
    touched: dict[str, list[tuple[str, DataFile, pa.Table | None]]] = defaultdict(list)
    rows: Counter[str] = Counter()
    for table in _ORDER:
        for file in (f for f in storage.files(table) if f.call_date == day):
            found = scan(table, [file], columns=("call_id",), filesystem=storage.filesystem)
            mask = pc.is_in(found["call_id"], value_set=wanted)
            count = pc.sum(mask).as_py() or 0
            if not count:
                continue
            rows[table] += count
            touched[file.name].append((table, file, _rest(storage, table, file, wanted)))
    new = [
        NewFile(table, day, encode(rest), f"e{number}")
        for number, files in enumerate(touched.values())
        for table, _, rest in files
        if rest is not None
    ]
    old = [file for files in touched.values() for _, file, _ in files]
    if old:
        storage.commit(new, replaces=old)
    return dict(rows)


def _rest(storage: Storage, table: str, file: DataFile, erased: pa.Array) -> pa.Table | None:
    """Rows of a file that stay; None if none does."""
    schema = schema_of(table)
    every = scan(table, [file], columns=schema.names, filesystem=storage.filesystem)
    # a row without a call (an unreadable line of the call records) belongs to nobody and stays
    keep = pc.invert(pc.fill_null(pc.is_in(every["call_id"], value_set=erased), False))
    rest = every.filter(keep)
    return rest.cast(schema) if rest.num_rows else None
