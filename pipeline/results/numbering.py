"""Which version of a call, which attempt of a failure comes next: what one writer knows of the store.

Conventions
-----------
What is stored is looked up once and carried on commit by commit. Others may commit as well: `catch_up`
takes in what they did, and whatever is numbered after it, under the same lock, is right.

Table of contents: `Numbering`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from pipeline.results.entries import Fingerprint, QuarantineRow, ScoredCall
from pipeline.results.storage import DataFile, Storage


class Numbering:
    """Versions of calls and attempts of failures, going on from those that are stored."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._watched: frozenset[str] = frozenset()
        self._known: dict[str, Fingerprint] = {}
        self._seen: set[str] = set()
        self._quarantine: dict[tuple[str | None, str], QuarantineRow] = {}
        self._generation = -1

    # What this writer knows ---------------------------------------------------------------------

    def watch(
        self, call_ids: frozenset[str], known: Mapping[str, Fingerprint], files: Sequence[DataFile]
    ) -> None:
        """Start from calls that were just looked up in these files of ``hearings``."""
        self._watched, self._known, self._seen = call_ids, dict(known), {file.path for file in files}
        self.look_again()

    def look_again(self) -> None:
        """Let the next commit look for newer files."""
        self._generation = -1

    def forget(self) -> None:
        """Look all calls up anew: files that were counted on are gone."""
        self._watched, self._known, self._seen = frozenset(), {}, set()
        self.look_again()

    def own_commit(self, before: int) -> None:
        """Count in a commit of its own that numbered nothing; ``before`` is the generation it began with."""
        if self._generation == before:
            self._generation = self._storage.generation()

    def catch_up(
        self,
        ids: frozenset[str],
        latest_quarantine: Callable[[], dict[tuple[str | None, str], QuarantineRow]],
    ) -> None:
        """Take in what others have committed. Only under the lock.

        Parameters
        ----------
        ids : frozenset of str
            Calls that are to be numbered.
        latest_quarantine : callable
            Gives the latest stored row of everything in quarantine; called if anything is new.
        """
        generation = self._storage.generation()
        strangers = ids - self._watched
        if generation == self._generation and not strangers:
            return
        files = self._storage.files("hearings")
        if strangers:
            self._known |= self._fingerprints(strangers, files)
            self._watched |= strangers
        newer = [file for file in files if file.path not in self._seen]
        for call_id, found in self._fingerprints(self._watched, newer).items():
            known = self._known.get(call_id)
            if known is None or known.version < found.version:
                self._known[call_id] = found
        self._seen = {file.path for file in files}
        self._quarantine = latest_quarantine()
        self._generation = generation

    def remember(self, numbered: Sequence[tuple[ScoredCall, int]], failures: Sequence[QuarantineRow]) -> None:
        """Take in what was just committed. Only under the lock."""
        from pipeline.callrecords import record_hash

        for entry, version in numbered:
            self._known[entry.call.call_id] = Fingerprint(
                version=version,
                recording_sha256=entry.hearing.recording_sha256,
                recording_size_bytes=entry.recording_size_bytes,
                recording_stamp=entry.recording_stamp,
                call_record_sha256=record_hash(entry.call),
                call_date=entry.call.started_at.date().isoformat(),
                recording_payload_sha256=entry.hearing.recording_payload_sha256,
            )
        for row in failures:
            self._quarantine[row.key] = row
        self._generation = self._storage.generation()

    # What comes next ----------------------------------------------------------------------------

    def numbered(self, scored: Sequence[ScoredCall]) -> tuple[list[tuple[ScoredCall, int]], list[str]]:
        """Give each call its next version.

        Returns
        -------
        numbered : list of (ScoredCall, int)
        dropped : list of str
            Calls that have meanwhile a version above ``supersedes``: another run was faster.
        """
        numbered: list[tuple[ScoredCall, int]] = []
        dropped: list[str] = []
        for entry in scored:
            known = self._known.get(entry.call.call_id)
            version = known.version if known else 0
            if version > entry.supersedes:
                dropped.append(entry.call.call_id)
            else:
                numbered.append((entry, version + 1))
        return numbered, dropped

    def moves(self, numbered: Sequence[tuple[ScoredCall, int]]) -> dict[str, list[tuple[str, int]]]:
        """Calls that leave a partition because their date was corrected, by that partition."""
        moves: dict[str, list[tuple[str, int]]] = {}
        for entry, version in numbered:
            known = self._known.get(entry.call.call_id)
            day = entry.call.started_at.date().isoformat()
            if known is not None and known.call_date is not None and known.call_date != day:
                moves.setdefault(known.call_date, []).append((entry.call.call_id, version))
        return moves

    def continued(self, quarantined: Sequence[QuarantineRow]) -> list[QuarantineRow]:
        """Failures with ``first_seen`` and ``attempts`` going on from the stored rows of the same key."""
        latest = dict(self._quarantine)
        result: list[QuarantineRow] = []
        for new in quarantined:
            row, known = new, latest.get(new.key)
            if known is not None:
                same = (known.fingerprint, known.key_id, known.kind) == (
                    new.fingerprint,
                    new.key_id,
                    new.kind,
                )
                if same and new.attempts <= known.attempts:
                    continue  # another run has tried the same thing and said so
                row = replace(new, attempts=known.attempts + 1, first_seen=known.first_seen)
            latest[row.key] = row
            result.append(row)
        return result

    # Inside -------------------------------------------------------------------------------------

    def _fingerprints(self, wanted: frozenset[str], files: Sequence[DataFile]) -> dict[str, Fingerprint]:
        from pipeline.results.known import fingerprints

        return fingerprints(files, wanted, self._storage.filesystem)
