"""Where result files lie, and how several of them appear at once or not at all.

Conventions
-----------
A commit writes its files into ``_staging``, then one journal entry that names every rename, then
renames, then removes the journal entry. Whoever comes next under the lock finishes a journal entry it
finds and clears what was staged without one. So at any instant a commit has either not happened or can
be completed from what is on disk. Data files are never changed after they appear.

Table of contents: `DataFile`, `NewFile`, `Storage` (protocol), `LocalStorage`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn, Protocol

from pipeline.errors import ResultsError, StorageError

UNKNOWN_DATE = "__HIVE_DEFAULT_PARTITION__"
_PROBE_BYTES = 1024 * 1024
_WAIT_S = 0.02


@dataclass(frozen=True, slots=True, order=True)
class DataFile:
    """A committed file: partition value (``2026-01-05``, or None for an unknown date) and its path."""

    call_date: str | None
    path: str


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file to be committed."""

    table: str
    call_date: str | None
    content: bytes


class Storage(Protocol):
    """What the store needs of a place; an object store can offer the same by conditional puts."""

    def prepare(self) -> None:
        """Make sure, by trying, that results can be written."""
        ...

    def exclusive(self) -> AbstractContextManager[None]:
        """Hold the only right to commit; recovers whatever an interrupted commit left."""
        ...

    def commit(self, files: Sequence[NewFile]) -> None:
        """Make all files appear, in the given order, or none. Only inside `exclusive`."""
        ...

    def generation(self) -> int:
        """Return a number that grows with every commit of anybody. Only inside `exclusive`."""
        ...

    def files(self, table: str) -> list[DataFile]:
        """List the committed files of a dataset, sorted."""
        ...


class LocalStorage:
    """A folder of a POSIX file system on which ``flock`` and ``rename`` hold (a local disk).

    Parameters
    ----------
    root : path
    lock_timeout_s : float
        How long to wait while another run commits.
    checkpoint : callable, optional
        Called with the name of every step of a commit; tests use it to fail there.
    """

    def __init__(
        self,
        root: Path,
        *,
        lock_timeout_s: float = 120.0,
        checkpoint: Callable[[str], None] | None = None,
    ) -> None:
        self.root = root
        self._staging = root / "_staging"
        self._journal = root / "_journal"
        self._lock = root / "_lock"
        self._lock_timeout_s = lock_timeout_s
        self._checkpoint = checkpoint or (lambda step: None)
        self._lock_descriptor: int | None = None

    def prepare(self) -> None:
        """Make the folder, write and remove a probe, and finish an interrupted commit."""
        with self._explained():
            for folder in (self.root, self._staging, self._journal):
                folder.mkdir(parents=True, exist_ok=True)
            probe = self._staging / f"probe-{uuid.uuid4().hex}"
            try:
                self._write(probe, bytes(_PROBE_BYTES))
            finally:
                probe.unlink(missing_ok=True)
        with self.exclusive():
            pass

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the lock; recover first."""
        with self._explained():
            descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            self._acquire(descriptor)
            self._lock_descriptor = descriptor
            try:
                with self._explained():
                    self._recover()
                yield
            finally:
                self._lock_descriptor = None
                fcntl.flock(descriptor, fcntl.LOCK_UN)
        finally:
            os.close(descriptor)

    def commit(self, files: Sequence[NewFile]) -> None:
        """Stage, journal, rename."""
        if not files:
            return
        commit_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:12]}"
        staging = self._staging / commit_id
        renames: list[tuple[str, str]] = []
        with self._explained():
            staging.mkdir()
            for number, file in enumerate(files):
                staged = staging / f"{number}.parquet"
                self._write(staged, file.content)
                self._checkpoint(f"staged {file.table}")
                target = f"{file.table}/call_date={file.call_date or UNKNOWN_DATE}/part-{commit_id}.parquet"
                renames.append((staged.relative_to(self.root).as_posix(), target))
            _sync_folder(staging)
            _sync_folder(self._staging)
            entry = self._journal / f"{commit_id}.json"
            draft = staging / "journal"
            self._write(draft, json.dumps({"journal": 1, "renames": renames}).encode())
            self._checkpoint("journal drafted")
            draft.replace(entry)
            _sync_folder(self._journal)
            self._checkpoint("journal written")
            self._roll_forward(entry)

    def generation(self) -> int:
        """Read the commit counter, which lives in the lock file."""
        with self._explained():
            text = os.pread(self._held(), 32, 0)
        return int(text) if text.isdigit() else 0

    def files(self, table: str) -> list[DataFile]:
        """List the committed files of a dataset."""
        found: list[DataFile] = []
        folder = self.root / table
        with self._explained():
            if not folder.is_dir():
                return []
            for partition in os.scandir(folder):
                name, _, value = partition.name.partition("=")
                if name != "call_date" or not partition.is_dir():
                    continue
                date = None if value == UNKNOWN_DATE else value
                found += [
                    DataFile(date, entry.path)
                    for entry in os.scandir(partition.path)
                    if entry.name.endswith(".parquet") and not entry.name.startswith((".", "_"))
                ]
        return sorted(found, key=lambda file: (file.call_date or "", file.path))

    def _held(self) -> int:
        if self._lock_descriptor is None:
            raise RuntimeError("the results lock is not held")
        return self._lock_descriptor

    def _acquire(self, descriptor: int) -> None:
        deadline = time.monotonic() + self._lock_timeout_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise StorageError(
                        f"{self._lock}: another run has held the lock for {self._lock_timeout_s:.0f} s; "
                        "wait for it to end or stop it, then repeat"
                    ) from None
                time.sleep(_WAIT_S)
            except OSError as error:
                self._explain(error)
            else:
                return

    def _recover(self) -> None:
        if not self._journal.is_dir():
            return
        for entry in sorted(self._journal.glob("*.json")):
            self._roll_forward(entry)
        for leftover in self._staging.iterdir():
            if leftover.is_dir():
                shutil.rmtree(leftover)
            else:  # another process may be trying out whether it can write
                leftover.unlink(missing_ok=True)

    def _roll_forward(self, entry: Path) -> None:
        touched: dict[Path, None] = {}
        for source, target in self._renames(entry):
            if not target.parent.is_dir():
                target.parent.mkdir(parents=True, exist_ok=True)
                touched |= dict.fromkeys((self.root, target.parent.parent))
            touched[target.parent] = None
            if source.exists():
                source.replace(target)
            elif not target.exists():
                raise ResultsError(
                    f"{entry}: names {source.name}, which is neither staged nor in place; "
                    "restore the results folder from its backup"
                )
            self._checkpoint(f"renamed {target.parent.parent.name}")
        for folder in touched:
            _sync_folder(folder)
        count = self.generation() + 1
        os.pwrite(self._held(), str(count).encode(), 0)
        self._checkpoint("counted")
        entry.unlink()
        _sync_folder(self._journal)
        self._checkpoint("journal removed")
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self._staging / entry.stem)

    def _renames(self, entry: Path) -> list[tuple[Path, Path]]:
        try:
            content = json.loads(entry.read_bytes())
            pairs = [(str(source), str(target)) for source, target in content["renames"]]
        except (ValueError, KeyError, TypeError) as error:
            raise ResultsError(
                f"{entry}: unreadable journal entry; restore the results folder from its backup"
            ) from error
        for name in (name for pair in pairs for name in pair):
            if name.startswith("/") or ".." in name.split("/"):
                raise ResultsError(f"{entry}: names a path outside the results folder; it was altered")
        return [(self.root / source, self.root / target) for source, target in pairs]

    def _write(self, path: Path, content: bytes) -> None:
        with path.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._explain(error)

    def _explain(self, error: OSError) -> NoReturn:
        cause = error.strerror or type(error).__name__
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StorageError(
                f"{self.root}: no space left for results ({cause}); free some and repeat"
            ) from error
        terminal = (
            errno.EACCES,
            errno.EPERM,
            errno.EROFS,
            errno.ENOTDIR,
            errno.EEXIST,
            errno.ENOENT,
            errno.EISDIR,
        )
        if error.errno in terminal:
            raise ResultsError(
                f"{self.root}: results cannot be kept here ({cause}); choose a folder that can be written"
            ) from error
        raise StorageError(f"{self.root}: storage failed ({cause}); repeat when it works again") from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
