"""Packing speech into windows loses no second and maps every time back."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.windows import Piece, Window, gather, pack, quietest, uncovered

SPANS = st.lists(
    st.tuples(st.floats(-5, 320), st.floats(0, 70)).map(lambda p: (p[0], p[0] + p[1])), max_size=30
)


@given(SPANS, st.floats(5.0, 30.0))
def test_every_second_of_speech_is_in_exactly_one_window(spans, longest):
    duration = 300.0
    windows = pack(spans, duration, longest_s=longest)
    pieces = [piece for window in windows for piece in window.pieces]
    assert all(window.duration_s <= longest + 1e-6 for window in windows)
    for before, after in pairwise(pieces):
        assert before.end_s <= after.start_s + 1e-9
    for left, right in spans:
        start, end = max(0.0, left), min(duration, right)
        if end > start:
            covered = sum(max(0.0, min(p.end_s, end) - max(p.start_s, start)) for p in pieces)
            assert covered == pytest.approx(end - start, abs=1e-6)


@given(SPANS)
def test_pieces_lie_end_to_end_and_times_map_back(spans):
    for window in pack(spans, 300.0):
        at = 0.0
        for index, piece in enumerate(window.pieces):
            assert piece.at_s == pytest.approx(at, abs=1e-6)
            middle = at + piece.duration_s / 2
            where, start, end = window.place(middle, middle)
            assert where == index
            assert start == end == pytest.approx(piece.start_s + piece.duration_s / 2, abs=2e-3)
            at += piece.duration_s


def test_a_word_over_a_joint_stays_inside_one_piece():
    window = Window((Piece(10.0, 12.0, 0.0), Piece(20.0, 21.0, 2.0)))
    assert window.place(1.5, 2.02) == (0, 11.5, 12.0)
    assert window.place(1.5, 2.3) == (1, 20.0, 20.3)
    assert window.place(1.9, 2.5) == (1, 20.0, 20.5)


def test_short_pauses_stay_and_long_ones_go():
    windows = pack([(1.0, 2.0), (2.4, 3.0), (9.0, 10.0)], 20.0, pad_s=0.2, join_s=0.6)
    assert [(p.start_s, p.end_s) for p in windows[0].pieces] == [(0.8, 3.2), (8.8, 10.2)]


def test_padding_never_reaches_the_neighbour():
    windows = pack([(1.0, 2.0), (2.1, 3.0)], 20.0, pad_s=0.5, join_s=0.0)
    first, second = windows[0].pieces
    assert first.end_s == second.start_s == pytest.approx(2.05)


def test_long_speech_is_cut_where_it_is_quietest():
    samples = np.full(16000 * 50, 0.1, np.float32)
    samples[16000 * 23 : 16000 * 24] = 0.0
    windows = pack([(0.0, 50.0)], 50.0, longest_s=29.0, quietest=quietest(samples))
    assert 23.0 <= windows[0].pieces[-1].end_s <= 24.0


def test_gather_lays_the_pieces_end_to_end():
    samples = np.arange(16000 * 3, dtype=np.float32)
    window = Window((Piece(0.0, 0.5, 0.0), Piece(2.0, 2.25, 0.5)))
    gathered = gather(samples, window)
    assert len(gathered) == 12000
    assert gathered[7999] == 7999
    assert gathered[8000] == 32000


@pytest.mark.parametrize(
    ("spans", "words", "holes"),
    [
        ([], [], []),
        ([(0.0, 10.0)], [], [(0.0, 10.0)]),
        ([(0.0, 0.4)], [], []),
        ([(0.0, 10.0)], [(0.0, 4.0), (7.0, 10.0)], [(4.25, 6.75)]),
        ([(0.0, 10.0)], [(0.0, 4.0), (5.0, 10.0)], []),
        ([(0.0, 10.0)], [(0.0, 8.0)], [(8.25, 10.0)]),
        ([(0.0, 1.0), (5.0, 6.0)], [(0.0, 1.0)], [(5.0, 6.0)]),
    ],
)
def test_speech_without_text_is_found(spans, words, holes):
    assert uncovered(spans, words, hole_s=1.2, empty_s=0.5) == holes


@given(
    st.lists(st.tuples(st.floats(0.0, 6.0), st.floats(0.3, 12.0)), min_size=1, max_size=20),
)
def test_even_windows_hold_the_same_speech_and_are_no_more(gaps):
    spans, at = [], 0.0
    for gap, length in gaps:
        spans.append((at + gap, at + gap + length))
        at = spans[-1][1]
    full, even = pack(spans, at + 1.0), pack(spans, at + 1.0, even=True)
    assert len(even) <= len(full)
    assert max(window.duration_s for window in even) <= 29.0 + 1e-6
    assert sum(window.duration_s for window in even) == pytest.approx(sum(w.duration_s for w in full))


def test_even_windows_are_about_equally_long():
    spans = [(4.0 * at, 4.0 * at + 2.0) for at in range(16)]
    full, even = ([w.duration_s for w in pack(spans, 70.0, even=flag)] for flag in (False, True))
    assert len(full) == len(even) == 2
    assert max(even) - min(even) < max(full) - min(full)
