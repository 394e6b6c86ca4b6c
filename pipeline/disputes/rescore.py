"""Scoring a call again, on purpose: a new version beside the old ones, and what it changed.

The command and the flow ``rescore`` both call `rescore`.

Table of contents: `Rescore`, `rescore`; `hear_again`, `find_recording`.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.audit import audit_place, opening, record_opening
from pipeline.disputes.archive import archive_rulebook, rulebook_in_use, rules_of_day
from pipeline.disputes.compare import Comparison, compare
from pipeline.disputes.dual import DualVerdict, dual_verdicts, todays_opinion
from pipeline.disputes.holds import hold_for_dispute
from pipeline.disputes.versions import Version, load_version
from pipeline.errors import ConfigError, InputError, RecordingError, RecordingMissingError, StorageError
from pipeline.judging.calendar_cn import CHINA
from pipeline.judging.engine import judge
from pipeline.judging.rulebook import load_rulebook
from pipeline.results.entries import ScoredCall
from pipeline.results.store import Store

if TYPE_CHECKING:
    from pipeline.records import Hearing
    from pipeline.settings import Settings
    from pipeline.vault.recordings import RecordingRef

MAX_TEXT = 2000


@dataclass(frozen=True, slots=True)
class Rescore:
    """What a rescore did.

    Attributes
    ----------
    by_rules_of_day : bool
        False if another rulebook was asked for; the new version is in force all the same.
    comparison : Comparison
        Of the version that was in force until now with the new one.
    today : tuple of DualVerdict
        Rules on which the rulebook in use, with its rules in force today, would decide otherwise than
        the new version. An opinion only; it is not stored.
    today_score : float or None
    hold_until : date or None
        Last day on which recording and results are kept for this dispute; None: until somebody lifts
        the hold.
    """

    call_id: str
    version: int
    score: float | None
    grade: str
    fatal: bool
    receipt: str
    rulebook_version: str
    rulebook_hash: str
    from_audio: bool
    by_rules_of_day: bool
    comparison: Comparison
    today: tuple[DualVerdict, ...]
    today_score: float | None
    today_rulebook_version: str
    hold_until: date | None


def rescore(
    settings: Settings,
    call_id: str,
    *,
    who: str,
    why: str,
    from_audio: bool = False,
    rulebook: Path | None = None,
    today: date | None = None,
) -> Rescore:
    """Score a stored call again and store it as a new version.

    Parameters
    ----------
    settings : Settings
        With ``results``; for ``from_audio`` also ``identity`` and the model to hear with, and
        ``recordings`` unless the recording still lies where it was. ``settings.rulebook`` is the
        rulebook in use today.
    call_id : str
    who, why : str
        Stand in the new version for good.
    from_audio : bool
        Hear the recording again with the settings' model, instead of judging the stored hearing.
    rulebook : Path, optional
        Judge by this rulebook. By default by the one that was in force on the call's day.
    today : date, optional
        The day of the opinion beside; today by default.

    Raises
    ------
    ConfigError
        ``results`` is not set, or ``who`` or ``why`` is empty.
    InputError
        There is no such call.
    ResultsError
        The rulebook of the call's day is nowhere any more.
    StorageError
        Somebody else scored the call meanwhile.

    Notes
    -----
    When neither hearing, rules, call record nor code changed, the new version's receipt equals the old
    one's to the byte.
    """
    if settings.results is None:
        raise ConfigError("setting results is empty; give --results, or set it in zhijian.toml")
    for name, text in (("who asks (--by)", who), ("the reason (--reason)", why)):
        if not text.strip() or len(text) > MAX_TEXT:
            raise InputError(f"{name} has {len(text.strip())} characters; expected 1 to {MAX_TEXT}")
    store = Store.open(settings.results, write=True)
    old = load_version(store, call_id, current=settings.rulebook)
    call_day = old.call.started_at.astimezone(CHINA).date()
    if rulebook is None:
        first = store.read(
            "scores", columns=("version", "rulebook_hash", "scored_at"), call_ids=[call_id], latest=False
        ).sort_by("version")
        first_hash, first_at = first["rulebook_hash"][0].as_py(), first["scored_at"][0].as_py()
        scored = first_at.astimezone(CHINA).date()
        book = rules_of_day(store, call_day, first_hash, scored, current=settings.rulebook)
    else:
        book = load_rulebook(rulebook)
        archive_rulebook(store, rulebook)  # kept so that its verdicts can be defended; never in force
    place = audit_place(settings)
    record_opening(call_id, at=place, purpose="rescore", what="transcript", who=who.strip(), why=why.strip())
    hearing, recording = old.hearing, None
    if from_audio:
        with opening(call_id, at=place, purpose="rescore", who=who.strip(), why=why.strip()):
            hearing, recording = hear_again(settings, old)
    judgement = judge(hearing, old.call, book)
    hold = hold_for_dispute(settings.results, call_id, who=who.strip(), why=why.strip())
    entry = ScoredCall(
        call=old.call,
        hearing=hearing,
        judgement=judgement,
        recording_uri=recording.uri if recording else old.recording_uri,
        scored_at=datetime.now(UTC),
        recording_size_bytes=recording.size_bytes if recording else old.recording_size_bytes,
        recording_stamp=recording.stamp if recording else old.recording_stamp,
        supersedes=old.number,
        run_id=f"rescore-{uuid.uuid4().hex[:8]}",
        scored_by=who.strip(),
        reason=why.strip(),
    )
    committed = store.commit([entry])
    if call_id in committed.dropped:
        raise StorageError(f"call {call_id} was scored by somebody else at the same moment; repeat")
    new = load_version(store, call_id, committed.versions[call_id], current=rulebook or settings.rulebook)
    day = today or datetime.now(UTC).astimezone(CHINA).date()
    current = rulebook_in_use(settings.rulebook)
    opinion = todays_opinion(new.hearing, new.call, current, day)
    return Rescore(
        call_id=call_id,
        version=new.number,
        score=new.judgement.score,
        grade=new.judgement.grade,
        fatal=new.judgement.fatal,
        receipt=new.receipt,
        rulebook_version=new.judgement.rulebook_version,
        rulebook_hash=new.judgement.rulebook_hash,
        from_audio=from_audio,
        by_rules_of_day=rulebook is None,
        comparison=compare(old, new),
        today=tuple(each for each in dual_verdicts(new.judgement, opinion) if each.differs),
        today_score=opinion.score,
        today_rulebook_version=current.version,
        hold_until=hold,
    )


def hear_again(settings: Settings, old: Version) -> tuple[Hearing, RecordingRef]:
    """Hear the recording of a stored call with the settings' model; say so to the audit log before.

    Raises
    ------
    RecordingError
        The recording is missing, or cannot be opened or heard.
    """
    from pipeline.night.preflight import check_weights
    from pipeline.night.worker import CallTask, Ears, Failed, WorkerSetup

    ref = find_recording(settings, old)
    check_weights(settings)
    ears = Ears(
        WorkerSetup(
            model=settings.model,
            model_dir=settings.model_dir,
            device=settings.device,
            compute_type=settings.compute_type,
            threads=settings.threads_per_worker,
            rulebook=settings.rulebook,
            identity=settings.identity,
        )
    )
    outcome = ears.score(CallTask(old.call, ref, supersedes=old.number))
    if isinstance(outcome, Failed):
        raise RecordingError(
            f"call {old.call.call_id}: cannot be heard again ({outcome.stage}): {outcome.message}"
        )
    return outcome.hearing, ref


def find_recording(settings: Settings, version: Version) -> RecordingRef:
    """The recording of a stored call: in ``settings.recordings``, else where it lay when it was heard.

    Raises
    ------
    RecordingMissingError
        It is in neither place, or the call never had one (a foreign transcript).
    """
    from pipeline.vault.recordings import list_recordings

    call_id = version.call.call_id
    if version.hearing.layout == "transcript":
        raise RecordingMissingError(
            f"call {call_id}: was judged from a transcript and has no recording; leave out --from-audio"
        )
    place = settings.recordings or version.recording_uri.rpartition("/")[0] or "."
    for ref in list_recordings(place).refs:
        if ref.call_id == call_id:
            return ref
    raise RecordingMissingError(f"{place}: holds no recording of call {call_id}; give --recordings")
