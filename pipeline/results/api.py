"""Results as pandas tables, for notebooks and dashboards.

Table of contents: `load`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from pipeline.errors import InputError, ResultsError
from pipeline.results.store import Store

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Dates = str | date | Iterable[str | date]
_ORDER = ("call_id", "version", "source", "turn", "event", "path", "started_at")
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

    Returns
    -------
    pandas.DataFrame
        Whole numbers are ``int64`` (``Int64`` where they may be unknown), other numbers ``float64``,
        times are timestamps with an offset, ``call_date`` is a timestamp at midnight, ``words`` and
        ``evidence`` are lists of dicts. Sorted by call, version and position.

    Raises
    ------
    InputError
        If there is no such dataset or column, or a date is none.
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
    from pipeline.results.schemas import check_table

    check_table(table)
    store = Store.open(results)
    if store.is_empty():
        raise ResultsError(f"{store.place}: holds no results yet; `zhijian score` fills it")
    days = None if dates is None else [_iso_date(day) for day in _many(dates, (str, date))]
    wanted = None if call_ids is None else set(_many(call_ids, (str,)))
    if agents is not None:
        of_agents = _calls_of(store, _many(agents, (str,)), days)
        wanted = of_agents if wanted is None else wanted & of_agents
    if table == "quarantine" and latest:
        found = _open_matters(store, days, wanted)
        found = found if columns is None else found.select(list(columns))
    else:
        restricted = None if table == "runs" else wanted
        found = store.read(table, columns=columns, dates=days, call_ids=restricted, latest=latest)
    return _frame(found)


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


def _frame(table: pa.Table) -> pd.DataFrame:
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
