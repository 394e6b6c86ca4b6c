"""The audit log on disk: JSON Lines, each record chained to the one before.

Conventions
-----------
A folder holds one chain: ``audit-YYYY-MM.jsonl`` in order, the first record of a file chained to the last
of the file before. A line is canonical JSON (sorted keys, no spaces) with

``seq``
    1, 2, 3, … without gaps, over all files.
``prev``
    sha256 of the line before (without its line feed); 64 zeros in record 1.
``mac``
    HMAC-SHA256, under the writer's key ``key``, of the line without ``mac``.

Anybody can check ``seq`` and ``prev``; with the writer's secret also every ``mac``. A *checkpoint* is a
record that carries an Ed25519 signature over its own ``seq``, ``prev`` and time, so it seals everything
before it; a copy of its line goes to ``checkpoints.jsonl`` and, if set, to a second folder (the anchor). A
log whose tail was cut lacks a checkpoint that a copy still has.

One process at a time appends, under ``flock``; the record is fsynced before `AuditLog.append` returns. What a
crash left half written is cut off by the next writer, who records how much it was: the opening it
announced never happened. An audit folder therefore lies on a local disk or a file system with ``flock``;
machines without a common one have a folder each.

Table of contents: `AuditLog`, `line_body`, `canonical`, `checkpoint_message`, `log_files`.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.audit.keys import AuditKey
from pipeline.errors import AuditError, StorageError

CHECKPOINTS = "checkpoints.jsonl"
CHECKPOINT_EVERY = 100
FIRST_PREV = "0" * 64
_TAIL_BYTES = 256 * 1024


class AuditLog:
    """One folder's chain, open for appending.

    Parameters
    ----------
    folder : Path
        Made if missing.
    key : AuditKey
    anchor : Path, optional
        Second folder for copies of checkpoints.
    now : callable, optional
        The clock, for tests.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     log = AuditLog(Path(folder), AuditKey(bytes(32), source="example"))
    ...     log.append([{"event": "open", "call_id": "c1"}])
    2
    """

    def __init__(
        self,
        folder: Path,
        key: AuditKey,
        *,
        anchor: Path | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.folder = folder
        self._key = key
        self._anchor = anchor
        self._now = now

    def append(self, events: Sequence[Mapping[str, Any]]) -> int:
        """Write records and wait until they are on disk.

        Parameters
        ----------
        events : sequence of mapping
            JSON values; ``event`` must be there, ``seq, at, prev, key, mac`` must not.

        Returns
        -------
        int
            Number of the last record.

        Raises
        ------
        StorageError
            If they cannot be written. Then nothing may be opened.
        """
        with self._writing() as chain:
            for event in events:
                chain.add(event)
            if chain.since_checkpoint >= CHECKPOINT_EVERY:
                chain.add_checkpoint()
            chain.flush()
            return chain.seq

    def checkpoint(self) -> int:
        """Seal everything up to now, unless the last record is a checkpoint already."""
        with self._writing() as chain:
            if chain.since_checkpoint:
                chain.add_checkpoint()
            chain.flush()
            return chain.seq

    @contextlib.contextmanager
    def _writing(self) -> Iterator[_Chain]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if self._anchor is not None:
                self._anchor.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                yield _Chain(self.folder, self._key, self._anchor, self._now)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise StorageError(
                f"{self.folder}: the audit log cannot be written "
                f"({error.strerror or type(error).__name__}), so nothing is opened; "
                "free space, or set `audit` to a folder that can be written"
            ) from error


class _Chain:
    """The end of the chain while the lock is held: lines are gathered, then written in one go."""

    def __init__(self, folder: Path, key: AuditKey, anchor: Path | None, now: Callable[[], datetime]) -> None:
        self._folder, self._key, self._anchor, self._now = folder, key, anchor, now
        files = log_files(folder)
        wanted = f"audit-{now():%Y-%m}.jsonl"
        # a clock set back must not append to an older file
        self._path = folder / wanted if not files or wanted > files[-1].name else files[-1]
        self._lines: list[bytes] = []
        self._checkpoints: list[bytes] = []
        self.seq, self._prev, self.since_checkpoint = 0, FIRST_PREV, 0
        if files:
            self._read_end(files[-1])
        if not self.seq:
            self.add({"event": "begin", "public_key": key.public.text})

    def add(self, event: Mapping[str, Any]) -> None:
        self.seq += 1
        body = {**event, "seq": self.seq, "at": self._now().isoformat(timespec="microseconds"),
                "prev": self._prev, "key": self._key.key_id}  # fmt: skip
        if event["event"] == "checkpoint":
            signature = self._key.sign(checkpoint_message(body))
            body["sig"] = base64.b64encode(signature).decode()
            self.since_checkpoint = 0
        else:
            self.since_checkpoint += 1
        body["since"] = self.since_checkpoint
        line = canonical({**body, "mac": self._key.mac(canonical(body))})
        self._prev = hashlib.sha256(line).hexdigest()
        self._lines.append(line)
        if event["event"] == "checkpoint":
            self._checkpoints.append(line)

    def add_checkpoint(self) -> None:
        self.add({"event": "checkpoint", "public_key": self._key.public.text})

    def flush(self) -> None:
        if not self._lines:
            return
        # The log first: a checkpoint's copy without its original would look like a cut log.
        _append(self._path, self._lines)
        if self._checkpoints:
            for place in (self._folder, self._anchor):
                if place is not None:
                    _append(place / CHECKPOINTS, self._checkpoints)
        self._lines, self._checkpoints = [], []

    def _read_end(self, path: Path) -> None:
        with path.open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL_BYTES))
            tail = file.read()
            if b"\n" not in tail[:-1]:  # one record longer than that
                file.seek(0)
                tail = file.read()
            whole, _, torn = tail.rpartition(b"\n")
            if torn:
                # A crash, not an opening: nothing is opened before its record is whole.
                file.truncate(size - len(torn))
                os.fsync(file.fileno())
        if not whole:
            earlier = log_files(self._folder)[:-1]
            if earlier:
                self._read_end(earlier[-1])
        else:
            line = whole.rpartition(b"\n")[2]
            try:
                last = json.loads(line)
                self.seq, self.since_checkpoint = int(last["seq"]), int(last["since"])
            except (ValueError, KeyError, TypeError) as error:
                raise AuditError(
                    f"{path}: the last record cannot be read, so none can be added; "
                    "find out who changed it (`zhijian verify`), then move the folder away to begin a new log"
                ) from error
            self._prev = hashlib.sha256(line).hexdigest()
        if torn:
            self.add({"event": "torn", "bytes": len(torn)})


def canonical(record: Mapping[str, Any]) -> bytes:
    """Write a record as the bytes that are hashed and stored.

    Examples
    --------
    >>> canonical({"seq": 1, "event": "open"})
    b'{"event":"open","seq":1}'
    """
    return json.dumps(
        record, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False
    ).encode()


def line_body(record: Mapping[str, Any]) -> bytes:
    """Give the bytes of a record that its ``mac`` stands for."""
    return canonical({name: value for name, value in record.items() if name != "mac"})


def checkpoint_message(record: Mapping[str, Any]) -> bytes:
    """Give the bytes that a checkpoint's signature stands for: number, time and all that came before."""
    return f"zhijian audit checkpoint 1\n{record['seq']}\n{record['at']}\n{record['prev']}\n".encode()


def log_files(folder: Path) -> list[Path]:
    """List the files of a chain, in order."""
    return sorted(folder.glob("audit-[0-9][0-9][0-9][0-9]-[0-9][0-9].jsonl"))


def _append(path: Path, lines: Sequence[bytes]) -> None:
    new = not path.exists()
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o660)
    try:
        data = b"".join(line + b"\n" for line in lines)
        while data:
            data = data[os.write(descriptor, data) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if new:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
