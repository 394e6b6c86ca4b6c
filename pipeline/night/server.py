"""A Prefect server on this machine, where no other is configured."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from pipeline.errors import StorageError

SERVER_START_S = 180.0


@contextmanager
def prefect_server(configured: str | None, home: Path) -> Iterator[str]:
    """Use the Prefect server of the settings, or run one on this machine while it is needed.

    A schedule needs a server: the temporary one that a single flow run starts has no scheduler.

    Parameters
    ----------
    configured : str or None
        Address of the API of a server that runs already.
    home : Path
        Prefect's folder, for the log of a server that is started here.

    Yields
    ------
    str
        Address of its API.

    Raises
    ------
    StorageError
        The server did not answer in time.
    """
    if configured:
        yield configured
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}/api"
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    home.mkdir(parents=True, exist_ok=True)
    log_path = home / "server.log"
    with log_path.open("ab") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: S603 - a fixed program
    try:
        deadline = time.monotonic() + SERVER_START_S
        while not _answers(url):
            if server.poll() is not None or time.monotonic() > deadline:
                raise StorageError(f"the Prefect server at {url} did not start; read {log_path}")
            time.sleep(0.5)
        yield url
    finally:
        server.terminate()
        server.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5).is_success
    except httpx.HTTPError:
        return False
