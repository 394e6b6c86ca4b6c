"""What people decided about verdicts: confirmations, overturns, appeals, rulings. Append-only.

Who may do what
---------------
A *reviewer* (质检员) confirms or overturns a verdict. The call's own *agent* may appeal, with a reason,
within the policy's window. An *arbiter* (终裁人), who is neither the agent nor one of those who reviewed
the rule in this call, rules; a ruling is final: nothing can be added to that rule of that call after it.

A decision is about the call, not about one version of its score: the person listened to the recording.
So it stays in force when the call is scored again.

Table of contents: `Decision` (to be entered), `Review` (entered), `add_reviews`, `read_reviews`,
`confirm`, `overturn`, `appeal`, `rule_finally`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from pipeline.disputes.holds import hold_for_dispute
from pipeline.disputes.policy import Policy, load_policy
from pipeline.errors import InputError
from pipeline.records import VERDICTS, VerdictKind
from pipeline.results.store import Store

ReviewKind = Literal["confirm", "overturn", "appeal", "ruling"]
PersonRole = Literal["reviewer", "agent", "arbiter"]
KINDS: tuple[ReviewKind, ...] = ("confirm", "overturn", "appeal", "ruling")
ROLE_OF: dict[ReviewKind, PersonRole] = {
    "confirm": "reviewer",
    "overturn": "reviewer",
    "appeal": "agent",
    "ruling": "arbiter",
}
MAX_COMMENT = 2000
MAX_PERSON = 64
AUDIT_EVENT = "review"
_IDS_PER_RECORD = 500


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
        Where the decision stands (``row 12``), for messages.
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
        One line each, ``where: what is wrong``.
    """

    kind = "bad_review"

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(
            f"{len(self.problems)} problem(s), nothing was imported:\n" + "\n".join(self.problems)
        )


def read_reviews(store: Store, call_ids: Iterable[str] | None = None) -> list[Review]:
    """All entries, oldest first.

    Parameters
    ----------
    store : Store
    call_ids : iterable of str, optional
        Only about these calls.
    """
    wanted = None if call_ids is None else list(call_ids)
    table = store.read("reviews", call_ids=wanted, latest=False)
    found = [Review(**{name: row[name] for name in Review.__dataclass_fields__}) for row in table.to_pylist()]
    return sorted(found, key=lambda review: (review.reviewed_at, review.review_id))


def add_reviews(
    store: Store,
    decisions: Sequence[Decision],
    *,
    policy: Policy | None = None,
    check_only: bool = False,
) -> list[Review]:
    """Check decisions and append them, all of them or none.

    An appeal puts its call on hold for the years that a dispute asks for. A decision that says what its
    person said last about the same rule of the same call is passed over, so that a sheet may be imported
    twice.

    Parameters
    ----------
    store : Store
        Opened for writing.
    decisions : sequence of Decision
    policy : Policy, optional
        The one that ships by default.
    check_only : bool
        Find problems, store nothing.

    Returns
    -------
    list of Review
        What was (or would be) appended.

    Raises
    ------
    ReviewError
        All problems, one line each.
    """
    from pipeline.disputes.reviewcheck import Checker

    agreed = policy or load_policy()
    ids = {decision.call_id for decision in decisions}
    checker = Checker(_versions(store, ids), read_reviews(store, ids), agreed)
    now = datetime.now(UTC)
    new = [review for decision in decisions if (review := checker.enter(decision, now)) is not None]
    if checker.problems:
        raise ReviewError(checker.problems)
    if not check_only:
        for review in new:
            if review.kind == "appeal":  # an appeal is a dispute: the call is kept for it from now on
                hold_for_dispute(store.place, review.call_id, who=review.person, why=review.comment)
        _record(store, new)
        _append(store, new, checker.days)
    return new


def confirm(store: Store, call_id: str, rule_id: str, *, person: str, comment: str = "") -> list[Review]:
    """Confirm the latest version's verdict on a rule."""
    machine = _machine(store, call_id, rule_id)
    return add_reviews(store, [Decision(call_id, rule_id, machine, person, "confirm", comment)])


def overturn(
    store: Store, call_id: str, rule_id: str, verdict: str, *, person: str, comment: str
) -> list[Review]:
    """Replace the latest version's verdict on a rule by another one, with a reason."""
    return add_reviews(store, [Decision(call_id, rule_id, verdict, person, "overturn", comment)])


def appeal(
    store: Store, call_id: str, rule_id: str, *, agent: str, reason: str, verdict: str = "pass"
) -> list[Review]:
    """Enter the agent's appeal against a verdict, within the policy's window."""
    return add_reviews(store, [Decision(call_id, rule_id, verdict, agent, "appeal", reason)])


def rule_finally(
    store: Store, call_id: str, rule_id: str, verdict: str, *, arbiter: str, reason: str
) -> list[Review]:
    """Enter the final ruling on a rule that was reviewed or appealed against."""
    return add_reviews(store, [Decision(call_id, rule_id, verdict, arbiter, "ruling", reason)])


@dataclass(frozen=True, slots=True)
class ScoredVersion:
    """What checking needs to know of one stored version of a call."""

    call_id: str
    number: int
    agent_id: str | None
    call_date: str | None
    scored_at: datetime
    verdicts: dict[str, VerdictKind]


def _versions(store: Store, call_ids: set[str]) -> dict[str, dict[int, ScoredVersion]]:
    columns = ("call_id", "version", "agent_id", "scored_at", "call_date")
    scores = store.read("scores", columns=columns, call_ids=call_ids, latest=False)
    verdicts = store.read(
        "verdicts", columns=("call_id", "version", "rule_id", "verdict"), call_ids=call_ids, latest=False
    )
    kinds: dict[tuple[str, int], dict[str, VerdictKind]] = {}
    for row in verdicts.to_pylist():
        kinds.setdefault((row["call_id"], row["version"]), {})[row["rule_id"]] = row["verdict"]
    found: dict[str, dict[int, ScoredVersion]] = {}
    for row in scores.to_pylist():
        day = row["call_date"]
        found.setdefault(row["call_id"], {})[row["version"]] = ScoredVersion(
            row["call_id"],
            row["version"],
            row["agent_id"],
            None if day is None else day.isoformat(),
            row["scored_at"],
            kinds.get((row["call_id"], row["version"]), {}),
        )
    return found


def _machine(store: Store, call_id: str, rule_id: str) -> str:
    versions = _versions(store, {call_id}).get(call_id)
    if not versions:
        raise InputError(f"{store.place}: call {call_id} is not among the results")
    verdict = versions[max(versions)].verdicts.get(rule_id)
    if verdict is None:
        raise InputError(f"call {call_id}: rule {rule_id!r} has no verdict in version {max(versions)}")
    return verdict


def _record(store: Store, new: Sequence[Review]) -> None:
    """Say in the audit log which entries are to follow, so that one that goes missing later is missed."""
    from pipeline.audit import audit_place, record_event
    from pipeline.settings import load_settings

    place = audit_place(load_settings()[0], results=store.place)
    by_person: dict[str, list[str]] = {}
    for review in new:
        by_person.setdefault(review.person, []).append(review.review_id)
    for person, ids in by_person.items():
        for start in range(0, len(ids), _IDS_PER_RECORD):
            record_event(AUDIT_EVENT, at=place, who=person, review_ids=ids[start : start + _IDS_PER_RECORD])


def _append(store: Store, new: Sequence[Review], days: dict[str, str | None]) -> None:
    import pyarrow as pa

    from pipeline.results.schemas import schema_of

    by_day: dict[str | None, list[dict[str, Any]]] = {}
    for review in new:
        row = {name: getattr(review, name) for name in Review.__dataclass_fields__}
        by_day.setdefault(days[review.call_id], []).append(row)
    schema = schema_of("reviews")
    store.append({day: pa.Table.from_pylist(rows, schema=schema) for day, rows in by_day.items()}, "reviews")


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
