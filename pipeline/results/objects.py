"""Results on object storage: a log of commits that only ever grows, one object a commit.

Conventions
-----------
Data files are uploaded to their place under names that nobody else has. They count from the instant at
which the next entry of ``_log/`` names them; an entry is created by a put that fails if the object
exists, so of two writers at once one wins and the other looks at what has changed and tries again. No
lock is held, so a writer may die or hang at any instant without keeping others waiting. Every
`CHECKPOINT_EVERY` entries a checkpoint lists all files, so that nobody reads years of entries.

What the storage must offer: a new object is seen by everybody at once, and creation can be made
conditional (S3's ``If-None-Match`` and its like). `prepare` tries it.

Table of contents: `ObjectStorage`, `remote_errors`.
"""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from pipeline.errors import ResultsError, StorageError, ZhijianError
from pipeline.results.storage import (
    DAMAGED,
    CommitConflictError,
    DataFile,
    NewFile,
    explain_storage,
    new_commit_id,
    partition_date,
    target_path,
)
from pipeline.vault.places import open_filesystem

CHECKPOINT_EVERY = 50
_ORPHAN_AGE = timedelta(days=1)
_TRIES = 5


@contextlib.contextmanager
def remote_errors(place: str) -> Iterator[None]:
    """Turn whatever a storage driver raises into errors of this software.

    Raises
    ------
    ResultsError
        Access is refused, or the bucket does not exist.
    StorageError
        Anything else: networks and servers recover.
    """
    try:
        yield
    except (ZhijianError, FileExistsError):
        raise
    except PermissionError as error:
        raise ResultsError(f"{place}: access refused; give this user the right to read and write") from error
    except FileNotFoundError as error:
        raise ResultsError(f"{place}: no such bucket or folder; make it first") from error
    except OSError as error:
        explain_storage(place, error)
    except Exception as error:
        raise StorageError(
            f"{place}: storage failed ({type(error).__name__}); repeat when it works again"
        ) from error


@dataclass(frozen=True, slots=True)
class _State:
    """The log as far as it has been read: number of its last entry, and the files that count."""

    number: int
    files: frozenset[str]


class ObjectStorage:
    """Results under an fsspec URI.

    Parameters
    ----------
    uri : str
        For instance ``s3://bucket/results``.
    checkpoint : callable, optional
        Called with the name of every step of a commit; tests use it to fail there.
    """

    def __init__(self, uri: str, *, checkpoint: Callable[[str], None] | None = None) -> None:
        self.uri = uri.rstrip("/")
        # A cached listing would hide what others have committed.
        self._fs, root = open_filesystem(self.uri, use_listings_cache=False)
        self._root = root.rstrip("/")
        self._log = f"{self._root}/_log"
        self._checkpoint = checkpoint or (lambda step: None)
        self._state = _State(0, frozenset())
        self._held: int | None = None

    @cached_property
    def filesystem(self) -> Any:
        """The Arrow view of this storage."""
        import pyarrow.fs

        return pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(self._fs))

    def exists(self) -> bool:
        """Whether anything was ever committed here."""
        with remote_errors(self.uri):
            self._refresh()
        return self._state.number > 0

    def prepare(self) -> None:
        """Try that objects can be written, and that a second creation of one is refused."""
        probe = f"{self._root}/_probe/{uuid.uuid4().hex}"
        with remote_errors(self.uri):
            try:
                self._create(probe, b"probe")
            except NotImplementedError:
                self._refuse()
            try:
                self._create(probe, b"again")
            except FileExistsError:
                pass
            else:
                self._refuse()
            finally:
                self._fs.rm_file(probe)
            self._refresh()

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """See everything that is committed; see `pipeline.results.storage.Storage`."""
        with remote_errors(self.uri):
            self._refresh()
        self._held = self._state.number
        try:
            yield
        finally:
            self._held = None

    def commit(
        self,
        files: Sequence[NewFile],
        *,
        replaces: Sequence[DataFile] = (),
        aside: Sequence[DataFile] = (),
    ) -> None:
        """Upload, then name everything in the next entry of the log.

        Raises
        ------
        CommitConflictError
            Another writer has made that entry; nothing is stored.
        """
        if not files and not replaces and not aside:
            return
        if self._held is None or self._held != self._state.number:
            raise RuntimeError("commit() outside of exclusive()")
        commit_id = new_commit_id()
        number = self._state.number + 1
        uploads = {f"{self._root}/{target_path(file, commit_id)}": file.content for file in files}
        gone = [self._relative(file.path) for file in (*replaces, *aside)]
        added = [self._relative(path) for path in uploads]
        entry = {"commit": 1, "id": commit_id, "add": added, "remove": gone}
        with remote_errors(self.uri):
            for path, content in uploads.items():
                self._fs.pipe_file(path, content)
                self._checkpoint("uploaded")
            for file in aside:
                self._fs.copy(file.path, f"{self._root}/{DAMAGED}/{self._relative(file.path)}")
            place = self._entry(number)
            try:
                self._create(place, json.dumps(entry).encode())
            except FileExistsError:
                # A put that was repeated after a lost answer finds its own entry.
                if json.loads(self._fs.cat_file(place))["id"] != commit_id:
                    for path in uploads:
                        self._fs.rm_file(path)
                    raise CommitConflictError(f"{self.uri}: another run committed at once; repeat") from None
            self._checkpoint("logged")
            self._state = _State(number, (self._state.files | set(added)) - set(gone))
            self._held = number
            for path in gone:
                self._fs.rm_file(f"{self._root}/{path}")
                self._checkpoint("removed a replaced file")
            if number % CHECKPOINT_EVERY == 0:
                self._write_checkpoint()

    def generation(self) -> int:
        """Return the number of the last entry that was read."""
        return self._state.number

    def files(self, table: str) -> list[DataFile]:
        """List the committed files of a dataset."""
        if self._held is None:
            with remote_errors(self.uri):
                self._refresh()
        found: list[DataFile] = []
        for path in self._state.files:
            dataset, folder, _ = path.split("/", 2)
            is_partition, date = partition_date(folder)
            if dataset == table and is_partition:
                found.append(DataFile(date, f"{self._root}/{path}"))
        return sorted(found, key=lambda file: (file.call_date or "", file.path))

    def tidy(self) -> int:
        """Remove uploads of a day ago and longer that no entry names: their writer died.

        Returns
        -------
        int
            How many objects were removed.
        """
        with remote_errors(self.uri):
            self._refresh()
            self._fs.invalidate_cache(self._root)
            before = datetime.now(UTC) - _ORPHAN_AGE
            orphans = [
                path
                for path in self._fs.find(self._root)
                if (name := self._relative(path)).endswith(".parquet")
                and not name.startswith("_")
                and name not in self._state.files
                and self._fs.modified(path) < before
            ]
            for path in orphans:
                self._fs.rm_file(path)
        return len(orphans)

    # Inside -------------------------------------------------------------------------------------

    def _relative(self, path: str) -> str:
        return path.removeprefix(self._root).lstrip("/")

    def _entry(self, number: int, kind: str = "") -> str:
        return f"{self._log}/{number:020d}{kind}.json"

    def _create(self, path: str, content: bytes) -> None:
        """Make a file where there is none; of two who try at once, one gets `FileExistsError`."""
        from fsspec import AbstractFileSystem

        if getattr(self._fs.pipe_file, "__func__", None) is not AbstractFileSystem.pipe_file:
            self._fs.pipe_file(path, content, mode="create")
            return
        # This driver (HDFS) has only what every driver inherits: look, then write, which two can do at
        # once. A move decides there: it fails where a file is. `prepare` tries that it does.
        draft = f"{self._root}/_drafts/{uuid.uuid4().hex}"
        self._fs.pipe_file(draft, content)
        self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        try:
            self._fs.mv(draft, path)
        except OSError as error:
            taken = self._fs.exists(path)
            self._fs.rm_file(draft)
            if taken:
                raise FileExistsError(path) from error
            raise

    def _refuse(self) -> None:
        raise ResultsError(
            f"{self.uri}: this storage cannot create an object only if there is none (a conditional put), "
            "without which two runs could overwrite each other; use another one, or a local folder"
        )

    def _refresh(self) -> None:
        for _ in range(_TRIES):
            try:
                self._state = self._read_log()
            except FileNotFoundError:
                continue  # entries before a checkpoint were removed while they were read
            else:
                return
        raise StorageError(f"{self._log}: its entries come and go; repeat when it is stable")

    def _read_log(self) -> _State:
        self._fs.invalidate_cache(self._log)
        try:
            listed = self._fs.ls(self._log, detail=False)
        except FileNotFoundError:
            return _State(0, frozenset())
        names = {str(path).rpartition("/")[2] for path in listed}
        entries = {int(name[:20]) for name in names if len(name) == 25}
        checkpoints = {int(name[:20]) for name in names if name.endswith(".checkpoint.json")}
        last = max(entries | checkpoints, default=0)
        state = self._state
        if last <= state.number:
            return state
        if not entries.issuperset(range(state.number + 1, last + 1)):
            start = max(checkpoints, default=0)
            state = _State(0, frozenset())
            if start:
                content = self._lists(self._entry(start, ".checkpoint"), "files")
                state = _State(start, frozenset(content["files"]))
        wanted = [self._entry(number) for number in range(state.number + 1, last + 1)]
        if missing := [path for path in wanted if path.rpartition("/")[2] not in names]:
            raise ResultsError(f"{missing[0]}: this entry of the log is gone; restore it from a backup")
        files = set(state.files)
        for path in wanted:
            content = self._lists(path, "add", "remove")
            files |= set(content["add"])
            files -= set(content["remove"])
        return _State(last, frozenset(files))

    def _lists(self, path: str, *keys: str) -> dict[str, list[str]]:
        try:
            content = json.loads(self._fs.cat_file(path))
            return {key: [str(name) for name in content[key]] for key in keys}
        except (ValueError, TypeError, KeyError) as error:
            raise ResultsError(f"{path}: unreadable entry of the log; restore it from a backup") from error

    def _write_checkpoint(self) -> None:
        """List all files, then forget entries that the checkpoint before this one covers."""
        number = self._state.number
        content = {"files": sorted(self._state.files)}
        self._fs.pipe_file(self._entry(number, ".checkpoint"), json.dumps(content).encode())
        self._checkpoint("checkpoint written")
        self._fs.invalidate_cache(self._log)
        for path in self._fs.ls(self._log, detail=False):
            name = str(path).rpartition("/")[2]
            if name[:20].isdigit() and int(name[:20]) <= number - CHECKPOINT_EVERY:
                self._fs.rm_file(path)
