"""What agents and customers say in other words is heard: floors below the figures of ``docs/accuracy.md``."""

from __future__ import annotations

import pytest

from pipeline.judging.rulebook import load_rulebook
from tests.accuracy.wordings import load, measure, ordinary, total

# Found of those said at least, heard wrongly of the misleading ones at most.
FLOORS = {"dev": (0.94, 0.08), "heldout": (0.75, 0.15)}


@pytest.mark.parametrize("part", list(FLOORS))
def test_wordings_are_heard(part) -> None:
    least, most = FLOORS[part]
    counts = total(measure(part, load_rulebook().lexicon)[0])
    assert counts.said >= 1000
    assert counts.unsaid >= 500
    assert counts.found >= least * counts.said
    assert counts.false <= most * counts.unsaid


@pytest.mark.parametrize("part", list(FLOORS))
def test_little_is_heard_in_ordinary_talk(part) -> None:
    counts = measure(part, load_rulebook().lexicon, of=ordinary)[0]
    assert {"rude_words", "inducement", "do_not_call"} <= counts.keys()
    for phrase, one in counts.items():
        assert one.unsaid >= 300
        assert one.false <= 0.015 * one.unsaid, phrase


def test_no_sentence_stands_in_both_halves() -> None:
    known = load_rulebook().lexicon.phrases
    dev, held = ({(one.phrase, one.text) for one in load(part)} for part in FLOORS)
    assert {phrase for phrase, _ in dev | held} <= known.keys()
    assert len(dev & held) <= 0.01 * len(held)
