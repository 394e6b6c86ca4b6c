"""A changed rulebook over stored calls: which verdicts flip."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType

import pytest

from pipeline.judging.changes import changed_rules
from pipeline.judging.preview import combined, preview
from pipeline.judging.rulebook import Rulebook, load_rulebook
from pipeline.records import CallRecord, Hearing, Turn

START = datetime.fromisoformat("2026-03-10T10:00:00+08:00")


def stored(call_id: str, ring_s: float, agent_id: str) -> tuple[Hearing, CallRecord]:
    turns = (
        Turn("agent", 0.0, 4.6, "您好，请问有什么可以帮您？"),
        Turn("customer", 5.0, 8.0, "我查一下保单。"),
    )
    hearing = Hearing("", 9.0, "stereo", turns, agent_snr_db=30.0)
    return hearing, CallRecord(call_id, "inbound", START, ring_s=ring_s, agent_id=agent_id)


@pytest.fixture(scope="module")
def book() -> Rulebook:
    return load_rulebook()


def stricter(book: Rulebook, max_ring_s: float) -> Rulebook:
    rules = tuple(
        replace(rule, require=replace(rule.require, at_most=max_ring_s))  # type: ignore[type-var]
        if rule.id == "inbound.answered_in_time"
        else rule
        for rule in book.rules
    )
    return replace(book, rules=rules, hash="other")


def test_the_same_rulebook_flips_nothing(book: Rulebook) -> None:
    found = preview([stored("a", 8.0, "1027")], book, load_rulebook())
    assert found.calls == 1
    assert found.rules == found.flips == found.rescored == ()


def test_a_stricter_threshold_flips_only_calls_between_the_two(book: Rulebook) -> None:
    calls = [stored("a", 8.0, "1027"), stored("b", 12.0, "1027"), stored("c", 20.0, "3306")]
    found = preview(calls, book, stricter(book, 10.0))
    assert found.rules == ("inbound.answered_in_time",)
    assert [(flip.call_id, flip.before, flip.after) for flip in found.flips] == [("b", "pass", "fail")]
    assert found.by_agent() == {"1027": 1}
    assert found.by_rule() == {"inbound.answered_in_time": {("pass", "fail"): 1}}
    (call,) = found.rescored
    assert call.score_after is not None and call.score_before is not None
    assert call.score_after < call.score_before


def test_a_rule_that_becomes_fatal_is_seen_by_its_calls(book: Rulebook) -> None:
    rules = tuple(
        replace(rule, severity="fatal") if rule.id == "inbound.answered_in_time" else rule
        for rule in book.rules
    )
    stricter_book = replace(book, rules=rules)
    found = preview([stored("c", 20.0, "3306")], book, stricter(stricter_book, 30.0))
    assert found.newly_fatal() == ()
    found = preview([stored("c", 20.0, "3306")], stricter(book, 30.0), stricter(stricter_book, 15.0))
    assert found.newly_fatal() == ("c",)
    found = preview([stored("c", 20.0, "3306")], stricter(stricter_book, 15.0), stricter(book, 30.0))
    assert found.no_longer_fatal() == ("c",)


def test_a_phrase_set_changes_all_rules_that_read_it(book: Rulebook) -> None:
    phrase = book.lexicon.phrases["offer_help"]
    phrases = {**book.lexicon.phrases, "offer_help": replace(phrase, like=phrase.like[:1])}
    other = replace(book, lexicon=replace(book.lexicon, phrases=MappingProxyType(phrases)))
    assert set(changed_rules(book, other)) == {"language.greeting"}


def test_a_retired_rule_is_absent_afterwards(book: Rulebook) -> None:
    other = replace(book, rules=book.rules[1:])
    found = preview([stored("a", 8.0, "1027")], book, other)
    assert {(flip.rule_id, flip.after) for flip in found.flips} == {(book.rules[0].id, "absent")}


def test_parts_add_up(book: Rulebook) -> None:
    calls = [stored(str(number), float(number), "x") for number in range(20)]
    other = stricter(book, 10.0)
    whole = preview(calls, book, other)
    assert combined([preview(calls[:7], book, other), preview(calls[7:], book, other)]) == whole


def test_a_change_of_one_threshold_is_previewed_in_a_moment(book: Rulebook) -> None:
    calls = [stored(str(number), 8.0, "x") for number in range(1000)]
    begun = time.process_time()
    preview(calls, book, stricter(book, 10.0))
    assert time.process_time() - begun < 1.0
