"""Results in SQL: a DuckDB connection with a view for every dataset.

Table of contents: `connect`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pipeline.audit import audit_place, record_opening
from pipeline.errors import AccessRefusedError, ConfigError, ResultsError
from pipeline.results.api import load
from pipeline.results.store import Store

if TYPE_CHECKING:
    import duckdb

_LATEST = """
CREATE VIEW latest_{table} AS
SELECT t.* FROM {table} t
JOIN (SELECT call_id, max(version) AS version FROM scores GROUP BY call_id) USING (call_id, version)
"""


def connect(results: str | os.PathLike[str]) -> duckdb.DuckDBPyConnection:
    """Open results for SQL.

    Parameters
    ----------
    results : path or URI
        The results folder.

    Returns
    -------
    duckdb.DuckDBPyConnection
        In memory, with the views ``scores, verdicts, turns, events, hearings, quarantine, runs, reviews``
        (every row ever stored) and ``latest_scores, latest_verdicts, latest_turns, latest_events,
        latest_hearings`` (highest version of each call) and ``latest_quarantine`` (matters still open).
        Only the columns and days that a query names are read. Columns of what was said are NULL when
        the keys at hand do not open them; where they do, the audit log says that SQL may read all
        words. The views show what was stored when `connect` was called.

    Raises
    ------
    ResultsError
        If the folder does not exist, or holds nothing yet.
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
    from pipeline.settings import load_settings

    store = Store.open(results)
    if store.is_empty():
        raise ResultsError(f"{store.place}: holds no results yet; `zhijian score` fills it")
    connection = duckdb.connect()
    words = False
    connection.execute("SET TimeZone = 'Asia/Shanghai'")
    for table in PUBLIC:
        files = store.dataset(table)
        connection.register(f"_{table}", files)
        closed, readable = _closed(store, table, files)
        words = words or readable
        types = {name: kind for name, kind, *_ in connection.execute(f"DESCRIBE _{table}").fetchall()}
        empty = ", ".join(f"CAST(NULL AS {types[name]}) AS {name}" for name in closed)
        shown = f"* REPLACE ({empty})" if closed else "*"
        view = f"CREATE VIEW {table} AS SELECT {shown} FROM _{table}"  # noqa: S608 (names of the schemas)
        connection.execute(view)
    for table in BY_CALL:
        connection.execute(_LATEST.format(table=table))
    if words:
        at = audit_place(load_settings()[0], results=results)
        record_opening("*", at=at, purpose="notebook", what="transcript", why="SQL over all calls")
    still_open = pa.Table.from_pandas(load("quarantine", results), preserve_index=False)
    connection.register("_latest_quarantine", still_open)
    connection.execute("CREATE VIEW latest_quarantine AS SELECT * FROM _latest_quarantine")
    return connection


def _closed(store: Store, table: str, files: Any) -> tuple[list[str], bool]:
    """Columns of what was said that the keys at hand do not open; whether there are some that they open."""
    from pipeline.results.schemas import TABLES

    closed = [column.name for column in TABLES[table] if column.access != "open"]
    if not closed or not hasattr(files, "head"):
        return [], False
    first = files.head(1, columns=["call_id"])["call_id"].to_pylist()
    if not first:
        return [], False
    try:
        store.read(table, columns=closed, call_ids=first, latest=False)
    except AccessRefusedError:
        return closed, False
    return [], True
