"""Judging holds its accuracy on the development dialogues.

The floors are what the shipped rulebook reaches, less a margin for harmless changes; a change that goes
below is news for the changelog. The held-out dialogues are measured by ``make accuracy``, not asserted here,
so that nobody is tempted to tune on them.
"""

from __future__ import annotations

import pytest

from pipeline.judging.rulebook import Rulebook, load_rulebook
from tests.accuracy import conditions
from tests.accuracy.judging import Tally, compare
from tests.dialogues.loader import Dialogue, load

FLOORS = {"clean": 0.985, "noised": 0.96, "recognised": 0.97, "adapted": 0.98}
MOST_UNCERTAIN = 0.05


@pytest.fixture(scope="module")
def dialogues() -> tuple[Dialogue, ...]:
    return load("dev")


@pytest.fixture(scope="module")
def rulebook() -> Rulebook:
    return load_rulebook(None)


@pytest.fixture(scope="module", params=list(FLOORS))
def measured(request, dialogues, rulebook) -> tuple[str, Tally]:
    cases = {
        "clean": lambda: conditions.clean(dialogues),
        "noised": lambda: conditions.with_noise(dialogues, 1),
        "recognised": lambda: conditions.recognised(dialogues, "dev"),
        "adapted": lambda: conditions.recognised(dialogues, "dev", adapted=True),
    }[request.param]()
    assert len(cases) >= 30
    return request.param, compare(cases, rulebook)[0]


def test_verdicts_are_right(measured) -> None:
    name, tally = measured
    assert tally.accuracy >= FLOORS[name]


def test_little_goes_to_a_person(measured) -> None:
    assert measured[1].uncertain_share <= MOST_UNCERTAIN


def test_matching_by_sound_beats_keywords(measured) -> None:
    name, tally = measured
    found = tally.phrases
    assert found.said >= 100
    assert found.by_sound >= found.by_keyword * (1.5 if name in ("noised", "recognised") else 1.0)
    assert found.false_by_sound <= 0.03 * found.said


def test_every_rule_of_the_table_is_judged(dialogues, rulebook) -> None:
    labelled = {rule_id for one in dialogues for rule_id in one.labels}
    assert labelled <= {rule.id for rule in rulebook.rules}
