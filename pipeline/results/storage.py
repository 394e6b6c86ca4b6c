"""What the store needs of a place for results, whatever it is: files that appear all at once or not at all.

Conventions
-----------
Data files are never changed after they appear. A commit may put new files in the place of several that
hold the same rows (compaction); a reader sees those or these, never both. Files of one commit and
partition share their name across datasets and hold the same calls.

Table of contents: `DataFile`, `NewFile`, `DamagedResultsError`, `CommitConflictError`, `Storage`
(protocol), `target_path`, `new_commit_id`, `partition_date`, `storage_errors`, `transact`. A folder:
`pipeline.results.folder`; object storage: `pipeline.results.objects`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn, Protocol, TypeVar

from pipeline.errors import ResultsError, StorageError

UNKNOWN_DATE = "__HIVE_DEFAULT_PARTITION__"
DAMAGED = "_damaged"
_TRIES = 40
_BACKOFF_S = 0.01
T = TypeVar("T")


@dataclass(frozen=True, slots=True, order=True)
class DataFile:
    """A committed file: partition value (``2026-01-05``, or None for an unknown date) and its path."""

    call_date: str | None
    path: str

    @property
    def name(self) -> str:
        """Files of one commit and partition share their name across datasets and hold the same calls."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file to be committed.

    Attributes
    ----------
    label : str
        Tells files of one dataset and partition apart within a commit; usually empty.
    """

    table: str
    call_date: str | None
    content: bytes
    label: str = ""


class DamagedResultsError(ResultsError):
    """Files of the results cannot be read; `paths` names them."""

    kind = "damaged_results"

    def __init__(self, paths: Sequence[str], *, cause: str) -> None:
        self.paths = tuple(paths)
        more = f" and {len(self.paths) - 1} more" if len(self.paths) > 1 else ""
        super().__init__(
            f"{self.paths[0]}{more}: cannot be read ({cause}); restore it from a backup, or let the next "
            "`zhijian score` of its date set it aside and hear its calls again"
        )


class CommitConflictError(StorageError):
    """Another writer has committed since `Storage.exclusive`; look again and repeat."""


class Storage(Protocol):
    """What the store needs of a place."""

    @property
    def filesystem(self) -> Any:
        """The Arrow file system that `DataFile.path` is a path of; None for the local one."""
        ...

    def exists(self) -> bool:
        """Whether results may have been stored here."""
        ...

    def prepare(self) -> None:
        """Make sure, by trying, that results can be written."""
        ...

    def exclusive(self) -> AbstractContextManager[None]:
        """See everything that is committed, and finish what an interrupted commit left.

        A local folder gives the only right to commit; an object store cannot, and its `commit` raises
        `CommitConflictError` when somebody else has committed since.
        """
        ...

    def commit(
        self,
        files: Sequence[NewFile],
        *,
        replaces: Sequence[DataFile] = (),
        aside: Sequence[DataFile] = (),
    ) -> None:
        """Make all files appear, in the given order, or none. Only inside `exclusive`.

        Parameters
        ----------
        files : sequence of NewFile
        replaces : sequence of DataFile
            Files whose rows the new ones hold: they go in the same instant.
        aside : sequence of DataFile
            Damaged files, moved under ``_damaged/`` in the same instant.
        """
        ...

    def generation(self) -> int:
        """Return a number that grows with every commit of anybody. Only inside `exclusive`."""
        ...

    def files(self, table: str) -> list[DataFile]:
        """List the committed files of a dataset, sorted."""
        ...

    def tidy(self) -> int:
        """Remove what writers that died have left, and return how many files that were."""
        ...


def target_path(file: NewFile, commit_id: str) -> str:
    """Place of a new file, relative to the results.

    Examples
    --------
    >>> target_path(NewFile("scores", "2026-01-05", b""), "20260106T020000-1f")
    'scores/call_date=2026-01-05/part-20260106T020000-1f.parquet'
    """
    label = f"-{file.label}" if file.label else ""
    return f"{file.table}/call_date={file.call_date or UNKNOWN_DATE}/part-{commit_id}{label}.parquet"


def new_commit_id() -> str:
    """Name for a commit: sorts by time, and no other has it."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:12]}"


def partition_date(folder_name: str) -> tuple[bool, str | None]:
    """Whether a folder is a partition, and of which date.

    Examples
    --------
    >>> partition_date("call_date=2026-01-05"), partition_date("lost+found")
    ((True, '2026-01-05'), (False, None))
    """
    name, _, value = folder_name.partition("=")
    return name == "call_date", None if value == UNKNOWN_DATE or not value else value


@contextlib.contextmanager
def storage_errors(place: str) -> Iterator[None]:
    """Turn failures of a file system into errors that say what to do, and whether trying again may help.

    Raises
    ------
    StorageError
        Full, or failing for a reason that may pass.
    ResultsError
        It cannot hold results.
    """
    try:
        yield
    except OSError as error:
        explain_storage(place, error)


def explain_storage(place: str, error: OSError) -> NoReturn:
    """Raise what `storage_errors` raises."""
    cause = error.strerror or type(error).__name__
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        raise StorageError(f"{place}: no space left for results ({cause}); free some and repeat") from error
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
            f"{place}: results cannot be kept here ({cause}); choose a folder that can be written"
        ) from error
    raise StorageError(f"{place}: storage failed ({cause}); repeat when it works again") from error


def transact(storage: Storage, work: Callable[[], T], *, place: str) -> T:
    """Work on what is committed, once more whenever somebody else was faster.

    Raises
    ------
    StorageError
        Others were always faster.
    """
    for attempt in range(_TRIES):
        try:
            with storage.exclusive():
                return work()
        except (CommitConflictError, FileNotFoundError):
            # Writers that met once should not meet again: each waits for a time of its own.
            time.sleep(_BACKOFF_S * attempt * (1 + os.getpid() % 7))
    raise StorageError(f"{place}: other runs kept committing first; repeat")
