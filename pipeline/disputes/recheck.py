"""Scores derived again from what is stored, byte for byte, or the first thing that does not match.

What is checked of each version
-------------------------------
1. The receipt is the hash of its inputs.
2. The stored hearing, call record and judgement give the hashes that stand in the inputs.
3. The stored hearing, judged again by the archived rulebook, gives the stored judgement, to the byte, if
   the code and libraries are those that judged it. Other code may decide otherwise: that is counted and
   named, but it is no fault of what is stored.

Table of contents: `ScoreCheck`, `check_scores`, `check_version`; `check_reviews`; `AudioCheck`,
`check_audio`, `compare_audio`.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.callrecords import record_hash
from pipeline.disputes.policy import load_policy
from pipeline.disputes.reviewrecords import review_id
from pipeline.disputes.reviews import read_reviews
from pipeline.disputes.versions import Version, latest_versions, load_version, load_versions
from pipeline.errors import ZhijianError
from pipeline.judging.engine import judge
from pipeline.records import Hearing, Judgement
from pipeline.results.receipts import (
    code_version,
    hearing_hash,
    judgement_hash,
    library_versions,
    receipt,
    receipt_inputs,
)
from pipeline.results.store import Store

if TYPE_CHECKING:
    from pipeline.settings import Settings


@dataclass(frozen=True, slots=True)
class ScoreCheck:
    """What checking the stored scores found.

    Attributes
    ----------
    versions : int
        Versions that were looked at.
    derived : int
        Of these, derived again to the byte, receipt included.
    by_other_code : int
        Judged by other code or libraries; all hashes hold, and this code gives the same judgement.
    diverging : tuple of str
        The same, but this code decides otherwise: ``call version: rule``, the first few.
    diverging_count : int
    without_rulebook : int
        Their rulebook is nowhere any more: hashes hold, nothing could be derived again.
    problem : str or None
        The first thing that does not match; None if all do.
    """

    versions: int
    derived: int
    by_other_code: int
    diverging: tuple[str, ...]
    diverging_count: int
    without_rulebook: int
    problem: str | None


_SHOWN = 5


def check_scores(
    store: Store,
    *,
    current: Path | None = None,
    call_ids: Collection[str] | None = None,
) -> ScoreCheck:
    """Check all versions of all calls (or of some); stops at the first problem.

    Parameters
    ----------
    store : Store
    current : Path, optional
        Folder of the rulebook in use.
    call_ids : collection of str, optional
    """
    counts = {"derived": 0, "other": 0, "diverging": 0, "no rulebook": 0}
    diverging: list[str] = []
    looked_at = 0
    problem: str | None = None
    try:
        for day in store.dates():
            for latest in latest_versions(store, day, current=current):
                if call_ids is not None and latest.call.call_id not in call_ids:
                    continue
                versions = [latest]
                if latest.number > 1:
                    versions = load_versions(store, latest.call.call_id, current=current)
                for version in versions:
                    looked_at += 1
                    state, problem = check_version(version)
                    if problem is not None:
                        break
                    counts[state.split(":")[0]] += 1
                    if state.startswith("diverging") and len(diverging) < _SHOWN:
                        diverging.append(f"{version.call.call_id} version {version.number}{state[9:]}")
                if problem is not None:
                    break
            if problem is not None:
                break
    except ZhijianError as error:  # a damaged file is what a check is to find
        problem = str(error)
    return ScoreCheck(
        versions=looked_at,
        derived=counts["derived"],
        by_other_code=counts["other"],
        diverging=tuple(diverging),
        diverging_count=counts["diverging"],
        without_rulebook=counts["no rulebook"],
        problem=problem,
    )


def check_version(version: Version) -> tuple[str, str | None]:
    """Check one version.

    Returns
    -------
    (state, problem)
        ``derived``, ``other`` (code; the same verdicts, points and score), ``diverging: rule`` or
        ``no rulebook``; and the first thing that does not match, if any.
    """
    where = f"call {version.call.call_id} version {version.number}"
    problem = _mismatch(version)
    if problem is not None:
        return "", f"{where}: {problem}"
    if version.rulebook is None:
        return "no rulebook", None
    inputs = version.inputs
    again = judge(version.hearing, version.call, version.rulebook)
    same_code = inputs.get("code") == code_version() and inputs.get("libraries") == library_versions()
    if judgement_hash(again) != inputs.get("judgement_sha256"):
        rule = _first_difference(version.judgement, again)
        if same_code:
            return "", f"{where}: judged again by the same code and rules, {rule} differs"
        alike = _counting(version.judgement) == _counting(again)
        return "other" if alike else f"diverging: {rule}", None
    if same_code and receipt(receipt_inputs(version.call, version.hearing, again)) != version.receipt:
        return "", f"{where}: the receipt derived again is another one, though nothing differs; report this"
    return ("derived" if same_code else "other"), None


def _counting(judgement: Judgement) -> tuple[object, ...]:
    """What of a judgement decides and counts; how a reason is worded does not."""
    decided = sorted((v.rule_id, v.verdict, v.due, v.met, v.weight, v.points) for v in judgement.verdicts)
    return (judgement.score, judgement.grade, judgement.fatal, *decided)


def _mismatch(version: Version) -> str | None:
    """The first stored thing that is not what the receipt says."""
    inputs = version.inputs
    if receipt(version.receipt_inputs) != version.receipt:
        return "the receipt is not the hash of its inputs; the row was changed"
    heard = inputs.get("hearing", {})
    pairs = (
        ("the call id", version.call.call_id, inputs.get("call_id")),
        ("the call record", record_hash(version.call), inputs.get("call_record_sha256")),
        ("the recording's hash", version.hearing.recording_sha256, inputs.get("recording_sha256")),
        ("what was heard", hearing_hash(version.hearing), heard.get("sha256")),
        ("the hearing's settings", version.hearing.settings_hash, heard.get("settings_hash")),
        ("the rulebook", version.judgement.rulebook_hash, inputs.get("rulebook", {}).get("hash")),
        ("score or verdicts", judgement_hash(version.judgement), inputs.get("judgement_sha256")),
    )
    for what, found, expected in pairs:
        if found != expected:
            return (
                f"{what} does not match the receipt (found {str(found)[:12]}, expected {str(expected)[:12]}"
                "); stored rows were changed, restore them from a backup"
            )
    return None


def check_reviews(store: Store, audit_folders: Collection[Path]) -> tuple[int, int, str | None]:
    """Check that every review is as it was entered, and that none that was announced is missing.

    Parameters
    ----------
    store : Store
    audit_folders : collection of Path
        Logs in which entries were announced; check the logs themselves first.

    Returns
    -------
    (reviews, announced, problem)
        Entries, those of them that an audit log names, and the first thing that does not match.
    """
    reviews = read_reviews(store)
    known = {review.review_id for review in reviews}
    announced = _announced(audit_folders)
    problem: str | None = None
    for review in reviews:
        if review_id(review) != review.review_id:
            problem = f"review {review.review_id} of call {review.call_id}: was changed after it was entered"
            break
    missing = sorted(announced - known)
    if problem is None and missing:
        problem = (
            f"review {missing[0]} (of {len(missing)}): stands in the audit log and not in reviews/; it "
            "was removed, or its entry was broken off"
        )
    return len(reviews), len(announced & known), problem


def _announced(folders: Collection[Path]) -> set[str]:
    from pipeline.audit.log import log_files

    said: dict[bytes, set[str]] = {b'"event":"review"': set(), b'"event":"review_withdrawn"': set()}
    for folder in folders:
        for path in log_files(folder):
            for line in path.read_bytes().splitlines():
                for event, ids in said.items():
                    if event in line:
                        ids.update(json.loads(line).get("review_ids", ()))
    announced, withdrawn = said.values()
    return announced - withdrawn


@dataclass(frozen=True, slots=True)
class AudioCheck:
    """A call heard again and compared with what is stored.

    Attributes
    ----------
    identical : bool
        What was heard is the same to the byte.
    problem : str or None
        The first thing outside of the policy's tolerance.
    """

    call_id: str
    version: int
    identical: bool
    score_difference: float
    flips: int
    problem: str | None


def check_audio(settings: Settings, call_id: str, *, who: str | None = None) -> AudioCheck:
    """Hear a call again with the settings' model and compare, within the policy's tolerance.

    Parameters
    ----------
    settings : Settings
        With ``results`` and ``identity``; the model must be the one that heard the stored version.
    call_id : str
    who : str, optional
        For the audit log.
    """
    from pipeline.audit import audit_place, opening
    from pipeline.disputes.rescore import hear_again

    store = Store.open(settings.results or "")
    stored = load_version(store, call_id, current=settings.rulebook)
    with opening(call_id, at=audit_place(settings), purpose="verify", who=who):
        heard, _ = hear_again(settings, stored)
    return compare_audio(stored, heard)


def compare_audio(stored: Version, heard: Hearing) -> AudioCheck:
    """Compare a stored version with the same recording heard again."""
    policy = load_policy()
    where = f"call {stored.call.call_id} version {stored.number}"
    if heard.is_of_same_recording(stored.hearing):  # other recipients in its header are no other recording
        heard = replace(heard, recording_sha256=stored.hearing.recording_sha256)
    identical = hearing_hash(heard) == hearing_hash(stored.hearing)
    before, after = stored.judgement, stored.judgement
    if not identical and stored.rulebook is not None:
        before = judge(stored.hearing, stored.call, stored.rulebook)
        after = judge(heard, stored.call, stored.rulebook)
    kinds = {verdict.rule_id: verdict.verdict for verdict in before.verdicts}
    flips = sum(kinds.get(verdict.rule_id) != verdict.verdict for verdict in after.verdicts)
    moved = abs((after.score or 0.0) - (before.score or 0.0))
    problem: str | None = None
    if not heard.is_of_same_recording(stored.hearing):
        problem = f"{where}: the recording is another one (its sha256 differs)"
    elif heard.models != stored.hearing.models:
        names = "、".join(f"{model.name}@{model.sha256[:8]}" for model in stored.hearing.models)
        present = "、".join(f"{model.name}@{model.sha256[:8]}" for model in heard.models)
        problem = (
            f"{where}: was heard by {names}, now by other weights ({present}); give the same --model and "
            "fetch the optional models that were there; to hear without an adapter, give a model's folder"
        )
    elif flips > policy.audio_flips or moved > policy.audio_score:
        rule = _first_difference(before, after)
        problem = (
            f"{where}: heard again, {flips} verdicts flip (first {rule}) and the score moves by {moved:.1f}; "
            f"allowed are {policy.audio_flips} and {policy.audio_score:g}"
        )
    else:
        late = _late_turn(stored.hearing, heard, policy.audio_time_s)
        if late is not None:
            problem = f"{where}: heard again, turn {late} lies more than {policy.audio_time_s:g} s elsewhere"
    return AudioCheck(stored.call.call_id, stored.number, identical, moved, flips, problem)


def _late_turn(old: Hearing, new: Hearing, limit_s: float) -> int | None:
    if len(old.turns) != len(new.turns):
        return min(len(old.turns), len(new.turns))
    for place, (before, after) in enumerate(zip(old.turns, new.turns, strict=True)):
        if max(abs(before.start_s - after.start_s), abs(before.end_s - after.end_s)) > limit_s:
            return place
    return None


def _first_difference(before: Judgement, after: Judgement) -> str:
    old = {verdict.rule_id: verdict for verdict in before.verdicts}
    for verdict in after.verdicts:
        if old.get(verdict.rule_id) != verdict:
            return f"rule {verdict.rule_id}"
    gone = set(old) - {verdict.rule_id for verdict in after.verdicts}
    return f"rule {min(gone)}" if gone else "the score"
