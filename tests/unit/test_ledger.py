"""The opportunity ledger, worked by hand from the standard's reading."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.judging.ledger import entries


def book(speech: list[tuple[float, float]], done: list[float]) -> list[tuple[str, float, bool]]:
    lines = entries(speech, [(at, at + 2.0) for at in done], every_s=30.0)
    return [(line.kind, line.at_s, line.is_met) for line in lines]


@pytest.mark.parametrize(
    ("speech", "done", "expected"),
    [
        ([(0, 29)], [], []),
        ([(0, 30)], [], [("due", 30.0, False)]),
        ([(0, 20), (25, 40)], [], [("due", 35.0, False)]),
        ([(0, 20)], [21.0], [("done", 21.0, True)]),
        ([(0, 20), (25, 40)], [21.0], [("done", 21.0, True)]),
        ([(0, 40)], [41.0], [("due", 30.0, True), ("done", 41.0, True)]),
        ([(0, 40), (45, 74)], [41.0], [("due", 30.0, True), ("done", 41.0, True)]),
        ([(0, 70)], [71.0], [("due", 30.0, False), ("due", 60.0, True), ("done", 71.0, True)]),
        ([(0, 40), (50, 75)], [76.0], [("due", 30.0, False), ("due", 70.0, True), ("done", 76.0, True)]),
    ],
    ids=[
        "short need",
        "exactly thirty",
        "over two turns",
        "early",
        "early starts anew",
        "met",
        "count starts anew",
        "one came too late for the first",
        "thirty more seconds close the first",
    ],
)
def test_by_hand(
    speech: list[tuple[float, float]], done: list[float], expected: list[tuple[str, float, bool]]
) -> None:
    assert book(speech, done) == expected


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.1, 50.0), st.floats(0.0, 5.0)), max_size=10),
    st.lists(st.floats(0.0, 400.0), max_size=6),
)
def test_dues_never_exceed_the_speech_and_more_confirmations_never_hurt(
    parts: list[tuple[float, float]], done: list[float]
) -> None:
    speech, clock = [], 0.0
    for length, gap in parts:
        speech.append((clock, clock + length))
        clock += length + gap
    lines = book(speech, sorted(done))
    dues = [line for line in lines if line[0] == "due"]
    assert len(dues) <= sum(end - start for start, end in speech) / 30.0 + 1e-6
    unmet = sum(not met for _, _, met in dues)
    confirmed_always = book(speech, sorted([*done, *(end for _, end in speech)]))
    assert sum(kind == "due" and not met for kind, _, met in confirmed_always) <= unmet + len(parts)
    assert sum(met for _, _, met in dues) <= sum(kind == "done" for kind, _, _ in lines)
