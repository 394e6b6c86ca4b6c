"""Two parties out of synthetic windows and embeddings: no model."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.hearing.diarize import (
    Embeddings,
    LineLevels,
    Windows,
    parties,
    single_voice_stretches,
    speech_and_overlap,
)
from pipeline.hearing.grouping import (
    DiarizeLimits,
    Stretch,
    parted,
    third_group,
    two_groups,
    without_islands,
)

FRAME_S = 0.02
TURNS = [(0.5, 4.0, 0), (4.5, 9.0, 1), (9.5, 15.0, 0), (14.0, 18.0, 1), (19.0, 24.0, 0), (24.4, 29.0, 1)]


def windows(turns: list[tuple[float, float, int]], duration_s: float, *, shuffle: bool) -> Windows:
    """Perfect local voices, numbered anew in every window."""
    step, size = 2.5, 10.0
    count = 1 + int(np.ceil(max(duration_s - size, 0) / step))
    voices = np.zeros((count, int(size / FRAME_S), 3))
    rng = np.random.default_rng(5)
    for window in range(count):
        order = rng.permutation(3) if shuffle else np.arange(3)
        for start, end, who in turns:
            first, last = (round((t - window * step) / FRAME_S) for t in (start, end))
            voices[window, max(first, 0) : max(last, 0), order[who]] = 0.95
    return Windows(voices, step, size, duration_s)


def embedder(turns: list[tuple[float, float, int]], *, spread: float):
    def embed(spans: list[tuple[float, float]]) -> Embeddings:
        rng = np.random.default_rng(1)
        centres = np.eye(16)[:2]
        rows = []
        for start, end in spans:
            middle = (start + end) / 2
            who = min(turns, key=lambda t: max(t[0] - middle, middle - t[1], 0.0))[2]
            rows.append(centres[who] + spread * rng.normal(size=16))
        matrix = np.array(rows)
        whole = (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float32)
        return Embeddings(whole, [whole[:0] for _ in spans])

    return embed


def talk_of(found: list, speaker: int) -> list[tuple[float, float]]:
    return [(s.start_s, s.end_s) for s in found if s.speaker == speaker]


@pytest.mark.parametrize("spread", [0.0, 0.2])
def test_two_parties_with_overlap(spread: float) -> None:
    found = parties(
        windows(TURNS, 30.0, shuffle=True), embedder(TURNS, spread=spread), limits=DiarizeLimits()
    )
    assert {s.speaker for s in found} == {0, 1}
    first = 0 if talk_of(found, 0)[0][0] < 1 else 1
    for who in (0, 1):
        expected = [(a, b) for a, b, w in TURNS if w == who]
        given = talk_of(found, first if who == 0 else 1 - first)
        assert len(given) == len(expected)
        np.testing.assert_allclose(given, expected, atol=0.1)


def test_the_same_input_gives_the_same_answer() -> None:
    one, two = (
        parties(windows(TURNS, 30.0, shuffle=True), embedder(TURNS, spread=0.3), limits=DiarizeLimits())
        for _ in range(2)
    )
    assert one == two


def test_similar_voices_that_share_a_number_are_still_told_apart() -> None:
    """The windows hear one voice only; the embeddings know better."""
    shared = [(a, b, 0) for a, b, _ in TURNS if (a, b) != (14.0, 18.0)]
    truth = [t for t in TURNS if t[:2] != (14.0, 18.0)]
    found = parties(windows(shared, 30.0, shuffle=False), embedder(truth, spread=0.2), limits=DiarizeLimits())
    by_start = {round(s.start_s): s.speaker for s in found}
    assert by_start[4] == by_start[24] != by_start[19]


def test_a_third_voice_is_told_apart_when_it_is_clearly_there() -> None:
    rng = np.random.default_rng(3)
    truth = np.repeat([0, 1, 2], 12)
    voices = np.eye(8)[truth] + 0.1 * rng.normal(size=(36, 8))
    vectors = voices / np.linalg.norm(voices, axis=1, keepdims=True)
    none = np.zeros((36, 36))
    limits = DiarizeLimits()
    found = third_group(two_groups(vectors, none), vectors, none, limits=limits)
    assert len({(int(a), int(b)) for a, b in zip(truth, found, strict=True)}) == 3
    two = vectors[truth < 2]
    pair = two_groups(two, none[:24, :24])
    np.testing.assert_array_equal(third_group(pair, two, none[:24, :24], limits=limits), pair)


@pytest.mark.parametrize(("likeness", "expected"), [(0.45, 0), (1.0, 1)])
def test_an_island_in_uninterrupted_speech_needs_a_clear_voice(likeness: float, expected: int) -> None:
    """The third of five pieces was given to the other party."""
    island = np.array([1.0 - likeness, likeness]) / np.hypot(1.0 - likeness, likeness)
    vectors = np.array([[1.0, 0.0], [1.0, 0.0], island, [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    groups, blocks = np.array([0, 0, 1, 0, 1, 1]), np.array([0, 0, 0, 0, 1, 1])
    assert without_islands(groups, vectors, blocks, margin=0.4)[2] == expected


def test_edges_and_pauses_are_those_of_the_sound() -> None:
    """The windows blur a pause of 0.4 s and begin 0.1 s late; the level knows better."""
    heard = [(0.5, 4.0, 0), (4.4, 9.0, 0), (9.5, 15.0, 1), (19.0, 24.0, 0), (24.4, 29.0, 1)]
    blurred = [(0.6, 9.0, 0), (9.6, 15.0, 1), (19.1, 24.0, 0), (24.5, 29.0, 1)]
    level = np.full(3000, -60.0)
    for start_s, end_s, _ in heard:
        level[round(start_s * 100) : round(end_s * 100)] = -25.0
    found = parties(
        windows(blurred, 30.0, shuffle=True),
        embedder(heard, spread=0.1),
        limits=DiarizeLimits(),
        line=LineLevels(level, np.full(3000, -60.0)),
    )
    spans = sorted((s.start_s, s.end_s) for s in found)
    assert len(spans) == len(heard)
    for (start_s, end_s), true in zip(spans, heard, strict=True):
        assert start_s == pytest.approx(true[0], abs=0.03)
        assert end_s == pytest.approx(true[1], abs=0.03)


def test_a_loud_noise_that_no_window_takes_for_speech_is_nobody() -> None:
    level = np.full(3000, -25.0)
    line = LineLevels(level, np.full(3000, -60.0))
    turns = [(2.0, 6.0, 0), (7.0, 11.0, 1)]
    found = parties(
        windows(turns, 30.0, shuffle=False), embedder(turns, spread=0.1), limits=DiarizeLimits(), line=line
    )
    assert max(s.end_s for s in found) < 11.3


def test_silence_has_no_parties() -> None:
    found = parties(windows([], 12.0, shuffle=False), embedder(TURNS, spread=0), limits=DiarizeLimits())
    assert found == []


def test_stretches_lie_inside_the_recording_and_hold_one_voice() -> None:
    heard = windows(TURNS, 30.0, shuffle=True)
    pieces = single_voice_stretches(heard, speech_and_overlap(heard)[1], limits=DiarizeLimits())
    assert all(0 <= p.first < p.last <= 1500 for p in pieces)
    assert all(p.frames * FRAME_S <= DiarizeLimits().most_piece_s + 0.05 for p in pieces)
    for piece in pieces:
        inside = {w for a, b, w in TURNS if a < (piece.first + piece.last) / 2 * FRAME_S < b}
        assert len(inside) == 1


def test_one_piece_is_one_group() -> None:
    assert two_groups(np.ones((1, 4)), np.zeros((1, 1))).tolist() == [0]


def test_windows_decide_where_there_is_no_embedding() -> None:
    links = np.array([[0, 1, -1, -1], [1, 0, -1, -1], [-1, -1, 0, 1], [-1, -1, 1, 0]], dtype=float)
    groups = two_groups(np.zeros((4, 1)), links)
    assert groups[0] == groups[1] != groups[2] == groups[3]


def test_less_is_asked_of_two_voices_where_the_floor_changes_hands() -> None:
    """The same doubtful overlap, between one voice and the other, and inside one voice."""
    turns = [(1.0, 5.0, 0), (4.4, 9.0, 1), (10.0, 19.0, 0)]
    heard = windows(turns, 20.0, shuffle=True)
    both = np.zeros(heard.voices.shape[:2])
    for window in range(len(both)):
        for start_s, end_s in ((4.4, 5.0), (14.0, 14.6)):
            first, last = (round((t - window * heard.step_s) / FRAME_S) for t in (start_s, end_s))
            both[window, max(first, 0) : max(last, 0)] = 0.68
    doubtful = Windows(heard.voices, heard.step_s, heard.window_s, heard.duration_s, both)
    found = parties(doubtful, embedder(turns, spread=0.0), limits=DiarizeLimits())
    first = next(s.speaker for s in found if s.start_s < 2.0)
    assert [a for a, b in talk_of(found, 1 - first) if a < 14.6 and b > 14.0] == []
    (cut_in,) = talk_of(found, 1 - first)
    assert cut_in[0] == pytest.approx(4.4, abs=0.05)
    assert talk_of(found, first)[0][1] == pytest.approx(5.0, abs=0.05)


def test_being_unsure_which_of_two_speaks_is_not_hearing_both() -> None:
    voices = np.full((1, 500, 3), 0.5) * np.array([1.0, 1.0, 0.0])
    both = np.full((1, 500), 0.02)
    assert speech_and_overlap(Windows(voices, 2.5, 10.0, 10.0))[1].max() == pytest.approx(0.5)
    assert speech_and_overlap(Windows(voices, 2.5, 10.0, 10.0, both))[1].max() == pytest.approx(0.02)


def test_a_short_answer_is_listened_to() -> None:
    """A quarter of a second between two of the other's phrases, and windows that give it their number."""
    truth = [(1.0, 4.0, 0), (4.2, 7.0, 1), (8.0, 10.0, 0), (10.3, 10.55, 1), (10.9, 13.0, 0)]
    heard = [(a, b, 0 if a == 10.3 else w) for a, b, w in truth]
    found = parties(windows(heard, 14.0, shuffle=False), embedder(truth, spread=0.1), limits=DiarizeLimits())
    by_start = {round(s.start_s, 1): s.speaker for s in found}
    assert by_start[10.3] == by_start[4.2] != by_start[10.9]


@pytest.mark.parametrize(("order", "voices"), [("relieved", 3), ("alternating", 2)])
def test_a_voice_like_another_is_a_third_when_it_relieves_it(order: str, voices: int) -> None:
    """Likeness 0.75 between two of three voices: too much where they alternate."""
    agents = np.array([[1.0, 0.0, 0.0], [0.75, np.sqrt(1.0 - 0.75**2), 0.0]])
    customer = np.array([0.0, 0.0, 1.0])
    spoken = [0] * 8 + [1] * 8 if order == "relieved" else [0, 1] * 8
    vectors = np.array([v for who in spoken for v in (agents[who], customer)])
    none = np.zeros((32, 32))
    limits = DiarizeLimits()
    found = third_group(two_groups(vectors, none), vectors, none, limits=limits)
    assert len(set(found.tolist())) == voices


def test_a_piece_that_holds_both_voices_is_cut_where_they_change() -> None:
    """The windows run on from one voice into the other; the parts of the piece do not."""
    agent, customer = np.eye(8)[:2]
    pieces = [Stretch(0, 100), Stretch(100, 200), Stretch(200, 300)]
    mixed = (0.7 * agent + 0.3 * customer) / np.hypot(0.7, 0.3)
    vectors = np.stack([agent, mixed, customer])
    parts = {1: np.stack([agent] * 5 + [customer] * 2), 0: np.stack([agent] * 7)}
    cut, groups = parted(
        pieces, np.array([0, 0, 1]), vectors, parts, frame_s=0.01, limits=DiarizeLimits(mixed_margin=0.8)
    )
    assert [(p.first, p.last) for p in cut] == [(0, 100), (100, 165), (165, 200), (200, 300)]
    assert groups.tolist() == [0, 0, 1, 1]


def test_one_voice_that_wavers_is_not_cut() -> None:
    agent, customer = np.eye(8)[:2]
    wavering = (0.54 * agent + 0.46 * customer) / np.hypot(0.54, 0.46)
    doubtful = (0.46 * agent + 0.54 * customer) / np.hypot(0.54, 0.46)
    pieces = [Stretch(0, 100), Stretch(100, 200), Stretch(200, 300)]
    vectors, groups = np.stack([agent, wavering, customer]), np.array([0, 0, 1])
    parts = {1: np.stack([wavering] * 6 + [doubtful])}
    same, kept = parted(pieces, groups, vectors, parts, frame_s=0.01, limits=DiarizeLimits())
    assert same == pieces
    assert kept.tolist() == [0, 0, 1]
