"""Results in a folder: how several files appear in it at once or not at all.

Conventions
-----------
A commit writes its files into ``_staging``, then one journal entry that names every rename, then
renames, then removes the journal entry. Whoever comes next under the lock finishes a journal entry it
finds and clears what was staged without one. So at any instant a commit has either not happened or can
be completed from what is on disk. Replaced files go after the last rename, and readers know from the
journal which of the two to leave out.

Table of contents: `LocalStorage`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from pipeline.errors import ResultsError, StorageError
from pipeline.results.storage import (
    DAMAGED,
    DataFile,
    NewFile,
    explain_storage,
    new_commit_id,
    partition_date,
    storage_errors,
    target_path,
)

_PROBE_BYTES = 1024 * 1024
_WAIT_S = 0.02
_Replacement = tuple[tuple[str, ...], tuple[str, ...]]


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

    @property
    def filesystem(self) -> None:
        """Paths are those of this machine."""
        return

    def exists(self) -> bool:
        """Whether the folder is there."""
        return self.root.is_dir()

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

    def commit(
        self,
        files: Sequence[NewFile],
        *,
        replaces: Sequence[DataFile] = (),
        aside: Sequence[DataFile] = (),
    ) -> None:
        """Stage, journal, rename."""
        if not files and not replaces and not aside:
            return
        commit_id = new_commit_id()
        staging = self._staging / commit_id
        renames: list[tuple[str, str]] = []
        with self._explained():
            staging.mkdir()
            for number, file in enumerate(files):
                staged = staging / f"{number}.parquet"
                self._write(staged, file.content)
                self._checkpoint(f"staged {file.table}")
                renames.append((self._relative(staged), target_path(file, commit_id)))
            damaged = [self._relative(file.path) for file in aside]
            renames += [(path, f"{DAMAGED}/{path}") for path in damaged]
            removes = [self._relative(file.path) for file in replaces]
            _sync_folder(staging)
            _sync_folder(self._staging)
            entry = self._journal / f"{commit_id}.json"
            draft = staging / "journal"
            content = {"journal": 1, "renames": renames, "removes": removes}
            self._write(draft, json.dumps(content).encode())
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
        """List the committed files of a dataset, as they were at one instant."""
        before, pending = self._stamp()
        found = self._listed(table)
        after, pending_after = self._stamp()
        if before == after and not pending and not pending_after:
            return found
        # Files of a replacement come once and go once, so two equal listings show one instant.
        while (again := self._listed(table)) != found:
            found = again
        _, pending_now = self._stamp()
        names = {self._relative(file.path) for file in found}
        hidden: set[str] = set()
        for targets, removes in {*pending, *pending_after, *pending_now}:
            own = {target for target in targets if target.startswith(f"{table}/")}
            hidden |= set(removes) if own <= names else own
        return [file for file in found if self._relative(file.path) not in hidden]

    def tidy(self) -> int:
        """Nothing is left to do: whoever takes the lock has done it."""
        return 0

    def _stamp(self) -> tuple[bytes, tuple[_Replacement, ...]]:
        """Commit counter and replacements under way, read without the lock."""
        pending: list[_Replacement] = []
        with self._explained():
            for entry in sorted(self._journal.glob("*.json")) if self._journal.is_dir() else ():
                with contextlib.suppress(FileNotFoundError, ValueError, KeyError, TypeError):
                    content = json.loads(entry.read_bytes())
                    if content.get("removes"):
                        targets = tuple(str(target) for _, target in content["renames"])
                        pending.append((targets, tuple(map(str, content["removes"]))))
            try:
                count = self._lock.read_bytes()
            except FileNotFoundError:
                count = b""
        return count, tuple(pending)

    def _listed(self, table: str) -> list[DataFile]:
        found: list[DataFile] = []
        folder = self.root / table
        with self._explained():
            if not folder.is_dir():
                return []
            for partition in os.scandir(folder):
                is_partition, date = partition_date(partition.name)
                if not is_partition or not partition.is_dir():
                    continue
                found += [
                    DataFile(date, entry.path)
                    for entry in os.scandir(partition.path)
                    if entry.name.endswith(".parquet") and not entry.name.startswith((".", "_"))
                ]
        return sorted(found, key=lambda file: (file.call_date or "", file.path))

    def _relative(self, path: Path | str) -> str:
        return Path(path).relative_to(self.root).as_posix()

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
                explain_storage(str(self.root), error)
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
        renames, removes = self._steps(entry)
        for source, target in renames:
            if not target.parent.is_dir():
                target.parent.mkdir(parents=True, exist_ok=True)
                within = target.relative_to(self.root).parents
                touched |= dict.fromkeys(self.root / folder for folder in list(within)[1:])
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
        for path in removes:
            path.unlink(missing_ok=True)
            self._checkpoint("removed a replaced file")
        count = self.generation() + 1
        os.pwrite(self._held(), str(count).encode(), 0)
        self._checkpoint("counted")
        entry.unlink()
        _sync_folder(self._journal)
        self._checkpoint("journal removed")
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self._staging / entry.stem)

    def _steps(self, entry: Path) -> tuple[list[tuple[Path, Path]], list[Path]]:
        try:
            content = json.loads(entry.read_bytes())
            pairs = [(str(source), str(target)) for source, target in content["renames"]]
            removes = [str(path) for path in content.get("removes", [])]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ResultsError(
                f"{entry}: unreadable journal entry; restore the results folder from its backup"
            ) from error
        for name in (*(name for pair in pairs for name in pair), *removes):
            if name.startswith("/") or ".." in name.split("/"):
                raise ResultsError(f"{entry}: names a path outside the results folder; it was altered")
        return [(self.root / a, self.root / b) for a, b in pairs], [self.root / path for path in removes]

    def _write(self, path: Path, content: bytes) -> None:
        with path.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def _explained(self) -> AbstractContextManager[None]:
        return storage_errors(str(self.root))


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
