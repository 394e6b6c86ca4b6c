"""Every rule's examples notice every small change of the rule, or `survivors.toml` says why not."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from pipeline.judging.case import Case
from pipeline.judging.rulebook import Rulebook, load_rulebook
from tests.rulebook.mutants import Mutant, example_call, mutants, notices, shared_mutants

SURVIVORS = tomllib.loads((Path(__file__).parent / "survivors.toml").read_text(encoding="utf-8"))
BOOK = load_rulebook()


@pytest.fixture(scope="module")
def book() -> Rulebook:
    return BOOK


@pytest.mark.parametrize("rule_id", [rule.id for rule in BOOK.rules])
def test_examples_notice_every_mutant(rule_id: str, book: Rulebook) -> None:
    rule = book.rule(rule_id)
    cases = {
        place: Case(example.hearing, example_call(rule, example), book.lexicon)
        for place, example in enumerate(rule.examples)
    }
    made = list(mutants(rule, book.lexicon))
    assert made, "a rule without a single mutant is not tested at all"
    alive = {mutant.label for mutant in made if not notices(mutant, book, cases)}
    explained = set(SURVIVORS.get(rule_id, {}))
    assert alive - explained == set(), (
        "no example notices these changes: write one, or explain in survivors.toml"
    )
    assert explained - alive == set(), "survivors.toml explains changes that are noticed or no longer exist"


def test_examples_notice_every_change_of_a_phrase_set_or_moment(book: Rulebook) -> None:
    alive = {
        label
        for label, lexicon, rules in shared_mutants(book)
        if not any(notices(Mutant(label, rule, lexicon), book, {}) for rule in rules)
    }
    explained = set(SURVIVORS.get("shared", {}))
    assert alive - explained == set(), (
        "no example notices these changes: write one, or explain in survivors.toml"
    )
    assert explained - alive == set(), "survivors.toml explains changes that are noticed or no longer exist"


def test_survivors_name_rules_that_exist_and_give_reasons() -> None:
    assert set(SURVIVORS) <= {"shared", *(rule.id for rule in BOOK.rules)}
    for reasons in SURVIVORS.values():
        assert all(len(reason) >= 10 for reason in reasons.values())
