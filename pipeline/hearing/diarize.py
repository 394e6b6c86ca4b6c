"""From local voices in overlapping windows to the two parties of a call.

A segmentation model says when one voice speaks, when two do, and tells up to three voices apart
inside 10 s; but it numbers them anew in each window, and similar voices often share a number.
So it is asked for speech, overlap and the cuts between voices; which cut-out stretch belongs to whom
is decided once for the whole call by voice embeddings, each stretch embedded once, with the windows'
numbering as a hint (`pipeline.hearing.grouping`). Two at once are likelier where the floor changes hands
than in the midst of what one voice says, and less is asked of them there.

Conventions
-----------
Times in seconds; activations are probabilities of shape (windows, frames, voices).

Table of contents: `Windows`, `LineLevels`, `Embeddings`, `speech_and_overlap`, `single_voice_stretches`,
`window_links`, `party_frames`, `heard_frames`, `parties`.

References
----------
.. [1] Bredin 2023, "pyannote.audio 2.1 speaker diarization pipeline", Interspeech.
.. [2] Plaquet & Bredin 2023, "Powerset multi-class cross entropy loss for neural speaker
   diarization", Interspeech.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.hearing.edges import fitted
from pipeline.hearing.grouping import (
    Array,
    DiarizeLimits,
    Stretch,
    blocks_of,
    parted,
    third_group,
    two_groups,
    without_islands,
)
from pipeline.hearing.levels import FRAME_S, smoothed_levels_db, spans_of
from pipeline.hearing.turns import merged
from pipeline.ports import SpeakerStretch

# Shorter sounds in what the windows take for speech are clicks.
_CLICK_S = 0.06


@dataclass(frozen=True, slots=True)
class Windows:
    """Local voice activity in windows.

    Attributes
    ----------
    voices : ndarray, shape (windows, frames, local voices)
        Probabilities.
    step_s, window_s, duration_s : float
    both : ndarray, shape (windows, frames), optional
        How probably two voices speak at once; the second voice's probability where the model does not say,
        which also counts being unsure which of two voices speaks.
    """

    voices: Array
    step_s: float
    window_s: float
    duration_s: float
    both: Array | None = None

    @property
    def frame_s(self) -> float:
        """Length of one frame."""
        return self.window_s / int(self.voices.shape[1])

    @property
    def frames(self) -> int:
        """Number of frames over the whole recording."""
        return max(round(self.duration_s / self.frame_s), 1)

    def first(self, window: int) -> int:
        """Index of a window's first frame in the recording."""
        return round(window * self.step_s / self.frame_s)


@dataclass(frozen=True, slots=True, eq=False)
class LineLevels:
    """How loud the line is.

    Attributes
    ----------
    level_db, floor_db : ndarray, shape (frames of 10 ms,)
        Level, and the noise when nobody speaks.
    """

    level_db: Array
    floor_db: Array


@dataclass(frozen=True, slots=True, eq=False)
class Embeddings:
    """Voices of stretches.

    Attributes
    ----------
    whole : ndarray, shape (stretches, dimensions)
        Rows of unit length.
    parts : sequence of ndarray, shape (parts, dimensions)
        Of 0.4 s each, every `pipeline.hearing.grouping.PART_STEP_S`, evenly about the stretch's middle.
    """

    whole: NDArray[np.float32]
    parts: Sequence[NDArray[np.float32]]


Embed = Callable[[list[tuple[float, float]]], Embeddings]


def speech_and_overlap(windows: Windows) -> tuple[Array, Array]:
    """Average over the windows how probably anybody speaks, and two at once.

    Returns
    -------
    speech, overlap : ndarray, shape (frames,)
        The middle of a window counts most.
    """
    total, per_window = windows.frames, windows.voices.shape[1]
    one = windows.voices.max(axis=2)
    two = np.sort(windows.voices, axis=2)[:, :, -2] if windows.both is None else windows.both
    sums, seen = np.zeros((2, total)), np.zeros(total)
    weight = np.hanning(per_window + 2)[1:-1] + 1e-3
    for window in range(windows.voices.shape[0]):
        first = windows.first(window)
        end = min(first + per_window, total)
        if end > first:
            size = end - first
            sums[0, first:end] += one[window, :size] * weight[:size]
            sums[1, first:end] += two[window, :size] * weight[:size]
            seen[first:end] += weight[:size]
    sums /= np.maximum(seen, 1e-9)
    return sums[0], sums[1]


def single_voice_stretches(windows: Windows, overlap: Array, *, limits: DiarizeLimits) -> list[Stretch]:
    """Cut the recording into runs of a single voice.

    Each frame is read from the window whose middle is nearest; at the seam between two
    windows a run goes on when it is the same voice by the frames both windows share. A frame in which
    somebody speaks and two hardly do is the likelier voice's, however unsure that is: left out, it would go
    to whoever speaks before or after, and nobody would have listened to it.

    Parameters
    ----------
    windows : Windows
    overlap : ndarray, shape (frames,)
        See `speech_and_overlap`.
    """
    voices, total = windows.voices, windows.frames
    count, per_window, _ = voices.shape
    label = np.full(total, -1, dtype=np.int64)  # window * 8 + voice, -1 silence or overlap
    half = per_window // 2
    step = windows.step_s / windows.frame_s
    seams: dict[int, tuple[int, int]] = {}
    for window in range(count):
        first = windows.first(window)
        begin = 0 if window == 0 else first + half - round(step / 2)
        end = total if window == count - 1 else first + half + round(step / 2)
        begin, end = min(begin, total), min(end, total, first + per_window)
        part = voices[window, begin - first : end - first]
        alone = (part.sum(axis=1) > limits.onset) & (overlap[begin:end] <= limits.handover_onset)
        label[begin:end] = np.where(alone, window * 8 + part.argmax(axis=1), -1)
        if window:
            seams[begin] = (window - 1, window)
    edges = [0, *(np.flatnonzero(np.diff(label)) + 1).tolist(), total]
    runs: list[tuple[int, int, int]] = []
    for begin, end in itertools.pairwise(edges):
        if end <= begin or label[begin] < 0:
            continue
        here = int(label[begin])
        if runs and runs[-1][1] == begin and begin in seams and _same_voice(windows, runs[-1][2], here):
            runs[-1] = (runs[-1][0], end, here)
        else:
            runs.append((begin, end, here))
    most = max(int(limits.most_piece_s / windows.frame_s), 1)
    pieces: list[Stretch] = []
    for begin, end, _ in runs:
        parts = -(-(end - begin) // most)
        cuts = np.linspace(begin, end, parts + 1).round().astype(int)
        pieces.extend(Stretch(int(a), int(b)) for a, b in itertools.pairwise(cuts) if b > a)
    return pieces


def _same_voice(windows: Windows, left: int, right: int) -> bool:
    """Whether two (window, voice) labels of neighbouring windows are one voice in their shared frames."""
    window_a, voice_a = divmod(left, 8)
    window_b, voice_b = divmod(right, 8)
    shift = windows.first(window_b) - windows.first(window_a)
    a = windows.voices[window_a, shift:]
    b = windows.voices[window_b, : len(a)]
    together = a.T @ b
    return bool(together[voice_a].argmax() == voice_b and together[:, voice_b].argmax() == voice_a)


def window_links(windows: Windows, pieces: Sequence[Stretch], *, onset: float) -> tuple[Array, Array]:
    """Sum up, in seconds, what the windows say of each pair of pieces.

    Returns
    -------
    same, other : ndarray, shape (pieces, pieces)
        Symmetric, zero on the diagonal, >= 0: for each window that sees both, the shorter one's
        seconds, shared out between "one voice" and "two voices", averaged over the windows that
        cover a moment.
    """
    count = len(pieces)
    same, other = np.zeros((count, count)), np.zeros((count, count))
    cover = windows.window_s / windows.step_s
    for window in range(windows.voices.shape[0]):
        first = windows.first(window)
        per_window = windows.voices.shape[1]
        seen: list[int] = []
        shares: list[Array] = []
        for index, piece in enumerate(pieces):
            begin, end = max(piece.first - first, 0), min(piece.last - first, per_window)
            if end - begin >= max(0.5 * piece.frames, 1):
                part = windows.voices[window, begin:end]
                seen.append(index)
                shares.append((part * (part > onset)).sum(axis=0) * windows.frame_s)
        if len(seen) < 2:
            continue
        held = np.stack(shares)
        length = np.maximum(held.sum(axis=1), 1e-9)
        share = held / length[:, None]
        alike = share @ share.T
        weight = np.minimum.outer(length, length) / cover
        same[np.ix_(seen, seen)] += alike * weight
        other[np.ix_(seen, seen)] += (1.0 - alike) * weight
    np.fill_diagonal(same, 0.0)
    np.fill_diagonal(other, 0.0)
    return same, other


def party_frames(
    windows: Windows,
    pieces: Sequence[Stretch],
    groups: NDArray[np.int64],
    overlap: Array,
    *,
    limits: DiarizeLimits,
) -> NDArray[np.bool_]:
    """Whose each frame is if anybody speaks in it.

    Where one voice is heard it belongs to the party of its piece, whatever number the window
    gave it: two similar voices often share one. Frames of two voices belong to the two parties
    nearest in time; which frames these are depends on whether the floor changes hands there.

    Parameters
    ----------
    overlap : ndarray, shape (frames,)
        See `speech_and_overlap`.

    Returns
    -------
    ndarray of bool, shape (frames, parties)
    """
    owner = np.full(windows.frames, -1, dtype=np.int64)
    for piece, group in zip(pieces, groups, strict=True):
        owner[piece.first : piece.last] = group
    known = np.flatnonzero(owner >= 0)
    everywhere = np.arange(windows.frames)
    after = np.clip(np.searchsorted(known, everywhere), 0, len(known) - 1)
    before = np.clip(after - 1, 0, len(known) - 1)
    nearer = np.abs(known[before] - everywhere) <= np.abs(known[after] - everywhere)
    held = owner[np.where(nearer, known[before], known[after])]
    count = max(int(groups.max()) + 1, 2)
    parties_of = np.zeros((windows.frames, count), dtype=bool)
    parties_of[everywhere, held] = True
    for begin, end in _runs(overlap > limits.handover_onset):
        parts = [(begin, end)]
        if begin == 0 or end == windows.frames or held[begin - 1] == held[end]:
            inside = _runs(overlap[begin:end] > limits.overlap_onset)
            parts = [(begin + a, begin + b) for a, b in inside]
        for first, last in parts:
            parties_of[first:last, _around(held, first, last, count)] = True
    return parties_of


def heard_frames(
    speech: Array, line: LineLevels, *, frame_s: float, limits: DiarizeLimits
) -> NDArray[np.bool_]:
    """Frames of 10 ms in which somebody speaks, by the windows and by the level together.

    Parameters
    ----------
    speech : ndarray, shape (frames of the windows,)
        How probably anybody speaks.
    frame_s : float, keyword-only
        Length of one of those.
    """
    probable = speech[_frames_at(len(line.level_db), len(speech), frame_s)] > limits.speech_onset
    audible = smoothed_levels_db(line.level_db, 3) > line.floor_db + limits.audible_db
    spans = merged(spans_of(probable & audible), gap_s=limits.edges.close_s)
    spans = [s for s in spans if s[1] - s[0] >= _CLICK_S]
    heard = np.zeros(len(line.level_db), dtype=bool)
    for start_s, end_s in fitted(spans, line.level_db, line.floor_db, limits=limits.edges):
        heard[round(start_s / FRAME_S) : round(end_s / FRAME_S)] = True
    return heard


def _frames_at(count: int, frames: int, frame_s: float) -> NDArray[np.int64]:
    """The windows' frame that holds each of ``count`` frames of 10 ms."""
    middles = (np.arange(count) + 0.5) * FRAME_S
    return np.minimum((middles / frame_s).astype(np.int64), frames - 1)


def _around(owner: NDArray[np.int64], begin: int, end: int, count: int) -> list[int]:
    """Pick the two parties that speak in and nearest around a stretch of overlap."""
    if count == 2:
        return [0, 1]
    wide = end - begin + 600
    near = owner[max(begin - wide, 0) : end + wide]
    distance = np.abs(np.arange(len(near)) - (min(begin, wide) + (end - begin) / 2))
    nearest = [float(distance[near == g].min(initial=np.inf)) for g in range(count)]
    return sorted(np.argsort(nearest, kind="stable")[:2].tolist())


def _runs(active: NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], active.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def parties(
    windows: Windows, embed: Embed, *, limits: DiarizeLimits, line: LineLevels | None = None
) -> list[SpeakerStretch]:
    """Find the speech stretches of the parties of a call.

    Parameters
    ----------
    windows : Windows
    embed : callable
        Spans in seconds → their `Embeddings`.
    line : LineLevels, optional
        Edges and pauses are then those of the sound; else those of the windows, which are coarse.

    Returns
    -------
    list of SpeakerStretch
        Sorted by start; speakers 0 and 1, and 2 when a third voice is clearly there.
    """
    speech, overlap = speech_and_overlap(windows)
    pieces = single_voice_stretches(windows, overlap, limits=limits)
    if not pieces:
        return []
    frame_s = windows.frame_s
    long = [i for i, p in enumerate(pieces) if p.frames * frame_s >= limits.least_piece_s]
    vectors = np.zeros((len(pieces), 1))
    parts: dict[int, Array] = {}
    if long:
        found_voices = embed([(pieces[i].first * frame_s, pieces[i].last * frame_s) for i in long])
        vectors = np.zeros((len(pieces), found_voices.whole.shape[1]))
        vectors[long] = found_voices.whole * np.array([[pieces[i].frames * frame_s] for i in long])
        parts = {i: np.asarray(own, np.float64) for i, own in zip(long, found_voices.parts, strict=True)}
    links, other = window_links(windows, pieces, onset=limits.onset)
    # In place: their number grows with the square of the call's length.
    links *= limits.same_weight
    other *= limits.other_weight
    links -= other
    del other
    blocks = blocks_of(pieces, frame_s, pause_s=limits.block_pause_s)
    groups = two_groups(vectors, links, blocks=blocks, change_cost=limits.change_cost)
    groups = third_group(groups, vectors, links, limits=limits)
    groups = without_islands(groups, vectors, blocks, margin=limits.island_margin)
    pieces, groups = parted(pieces, groups, vectors, parts, frame_s=frame_s, limits=limits)
    active = party_frames(windows, pieces, groups, overlap, limits=limits)
    if line is None:
        active &= (speech > limits.onset)[:, None]
    else:
        heard = heard_frames(speech, line, frame_s=frame_s, limits=limits)
        active = active[_frames_at(len(heard), windows.frames, frame_s)] & heard[:, None]
        frame_s = FRAME_S
    found: list[SpeakerStretch] = []
    for speaker in range(active.shape[1]):
        spans: list[tuple[float, float]] = []
        for begin, end in _runs(active[:, speaker]):
            if spans and begin * frame_s - spans[-1][1] < limits.gap_s:
                spans[-1] = (spans[-1][0], end * frame_s)
            else:
                spans.append((begin * frame_s, end * frame_s))
        found.extend(
            SpeakerStretch(round(a, 3), round(min(b, windows.duration_s), 3), speaker)
            for a, b in spans
            if b - a >= limits.least_s
        )
    return sorted(found)
