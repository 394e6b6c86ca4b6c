"""The effective score: machine verdicts, with the decisions of people laid over them.

Precedence on each rule: the ruling; else the latest review; else the machine. Machine and person stay
readable side by side; nothing is overwritten.

Table of contents: `EffectiveVerdict`, `EffectiveScore`, `effective_score`, `effective_scores`,
`effective_of_rows`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pipeline.disputes.archive import rulebook_by_hash
from pipeline.disputes.reviews import Review, read_reviews
from pipeline.disputes.versions import judgement_of, load_version
from pipeline.errors import ResultsError
from pipeline.judging.rulebook import Rulebook
from pipeline.judging.scoring import points, total
from pipeline.records import Judgement, Verdict, VerdictKind
from pipeline.results.store import Store

DecidedBy = Literal["machine", "review", "ruling"]


@dataclass(frozen=True, slots=True)
class EffectiveVerdict:
    """One rule: what the machine said, what holds, and who decided.

    Attributes
    ----------
    disputed : bool
        Reviewers decided differently and nobody has ruled.
    appealed : bool
        An appeal waits for its ruling.
    """

    rule_id: str
    machine: VerdictKind
    verdict: VerdictKind
    weight: float
    points: float
    decided_by: DecidedBy
    person: str | None
    disputed: bool
    appealed: bool


@dataclass(frozen=True, slots=True)
class EffectiveScore:
    """A call's score after people decided.

    Attributes
    ----------
    machine_score, machine_grade, machine_fatal
        As stored; never changed.
    score, grade, fatal
        What holds. Equal to the machine's when nobody overturned anything.
    reviewed : int
        Rules on which a person decided.
    """

    call_id: str
    version: int
    machine_score: float | None
    machine_grade: str
    machine_fatal: bool
    score: float | None
    grade: str
    fatal: bool
    verdicts: tuple[EffectiveVerdict, ...]
    reviewed: int

    @property
    def changed(self) -> bool:
        """Whether any verdict that holds differs from the machine's."""
        return any(each.verdict != each.machine for each in self.verdicts)


def effective_score(
    call_id: str, version: int, judgement: Judgement, reviews: Sequence[Review], rulebook: Rulebook | None
) -> EffectiveScore:
    """Lay the decisions of people over a machine judgement.

    Parameters
    ----------
    call_id : str
    version : int
    judgement : Judgement
    reviews : sequence of Review
        About this call, of whatever version, in any order.
    rulebook : Rulebook or None
        Of the judgement: its scorecard adds up, its weights hold for rules that the machine thought
        did not apply. Not needed while nothing is overturned.

    Raises
    ------
    ResultsError
        Something was overturned and the rulebook is nowhere any more.
    """
    ordered = sorted(reviews, key=lambda review: (review.reviewed_at, review.review_id))
    by_rule: dict[str, list[Review]] = {}
    for review in ordered:
        by_rule.setdefault(review.rule_id, []).append(review)
    held: list[Verdict] = []
    shown: list[EffectiveVerdict] = []
    for verdict in judgement.verdicts:
        entries = by_rule.get(verdict.rule_id, [])
        decision, by = _decision(entries)
        now = verdict
        if decision is not None and decision.verdict != verdict.verdict:
            now = _decided(verdict, decision.verdict, rulebook)
        held.append(now)
        latest = {entry.person: entry.verdict for entry in entries if entry.person_role == "reviewer"}
        shown.append(
            EffectiveVerdict(
                rule_id=verdict.rule_id,
                machine=verdict.verdict,
                verdict=now.verdict,
                weight=now.weight,
                points=now.points,
                decided_by=by,
                person=decision.person if decision else None,
                disputed=by != "ruling" and len(set(latest.values())) > 1,
                appealed=by != "ruling" and any(entry.kind == "appeal" for entry in entries),
            )
        )
    score, grade, fatal = judgement.score, judgement.grade, judgement.fatal
    if any(each.verdict != each.machine for each in shown):
        if rulebook is None:
            raise _no_rulebook(judgement)
        score, grade, fatal = total(held, rulebook.scorecard)
    return EffectiveScore(
        call_id=call_id,
        version=version,
        machine_score=judgement.score,
        machine_grade=judgement.grade,
        machine_fatal=judgement.fatal,
        score=score,
        grade=grade,
        fatal=fatal,
        verdicts=tuple(shown),
        reviewed=sum(each.decided_by != "machine" for each in shown),
    )


def effective_scores(
    store: Store, call_ids: Iterable[str] | None = None, *, current: Path | None = None
) -> list[EffectiveScore]:
    """Effective scores of the latest versions of reviewed calls (or of the given ones).

    Parameters
    ----------
    store : Store
    call_ids : iterable of str, optional
        By default all calls that have at least one entry in ``reviews``.
    current : Path, optional
        Folder of the rulebook in use.
    """
    reviews = read_reviews(store, call_ids)
    by_call: dict[str, list[Review]] = {}
    for review in reviews:
        by_call.setdefault(review.call_id, []).append(review)
    wanted = sorted(by_call) if call_ids is None else list(call_ids)
    found: list[EffectiveScore] = []
    for call_id in wanted:
        version = load_version(store, call_id, current=current)
        found.append(
            effective_score(
                call_id, version.number, version.judgement, by_call.get(call_id, []), version.rulebook
            )
        )
    return found


def effective_of_rows(
    store: Store,
    scores: Iterable[Mapping[str, Any]],
    verdicts: Iterable[Mapping[str, Any]],
    *,
    current: Path | None = None,
) -> dict[str, EffectiveScore]:
    """Effective scores of rows that were read already; needs no key for words.

    Parameters
    ----------
    store : Store
    scores : iterable of mapping
        Rows of ``scores``, one a call.
    verdicts : iterable of mapping
        Their rows of ``verdicts``; reasons and evidence may be missing.
    current : Path, optional
        Folder of the rulebook in use.

    Returns
    -------
    dict of call id to EffectiveScore
        Calls on whose rules somebody decided or that were appealed against.
    """
    rows = {row["call_id"]: row for row in scores}
    reviews: dict[str, list[Review]] = {}
    for review in read_reviews(store, rows, comments=False):
        reviews.setdefault(review.call_id, []).append(review)
    by_call: dict[str, list[Mapping[str, Any]]] = {}
    for row in verdicts:
        if row["call_id"] in reviews:
            by_call.setdefault(row["call_id"], []).append(row)
    books: dict[str, Rulebook | None] = {}
    found: dict[str, EffectiveScore] = {}
    for call_id, entries in reviews.items():
        score = rows[call_id]
        judgement = judgement_of(score, by_call.get(call_id, ()))
        said = {verdict.rule_id: verdict.verdict for verdict in judgement.verdicts}
        book: Rulebook | None = None
        if any(entry.kind != "appeal" and entry.verdict != said.get(entry.rule_id) for entry in entries):
            name = score["rulebook_hash"]
            if name not in books:
                books[name] = rulebook_by_hash(store, name, current=current)
            book = books[name]
        found[call_id] = effective_score(call_id, score["version"], judgement, entries, book)
    return found


def _decision(entries: Sequence[Review]) -> tuple[Review | None, DecidedBy]:
    rulings = [entry for entry in entries if entry.kind == "ruling"]
    if rulings:
        return rulings[0], "ruling"
    decided = [entry for entry in entries if entry.person_role == "reviewer"]
    return (decided[-1], "review") if decided else (None, "machine")


def _decided(verdict: Verdict, kind: VerdictKind, rulebook: Rulebook | None) -> Verdict:
    """The machine's verdict with a person's decision in its place, worth what it then is worth."""
    if kind == "not_applicable":
        return replace(verdict, verdict=kind, due=0, met=0, weight=0.0, points=0.0)
    weight = verdict.weight
    if verdict.verdict == "not_applicable":
        rule = (
            None if rulebook is None else next((r for r in rulebook.rules if r.id == verdict.rule_id), None)
        )
        if rulebook is None or rule is None:
            raise ResultsError(
                f"rule {verdict.rule_id}: its weight is unknown, the rulebook that judged is not archived; "
                "put its folder back under rulebooks/"
            )
        group = rulebook.scorecard.groups.get(rule.group)
        weight = rule.weight * (group.factor if group else 1.0)
    due = max(verdict.due, 1)
    met = due if kind == "pass" else 0
    return replace(
        verdict,
        verdict=kind,
        due=due,
        met=met,
        weight=weight,
        points=points(kind, due=due, met=met, weight=weight),
    )


def _no_rulebook(judgement: Judgement) -> ResultsError:
    return ResultsError(
        f"rulebook {judgement.rulebook_version} ({judgement.rulebook_hash[:12]}) is neither archived nor in "
        "use, so the effective score cannot be added up; put its folder back under rulebooks/"
    )
