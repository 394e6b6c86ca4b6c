"""Numbers about a call, worked by hand, and properties that hold for any call."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import InputError
from pipeline.judging.measures import (
    InterruptionLimits,
    articulation_rate,
    filler_rate,
    interruption_events,
    measures,
    overlap_time,
    silence_time,
    speech_rate,
    talk_time,
)
from pipeline.records import Event, Hearing, Turn, Word

LIMITS = InterruptionLimits(overlap_s=0.6, held_s=1.0, min_chars=4)


def agent(start_s: float, end_s: float, text: str, words: tuple[Word, ...] = ()) -> Turn:
    return Turn("agent", start_s, end_s, text, words=words)


def customer(start_s: float, end_s: float, text: str) -> Turn:
    return Turn("customer", start_s, end_s, text)


def test_rate_is_characters_over_minutes_in_turns_with_the_gaps_between_left_out() -> None:
    turns = [
        agent(0.0, 6.0, "您好请问有什么可以帮您"),
        customer(6.0, 30.0, "查保单"),
        agent(40.0, 44.0, "好的请稍等"),
    ]
    assert speech_rate(turns, speaker="agent") == pytest.approx(float(Fraction(60 * 16, 10)))
    assert speech_rate(turns, speaker="customer") == pytest.approx(float(Fraction(60 * 3, 24)))


def test_digits_count_as_read_aloud_and_punctuation_not_at_all() -> None:
    assert speech_rate([agent(0.0, 6.0, "工号1027。")], speaker="agent") == pytest.approx(60.0)
    assert speech_rate([agent(0.0, 6.0, "工号一零二七")], speaker="agent") == pytest.approx(60.0)


def test_who_never_spoke_has_no_rate() -> None:
    assert speech_rate([customer(0.0, 1.0, "喂")], speaker="agent") is None
    assert speech_rate([], speaker="agent") is None
    assert speech_rate([agent(1.0, 1.0, "您好")], speaker="agent") is None


def test_a_turn_that_ends_before_it_starts_is_an_error() -> None:
    with pytest.raises(InputError, match=r"ends at 1\.0 s before it starts at 2\.0 s"):
        speech_rate([agent(2.0, 1.0, "您好")], speaker="agent")


def test_articulation_leaves_out_pauses_from_a_quarter_second_on() -> None:
    words = (Word("您好", 0.0, 0.5), Word("请问", 0.74, 1.24), Word("您", 1.49, 1.74))
    turn = agent(0.0, 2.0, "您好请问您", words)
    # 1.74 s from the first word to the last, less one pause of 0.25 s; the gap of 0.24 s is articulation
    assert articulation_rate([turn], speaker="agent") == pytest.approx(60 * 5 / 1.49)


def test_articulation_is_unknown_without_word_times() -> None:
    assert articulation_rate([agent(0.0, 2.0, "您好")], speaker="agent") is None


def test_filler_rate() -> None:
    assert filler_rate(3, 150) == 2.0
    assert filler_rate(0, 0) is None


def test_talk_time_counts_overlapping_own_turns_once() -> None:
    turns = [agent(0.0, 4.0, "您好"), agent(3.0, 5.0, "请讲"), agent(8.0, 9.0, "好")]
    assert talk_time(turns, speaker="agent") == pytest.approx(6.0)


def test_silence_and_overlap() -> None:
    turns = [agent(1.0, 4.0, "您好"), customer(3.0, 6.0, "喂你好"), agent(8.0, 9.0, "好")]
    assert silence_time(turns, duration_s=10.0) == pytest.approx(4.0)
    assert overlap_time(turns) == pytest.approx(1.0)
    assert silence_time([], duration_s=5.0) == 5.0
    assert silence_time([agent(0.0, 20.0, "好")], duration_s=5.0) == 0.0


@pytest.mark.parametrize(
    ("start_s", "text", "count"),
    [
        (4.0, "您先把保单号报一下", 1),
        (4.0, "嗯嗯", 0),
        (5.5, "您先把保单号报一下", 0),
        (0.5, "您先把保单号报一下", 0),
    ],
    ids=["cuts in", "backchannel", "smooth handover", "both begin together"],
)
def test_cutting_in(start_s: float, text: str, count: int) -> None:
    turns = [customer(0.0, 6.0, "我想查一下保单什么时候到期"), agent(start_s, 9.0, text)]
    found = interruption_events(turns, LIMITS)
    assert len(found) == count
    assert all(event.role == "agent" and event.end_s - event.start_s >= LIMITS.overlap_s for event in found)


def test_measures_of_a_whole_call() -> None:
    turns = (agent(0.0, 6.0, "您好请问有什么可以帮您"), customer(6.5, 8.5, "嗯，查保单"))
    hearing = Hearing("", 10.0, "stereo", turns)
    events = (
        Event("filler", 1.0, 1.2, "agent", "嗯"),
        Event("filler", 6.5, 6.7, "customer", "嗯"),
        Event("interruption", 6.0, 6.5, "customer"),
    )
    found = measures(hearing, events=events)
    assert (found.agent_chars, found.filler_count, found.interruptions) == (11, 1, 0)
    assert found.filler_per_100 == pytest.approx(100 / 11)
    assert (found.agent_talk_s, found.customer_talk_s) == (6.0, 2.0)
    assert found.silence_s == pytest.approx(2.0)


@st.composite
def calls(draw: st.DrawFn) -> list[Turn]:
    made, clock = [], 0.0
    for _ in range(draw(st.integers(1, 12))):
        clock += draw(st.floats(-0.5, 2.0))
        start_s = max(clock, 0.0)
        clock = start_s + draw(st.floats(0.2, 8.0))
        role = draw(st.sampled_from(["agent", "customer"]))
        made.append(Turn(role, start_s, clock, draw(st.text("您好请问保单理赔嗯1", min_size=1, max_size=12))))
    return sorted(made, key=lambda turn: turn.start_s)


@settings(deadline=None)
@given(calls())
def test_doubling_all_times_halves_the_rate(turns: list[Turn]) -> None:
    slower = [replace(turn, start_s=2 * turn.start_s, end_s=2 * turn.end_s) for turn in turns]
    rate, half = speech_rate(turns, speaker="agent"), speech_rate(slower, speaker="agent")
    assert (rate is None) == (half is None)
    if rate is not None and half is not None:
        assert half == pytest.approx(rate / 2)


@settings(deadline=None)
@given(calls(), st.floats(0.0, 100.0))
def test_shifting_changes_nothing(turns: list[Turn], by_s: float) -> None:
    later = [replace(turn, start_s=turn.start_s + by_s, end_s=turn.end_s + by_s) for turn in turns]
    assert overlap_time(later) == pytest.approx(overlap_time(turns), abs=1e-6)
    assert talk_time(later, speaker="agent") == pytest.approx(talk_time(turns, speaker="agent"), abs=1e-6)


@settings(deadline=None)
@given(calls())
def test_times_of_a_call_add_up(turns: list[Turn]) -> None:
    duration_s = max(turn.end_s for turn in turns)
    spoken = talk_time(turns, speaker="agent") + talk_time(turns, speaker="customer") - overlap_time(turns)
    assert spoken + silence_time(turns, duration_s=duration_s) == pytest.approx(duration_s, abs=1e-6)


@settings(deadline=None)
@given(calls())
def test_another_turn_never_lowers_a_count(turns: list[Turn]) -> None:
    for count in range(1, len(turns)):
        fewer, more = (
            interruption_events(turns[:count], LIMITS),
            interruption_events(turns[: count + 1], LIMITS),
        )
        assert len(more) >= len(fewer)


def test_nobody_speaking_is_zero_seconds_and_a_real_number():
    """A whole 0 and the stored 0.0 would be two receipts."""
    from pipeline.judging.measures import overlap_time, silence_time, talk_time

    for value in (talk_time([], speaker="agent"), overlap_time([]), silence_time([], duration_s=5.0)):
        assert isinstance(value, float)
