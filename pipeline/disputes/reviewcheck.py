"""Checking decisions before they are entered: every rule of `pipeline.disputes.reviews`, in one place.

Table of contents: `Checker`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import cast

from pipeline.disputes.policy import Policy
from pipeline.disputes.reviews import (
    KINDS,
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
from pipeline.records import VERDICTS


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
        where = f"{decision.where or decision.call_id + ' ' + decision.rule_id}: "
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
                f"rule {decision.rule_id!r} has no verdict in version {version.number} of the call; "
                "copy rule ids from the sheet or `zhijian show`"
            )
        if verdict is None:
            faults.append(f"verdict {decision.verdict!r} is unknown; expected one of: {', '.join(VERDICTS)}")
        kind = decision.kind
        if kind == "review":
            kind = "confirm" if verdict == machine else "overturn"
        if kind not in KINDS:
            faults.append(f"kind {kind!r} is unknown; expected review or one of: {', '.join(KINDS)}")
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
            self.problems.append(f"{where}call {decision.call_id!r} is not among the results")
            return None
        number = max(versions) if decision.version is None else decision.version
        if number not in versions:
            there = ", ".join(map(str, sorted(versions)))
            self.problems.append(f"{where}the call has no version {number}; there are: {there}")
            return None
        return versions[number]

    def _fault_of_twice(self, decision: Decision) -> list[str]:
        key = (decision.call_id, decision.rule_id, decision.person.strip())
        known = self._asked.setdefault(key, decision.where or "before")
        if known != (decision.where or "before"):
            return [f"{decision.person} has decided this rule of this call already at {known}; keep one"]
        return []

    def _order_faults(self, review: Review, before: Sequence[Review], version: ScoredVersion) -> list[str]:
        faults: list[str] = []
        ruling = next((entry for entry in before if entry.kind == "ruling"), None)
        if ruling is not None:
            day = f"{ruling.reviewed_at:%Y-%m-%d}"
            faults.append(f"{ruling.person} has ruled finally on {day}; nothing can follow a ruling")
        reviewers = {entry.person for entry in before if entry.person_role == "reviewer"}
        if review.kind == "appeal":
            if version.agent_id is not None and review.person != version.agent_id:
                faults.append(
                    f"{review.person} is not the call's agent; only agent {version.agent_id} appeals"
                )
            limit = appeal_deadline(version.scored_at, self._policy)
            if review.reviewed_at > limit:
                faults.append(
                    f"the window of {self._policy.appeal_days} days for an appeal closed on "
                    f"{limit:%Y-%m-%d %H:%M}; the score was stored on {version.scored_at:%Y-%m-%d %H:%M}"
                )
            if any(entry.kind == "appeal" for entry in before):
                faults.append("an appeal on this rule stands already and waits for its ruling")
        elif review.person == version.agent_id:
            faults.append(f"{review.person} is the call's agent and cannot review or rule on the own call")
        if review.kind == "ruling":
            if not before:
                faults.append("there is neither a review nor an appeal to rule on")
            if review.person in reviewers:
                faults.append(f"{review.person} reviewed this rule; a ruling is a second person's")
        return faults


def _text_faults(decision: Decision) -> list[str]:
    faults: list[str] = []
    if not decision.person.strip() or len(decision.person) > MAX_PERSON:
        faults.append(f"the person is missing or longer than {MAX_PERSON} characters")
    if len(decision.comment) > MAX_COMMENT:
        faults.append(f"the comment has {len(decision.comment)} characters; expected {MAX_COMMENT} at most")
    if decision.at is not None and decision.at.utcoffset() is None:
        faults.append(f"the time {decision.at.isoformat()} has no offset from UTC")
    return faults


def _kind_faults(review: Review) -> list[str]:
    faults: list[str] = []
    if review.kind == "confirm" and review.verdict != review.machine_verdict:
        faults.append(f"a confirmation says {review.verdict}, the machine said {review.machine_verdict}")
    if review.kind == "overturn" and review.verdict == review.machine_verdict:
        faults.append(f"an overturn says {review.verdict}, as the machine did; confirm it instead")
    if review.kind == "appeal" and review.verdict in ("fail", "uncertain"):
        faults.append(f"an appeal asks for {review.verdict}; expected pass or not_applicable")
    if review.kind != "confirm" and not review.comment:
        faults.append(f"the reason is missing; {review.kind} needs one")
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
