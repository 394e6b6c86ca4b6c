"""What people decided about verdicts: confirmations, overturns, appeals, rulings. Append-only.

Who may do what
---------------
A *reviewer* (质检员) confirms or overturns a verdict. The call's own *agent* may appeal, with a reason,
within the policy's window. An *arbiter* (终裁人), who is neither the agent nor one of those who reviewed
the rule in this call, rules; a ruling is final: nothing can be added to that rule of that call after it.

A decision is about the call, not about one version of its score: the person listened to the recording.
So it stays in force when the call is scored again.

Table of contents: `add_reviews`, `read_reviews`, `confirm`, `overturn`, `appeal`, `rule_finally`; the
records are those of `pipeline.disputes.reviewrecords`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pipeline.disputes.holds import hold_for_dispute
from pipeline.disputes.policy import Policy, load_policy
from pipeline.disputes.reviewcheck import Checker
from pipeline.disputes.reviewrecords import Decision, Review, ReviewError, ScoredVersion
from pipeline.errors import InputError
from pipeline.records import VerdictKind
from pipeline.results.store import Store

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "Decision",
    "Review",
    "ReviewError",
    "add_reviews",
    "appeal",
    "confirm",
    "overturn",
    "read_reviews",
    "rule_finally",
]

AUDIT_EVENT = "review"
AUDIT_WITHDRAWN = "review_withdrawn"
_IDS_PER_RECORD = 500


def read_reviews(
    store: Store, call_ids: Iterable[str] | None = None, *, comments: bool = True
) -> list[Review]:
    """All entries, oldest first.

    Parameters
    ----------
    store : Store
    call_ids : iterable of str, optional
        Only about these calls.
    comments : bool
        Without them no key for words is needed; they are then empty.
    """
    wanted = None if call_ids is None else list(call_ids)
    names = [name for name in Review.__dataclass_fields__ if comments or name != "comment"]
    table = store.read("reviews", columns=names, call_ids=wanted, latest=False)
    found = [Review(**{"comment": "", **{name: row[name] for name in names}}) for row in table.to_pylist()]
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
    agreed = policy or load_policy()
    now = datetime.now(UTC)
    new = _checked(store, decisions, agreed, now)[0]
    if check_only or not new:
        return new
    for review in new:
        if review.kind == "appeal":  # an appeal is a dispute: the call is kept for it from now on
            hold_for_dispute(store.place, review.call_id, who=review.person, why=review.comment)
    announced: set[str] = set()

    def rows() -> Mapping[str | None, pa.Table]:
        # Somebody else may have entered something since: what counts is what stands there at the commit.
        nonlocal new
        try:
            new, days = _checked(store, decisions, agreed, now)
        except ReviewError:
            _record(store, AUDIT_WITHDRAWN, announced)
            raise
        _record(store, AUDIT_EVENT, [review for review in new if review.review_id not in announced])
        announced.update(review.review_id for review in new)
        return _tables(new, days)

    store.append(rows, "reviews")
    return new


def _checked(
    store: Store, decisions: Sequence[Decision], policy: Policy, now: datetime
) -> tuple[list[Review], dict[str, str | None]]:
    ids = {decision.call_id for decision in decisions}
    checker = Checker(_versions(store, ids), read_reviews(store, ids), policy)
    new = [review for decision in decisions if (review := checker.enter(decision, now)) is not None]
    if checker.problems:
        raise ReviewError(checker.problems)
    return new, checker.days


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


def _record(store: Store, event: str, reviews: Collection[Review] | Collection[str]) -> None:
    """Say in the audit log which entries are to follow, so that one that goes missing later is missed."""
    from pipeline.audit import audit_place, record_event
    from pipeline.settings import load_settings

    place = audit_place(load_settings()[0], results=store.place)
    by_person: dict[str | None, list[str]] = {}
    for review in reviews:
        who, name = (None, review) if isinstance(review, str) else (review.person, review.review_id)
        by_person.setdefault(who, []).append(name)
    for person, ids in by_person.items():
        for start in range(0, len(ids), _IDS_PER_RECORD):
            record_event(event, at=place, who=person, review_ids=ids[start : start + _IDS_PER_RECORD])


def _tables(new: Sequence[Review], days: Mapping[str, str | None]) -> Mapping[str | None, pa.Table]:
    import pyarrow as pa

    from pipeline.results.schemas import schema_of

    by_day: dict[str | None, list[dict[str, Any]]] = {}
    for review in new:
        row = {name: getattr(review, name) for name in Review.__dataclass_fields__}
        by_day.setdefault(days[review.call_id], []).append(row)
    schema = schema_of("reviews")
    return {day: pa.Table.from_pylist(rows, schema=schema) for day, rows in by_day.items()}
