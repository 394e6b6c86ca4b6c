"""Two versions of a call's score, verdict by verdict, and what caused each difference.

How causes are told apart
-------------------------
From the old version to the new one leads a staircase: the same hearing, call record and rulebook
judged by today's code, then the new call record, then the new rulebook, then the old words under the
new roles, then all that was newly heard. A verdict that differs is put down to every step at which it
changed. A step that cannot be taken (the old rulebook's files are gone) leaves its neighbours' causes
joined, and that is said.

Table of contents: `Cause`, `Difference`, `Comparison`, `compare`, `with_roles_of`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pipeline.disputes.versions import Version
from pipeline.judging.engine import judge
from pipeline.records import Hearing, Role, Turn, Verdict

Cause = Literal["code", "call_record", "rulebook", "role", "model", "settings", "recording", "unknown"]
CAUSE_ZH: dict[Cause, str] = {
    "code": "程序版本",
    "call_record": "随录参数",
    "rulebook": "规则",
    "role": "角色（坐席与客户）",
    "model": "识别模型",
    "settings": "听辨设置",
    "recording": "录音文件",
    "unknown": "不明",
}
ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Difference:
    """One rule on which two versions differ; ``absent`` where a rulebook lacks the rule."""

    rule_id: str
    name_zh: str
    old: str
    new: str
    old_points: float
    new_points: float
    old_reason: str
    new_reason: str
    causes: tuple[Cause, ...]

    @property
    def flipped(self) -> bool:
        """Whether the verdict itself differs, not only its points."""
        return self.old != self.new


@dataclass(frozen=True, slots=True)
class Comparison:
    """What differs between two versions of a call.

    Attributes
    ----------
    changed_inputs : tuple of Cause
        What the two were derived from differently, whether or not a verdict flipped.
    same_receipt : bool
        Everything was the same, to the byte.
    notes : tuple of str
        What could not be told apart.
    """

    call_id: str
    old_version: int
    new_version: int
    old_score: float | None
    new_score: float | None
    old_grade: str
    new_grade: str
    differences: tuple[Difference, ...]
    changed_inputs: tuple[Cause, ...]
    same_receipt: bool
    notes: tuple[str, ...] = ()

    @property
    def flips(self) -> tuple[Difference, ...]:
        """Differences in the verdict itself."""
        return tuple(difference for difference in self.differences if difference.flipped)


_Kinds = dict[str, tuple[str, float]]


def compare(old: Version, new: Version) -> Comparison:
    """Compare two versions of the same call.

    Parameters
    ----------
    old, new : Version

    Returns
    -------
    Comparison
        Differences in the order of the new rulebook; a verdict whose kind and points are the same is
        no difference, whatever its confidence or wording.
    """
    steps, notes = _staircase(old, new)
    first, last = _named(old.judgement.verdicts), _named(new.judgement.verdicts)
    found: list[Difference] = []
    for rule_id in dict.fromkeys((*last, *first)):
        before, after = first.get(rule_id), last.get(rule_id)
        if _kind(before) == _kind(after):
            continue
        causes: list[Cause] = []
        previous = _kind(before)
        for cause, kinds in steps:
            now = kinds.get(rule_id, (ABSENT, 0.0))
            if now != previous and cause not in causes:
                causes.append(cause)
            previous = now
        shown = after or before
        found.append(
            Difference(
                rule_id=rule_id,
                name_zh=shown.name_zh if shown else rule_id,
                old=_kind(before)[0],
                new=_kind(after)[0],
                old_points=_kind(before)[1],
                new_points=_kind(after)[1],
                old_reason=before.reason if before else "",
                new_reason=after.reason if after else "",
                causes=tuple(causes) or ("unknown",),
            )
        )
    return Comparison(
        call_id=new.call.call_id,
        old_version=old.number,
        new_version=new.number,
        old_score=old.judgement.score,
        new_score=new.judgement.score,
        old_grade=old.judgement.grade,
        new_grade=new.judgement.grade,
        differences=tuple(found),
        changed_inputs=changed_inputs(old, new),
        same_receipt=old.receipt == new.receipt,
        notes=tuple(notes),
    )


def changed_inputs(old: Version, new: Version) -> tuple[Cause, ...]:
    """What two versions were derived from differently."""
    before, after = old.inputs, new.inputs
    found: list[Cause] = []
    if before.get("code") != after.get("code") or before.get("libraries") != after.get("libraries"):
        found.append("code")
    if before.get("call_record_sha256") != after.get("call_record_sha256"):
        found.append("call_record")
    if old.judgement.rulebook_hash != new.judgement.rulebook_hash:
        found.append("rulebook")
    if not old.hearing.is_of_same_recording(new.hearing):
        found.append("recording")
    if old.hearing.models != new.hearing.models:
        found.append("model")
    if old.hearing.settings_hash != new.hearing.settings_hash:
        found.append("settings")
    return tuple(found)


def with_roles_of(hearing: Hearing, other: Hearing) -> Hearing:
    """The words of one hearing under the roles that another one gave to the same times.

    Each turn goes to the side that, in the other hearing, speaks most of its time; a turn during which
    nobody speaks there keeps its role.
    """
    turns = tuple(replace(turn, role=_role_in(turn, other.turns)) for turn in hearing.turns)
    return replace(hearing, turns=turns, role_confidence=other.role_confidence, roles_from=other.roles_from)


def _role_in(turn: Turn, others: Sequence[Turn]) -> Role:
    spoken: dict[Role, float] = {"agent": 0.0, "customer": 0.0}
    for other in others:
        shared = min(turn.end_s, other.end_s) - max(turn.start_s, other.start_s)
        if shared > 0:
            spoken[other.role] += shared
    if spoken["agent"] == spoken["customer"]:
        return turn.role
    return "agent" if spoken["agent"] > spoken["customer"] else "customer"


def _staircase(old: Version, new: Version) -> tuple[list[tuple[Cause, _Kinds]], list[str]]:
    steps: list[tuple[Cause, _Kinds]] = []
    notes: list[str] = []
    if old.rulebook is None:
        notes.append("旧版规则文件已不在，程序版本与规则的影响无法分开")
    else:
        steps.append(("code", _kinds(judge(old.hearing, old.call, old.rulebook).verdicts)))
        if old.call != new.call:
            steps.append(("call_record", _kinds(judge(old.hearing, new.call, old.rulebook).verdicts)))
    if new.rulebook is None:
        notes.append("新版规则文件已不在，原因无法查明")
        return [*steps, ("unknown", _kinds(new.judgement.verdicts))], notes
    if old.rulebook is None or old.rulebook.hash != new.rulebook.hash:
        steps.append(("rulebook", _kinds(judge(old.hearing, new.call, new.rulebook).verdicts)))
    if old.hearing != new.hearing:
        relabelled = with_roles_of(old.hearing, new.hearing)
        if relabelled != old.hearing:
            steps.append(("role", _kinds(judge(relabelled, new.call, new.rulebook).verdicts)))
        heard: Cause = "code"
        if not old.hearing.is_of_same_recording(new.hearing):
            heard = "recording"
        elif old.hearing.models != new.hearing.models:
            heard = "model"
        elif old.hearing.settings_hash != new.hearing.settings_hash:
            heard = "settings"
        steps.append((heard, _kinds(judge(new.hearing, new.call, new.rulebook).verdicts)))
    # Whatever is left was decided by code that is not today's.
    steps.append(("code", _kinds(new.judgement.verdicts)))
    return steps, notes


def _named(verdicts: Sequence[Verdict]) -> dict[str, Verdict]:
    return {verdict.rule_id: verdict for verdict in verdicts}


def _kind(verdict: Verdict | None) -> tuple[str, float]:
    return (ABSENT, 0.0) if verdict is None else (verdict.verdict, verdict.points)


def _kinds(verdicts: Sequence[Verdict]) -> _Kinds:
    return {verdict.rule_id: _kind(verdict) for verdict in verdicts}
