"""Results in SQL: a DuckDB connection with a view for every dataset.

Conventions
-----------
DuckDB never gets to see what was said as it was said: the registered datasets leave those columns out, and a
view asks Python for them, which reads, masks and keeps a day's column when a query first needs it. So there
is no table beside the views from which the unmasked words could be selected.

Table of contents: `connect`.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipeline.errors import AccessRefusedError, ConfigError, ResultsError
from pipeline.results.api import Look, load, read_masked
from pipeline.results.store import Store

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_LATEST = """
CREATE VIEW latest_{table} AS
SELECT t.* FROM {table} t
JOIN (SELECT call_id, max(version) AS version FROM scores GROUP BY call_id) USING (call_id, version)
"""
_KEYS = {
    "scores": ("call_id", "version"),
    "verdicts": ("call_id", "version", "rule_id"),
    "turns": ("call_id", "version", "turn"),
    "events": ("call_id", "version", "source", "event"),
    "hearings": ("call_id", "version"),
    "reviews": ("review_id",),
}
_KEPT_COLUMNS = 64
"""How many columns of days are kept masked in memory."""


def connect(
    results: str | os.PathLike[str], *, unmasked: bool = False, why: str = ""
) -> duckdb.DuckDBPyConnection:
    """Open results for SQL.

    Parameters
    ----------
    results : path or URI
        The results folder.
    unmasked : bool
        Personal numbers as they were said. Needs the setting ``dispute_key``; recorded in the audit log.
    why : str
        For the audit log, in a few words; no personal data.

    Returns
    -------
    duckdb.DuckDBPyConnection
        In memory, with the views ``scores, verdicts, turns, events, hearings, quarantine, runs, reviews``
        (every row ever stored) and ``latest_scores, latest_verdicts, latest_turns, latest_events,
        latest_hearings`` (highest version of each call) and ``latest_quarantine`` (matters still open).
        Only the columns and days that a query names are read. Columns of what was said are NULL when
        the keys at hand do not open them; where they do, personal numbers in them are masked, and the
        audit log says that SQL may read all words. The views show what was stored when `connect` was
        called.

    Raises
    ------
    ResultsError
        If the folder does not exist, or holds nothing yet.
    AccessRefusedError
        If masks are to be lifted and no dispute key is at hand.
    ConfigError
        If DuckDB is not installed.

    Examples
    --------
    ::

        sql = connect("results/")
        sql.sql("SELECT agent_id, avg(score) FROM latest_scores GROUP BY ALL ORDER BY 2").df()
    """
    try:
        import duckdb
    except ModuleNotFoundError:
        raise ConfigError(
            "DuckDB is not installed; `pip install 'zhijian[notebooks]'` (or `make notebooks`) brings it"
        ) from None
    import pyarrow as pa

    from pipeline.results.schemas import BY_CALL, PUBLIC

    store = Store.open(results)
    if store.is_empty():
        raise ResultsError(f"{store.place}: holds no results yet; `zhijian score` fills it")
    look = Look(store, unmasked, why)
    look.check()
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'Asia/Shanghai'")
    readable = [_view(connection, store, table, unmasked=unmasked) for table in PUBLIC]
    for table in BY_CALL:
        connection.execute(_LATEST.format(table=table))
    if any(readable):
        look.opened("*", "SQL over all calls")
    still_open = pa.Table.from_pandas(load("quarantine", results), preserve_index=False)
    connection.register("_latest_quarantine", still_open)
    connection.execute("CREATE VIEW latest_quarantine AS SELECT * FROM _latest_quarantine")
    return connection


def _view(connection: Any, store: Store, table: str, *, unmasked: bool) -> bool:
    """Make the view of a dataset; tells whether it shows what was said."""
    from pipeline.results.masks import SAID
    from pipeline.results.schemas import TABLES, schema_of, with_partition

    said = SAID.get(table, ())
    closed = [column.name for column in TABLES[table] if column.access != "open"]
    readable = _readable(store, table, closed)
    if unmasked and (readable or not closed):
        connection.register(f"_{table}", store.dataset(table))
        connection.execute(f"CREATE VIEW {table} AS SELECT * FROM _{table}")  # noqa: S608 (name of a schema)
        return readable
    connection.register(f"_{table}", store.dataset(table, without=said))
    shown = []
    types = _types(connection, table)
    for name in with_partition(schema_of(table)).names:
        if name not in said:
            shown.append(name)
        elif readable or name not in closed:
            function = f"_{table}_{name}"
            connection.create_function(
                function,
                _function(_Masked(store, table, name)),
                ["DATE", "VARCHAR"],
                types[name],
                type="arrow",
                null_handling="special",
            )
            key = ", ".join(f"{part}::VARCHAR" for part in _KEYS[table])
            shown.append(f"{function}(call_date, concat_ws('\x1f', {key})) AS {name}")
        else:
            shown.append(f"CAST(NULL AS {types[name]}) AS {name}")
    view = f"CREATE VIEW {table} AS SELECT {', '.join(shown)} FROM _{table}"  # noqa: S608 (names of schemas)
    connection.execute(view)
    return readable


def _function(column: _Masked) -> Any:
    # a signature without annotations, which DuckDB would evaluate
    return lambda days, keys: column.of(days, keys)  # noqa: PLW0108


def _types(connection: Any, table: str) -> dict[str, str]:
    """SQL types of a dataset's columns, also of those that DuckDB is not to see."""
    from pipeline.results.schemas import schema_of

    connection.register("_types", schema_of(table).empty_table())
    rows = connection.execute("DESCRIBE _types").fetchall()
    connection.unregister("_types")
    return {name: kind for name, kind, *_ in rows}


def _readable(store: Store, table: str, closed: Sequence[str]) -> bool:
    """Whether the keys at hand open what was said."""
    files = store.dataset(table, without=closed)
    if not closed or not hasattr(files, "head"):
        return False
    first = files.head(1, columns=["call_id"])["call_id"].to_pylist()
    try:
        store.read(table, columns=closed, call_ids=first, latest=False)
    except AccessRefusedError:
        return False
    return bool(first)


class _Masked:
    """A column of what was said, masked, a day at a time."""

    def __init__(self, store: Store, table: str, column: str) -> None:
        self._store, self._table, self._column = store, table, column
        self._days: OrderedDict[str | None, tuple[dict[str, int], pa.Array]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, days: pa.ChunkedArray, keys: pa.ChunkedArray) -> pa.Array:
        """Values of rows; called by DuckDB for some thousand at a time, from any thread."""
        import pyarrow as pa

        wanted: dict[str | None, list[tuple[int, str]]] = {}
        for place, (day, key) in enumerate(zip(days.to_pylist(), keys.to_pylist(), strict=True)):
            wanted.setdefault(None if day is None else day.isoformat(), []).append((place, key))
        parts, places = [], []
        for day, rows in wanted.items():
            index, column = self._day(day)
            parts.append(column.take(pa.array([index.get(key) for _, key in rows], pa.int64())))
            places += [place for place, _ in rows]
        order = [0] * len(places)
        for position, place in enumerate(places):
            order[place] = position
        return pa.concat_arrays(parts).take(pa.array(order, pa.int64()))

    def _day(self, day: str | None) -> tuple[dict[str, int], pa.Array]:
        import pyarrow as pa
        import pyarrow.compute as pc

        with self._lock:
            if day in self._days:
                self._days.move_to_end(day)
            else:
                key = _KEYS[self._table]
                found = read_masked(self._store, self._table, [*key, self._column], day)
                parts = [found[name].cast(pa.string()) for name in key]
                ids = pc.binary_join_element_wise(*parts, "\x1f").to_pylist()
                index = {text: row for row, text in enumerate(ids)}
                self._days[day] = index, found[self._column].combine_chunks()
                if len(self._days) > _KEPT_COLUMNS:
                    self._days.popitem(last=False)
            return self._days[day]
