"""Checking decisions before they are entered: every rule of `pipeline.disputes.reviews`, in one place.

Table of contents: `Checker`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import cast

from pipeline.disputes.policy import Policy
from pipeline.disputes.reviewrecords import (
    KINDS,
    KINDS_ZH,
    MAX_COMMENT,
    MAX_PERSON,
    ROLE_OF,
    Decision,
    Review,
    ReviewKind,
    ScoredVersion,
    appeal_deadline,
    as_verdict,
    review_id,
)
from pipeline.judging.calendar_cn import CHINA
from pipeline.records import VERDICTS
from pipeline.results.labels import VALUES_ZH

_VERDICT_ZH = VALUES_ZH["verdict"]
_NO_APPEAL = ("fail", "uncertain")


class Checker:
    """Takes decisions one by one and remembers them, so that the second sees the first.

    Attributes
    ----------
    problems : list of str
        One line for each thing that is wrong.
    days : dict of call id to partition
    """

    def __init__(
        self,
        versions: Mapping[str, Mapping[int, ScoredVersion]],
        known: Sequence[Review],
        policy: Policy,
    ) -> None:
        self.problems: list[str] = []
        self.days: dict[str, str | None] = {}
        self._versions = versions
        self._policy = policy
        self._entered: dict[tuple[str, str], list[Review]] = {}
        self._asked: dict[tuple[str, str, str], str] = {}
        for review in known:
            self._entered.setdefault((review.call_id, review.rule_id), []).append(review)

    def enter(self, decision: Decision, now: datetime) -> Review | None:
        """Check one decision; None if it is wrong, or says again what its person said last."""
        where = f"{decision.where or decision.call_id + ' ' + decision.rule_id}："
        version = self._version(decision, where)
        if version is None:
            return None
        faults = [
            *_text_faults(decision),
            *self._fault_of_twice(decision),
        ]
        machine = version.verdicts.get(decision.rule_id)
        verdict = as_verdict(decision.verdict)
        if machine is None:
            faults.append(
                f"第 {version.number} 版里没有规则“{decision.rule_id}”的判定；"
                "规则编号请从复核表或 zhijian show 复制"
            )
        if verdict is None:
            faults.append(f"判定“{decision.verdict}”不认识；可选：{'、'.join(VERDICTS)}")
        kind = decision.kind
        if kind == "review":
            kind = "confirm" if verdict == machine else "overturn"
        if kind not in KINDS:
            faults.append(f"类型“{kind}”不认识；可选：review、{'、'.join(KINDS)}")
        if faults or machine is None or verdict is None:
            self.problems.extend(where + fault for fault in faults)
            return None
        made = cast(ReviewKind, kind)
        at = decision.at or now
        review = Review(
            review_id="",
            call_id=decision.call_id,
            version=version.number,
            rule_id=decision.rule_id,
            kind=made,
            verdict=verdict,
            machine_verdict=machine,
            person=decision.person.strip(),
            person_role=ROLE_OF[made],
            comment=decision.comment.strip(),
            reviewed_at=at.astimezone(UTC),
            sample_id=decision.sample_id,
            source=decision.source,
        )
        review = replace(review, review_id=review_id(review))
        before = self._entered.setdefault((review.call_id, review.rule_id), [])
        if _says_the_same(before, review):
            return None
        faults = [*_kind_faults(review), *self._order_faults(review, before, version)]
        if faults:
            self.problems.extend(where + fault for fault in faults)
            return None
        before.append(review)
        self.days[review.call_id] = version.call_date
        return review

    def _version(self, decision: Decision, where: str) -> ScoredVersion | None:
        versions = self._versions.get(decision.call_id)
        if not versions:
            self.problems.append(
                f"{where}结果里没有通话“{decision.call_id}”；zhijian show --results … 列出全部通话"
            )
            return None
        number = max(versions) if decision.version is None else decision.version
        if number not in versions:
            there = "、".join(map(str, sorted(versions)))
            self.problems.append(f"{where}该通话没有第 {number} 版；现有：{there}")
            return None
        return versions[number]

    def _fault_of_twice(self, decision: Decision) -> list[str]:
        key = (decision.call_id, decision.rule_id, decision.person.strip())
        known = self._asked.setdefault(key, decision.where or "before")
        if known != (decision.where or "before"):
            return [f"{decision.person} 在{known}已判过这一项；请只留一处"]
        return []

    def _order_faults(self, review: Review, before: Sequence[Review], version: ScoredVersion) -> list[str]:
        faults: list[str] = []
        ruling = next((entry for entry in before if entry.kind == "ruling"), None)
        if ruling is not None:
            day = f"{ruling.reviewed_at.astimezone(CHINA):%Y-%m-%d %H:%M}"
            faults.append(f"{ruling.person} 已于 {day} 终裁为{_zh(ruling.verdict)}；终裁之后不再变动")
        reviewers = {entry.person for entry in before if entry.person_role == "reviewer"}
        if review.kind == "appeal":
            faults.extend(_appeal_faults(review, before, version))
            limit = appeal_deadline(version.scored_at, self._policy)
            if review.reviewed_at > limit:
                ended, stored = (
                    f"{at.astimezone(CHINA):%Y-%m-%d %H:%M}" for at in (limit, version.scored_at)
                )
                faults.append(
                    f"申诉期（{self._policy.appeal_days} 天）已于 {ended} 结束；评分入库于 {stored}"
                )
            if any(entry.kind == "appeal" for entry in before):
                faults.append("这一项已有申诉，等待终裁")
        elif review.person == version.agent_id:
            faults.append(f"{review.person} 是该通话的坐席，不能复核或终裁自己的通话")
        if review.kind == "ruling":
            if not before:
                faults.append("这一项既无复核也无申诉，没有可终裁的；请先复核（zhijian review export）或申诉")
            if review.person in reviewers:
                faults.append(f"{review.person} 复核过这一项；终裁须由另一人作出")
        return faults


def _appeal_faults(review: Review, before: Sequence[Review], version: ScoredVersion) -> list[str]:
    """Only the call's own agent appeals, and only against what does not hold as asked already."""
    faults: list[str] = []
    if version.agent_id is None:
        faults.append(
            "随录参数没有 agent_id（工号），无法确认申诉人是不是该通话的坐席；请补全随录参数后重新评分"
            "（zhijian score），或由质检员用复核表改判（zhijian review export --call）"
        )
    elif review.person != version.agent_id:
        faults.append(
            f"{review.person} 不是该通话的坐席，只有坐席 {version.agent_id} 本人可以申诉；"
            "其他人请用复核表（zhijian review export --call）"
        )
    reviewed = [entry.verdict for entry in before if entry.person_role == "reviewer"]
    now = reviewed[-1] if reviewed else review.machine_verdict
    if review.verdict == now and now not in _NO_APPEAL:
        faults.append(f"这一项现在就是{_zh(review.verdict)}，无须申诉")
    return faults


def _zh(verdict: str) -> str:
    return f"“{_VERDICT_ZH[verdict]}”"


def _text_faults(decision: Decision) -> list[str]:
    faults: list[str] = []
    if not decision.person.strip() or len(decision.person) > MAX_PERSON:
        faults.append(f"缺人员（复核人），或超过 {MAX_PERSON} 个字符")
    if len(decision.comment) > MAX_COMMENT:
        faults.append(f"说明有 {len(decision.comment)} 个字符；最多 {MAX_COMMENT} 个")
    if decision.at is not None and decision.at.utcoffset() is None:
        faults.append(f"时间 {decision.at.isoformat()} 没有时区")
    return faults


def _kind_faults(review: Review) -> list[str]:
    faults: list[str] = []
    if review.kind == "confirm" and review.verdict != review.machine_verdict:
        faults.append(f"维持的判定是{_zh(review.verdict)}，而机器判的是{_zh(review.machine_verdict)}")
    if review.kind == "overturn" and review.verdict == review.machine_verdict:
        faults.append(f"改判为{_zh(review.verdict)}，与机器相同；请用维持")
    if review.kind == "appeal" and review.verdict in _NO_APPEAL:
        faults.append(
            f"申诉要求改为{_zh(review.verdict)}；只能要求“通过”（pass）或“不适用”（not_applicable）"
        )
    if review.kind != "confirm" and not review.comment:
        faults.append(f"缺说明；{KINDS_ZH[review.kind]}须写明理由")
    return faults


def _says_the_same(before: Sequence[Review], review: Review) -> bool:
    mine = [entry for entry in before if entry.person == review.person]
    if not mine:
        return False
    last = mine[-1]
    return (last.kind, last.verdict, last.comment, last.version, last.sample_id) == (
        review.kind,
        review.verdict,
        review.comment,
        review.version,
        review.sample_id,
    )
