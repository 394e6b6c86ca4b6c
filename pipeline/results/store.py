"""The store of results: what is finished, what failed, and how new results get in.

Conventions
-----------
Datasets are append-only. A call's new score is a new row with a higher version; a call counts as
stored when its row in ``scores`` is in place, so readers never see half a call. Any number of
processes may write at once: each commit looks under the lock at what others have finished meanwhile
(`pipeline.results.numbering`).

Table of contents: `Store`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.errors import DuplicateCallError, InputError, ResultsError, StorageError
from pipeline.results.entries import Committed, Fingerprint, QuarantineRow, RunRow, ScoredCall
from pipeline.results.folder import LocalStorage
from pipeline.results.numbering import Numbering
from pipeline.results.packing import call_files, files_of, quarantine_files, run_file
from pipeline.results.storage import DataFile, NewFile, Storage, transact
from pipeline.vault.places import is_uri

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.results.upkeep import Compacted, Damaged

T = TypeVar("T")
_TRIES = 5


class Store:
    """A results folder. Make one with `Store.open`.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = Store.open(folder, write=True)
    ...     store.scored_fingerprints(), store.commit().versions
    ({}, {})
    """

    def __init__(self, storage: Storage, *, place: str) -> None:
        self._storage = storage
        self.place = place
        self._numbering = Numbering(storage)

    @classmethod
    def open(
        cls,
        root: str | os.PathLike[str],
        *,
        write: bool = False,
        lock_timeout_s: float = 120.0,
        checkpoint: Callable[[str], None] | None = None,
    ) -> Store:
        """Open a results folder.

        Parameters
        ----------
        root : path
            Local folder, or fsspec URI of an object storage.
        write : bool
            Make the folder if needed, try that it can be written, finish what an interrupted run
            left. Without it nothing is touched.
        lock_timeout_s : float
            How long a commit waits for another run's commit (local folder).
        checkpoint : callable, optional
            Called at every step of a commit, for tests.

        Raises
        ------
        ResultsError
            If the folder does not exist (reading) or cannot be written (writing).
        StorageError
            If it is full or storage fails.
        """
        place = os.fspath(root)
        storage: Storage
        if is_uri(place):
            from pipeline.results.objects import ObjectStorage

            storage = ObjectStorage(place, checkpoint=checkpoint)
        else:
            storage = LocalStorage(Path(place), lock_timeout_s=lock_timeout_s, checkpoint=checkpoint)
        if write:
            storage.prepare()
        elif not storage.exists():
            raise ResultsError(f"{place}: no such results folder; `zhijian score` makes one")
        return cls(storage, place=place)

    # What is there ------------------------------------------------------------------------------

    def scored_fingerprints(self, call_ids: Iterable[str] | None = None) -> dict[str, Fingerprint]:
        """Tell what the latest version of each stored call was made from.

        Parameters
        ----------
        call_ids : iterable of str, optional
            Only these calls; a night should say which, so that years of archive stay on disk.

        Returns
        -------
        dict of str to Fingerprint
        """
        from pipeline.results.known import fingerprints

        wanted = None if call_ids is None else frozenset(call_ids)

        def look() -> tuple[list[DataFile], dict[str, Fingerprint]]:
            files = self._storage.files("hearings")
            return files, fingerprints(files, wanted, self._storage.filesystem)

        files, known = self._listed(look)
        if wanted is not None:
            self._numbering.watch(wanted, known, files)
        return known

    def scored_by(self, call_ids: Iterable[str]) -> dict[str, str]:
        """Tell which calls' latest version a person asked for (a rescore), and who."""
        table = self.read(
            "scores", columns=("call_id", "scored_by"), call_ids=frozenset(call_ids)
        ).to_pylist()
        return {row["call_id"]: row["scored_by"] for row in table if row["scored_by"]}

    def quarantined(self, *, include_resolved: bool = False) -> dict[tuple[str | None, str], QuarantineRow]:
        """Latest row of everything in quarantine, by call id and path.

        Parameters
        ----------
        include_resolved : bool
            Also rows of calls that were scored later.
        """
        latest = self._latest_quarantine()
        if include_resolved or not latest:
            return latest
        import pyarrow.compute as pc

        ids = {row.call_id for row in latest.values() if row.call_id is not None}
        table = self.read("scores", columns=("call_id", "scored_at"), call_ids=ids, latest=False)
        newest = table.group_by("call_id").aggregate([("scored_at", "max")])
        scored_at = dict(
            zip(
                newest["call_id"].to_pylist(),
                pc.cast(newest["scored_at_max"], "int64").to_pylist(),
                strict=True,
            )
        )
        return {
            key: row
            for key, row in latest.items()
            if row.call_id is None
            # a repeated row stays a fault of the call records though its first copy was scored
            or row.kind == DuplicateCallError.kind
            or scored_at.get(row.call_id, -1) < _microseconds(row)
        }

    def read(
        self,
        table: str,
        *,
        columns: Sequence[str] | None = None,
        dates: Collection[str | None] | None = None,
        call_ids: Collection[str] | None = None,
        latest: bool = True,
    ) -> pa.Table:
        """Read a dataset into an Arrow table.

        Parameters
        ----------
        table : str
        columns : sequence of str, optional
            All by default, with ``call_date``.
        dates : collection of str, optional
            Only these partitions (``2026-01-05``; None = unknown date).
        call_ids : collection of str, optional
            Only these calls.
        latest : bool
            For datasets by call: only rows of the highest version of each call.

        Raises
        ------
        InputError
            If there is no such dataset or column.
        ResultsError
            If a file is damaged; the message names it.
        """
        from pipeline.results import reading

        return self._listed(
            lambda: reading.read(
                self._storage, table, columns=columns, dates=dates, call_ids=call_ids, latest=latest
            )
        )

    def dataset(self, table: str, *, without: Collection[str] = ()) -> Any:
        """Open the files of a dataset, as they are now, for an engine that reads what it needs (SQL).

        Parameters
        ----------
        table : str
        without : collection of str
            Columns that the engine is not to see.

        Returns
        -------
        pyarrow.dataset.Dataset or pyarrow.Table
            Every version of every call; a table without rows if nothing is stored.
        """
        from pipeline.results import reading

        return self._listed(lambda: reading.dataset(self._storage, table, without=without))

    def is_empty(self) -> bool:
        """Whether nothing has ever been stored here."""
        return not any(self._storage.files(table) for table in ("scores", "quarantine", "runs"))

    def dates(self) -> list[str | None]:
        """Partitions of ``scores``, sorted; None = unknown date."""
        return list(dict.fromkeys(file.call_date for file in self._storage.files("scores")))

    # What gets in -------------------------------------------------------------------------------

    def commit(
        self, scored: Sequence[ScoredCall] = (), quarantined: Sequence[QuarantineRow] = ()
    ) -> Committed:
        """Store a batch, all of it or nothing.

        Parameters
        ----------
        scored : sequence of ScoredCall
            Each gets the next version of its call. An entry whose call has meanwhile a version above
            ``supersedes`` is dropped: another run was faster.
        quarantined : sequence of QuarantineRow
            Appended; ``first_seen`` and ``attempts`` go on from the stored rows of the same key.

        Returns
        -------
        Committed
        """
        ids = [entry.call.call_id for entry in scored]
        if len(set(ids)) != len(ids):
            raise InputError("a call stands twice in one commit; commit its versions one after the other")
        return self._transact(lambda: self._commit(scored, quarantined))

    def _commit(self, scored: Sequence[ScoredCall], quarantined: Sequence[QuarantineRow]) -> Committed:
        ids = frozenset(entry.call.call_id for entry in scored)
        self._numbering.catch_up(ids, self._latest_quarantine)
        numbered, dropped = self._numbering.numbered(scored)
        failures = self._numbering.continued(quarantined)
        moved = self._numbering.moves(numbered)
        self._storage.commit([*call_files(numbered, moved), *quarantine_files(failures)])
        self._numbering.remember(numbered, failures)
        return Committed(
            versions={entry.call.call_id: version for entry, version in numbered},
            dropped=tuple(dropped),
            quarantined=len(failures),
        )

    def record_run(self, run: RunRow) -> None:
        """Append the summary of a run."""
        self._append(lambda: [run_file(run)])

    def append(
        self, rows: Mapping[str | None, pa.Table] | Callable[[], Mapping[str | None, pa.Table]], table: str
    ) -> None:
        """Append rows to a dataset without versions (``reviews``), all of them or none.

        Parameters
        ----------
        rows : mapping of partition (``2026-01-05``; None = unknown date) to Arrow table
            With the dataset's own schema. Or a function that gives it: called when nobody else commits,
            so that it may look first (and raise); once more if somebody was faster all the same.
        table : str
        """
        self._append(lambda: files_of(table, rows() if callable(rows) else rows))

    def _append(self, files: Callable[[], Sequence[NewFile]]) -> None:
        def commit() -> None:
            made = files()
            before = self._storage.generation()
            self._storage.commit(made)
            self._numbering.own_commit(before)

        self._transact(commit)

    # Upkeep -------------------------------------------------------------------------------------

    def compact(self, *, dates: Collection[str | None] | None = None) -> Iterator[Compacted]:
        """Put many small files into few; see `pipeline.results.upkeep.compact`.

        Yields
        ------
        Compacted
            After each partition; last, what interrupted writers had left behind and was removed.
        """
        from pipeline.results.upkeep import Compacted, compact

        yield from compact(self._storage, dates=dates)
        orphans = self._storage.tidy()
        if orphans:
            yield Compacted(0, 0, 0, orphans)

    def set_aside_damaged(
        self, dates: Collection[str | None] = (), *, paths: Collection[str] = (), run_id: str | None = None
    ) -> list[Damaged]:
        """Find damaged files of these partitions and set them aside; see `pipeline.results.upkeep`.

        Parameters
        ----------
        dates : collection of str
            Partitions to read through.
        paths : collection of str
            Files that are known to be damaged.
        run_id : str, optional

        Returns
        -------
        list of Damaged
            Their calls are unknown to the store from now on.
        """
        from pipeline.results.upkeep import damaged_names, set_aside

        bad = {*paths, *(damaged_names(self._storage, dates) if dates else ())}
        if not bad:
            return []
        done = set_aside(self._storage, bad, run_id=run_id)
        self._numbering.forget()
        return done

    def erase(self, call_ids: Collection[str]) -> dict[str, int]:
        """Delete every row of some calls, in all datasets and versions; rows by dataset.

        For `pipeline.retention` alone, which records each deletion before.
        """
        from pipeline.results.erasing import erase

        self._numbering.look_again()
        return erase(self._storage, call_ids)

    # Inside -------------------------------------------------------------------------------------

    def _transact(self, work: Callable[[], T]) -> T:
        return transact(self._storage, work, place=self.place)

    def _listed(self, read: Callable[[], T]) -> T:
        """Read listed files; list them anew when they were compacted in between."""
        for _ in range(_TRIES):
            with contextlib.suppress(FileNotFoundError):
                return read()
        raise StorageError(f"{self.place}: files come and go while they are read; repeat")

    def _latest_quarantine(self) -> dict[tuple[str | None, str], QuarantineRow]:
        from pipeline.results.known import latest_quarantine

        return self._listed(lambda: latest_quarantine(self._storage))


def _microseconds(row: QuarantineRow) -> int:
    return round(row.last_seen.timestamp() * 1_000_000)
