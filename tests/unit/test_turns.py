"""Turns, interruptions, dead air: known values worked by hand, then properties."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import InputError
from pipeline.hearing.conversation import Backchannels, InterruptionLimits, load_conversation
from pipeline.hearing.turns import (
    clipped,
    dead_air,
    interruptions,
    is_backchannel,
    merged,
    overlap_s,
    turns_of,
)
from pipeline.records import Role, Turn, Word

DATA = load_conversation()


def say(role: Role, start_s: float, end_s: float, text: str = "我想问一下保单") -> Turn:
    return Turn(role, start_s, end_s, text)


def cut_in(*turns: Turn) -> list[tuple[Role | None, float, float]]:
    found = interruptions(turns, limits=DATA.interruption, backchannel=DATA.backchannel)
    return [(e.role, e.start_s, e.end_s) for e in found]


def test_edges_of_a_turn_are_those_of_the_activity() -> None:
    words = {"agent": [Word("您好", 0.55, 0.9), Word("请讲", 0.9, 1.6)]}
    (turn,) = turns_of(words, {"agent": [(0.4, 1.4)]}, limits=DATA.turns)
    assert (turn.start_s, turn.end_s) == (0.4, 1.4)
    assert [(w.start_s, w.end_s) for w in turn.words] == [(0.55, 0.9), (0.9, 1.4)]


def test_a_short_pause_stays_inside_a_turn_and_a_long_one_does_not() -> None:
    words = {"agent": [Word("请", 0.1, 0.4), Word("稍等", 1.1, 1.6), Word("好了", 4.0, 4.5)]}
    spans = {"agent": [(0.0, 0.5), (1.0, 1.7), (3.9, 4.6)]}
    turns = turns_of(words, spans, limits=DATA.turns)
    assert [(t.text, t.start_s, t.end_s) for t in turns] == [("请稍等", 0.0, 1.7), ("好了", 3.9, 4.6)]


def test_the_other_side_taking_the_floor_splits_a_turn() -> None:
    words = {"agent": [Word("请讲", 0.1, 0.5), Word("好的", 1.2, 1.5)], "customer": [Word("我要", 0.5, 1.1)]}
    spans = {"agent": [(0.0, 0.5), (1.2, 1.6)], "customer": [(0.5, 1.15)]}
    assert [t.text for t in turns_of(words, spans, limits=DATA.turns)] == ["请讲", "我要", "好的"]


def test_a_backchannel_in_a_pause_splits_nothing() -> None:
    words = {"agent": [Word("请讲", 0.1, 0.5), Word("好的", 1.2, 1.5)], "customer": [Word("嗯", 0.7, 0.9)]}
    spans = {"agent": [(0.0, 0.5), (1.2, 1.6)], "customer": [(0.65, 0.95)]}
    assert [t.text for t in turns_of(words, spans, limits=DATA.turns)] == ["请讲好的", "嗯"]


def test_a_short_answer_that_was_waited_for_splits_a_turn() -> None:
    words = {"agent": [Word("对吗", 0.1, 0.5), Word("好的", 1.7, 2.0)], "customer": [Word("对", 0.9, 1.1)]}
    spans = {"agent": [(0.0, 0.5), (1.7, 2.1)], "customer": [(0.85, 1.15)]}
    assert [t.text for t in turns_of(words, spans, limits=DATA.turns)] == ["对吗", "对", "好的"]


def test_words_far_from_any_activity_make_turns_of_their_own() -> None:
    words = {"customer": [Word("喂", 9.0, 9.2), Word("你好", 9.3, 9.6)]}
    turns = turns_of(words, {"customer": [(0.0, 1.0)]}, limits=DATA.turns)
    assert [(t.text, t.start_s, t.end_s) for t in turns] == [("喂你好", 9.0, 9.6)]


def test_confidence_weighs_by_length() -> None:
    words = {"agent": [Word("您好您", 0.0, 0.3, 0.9), Word("好", 0.3, 0.5, 0.5)]}
    (turn,) = turns_of(words, {"agent": [(0.0, 0.5)]}, limits=DATA.turns)
    assert turn.confidence == pytest.approx((3 * 0.9 + 0.5) / 4)


def test_a_word_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(InputError, match="ends at"):
        turns_of({"agent": [Word("好", 2.0, 1.0)]}, {}, limits=DATA.turns)


def test_no_words_no_turns() -> None:
    assert turns_of({}, {"agent": [(0.0, 1.0)]}, limits=DATA.turns) == ()


def test_cutting_in_and_keeping_the_floor_is_an_interruption() -> None:
    assert cut_in(say("customer", 0, 5), say("agent", 4, 8)) == [("agent", 4, 5)]


@pytest.mark.parametrize(
    "second",
    [
        say("agent", 4.8, 8),  # a smooth handover
        say("agent", 4, 4.9),  # gave the floor back
        say("agent", 0.5, 8),  # both began together
        say("agent", 4, 5.2, "嗯嗯"),  # listening
        say("agent", 5.2, 8),  # no overlap
    ],
)
def test_these_are_no_interruptions(second: Turn) -> None:
    assert cut_in(say("customer", 0, 5), second) == []


def test_speaking_after_a_backchannel_interrupts_nobody() -> None:
    assert cut_in(say("customer", 0, 1.4, "对对对"), say("agent", 1.1, 4)) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [("嗯。", True), ("对，对对", True), ("好的好的", True), ("不对", False), ("", True)],
)
def test_backchannels(text: str, expected: bool) -> None:
    assert is_backchannel(say("agent", 0, 1, text), DATA.backchannel) is expected


def test_a_long_answer_is_no_backchannel() -> None:
    assert not is_backchannel(say("agent", 0, 3, "嗯"), DATA.backchannel)


def test_dead_air_counts_only_between_speech() -> None:
    events = dead_air([(4.0, 5.0), (9.0, 10.0), (11.0, 12.0)], 60.0, min_s=3.0)
    assert [(e.start_s, e.end_s, e.role) for e in events] == [(5.0, 9.0, None)]


def test_hold_music_is_no_dead_air() -> None:
    assert dead_air([(0.0, 1.0), (9.0, 10.0)], 10.0, min_s=3.0, not_silent=[(2.0, 8.0)]) == ()


def test_nobody_speaks_no_dead_air() -> None:
    assert dead_air([], 60.0, min_s=3.0) == ()


spans = st.lists(
    st.tuples(st.floats(0, 100), st.floats(0.01, 10)).map(lambda p: (p[0], p[0] + p[1])), max_size=12
)


@given(spans)
def test_merged_spans_are_sorted_apart_and_cover_the_same(given_spans: list[tuple[float, float]]) -> None:
    result = merged(given_spans)
    assert all(a[1] < b[0] for a, b in itertools.pairwise(result))
    assert all(any(a <= s and e <= b for a, b in result) for s, e in given_spans)
    assert merged(result) == result


@given(spans, st.floats(0, 50), st.floats(0, 50))
def test_clipped_spans_lie_inside(given_spans: list[tuple[float, float]], a: float, b: float) -> None:
    assert all(min(a, b) <= s < e <= max(a, b) for s, e in clipped(given_spans, min(a, b), max(a, b)))


@st.composite
def conversations(draw: st.DrawFn) -> list[Turn]:
    rows = draw(
        st.lists(st.tuples(st.sampled_from(["agent", "customer"]), st.floats(0, 60), st.floats(0.2, 9)))
    )
    return sorted((say(r, s, s + d) for r, s, d in rows), key=lambda t: t.start_s)


@given(conversations())
def test_whoever_cuts_in_has_a_turn_there(turns: list[Turn]) -> None:
    for role, start, end in cut_in(*turns):
        assert start < end
        assert any(t.role == role and t.start_s == start and t.end_s > end for t in turns)
        assert any(t.role != role and t.start_s < start and t.end_s == end for t in turns)


@given(conversations())
def test_overlap_is_symmetric_and_bounded(turns: list[Turn]) -> None:
    swapped = [replace(t, role="customer" if t.role == "agent" else "agent") for t in turns]
    assert overlap_s(turns) == pytest.approx(overlap_s(swapped))
    assert overlap_s(turns) <= sum(t.duration_s for t in turns) / 2 + 1e-9


@given(st.lists(st.tuples(st.floats(0, 60), st.floats(0, 2)), max_size=20), spans)
def test_every_word_is_in_exactly_one_turn(
    rows: list[tuple[float, float]], heard: list[tuple[float, float]]
) -> None:
    words = [Word("字", s, s + d) for s, d in rows]
    turns = turns_of({"agent": words}, {"agent": heard}, limits=DATA.turns)
    assert sum(len(t.words) for t in turns) == len(words)
    assert all(t.start_s <= w.start_s <= w.end_s <= t.end_s for t in turns for w in t.words)


CUT_IN = InterruptionLimits(held_s=1.0, overlap_s=0.4, kept_s=1.2)
LISTENING = Backchannels(max_s=1.5, words=frozenset({"嗯", "好", "好的"}))


def words_at(*placed: tuple[float, str]) -> tuple[Word, ...]:
    return tuple(Word(text, at_s, at_s + 0.4) for at_s, text in placed)


def test_whoever_listens_and_then_answers_has_not_cut_in() -> None:
    held = Turn("customer", 0.0, 4.0, "我想问一下我的保单")
    answers = Turn(
        "agent", 3.0, 7.0, "嗯好的请稍等", words=words_at((3.0, "嗯"), (3.4, "好的"), (4.4, "请稍等"))
    )
    cuts_in = Turn("agent", 3.0, 7.0, "您先听我说", words=words_at((3.0, "您先"), (3.4, "听"), (4.4, "我说")))
    assert interruptions([held, answers], limits=CUT_IN, backchannel=LISTENING) == ()
    assert len(interruptions([held, cuts_in], limits=CUT_IN, backchannel=LISTENING)) == 1


@pytest.mark.parametrize(("together_s", "expected"), [(0.0, 0), (0.3, 0), (0.5, 1), (1.0, 1)])
def test_turns_that_overlap_in_name_only_are_no_interruption(together_s: float, expected: int) -> None:
    turns = [Turn("customer", 0.0, 4.0, "我想问一下"), Turn("agent", 3.0, 6.0, "您先听我说")]
    heard = {"customer": [(0.0, 3.0 + together_s)], "agent": [(3.0, 6.0)]}
    found = interruptions(turns, limits=CUT_IN, backchannel=LISTENING, activity=heard)
    assert len(found) == expected
