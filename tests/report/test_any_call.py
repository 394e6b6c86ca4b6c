"""Whatever was stored about a call, its page can be made, and nothing in it escapes."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import HealthCheck, given, settings

from pipeline.disputes.compare import compare
from pipeline.disputes.dual import dual_verdicts
from pipeline.disputes.effective import effective_score
from pipeline.disputes.versions import Version
from pipeline.privacy import CallMask
from pipeline.report.callfacts import CallFacts
from pipeline.report.callpage import call_page
from pipeline.results.receipts import receipt, receipt_inputs
from tests.disputes.dispute_builders import make_call, make_hearing, shipped
from tests.report.test_call_page import Outline
from tests.unit.results_builders import calls, hearings, judgements

NOW = datetime(2026, 3, 12, tzinfo=UTC)


def version_of(number, call, hearing, judgement):
    inputs = receipt_inputs(call, hearing, judgement)
    return Version(
        number, call, hearing, judgement, None, receipt(inputs), inputs, NOW, None, None, "/x.wav.age", 1, ""
    )


def facts_of(call, hearing, judgement):
    version = version_of(1, call, hearing, judgement)
    return CallFacts(
        versions=(version,),
        shown=version,
        comparisons=(),
        rulebook=shipped(),
        is_own_rulebook=False,
        today={each.rule_id: each for each in dual_verdicts(judgement, judgement)},
        today_score=judgement.score,
        today_version="x",
        effective=effective_score(call.call_id, 1, judgement, (), None),
        reviews=(),
        mask=CallMask.of_turns(hearing.turns),
        made_at=NOW,
    )


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(calls, hearings, judgements)
def test_every_call_has_a_page(call, hearing, judgement):
    outline = Outline(call_page(facts_of(call, hearing, judgement)))
    assert len(outline.ids) == len(set(outline.ids))
    assert [tag for tag, _ in outline.tags].count("script") == 1


@settings(max_examples=25, deadline=None)
@given(judgements, judgements)
def test_a_comparison_names_exactly_what_differs(first, second):
    """Of any two judgements: each rule that differs once, with a cause, and nothing else."""
    old, new = (version_of(n, make_call(), make_hearing(), j) for n, j in ((1, first), (2, second)))
    before = {v.rule_id: (v.verdict, v.points) for v in first.verdicts}
    after = {v.rule_id: (v.verdict, v.points) for v in second.verdicts}
    expected = {rule for rule in before.keys() | after.keys() if before.get(rule) != after.get(rule)}
    found = compare(old, new)
    assert {each.rule_id for each in found.differences} == expected
    assert all(each.causes for each in found.differences)
