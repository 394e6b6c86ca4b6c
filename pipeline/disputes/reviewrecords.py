"""What a decision about a verdict is, before and after it is entered; no storage, no checks.

Table of contents: `Decision` (to be entered), `Review` (entered), `ReviewError`, `ScoredVersion`,
`review_id`, `as_verdict`, `appeal_deadline`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from pipeline.disputes.policy import Policy
from pipeline.errors import InputError
from pipeline.records import VERDICTS, VerdictKind

ReviewKind = Literal["confirm", "overturn", "appeal", "ruling"]
PersonRole = Literal["reviewer", "agent", "arbiter"]
KINDS: tuple[ReviewKind, ...] = ("confirm", "overturn", "appeal", "ruling")
KINDS_ZH: dict[ReviewKind, str] = {
    "confirm": "维持",
    "overturn": "改判",
    "appeal": "申诉",
    "ruling": "终裁",
}
ROLE_OF: dict[ReviewKind, PersonRole] = {
    "confirm": "reviewer",
    "overturn": "reviewer",
    "appeal": "agent",
    "ruling": "arbiter",
}
MAX_COMMENT = 2000
MAX_PERSON = 64


@dataclass(frozen=True, slots=True)
class Decision:
    """Something a person decided, not entered yet.

    Attributes
    ----------
    call_id, rule_id : str
    kind : {"review", "confirm", "overturn", "appeal", "ruling"}
        ``review`` becomes ``confirm`` or ``overturn``, whichever fits the machine's verdict.
    verdict : {"pass", "fail", "not_applicable", "uncertain"}
        The person's; for an appeal the one that is asked for.
    person : str
        Who. Account names or staff numbers, at most 64 characters.
    comment : str
        Why; needed for everything but a confirmation.
    version : int or None
        Version that was looked at; None is the latest.
    at : datetime or None
        With offset; None is now.
    sample_id : str or None
        The sample the call was drawn in.
    source : str
        ``excel``, ``python`` or ``cli``.
    where : str
        Where the decision stands (``第 12 行``), for messages.
    """

    call_id: str
    rule_id: str
    verdict: str
    person: str
    kind: str = "review"
    comment: str = ""
    version: int | None = None
    at: datetime | None = None
    sample_id: str | None = None
    source: str = "python"
    where: str = ""


@dataclass(frozen=True, slots=True)
class Review:
    """One row of ``reviews``."""

    review_id: str
    call_id: str
    version: int
    rule_id: str
    kind: ReviewKind
    verdict: VerdictKind
    machine_verdict: VerdictKind
    person: str
    person_role: PersonRole
    comment: str
    reviewed_at: datetime
    sample_id: str | None
    source: str


class ReviewError(InputError):
    """Decisions that cannot be entered; the message lists all of them, nothing was stored.

    Attributes
    ----------
    problems : tuple of str
        One line each, ``where：what is wrong``; in Chinese, since QA staff read them.
    """

    kind = "bad_review"

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(f"有 {len(self.problems)} 处问题，什么都没有登记：\n" + "\n".join(self.problems))


@dataclass(frozen=True, slots=True)
class ScoredVersion:
    """What checking needs to know of one stored version of a call."""

    call_id: str
    number: int
    agent_id: str | None
    call_date: str | None
    scored_at: datetime
    verdicts: dict[str, VerdictKind]


def review_id(review: Review) -> str:
    """Sixteen hexadecimal digits over all that a review says; what stands in ``review_id`` itself aside."""
    parts = (
        review.call_id, str(review.version), review.rule_id, review.kind, review.verdict,
        review.machine_verdict, review.person, review.person_role, review.comment,
        review.reviewed_at.astimezone(UTC).isoformat(), review.sample_id or "", review.source,
    )  # fmt: skip
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def as_verdict(text: str) -> VerdictKind | None:
    """The verdict that a text names, if it names one."""
    return next((kind for kind in VERDICTS if kind == text), None)


def appeal_deadline(scored_at: datetime, policy: Policy) -> datetime:
    """Until when an agent may appeal against a score."""
    return scored_at + timedelta(days=policy.appeal_days)
