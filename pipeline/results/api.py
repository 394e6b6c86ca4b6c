"""Results as pandas tables, for notebooks and dashboards.

Table of contents: `load`, `WithheldWarning`, `Look`, `records`.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any

from pipeline.audit import AuditPlace, audit_place, record_opening, record_refusal
from pipeline.errors import (
    AccessRefusedError,
    InputError,
    KeyMaterialError,
    ResultsError,
    ZhijianError,
)
from pipeline.results.labels import labels, units
from pipeline.results.store import Store

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Dates = str | date | Iterable[str | date]


class WithheldWarning(UserWarning):
    """Something is shown empty because the keys at hand do not open it."""


_ORDER = ("call_id", "version", "source", "turn", "event", "path", "started_at")
_FEW_ROWS = 2000
_FEW_CALLS = 5000
_GAPS = frozenset({"filler_count"})
"""Whole numbers that may be unknown: always ``Int64``, whatever the data of the day."""


def load(
    table: str,
    results: str | os.PathLike[str],
    latest: bool = True,
    *,
    dates: Dates | None = None,
    agents: str | Iterable[str] | None = None,
    call_ids: str | Iterable[str] | None = None,
    columns: Sequence[str] | None = None,
    record: str | Sequence[str] = (),
    unmasked: bool = False,
    why: str = "",
) -> pd.DataFrame:
    """Read a result dataset into a pandas DataFrame.

    Parameters
    ----------
    table : {"scores", "verdicts", "turns", "events", "hearings", "quarantine", "runs", "reviews"}
    results : path
        The results folder.
    latest : bool
        ``scores, verdicts, turns, events, hearings``: only rows of the highest version of each call.
        ``quarantine``: the latest row of each matter that no later score has settled. ``runs, reviews``: all.
        False: every row that was ever stored.
    dates : str, date or iterable of them, optional
        Only calls of these local dates (``"2026-01-05"``).
    agents : str or iterable of str, optional
        Only calls of these agents (工号).
    call_ids : str or iterable of str, optional
        Only these calls.
    columns : sequence of str, optional
        Only these columns: leaving out ``words`` makes ``turns`` much faster.
    record : str or sequence of str
        Columns of the call detail records (随录参数) to put beside, also those that this software does
        not know: ``record=["team", "line"]``. Unknown values are empty. Call records are readable with
        the transcript key only; without it these columns are all empty and a `WithheldWarning` says so.
    unmasked : bool
        Personal numbers as they were said. Needs the setting ``dispute_key``; recorded in the audit log.
        By default they are masked in every column, as wherever words are shown (`pipeline.privacy`).
    why : str
        For the audit log, in a few words; no personal data.

    Returns
    -------
    pandas.DataFrame
        Whole numbers are ``int64`` (``Int64`` where they may be unknown), other numbers ``float64``,
        times are timestamps with an offset, ``call_date`` is a timestamp at midnight, ``words`` and
        ``evidence`` are lists of dicts. Sorted by call, version and position. ``attrs`` holds ``table``,
        ``labels`` (Chinese, by column), ``units`` and ``withheld``: columns of what was said that the
        keys at hand do not open, and that are empty for that reason.

    Raises
    ------
    InputError
        If there is no such dataset or column, or a date is none.
    AccessRefusedError
        If a column that was asked for by name needs a key, or masks are to be lifted and no dispute key
        is at hand.
    ResultsError
        If the folder does not exist, or holds nothing yet.

    Examples
    --------
    >>> load("points", "/tmp")
    Traceback (most recent call last):
    ...
    pipeline.errors.InputError: no result table 'points'; expected one of: scores, verdicts, turns,
    events, hearings, quarantine, runs, reviews
    """
    from pipeline.results.masks import masked
    from pipeline.results.schemas import BY_CALL, check_table

    check_table(table)
    store = Store.open(results)
    if store.is_empty():
        raise ResultsError(f"{store.place}: holds no results yet; `zhijian score` fills it")
    look = Look(store, unmasked, why)
    look.check()
    days = None if dates is None else [_iso_date(day) for day in _many(dates, (str, date))]
    wanted = None if call_ids is None else set(_many(call_ids, (str,)))
    if agents is not None:
        of_agents = _calls_of(store, _many(agents, (str,)), days)
        wanted = of_agents if wanted is None else wanted & of_agents
    withheld: tuple[str, ...] = ()
    if table == "quarantine" and latest:
        found = _open_matters(store, days, wanted)
        found = found if columns is None else found.select(list(columns))
    else:
        restricted = None if table == "runs" else wanted
        reading = partial(store.read, table, dates=days, call_ids=restricted, latest=latest)
        names = None if columns is None else _with_needed(table, columns, bool(record))
        found, withheld = _recorded(look, reading, table, names)
        if not withheld and not unmasked:
            turns_of = partial(_turns_of, store, days if table in BY_CALL else None)
            found = masked(table, found, turns_of)
    frame = frame_of(found)
    if record:
        frame = _with_record(frame, look, table, [record] if isinstance(record, str) else record, days)
    if columns is not None:
        added = [record] if isinstance(record, str) else list(record)
        frame = frame[list(dict.fromkeys([*columns, *added]))]
    frame.attrs.update(table=table, labels=labels(table), units=units(table), withheld=withheld)
    return frame


@dataclass(frozen=True, slots=True)
class Look:
    """Somebody reads what was said, for the audit log; whether masks are lifted, and why."""

    store: Store
    unmasked: bool = False
    why: str = ""

    @property
    def what(self) -> str:
        """What the audit log calls it."""
        return "unmasked transcript" if self.unmasked else "transcript"

    @property
    def _at(self) -> AuditPlace:
        from pipeline.settings import load_settings

        return audit_place(load_settings()[0], results=self.store.place)

    def check(self, call_id: str | None = None) -> None:
        """Refuse to lift masks without the dispute key; the refusal is recorded.

        Raises
        ------
        AccessRefusedError, KeyMaterialError
        """
        from pipeline.privacy import may_unmask
        from pipeline.settings import load_settings

        if not self.unmasked:
            return
        try:
            may_unmask(load_settings({"results": self.store.place})[0])
        except KeyMaterialError as error:
            self.refused(error, call_id)
            raise

    def opened(self, call_ids: str | Sequence[str], why: str = "") -> None:
        """Record that words are read."""
        reason = "; ".join(part for part in (self.why, why) if part)
        record_opening(call_ids, at=self._at, purpose="notebook", what=self.what, why=reason)

    def refused(self, error: ZhijianError, call_id: str | None = None) -> None:
        """Record that words were asked for in vain."""
        record_refusal(call_id, error, at=self._at, purpose="notebook", what=self.what)


def _with_needed(table: str, columns: Sequence[str], record: bool) -> list[str]:
    """Columns to read: those that were asked for, and those that masks and call records are found by."""
    from pipeline.results.masks import NEEDED, SAID

    needed = NEEDED.get(table, ()) if set(columns) & set(SAID.get(table, ())) else ()
    return list(dict.fromkeys([*columns, *needed, *(("call_id", "version") if record else ())]))


def read_masked(store: Store, table: str, columns: Sequence[str], day: str | None) -> pa.Table:
    """Read columns of one partition, all versions, with personal numbers masked; for `connect`."""
    from pipeline.results.masks import masked
    from pipeline.results.schemas import BY_CALL

    found = store.read(table, columns=_with_needed(table, columns, False), dates=[day], latest=False)
    return masked(table, found, partial(_turns_of, store, [day] if table in BY_CALL else None))


def _turns_of(store: Store, days: Sequence[str | None] | None, call_ids: Collection[str]) -> pa.Table:
    from pipeline.results.masks import NEEDED

    few = call_ids if len(call_ids) < _FEW_CALLS else None
    return store.read("turns", columns=NEEDED["turns"], dates=days, call_ids=few, latest=False)


def _recorded(
    look: Look, reading: Callable[..., pa.Table], table: str, columns: Sequence[str] | None
) -> tuple[pa.Table, tuple[str, ...]]:
    """Read as far as the keys allow; that words were read, or asked for in vain, goes into the audit log."""
    from pipeline.results.schemas import TABLES

    closed = {column.name for column in TABLES[table] if column.access != "open"}
    try:
        found, withheld = as_far_as_allowed(reading, table, columns)
    except AccessRefusedError as error:
        look.refused(error)
        raise
    if closed & set(found.column_names) and not withheld and found.num_rows:
        ids = sorted(set(found["call_id"].to_pylist())) if "call_id" in found.column_names else []
        look.opened(ids or ["?"])
    return found, withheld


def as_far_as_allowed(
    reading: Callable[..., pa.Table], table: str, columns: Sequence[str] | None = None
) -> tuple[pa.Table, tuple[str, ...]]:
    """Read a dataset; where columns need a key that is not at hand, the others, and these empty.

    Parameters
    ----------
    reading : callable
        Takes ``columns``.
    table : str
    columns : sequence of str, optional
        If one that needs the key is named here, its absence is an error.

    Returns
    -------
    table : pyarrow.Table
    withheld : tuple of str
        Columns that are empty for want of the key.
    """
    from pipeline.results.schemas import TABLES, schema_of, with_partition

    try:
        return reading(columns=columns), ()
    except AccessRefusedError:
        closed = tuple(column.name for column in TABLES[table] if column.access != "open")
        if columns is not None and set(columns) & set(closed):
            raise
    import pyarrow as pa

    whole = with_partition(schema_of(table))
    found = reading(columns=[name for name in whole.names if name not in closed])
    parts = [
        pa.nulls(found.num_rows, field.type) if field.name in closed else found[field.name] for field in whole
    ]
    return pa.table(parts, schema=whole), closed


def _with_record(
    frame: pd.DataFrame, look: Look, table: str, names: Sequence[str], days: Sequence[str] | None
) -> pd.DataFrame:
    """Put columns of the call detail records beside a dataset by call and version."""
    import json

    import pandas as pd

    from pipeline.privacy import mask_record
    from pipeline.results.schemas import BY_CALL

    if table not in BY_CALL:
        raise InputError(f"{table} has no call detail records; `record` goes with: {', '.join(BY_CALL)}")
    calls = set(frame["call_id"]) if len(frame) < _FEW_ROWS else None
    key = ("call_id", "version")
    reading = partial(look.store.read, "hearings", dates=days, call_ids=calls, latest=False)
    try:
        stored = reading(columns=[*key, "call_record"]).to_pydict()
        look.opened(sorted(set(stored["call_id"])), "call records")
    except AccessRefusedError as error:
        warnings.warn(f"{', '.join(names)}: left empty ({error})", WithheldWarning, stacklevel=3)
        stored = reading(columns=list(key)).to_pydict()
    rows = []
    for text in stored.pop("call_record", ["{}"] * len(stored["call_id"])):
        values = json.loads(text)
        values = values if look.unmasked else mask_record(values)
        known = {**(values.get("extra") or {}), **values}
        rows.append([known.get(name) for name in names])
    records = pd.DataFrame(rows, columns=list(names)).convert_dtypes()
    records = records.astype({name: "string" for name in names if records[name].isna().all()})
    missing = [name for name in names if name in frame.columns]
    if missing:
        raise InputError(f"{table} has a column {', '.join(missing)} already; leave it out of `record`")
    records["call_id"], records["version"] = stored["call_id"], stored["version"]
    return frame.merge(records, on=["call_id", "version"], how="left")


def _many(values: object, single: tuple[type, ...]) -> list[Any]:
    if isinstance(values, single):
        return [values]
    if isinstance(values, Iterable):
        return list(values)
    raise InputError(f"expected one value or several, found {type(values).__name__}")


def _iso_date(day: object) -> str:
    if isinstance(day, date):  # a datetime or a pandas Timestamp is one, too
        return day.strftime("%Y-%m-%d")
    try:
        return date.fromisoformat(str(day)).isoformat()
    except ValueError:
        raise InputError(f"{day!r} is no date; expected one like 2026-01-05") from None


def _calls_of(store: Store, agents: Sequence[str], days: Sequence[str] | None) -> set[str]:
    import pyarrow as pa
    import pyarrow.compute as pc

    table = store.read("scores", columns=("call_id", "agent_id"), dates=days)
    mask = pc.is_in(table["agent_id"], value_set=pa.array(agents, pa.string()))
    return set(table.filter(mask)["call_id"].to_pylist())


def _open_matters(store: Store, days: Sequence[str] | None, wanted: set[str] | None) -> pa.Table:
    import pyarrow as pa

    from pipeline.results import rows
    from pipeline.results.schemas import PARTITION

    matters = [
        row
        for row in store.quarantined().values()
        if (days is None or (row.call_date is not None and row.call_date.isoformat() in days))
        and (wanted is None or row.call_id in wanted)
    ]
    call_dates = pa.array([row.call_date for row in matters], PARTITION.type)
    return rows.quarantine(matters).append_column(PARTITION, call_dates)


def frame_of(table: pa.Table) -> pd.DataFrame:
    """Turn an Arrow table into pandas, with the types that `load` promises, sorted."""
    import pandas as pd
    import pyarrow as pa

    by = [name for name in _ORDER if name in table.column_names]
    if by:
        table = table.sort_by([(name, "ascending") for name in by])
    columns = {}
    for field in table.schema:
        column = table[field.name]
        if pa.types.is_list(field.type):
            columns[field.name] = pd.Series(column.to_pylist(), dtype=object)
        elif field.name in _GAPS:
            columns[field.name] = column.to_pandas(types_mapper=lambda _: pd.Int64Dtype())
        elif pa.types.is_integer(field.type):
            columns[field.name] = column.cast(pa.int64()).to_pandas()
        elif pa.types.is_date(field.type):
            columns[field.name] = column.cast(pa.timestamp("s")).to_pandas()
        else:
            columns[field.name] = column.to_pandas()
    return pd.DataFrame(columns)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a frame as dicts."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]
