"""A preview, which leaves out what cannot differ, says what judging everything twice would say."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from types import MappingProxyType

import pytest

from pipeline.judging.engine import judge
from pipeline.judging.preview import ABSENT, preview
from pipeline.judging.rulebook import Rulebook, load_rulebook
from pipeline.records import CallRecord, Hearing, Judgement
from tests.accuracy import conditions
from tests.dialogues.loader import load
from tests.rulebook.mutants import mutants, shared_mutants

SEED = 20260302
CALLS = 240
PER_BOOK = 100
MUTANTS = 8


@pytest.fixture(scope="module")
def book() -> Rulebook:
    return load_rulebook()


@pytest.fixture(scope="module")
def calls(book: Rulebook) -> list[tuple[Hearing, CallRecord, Judgement]]:
    dialogues = load("dev")
    cases = [*conditions.clean(dialogues), *conditions.with_noise(dialogues, 7)]
    chosen = random.Random(SEED).sample(cases, CALLS)
    pairs = [(one.hearing, replace(one.dialogue.call, call_id=f"{at:03d}")) for at, one in enumerate(chosen)]
    return [(hearing, call, judge(hearing, call, book)) for hearing, call in pairs]


def changed_books(book: Rulebook) -> Iterator[tuple[str, Rulebook]]:
    draw = random.Random(SEED)
    shared = list(shared_mutants(book))
    for label, lexicon, _ in draw.sample(shared, MUTANTS):
        yield label, replace(book, lexicon=lexicon)
    for rule in draw.sample(book.rules, MUTANTS):
        changed = draw.choice(list(mutants(rule, book.lexicon)))
        rules = tuple(changed.rule if one.id == rule.id else one for one in book.rules)
        yield f"{rule.id}: {changed.label}", replace(book, rules=rules, lexicon=changed.lexicon)
    rules = tuple(
        replace(one, weight=one.weight + 1) if at == 4 else one for at, one in enumerate(book.rules)
    )
    yield "another weight", replace(book, rules=rules)
    yield "a rule less", replace(book, rules=book.rules[1:])
    name = "offer_help"
    phrase = book.lexicon.phrases[name]
    phrases = {**book.lexicon.phrases, name: replace(phrase, say=(), like=phrase.like[::2])}
    yield (
        "a phrase set cut down",
        replace(book, lexicon=replace(book.lexicon, phrases=MappingProxyType(phrases))),
    )


def test_a_preview_is_what_two_full_judgements_differ_in(
    book: Rulebook, calls: list[tuple[Hearing, CallRecord, Judgement]]
) -> None:
    flipped = 0
    draw = random.Random(SEED)
    for label, other in changed_books(book):
        some = draw.sample(calls, PER_BOOK)
        found = preview([(hearing, call) for hearing, call, _ in some], book, other)
        flips, rescored = set(), set()
        for hearing, call, old in some:
            new = judge(hearing, call, other)
            was = {one.rule_id: one.verdict for one in old.verdicts}
            is_ = {one.rule_id: one.verdict for one in new.verdicts}
            for rule_id in was | is_:
                pair = was.get(rule_id, ABSENT), is_.get(rule_id, ABSENT)
                if pair[0] != pair[1]:
                    flips.add((call.call_id, rule_id, *pair))
            if (old.score, old.grade, old.fatal) != (new.score, new.grade, new.fatal):
                rescored.add((call.call_id, old.score, new.score, new.grade, new.fatal))
        told = {(one.call_id, one.rule_id, one.before, one.after) for one in found.flips}
        assert told == flips, label
        assert {
            (one.call_id, one.score_before, one.score_after, one.grade_after, one.fatal_after)
            for one in found.rescored
        } == rescored, label
        flipped += len(flips)
    assert flipped > 100  # the changes are no empty ones
