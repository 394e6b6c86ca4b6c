"""What goes into the store and what comes out of it, as plain records.

Table of contents: `ScoredCall`, `QuarantineRow`, `RunRow` (in); `Fingerprint`, `Committed` (out);
`needs_scoring`, `should_retry`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from types import MappingProxyType

from pipeline.callrecords import record_hash
from pipeline.errors import InputError, StorageError, TransientError, WorkerDiedError, ZhijianError
from pipeline.records import CallRecord, Hearing, Judgement
from pipeline.results.receipts import receipt_inputs

_TRANSIENT_KINDS = frozenset(kind.kind for kind in (TransientError, StorageError, WorkerDiedError))


@dataclass(frozen=True, slots=True)
class ScoredCall:
    """A call that was heard and judged, ready to be stored.

    Attributes
    ----------
    call, hearing, judgement
        The three records; the recording's sha256 is in the hearing.
    recording_uri : str
        Where the recording (or the transcript) lies.
    scored_at : datetime
        With offset.
    recording_size_bytes, recording_stamp
        As `pipeline.vault.recordings.RecordingRef` had them when the recording was read.
    supersedes : int
        Version that this one is to follow, as known when the work began; 0 = never scored. If the
        store holds a higher one at commit, another run was faster and this entry is dropped.
    run_id, scored_by, reason : str or None
        Who asked for it, and why (a rescore).
    receipt_inputs : str
        Derived; see `pipeline.results.receipts`.

    Raises
    ------
    InputError
        If the hearing or the judgement holds what cannot be stored (NaN, half a character).
    """

    call: CallRecord
    hearing: Hearing
    judgement: Judgement
    recording_uri: str
    scored_at: datetime
    recording_size_bytes: int = 0
    recording_stamp: str = ""
    supersedes: int = 0
    run_id: str | None = None
    scored_by: str | None = None
    reason: str | None = None
    receipt_inputs: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse at once what could not be stored, so that one call cannot spoil its batch."""
        if self.scored_at.utcoffset() is None:
            raise InputError(f"call {self.call.call_id}: scored_at needs an offset from UTC")
        try:
            inputs = receipt_inputs(self.call, self.hearing, self.judgement)
        except (ValueError, TypeError) as error:
            raise InputError(
                f"call {self.call.call_id}: its hearing or judgement holds a value that cannot be stored "
                f"({type(error).__name__}); numbers must be finite and text valid"
            ) from error
        object.__setattr__(self, "receipt_inputs", inputs)


@dataclass(frozen=True, slots=True)
class QuarantineRow:
    """A recording or a row that could not be scored, and why.

    Attributes
    ----------
    call_id : str or None
        None if it is not known.
    path : str
        Recording, or ``calls.csv:17``. With the call id it is the key of the row.
    stage : str
        Where it failed: ``call_record``, ``recording``, ``decrypt``, ``decode``, ``hear``, ….
    kind : str
        `pipeline.errors.ZhijianError.kind`.
    message : str
    first_seen, last_seen : datetime
        With offset. The store carries ``first_seen`` over from earlier rows of the same key.
    attempts : int
        Which attempt this was; one more than the latest stored row's.
    fingerprint : str
        State of the file or row (sha256, or size and stamp), so that a change is noticed.
    key_id : str or None
        Identity that was tried.
    call_date : date or None
        Local date of the call, if known; decides the partition.
    """

    call_id: str | None
    path: str
    stage: str
    kind: str
    message: str
    first_seen: datetime
    last_seen: datetime
    attempts: int = 1
    fingerprint: str = ""
    key_id: str | None = None
    call_date: date | None = None
    run_id: str | None = None

    @classmethod
    def of(
        cls,
        error: ZhijianError,
        *,
        call_id: str | None,
        path: str,
        stage: str,
        at: datetime,
        fingerprint: str = "",
        key_id: str | None = None,
        call_date: date | None = None,
        run_id: str | None = None,
        previous: QuarantineRow | None = None,
    ) -> QuarantineRow:
        """Make the row for an error; ``previous`` is the latest stored row of the same key."""
        return cls(
            call_id=call_id,
            path=path,
            stage=stage,
            kind=error.kind,
            message=str(error),
            first_seen=previous.first_seen if previous else at,
            last_seen=at,
            attempts=previous.attempts + 1 if previous else 1,
            fingerprint=fingerprint,
            key_id=key_id,
            call_date=call_date,
            run_id=run_id,
        )

    @property
    def key(self) -> tuple[str | None, str]:
        """Call id and path: rows of one key are one matter."""
        return self.call_id, self.path


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run of the nightly job. ``calls_in == scored + quarantined + skipped``."""

    run_id: str
    started_at: datetime
    ended_at: datetime
    calls_in: int
    scored: int
    quarantined: int
    skipped: int
    audio_s: float
    wall_s: float
    versions: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    details: Mapping[str, float | int | str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What the latest stored version of a call was made from, so that no call is heard twice.

    ``call_date`` is the partition it lies in; ``recording_payload_sha256`` is empty in results of earlier
    releases.
    """

    version: int
    recording_sha256: str
    recording_size_bytes: int
    recording_stamp: str
    call_record_sha256: str
    call_date: str | None = None
    recording_payload_sha256: str = ""


@dataclass(frozen=True, slots=True)
class Committed:
    """What a commit did.

    Attributes
    ----------
    versions : mapping of str to int
        Version given to each call that was stored.
    dropped : tuple of str
        Calls that another run had finished meanwhile; nothing was stored for them.
    quarantined : int
        Quarantine rows stored (a row another run stored meanwhile is not stored again).
    """

    versions: Mapping[str, int]
    dropped: tuple[str, ...]
    quarantined: int


def needs_scoring(
    known: Fingerprint | None,
    call: CallRecord,
    *,
    size_bytes: int,
    stamp: str,
    hashes: Callable[[], tuple[str, str]],
) -> bool:
    """Decide whether a call has to be heard (again).

    A call that is scored stays as it is unless its recording or its call detail record changed. A
    new rulebook, model or release does *not* rescore old nights: each call is judged by what was in
    force when it was scored, and a deliberate rescore makes a new version beside the old one.

    Parameters
    ----------
    known : Fingerprint or None
        Of the latest stored version.
    call : CallRecord
    size_bytes, stamp : int, str
        Of the recording as listed. If both are as stored, the file is taken as unchanged.
    hashes : callable
        Reads the recording and gives its sha256 and that of its payload; called only when size or stamp
        differ. A file that was merely copied or touched is still the same recording, and so is one that got
        other recipients, whose payload stays. The second is empty where there is no telling.
    """
    if known is None or known.call_record_sha256 != record_hash(call):
        return True
    if (known.recording_size_bytes, known.recording_stamp) == (size_bytes, stamp):
        return False
    whole, payload = hashes()
    if whole == known.recording_sha256:
        return False
    return not payload or payload != known.recording_payload_sha256


def should_retry(previous: QuarantineRow, *, fingerprint: str, key_id: str | None) -> bool:
    """Decide whether something in quarantine is worth another try.

    Yes if its file (or row) or the identity changed since, or if its error was of a kind that heals
    by itself.
    """
    changed = previous.fingerprint != fingerprint or previous.key_id != key_id
    return changed or previous.kind in _TRANSIENT_KINDS
