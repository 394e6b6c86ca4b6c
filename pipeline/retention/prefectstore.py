"""Old runs in Prefect's own store, deleted through its API.

Prefect's database holds runs, states, logs and artifacts; no words, keys or audio ever stand there, but
call ids in messages and counts do. The API is asked by plain HTTP, so this package does not import Prefect.

Table of contents: `expire_flow_runs`.

References
----------
.. [1] https://docs.prefect.io/v3/api-ref/rest-api
"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from pipeline.errors import ConfigError, StorageError

_PAGE = 200
_TIMEOUT_S = 30.0
_ENDED = ["COMPLETED", "FAILED", "CRASHED", "CANCELLED"]


def expire_flow_runs(api: str, today: date, days: int) -> int:
    """Delete flow runs that ended more than ``days`` days ago, with their task runs, logs and states.

    Parameters
    ----------
    api : str
        ``PREFECT_API_URL``.
    today : date
    days : int

    Returns
    -------
    int
        Runs that were deleted.

    Raises
    ------
    StorageError
        If the server does not answer as expected.
    """
    if not api.startswith(("http://", "https://")):
        raise ConfigError(f"PREFECT_API_URL is {api!r}, expected an address http://…/api")
    before = datetime.combine(today, time(), UTC) - timedelta(days=days)
    body = {
        "flow_runs": {"state": {"type": {"any_": _ENDED}}, "end_time": {"before_": before.isoformat()}},
        "limit": _PAGE,
    }
    deleted = 0
    while True:
        runs = _ask(api, "POST", "/flow_runs/filter", body)
        ids = [run["id"] for run in runs] if isinstance(runs, list) else []
        for run_id in ids:
            _ask(api, "DELETE", f"/flow_runs/{run_id}", None)
            deleted += 1
        if len(ids) < _PAGE:
            return deleted


def _ask(api: str, method: str, path: str, body: Any) -> Any:
    from urllib.error import URLError
    from urllib.request import Request, urlopen

    data = None if body is None else json.dumps(body).encode()
    request = Request(  # noqa: S310 - http or https, checked above
        api.rstrip("/") + path, data=data, method=method, headers={"Content-Type": "application/json"}
    )
    try:
        with urlopen(request, timeout=_TIMEOUT_S) as response:  # noqa: S310
            content = response.read()
    except (URLError, OSError) as error:
        if getattr(error, "code", None) == 404 and method == "DELETE":
            return None  # somebody else was faster
        raise StorageError(f"{api}{path}: Prefect's server refused or did not answer; try again") from error
    return json.loads(content) if content else None
