"""Edges and pauses by what is heard there."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.hearing.edges import EdgeLimits, fitted

LIMITS = EdgeLimits()
FLOOR_DB = -60.0


def levels(*parts: tuple[float, float, float], seconds: float = 5.0) -> tuple[np.ndarray, np.ndarray]:
    """Levels of a line with parts (start_s, end_s, dB above the floor), and its floor."""
    found = np.full(round(seconds * 100), FLOOR_DB)
    for start_s, end_s, above_db in parts:
        found[round(start_s * 100) : round(end_s * 100)] = FLOOR_DB + above_db
    return found, np.full(len(found), FLOOR_DB)


@pytest.mark.parametrize(
    ("gap_s", "above_db", "closed"),
    [(0.15, 0.0, True), (0.3, 0.0, False), (0.3, 5.0, True), (0.5, 5.0, True), (0.7, 3.0, False)],
)
def test_a_short_silence_in_which_something_is_heard_is_no_pause(
    gap_s: float, above_db: float, closed: bool
) -> None:
    line = levels((1.0, 2.0, 40.0), (2.0, 2.0 + gap_s, above_db), (2.0 + gap_s, 4.0, 40.0))
    found = fitted([(1.0, 2.0), (2.0 + gap_s, 4.0)], *line)
    assert (len(found) == 1) == closed


def test_edges_follow_a_fading_vowel_and_stop_at_its_end() -> None:
    line = levels((1.0, 2.0, 40.0), (2.0, 2.1, 8.0))
    (span,) = fitted([(1.0, 1.95)], *line)
    assert span == pytest.approx((1.0, 2.1), abs=0.011)


def test_edges_do_not_run_on_in_steady_noise() -> None:
    line = levels((0.0, 5.0, 10.0), (1.0, 2.0, 40.0))
    (span,) = fitted([(1.0, 2.0)], *line)
    assert span == pytest.approx((1.0 - LIMITS.before_s, 2.0 + LIMITS.after_s), abs=0.001)


def test_nothing_heard_gives_nothing() -> None:
    assert fitted([], np.zeros(0), np.zeros(0)) == []
    assert fitted([], *levels()) == []


@given(
    st.lists(st.floats(0.05, 1.0), min_size=1, max_size=12),
    st.lists(st.floats(-10.0, 40.0), min_size=60, max_size=60),
)
def test_no_speech_is_lost_and_spans_stay_apart(times: list[float], above: list[float]) -> None:
    places = np.cumsum(times)
    spans = [(float(a), float(b)) for a, b in zip(places[::2], places[1::2], strict=False)]
    line = np.repeat(np.array(above) + FLOOR_DB, 25), np.full(1500, FLOOR_DB)
    found = fitted(spans, *line)
    assert all(any(a <= s + 0.011 and e <= b + 0.011 for a, b in found) for s, e in spans)
    gaps = [b[0] - a[1] for a, b in itertools.pairwise(found)]
    assert all(gap >= LIMITS.close_s - 1e-9 for gap in gaps)
