"""From verdicts to a score and a grade, as a scorecard says (评分表).

Conventions
-----------
Points are earned per rule: all of its weight on a pass, none on a fail, ``met / due`` of it when
opportunities were counted. What does not apply is outside the denominator; what is uncertain costs
nothing. A failed fatal rule (一票否决) caps score and grade.

Table of contents: `Grade`, `Group`, `Scorecard`, `points`, `total`, `read_scorecard`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType

from pipeline.judging.lexicon import check_schema
from pipeline.judging.tomlread import Fields, Source
from pipeline.records import Verdict, VerdictKind


@dataclass(frozen=True, slots=True)
class Grade:
    """A grade and the score from which on it is given."""

    id: str
    name_zh: str
    from_score: float


@dataclass(frozen=True, slots=True)
class Group:
    """A section of the QA form; ``factor`` scales the weights of its rules."""

    id: str
    name_zh: str
    factor: float = 1.0


@dataclass(frozen=True, slots=True)
class Scorecard:
    """How verdicts become a score.

    Attributes
    ----------
    grades : tuple of Grade
        Best first; the last one starts at 0.
    fatal_max_score : float
        Score that a call with a failed fatal rule cannot exceed.
    fatal_min_confidence : float
        A fatal fail that is less sure than this is left to a person (uncertain).
    """

    grades: tuple[Grade, ...] = (Grade("A", "优秀", 0.0),)
    groups: Mapping[str, Group] = field(default_factory=lambda: MappingProxyType({}))
    fatal_max_score: float = 0.0
    fatal_grade: str = "D"
    fatal_min_confidence: float = 0.0
    not_applicable_zh: str = "—"


def points(verdict: VerdictKind, *, due: int, met: int, weight: float) -> float:
    """Points a rule earns.

    Parameters
    ----------
    verdict : {"pass", "fail", "not_applicable", "uncertain"}
    due, met : int
    weight : float

    Returns
    -------
    float
        In [0, weight].

    Examples
    --------
    >>> points("fail", due=3, met=2, weight=6.0), points("fail", due=1, met=0, weight=6.0)
    (4.0, 0.0)
    >>> points("uncertain", due=1, met=0, weight=6.0)
    6.0
    """
    if verdict in ("pass", "uncertain"):
        return weight
    if verdict == "not_applicable" or due <= 0:
        return 0.0
    return weight * min(met, due) / due


def total(verdicts: Sequence[Verdict], card: Scorecard) -> tuple[float | None, str, bool]:
    """Score, grade name and whether a fatal rule failed.

    Returns
    -------
    tuple
        ``(score in [0, 100] or None when nothing applies, grade, fatal)``.
    """
    fatal = any(verdict.verdict == "fail" and verdict.severity == "fatal" for verdict in verdicts)
    possible = sum(verdict.weight for verdict in verdicts)
    if possible <= 0:
        return None, card.not_applicable_zh, fatal
    score = min(100 * sum(verdict.points for verdict in verdicts) / possible, 100.0)
    if fatal:
        score = min(score, card.fatal_max_score)
    reached = [grade for grade in card.grades if score >= grade.from_score - 1e-9]
    best = reached[0] if reached else card.grades[-1]
    if fatal:
        ids = [grade.id for grade in card.grades]
        best = card.grades[max(ids.index(best.id), ids.index(card.fatal_grade))]
    return round(score, 2), best.id, fatal


def read_scorecard(source: Source) -> Scorecard:
    """Read ``scorecard.toml``; problems are noted in the source."""
    fields = source.top()
    check_schema(fields)
    grades = [_grade(entry) for entry in fields.tables("grade", needed=True)]
    if any(better.from_score <= worse.from_score for better, worse in pairwise(grades)):
        fields.complain("grade", "grades must stand from the best to the worst, each from a lower score")
    if grades and grades[-1].from_score != 0:
        fields.complain("grade", f"the last grade must start at 0, found {grades[-1].from_score:g}")
    groups: dict[str, Group] = {}
    for entry in fields.tables("group", needed=True):
        group = Group(entry.text("id"), entry.text("name_zh"), entry.number("factor", 1.0, low=0.0))
        entry.finish()
        if group.id in groups:
            entry.complain("id", f"group {group.id!r} is defined twice; every id must be unique")
        groups[group.id] = group
    fatal = fields.table("fatal")
    ids = tuple(grade.id for grade in grades) or ("D",)
    card = Scorecard(
        grades=tuple(grades) or (Grade("D", "不合格", 0.0),),
        groups=MappingProxyType(groups),
        fatal_max_score=fatal.number("max_score", low=0.0, high=100.0),
        fatal_grade=fatal.choice("grade", ids),
        fatal_min_confidence=fatal.number("min_confidence", low=0.0, high=1.0),
        not_applicable_zh=fields.text("nothing_applies_zh", "—"),
    )
    fatal.finish()
    fields.used |= {"schema", "grade", "group", "fatal"}
    fields.finish()
    return card


def _grade(entry: Fields) -> Grade:
    grade = Grade(entry.text("id"), entry.text("name_zh"), entry.number("from_score", low=0.0, high=100.0))
    entry.finish()
    return grade
