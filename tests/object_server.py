"""A real S3 server on this machine (moto), and a line to it that can be cut and mended."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import httpx

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass(frozen=True)
class S3Server:
    """Where the server answers; every bucket has a name of its own."""

    url: str

    def environment(self, url: str | None = None) -> dict[str, str]:
        """What a process needs to reach it through fsspec."""
        return {**CREDENTIALS, "AWS_ENDPOINT_URL": url or self.url, "AWS_MAX_ATTEMPTS": "1"}

    def bucket(self) -> str:
        name = f"night-{uuid.uuid4().hex[:12]}"
        httpx.put(f"{self.url}/{name}", timeout=30).raise_for_status()
        return name


@contextmanager
def s3_server() -> Iterator[S3Server]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    program = f"from moto.server import main; main(['-p', '{port}', '-H', '127.0.0.1'])"
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", program], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 120
        while True:
            with suppress(httpx.HTTPError):
                httpx.get(f"{url}/moto-api/", timeout=5)
                break
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield S3Server(url)
    finally:
        process.kill()
        process.wait()


class Line:
    """A TCP line to a server. While it is cut, new connections are refused and old ones end."""

    def __init__(self, target_url: str) -> None:
        self._target = ("127.0.0.1", int(target_url.rsplit(":", 1)[1]))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: set[socket.socket] = set()
        self._guard = threading.Lock()
        self.is_cut = False
        self.refused = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self.is_cut = True
        with self._guard:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self.is_cut = False

    def close(self) -> None:
        self.cut()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self.is_cut:
                self.refused += 1
                near.close()
                continue
            far = socket.create_connection(self._target)
            with self._guard:
                self._open |= {near, far}
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            with self._guard:
                self._open.discard(end)
            end.close()
