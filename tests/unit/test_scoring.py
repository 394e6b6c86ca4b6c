"""From verdicts to points, score and grade."""

from __future__ import annotations

from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.judging.rulebook import load_rulebook
from pipeline.judging.scoring import Grade, Scorecard, points, total
from pipeline.records import Severity, Verdict, VerdictKind

CARD = Scorecard(
    grades=(Grade("A", "优秀", 90), Grade("B", "良好", 80), Grade("C", "合格", 60), Grade("D", "不合格", 0)),
    groups=MappingProxyType({}),
    fatal_max_score=59.0,
    fatal_grade="D",
)


def verdict(
    kind: VerdictKind, weight: float = 4.0, *, severity: Severity = "minor", due: int = 1, met: int = 0
) -> Verdict:
    met = due if kind == "pass" else met
    given_weight = 0.0 if kind == "not_applicable" else weight
    earned = points(kind, due=due, met=met, weight=given_weight)
    return Verdict("r", "一", "规则", kind, due, met, given_weight, earned, severity, 1.0, "")


def test_full_marks_when_everything_passes() -> None:
    assert total([verdict("pass"), verdict("pass", 6.0)], CARD) == (100.0, "A", False)


def test_what_does_not_apply_is_outside_the_denominator() -> None:
    assert (
        total([verdict("pass", 5.0), verdict("fail", 5.0), verdict("not_applicable", 90.0)], CARD)[0] == 50.0
    )


def test_uncertain_costs_nothing_and_is_never_fatal() -> None:
    assert total([verdict("pass"), verdict("uncertain", severity="fatal")], CARD) == (100.0, "A", False)


def test_a_ledger_earns_its_share() -> None:
    assert total([verdict("fail", 6.0, due=3, met=2), verdict("pass", 6.0)], CARD)[0] == pytest.approx(
        250 / 3, abs=0.01
    )


def test_a_fatal_fail_caps_score_and_grade() -> None:
    failed = verdict("fail", 1.0, severity="fatal")
    assert total([verdict("pass", 99.0), failed], CARD) == (59.0, "D", True)
    assert total([verdict("fail", 99.0), failed], CARD) == (0.0, "D", True)


def test_a_fatal_grade_above_the_worst_is_a_cap_not_a_gift() -> None:
    lenient = Scorecard(CARD.grades, CARD.groups, fatal_max_score=70.0, fatal_grade="C")
    assert total([verdict("pass", 99.0), verdict("fail", 1.0, severity="fatal")], lenient)[1] == "C"
    assert total([verdict("fail", 99.0), verdict("fail", 1.0, severity="fatal")], lenient)[1] == "D"


@pytest.mark.parametrize(
    ("earned", "grade"), [(90, "A"), (89, "B"), (80, "B"), (60, "C"), (59, "D"), (0, "D")]
)
def test_grades_begin_at_their_score(earned: int, grade: str) -> None:
    verdicts = [verdict("pass", float(earned)), verdict("fail", float(100 - earned))]
    assert total([v for v in verdicts if v.weight], CARD)[1] == grade


def test_nothing_applies() -> None:
    assert total([verdict("not_applicable")], CARD) == (None, "—", False)
    assert total([], CARD) == (None, "—", False)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["pass", "fail", "uncertain", "not_applicable"]),
            st.floats(0.0, 20.0),
            st.sampled_from(["fatal", "major", "minor"]),
        ),
        max_size=30,
    )
)
def test_scores_stay_in_range_and_passing_never_hurts(
    parts: list[tuple[VerdictKind, float, Severity]],
) -> None:
    verdicts = [verdict(kind, weight, severity=severity) for kind, weight, severity in parts]
    score, _, fatal = total(verdicts, CARD)
    assert score is None or 0.0 <= score <= 100.0
    assert fatal == any(kind == "fail" and severity == "fatal" for kind, _, severity in parts)
    better, _, _ = total([*verdicts, verdict("pass", 5.0)], CARD)
    assert score is None or (better is not None and better >= score - 1e-9)


def test_the_scorecard_that_ships_names_its_grades_in_chinese() -> None:
    card = load_rulebook().scorecard
    assert [(grade.id, grade.name_zh) for grade in card.grades] == [
        ("A", "优秀"),
        ("B", "良好"),
        ("C", "合格"),
        ("D", "不合格"),
    ]
