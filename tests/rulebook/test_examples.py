"""Every rule says of its own example dialogues what the rulebook says it must."""

from __future__ import annotations

import pytest

from pipeline.judging.case import Case
from pipeline.judging.engine import judge, judge_rule
from pipeline.judging.rulebook import Rulebook, load_rulebook
from tests.rulebook.mutants import example_call

BOOK = load_rulebook()
EXAMPLES = [
    pytest.param(rule.id, place, id=f"{rule.id}-{example.expect}-{place}")
    for rule in BOOK.rules
    for place, example in enumerate(rule.examples)
]


@pytest.fixture(scope="module")
def book() -> Rulebook:
    return BOOK


def test_there_are_examples() -> None:
    assert len(EXAMPLES) > 200


@pytest.mark.parametrize(("rule_id", "place"), EXAMPLES)
def test_example(rule_id: str, place: int, book: Rulebook) -> None:
    rule = book.rule(rule_id)
    example = rule.examples[place]
    case = Case(example.hearing, example_call(rule, example), book.lexicon)
    verdict = judge_rule(rule, case, book)
    assert verdict.verdict == example.verdict, verdict.reason
    assert verdict.reason, "an inspector needs a reason"
    assert 0.0 <= verdict.points <= verdict.weight


@pytest.mark.parametrize("rule_id", [rule.id for rule in BOOK.rules])
def test_every_rule_ships_examples_both_ways(rule_id: str, book: Rulebook) -> None:
    rule = book.rule(rule_id)
    expected = {example.expect for example in rule.examples}
    wanted = {"pass", "uncertain"} if rule_id == "language.mandarin" else {"pass", "fail"}
    assert wanted <= expected


def test_an_example_judged_with_all_rules_agrees_with_the_rule_alone(book: Rulebook) -> None:
    """The memo of a call must not let one rule's questions change another's answer."""
    for rule in book.rules:
        for example in rule.examples:
            call = example_call(rule, example)
            alone = judge_rule(rule, Case(example.hearing, call, book.lexicon), book)
            together = {v.rule_id: v for v in judge(example.hearing, call, book).verdicts}[rule.id]
            assert alone == together
