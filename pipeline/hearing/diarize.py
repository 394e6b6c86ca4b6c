"""From local voices in overlapping windows to the two parties of a call.

A segmentation model tells up to three voices apart inside 10 s, but numbers them anew in
each window. Neighbouring windows share most of their audio, so they mostly settle among
themselves which voice is which; voice embeddings settle the rest, and what lies far
apart. Both kinds of evidence are put into one objective over *stretches* (runs of one voice
alone), each embedded once, and two parties are fitted to it.

Conventions
-----------
Times in seconds; activations are probabilities of shape (windows, frames, voices).

Table of contents: `DiarizeLimits`, `Windows`, `Stretch`, `single_voice_stretches`,
`window_links`, `blocks_of`, `two_groups`, `speech_and_overlap`, `party_frames`, `parties`.

References
----------
.. [1] Bredin 2023, "pyannote.audio 2.1 speaker diarization pipeline", Interspeech.
.. [2] Plaquet & Bredin 2023, "Powerset multi-class cross entropy loss for neural speaker
   diarization", Interspeech.
.. [3] Bansal, Blum, Chawla 2004, "Correlation clustering", Machine Learning 56.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.ports import SpeakerStretch

Array = NDArray[np.float64]
Embed = Callable[[list[tuple[float, float]]], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class DiarizeLimits:
    """How the parties of a call are told apart.

    Attributes
    ----------
    step_s : float
        Step of the 10 s windows.
    onset : float
        Probability from which a voice is active.
    least_piece_s, most_piece_s : float
        Stretches are cut into pieces of at most ``most_piece_s`` for embedding; shorter than
        ``least_piece_s`` are not embedded and follow the windows' links alone.
    same_weight, other_weight : float
        Weight of a window's "one voice" and "two voices" against the embeddings. Similar voices often
        share a number, one voice seldom gets two: the second says more.
    block_pause_s, change_cost : float
        Speakers rarely change without a pause of ``block_pause_s``; each time they do, a solution
        loses ``change_cost`` (in seconds of likeness).
    overlap_onset : float
        Probability from which two speak at once.
    gap_s, least_s : float
        Pauses of one party shorter than ``gap_s`` are filled; stretches shorter than ``least_s`` dropped.
    """

    step_s: float = 2.5
    onset: float = 0.55
    least_piece_s: float = 0.4
    most_piece_s: float = 1.6
    same_weight: float = 0.01
    other_weight: float = 0.03
    block_pause_s: float = 0.15
    change_cost: float = 0.1
    overlap_onset: float = 0.75
    gap_s: float = 0.1
    least_s: float = 0.1


@dataclass(frozen=True, slots=True)
class Windows:
    """Local voice activity in windows.

    Attributes
    ----------
    voices : ndarray, shape (windows, frames, local voices)
        Probabilities.
    step_s, window_s, duration_s : float
    """

    voices: Array
    step_s: float
    window_s: float
    duration_s: float

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


@dataclass(frozen=True, slots=True)
class Stretch:
    """A run of frames in which one voice is alone, as its nearest window sees it."""

    first: int
    last: int  # one past the end

    @property
    def frames(self) -> int:
        """Length in frames."""
        return self.last - self.first


def single_voice_stretches(windows: Windows, *, limits: DiarizeLimits) -> list[Stretch]:
    """Cut the recording into runs of a single voice.

    Each frame is read from the window whose middle is nearest; at the seam between two
    windows a run goes on when it is the same voice by the frames both windows share.
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
        active = part > limits.onset
        alone = active.sum(axis=1) == 1
        label[begin:end] = np.where(alone, window * 8 + active.argmax(axis=1), -1)
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


def blocks_of(pieces: Sequence[Stretch], frame_s: float, *, pause_s: float) -> NDArray[np.int64]:
    """Number pieces by what no pause of ``pause_s`` interrupts: mostly one speaker, not always.

    Examples
    --------
    >>> blocks_of([Stretch(0, 50), Stretch(50, 90), Stretch(140, 190)], 0.01, pause_s=0.15).tolist()
    [0, 0, 1]
    """
    gaps = [0.0, *((b.first - a.last) * frame_s for a, b in itertools.pairwise(pieces))]
    return np.cumsum(np.array(gaps) > pause_s).astype(np.int64)


def _changes(groups: NDArray[np.int64], blocks: NDArray[np.int64]) -> int:
    """Changes of speaker without a pause."""
    return int(((groups[1:] != groups[:-1]) & (blocks[1:] == blocks[:-1])).sum())


def _objective(groups: NDArray[np.int64], vectors: Array, links: Array) -> float:
    fit = sum(float(np.linalg.norm(vectors[groups == g].sum(axis=0))) for g in np.unique(groups))
    signs = groups[:, None] == groups[None, :]
    return fit + 0.5 * float(np.where(signs, links, -links).sum())


def _climb(groups: NDArray[np.int64], vectors: Array, links: Array, wanted: int = 2) -> NDArray[np.int64]:
    """Move one piece at a time to the group that raises the objective most, until none does."""
    groups = groups.copy()
    count = len(groups)
    for _ in range(60):
        moved = False
        sums = np.stack([vectors[groups == g].sum(axis=0) for g in range(wanted)])
        pull = np.stack([links[:, groups == g].sum(axis=1) for g in range(wanted)], axis=1)
        for index in range(count):
            own = int(groups[index])
            vector = vectors[index]
            rest = sums[own] - vector
            norms = np.linalg.norm(sums, axis=1)
            gain = np.linalg.norm(sums + vector, axis=1) - norms
            gain[own] = norms[own] - np.linalg.norm(rest)
            total = gain + 2.0 * pull[index]
            best = int(total.argmax())
            if best != own and total[best] > total[own] + 1e-9:
                sums[own], sums[best] = rest, sums[best] + vector
                pull[:, own] -= links[:, index]
                pull[:, best] += links[:, index]
                groups[index] = best
                moved = True
        if not moved:
            break
    return groups


def two_groups(
    vectors: Array,
    links: Array,
    *,
    blocks: NDArray[np.int64] | None = None,
    change_cost: float = 0.0,
) -> NDArray[np.int64]:
    """Split pieces into two groups so that voices agree within a group and windows are obeyed.

    Parameters
    ----------
    vectors : ndarray, shape (pieces, dimensions)
        Unit embeddings times the weight of each piece; zero for a piece without one.
    links : ndarray, shape (pieces, pieces)
        See `window_links`, already weighted: positive for "one voice".
    blocks : ndarray of int, shape (pieces,), optional
        See `blocks_of`. Whole blocks are tried as starts, and among nearly equal solutions the one
        that changes speakers less often without a pause wins.
    change_cost : float
        What such a change costs, in the objective's seconds.

    Returns
    -------
    ndarray of int, shape (pieces,)
        0 or 1. The same input always gives the same answer: starts are fixed, the best one wins.

    Notes
    -----
    A voice at the start of a phrase differs from itself at the end, by as much as two similar voices
    differ. Splitting every phrase in half can then fit the embeddings as well as the truth does.
    """
    count = len(vectors)
    if count <= 1:
        return np.zeros(count, dtype=np.int64)
    starts = _spectral_starts(vectors, links)
    if blocks is not None:
        size = int(blocks.max()) + 1
        member = (blocks[None, :] == np.arange(size)[:, None]).astype(np.float64)
        together, between = member @ vectors, member @ links @ member.T
        np.fill_diagonal(between, 0.0)
        solved = [_climb(start, together, between) for start in _spectral_starts(together, between)]
        starts.extend(groups[blocks] for groups in solved)
    found = [_climb(start, vectors, links) for start in starts]
    values = [_objective(groups, vectors, links) for groups in found]
    if blocks is not None:
        values = [v - change_cost * _changes(g, blocks) for v, g in zip(values, found, strict=True)]
    return found[int(np.argmax(values))]


def _spectral_starts(vectors: Array, links: Array) -> list[NDArray[np.int64]]:
    """First guesses: signs of the leading directions of links and likeness."""
    centred = vectors - vectors.mean(axis=0)
    affinity = vectors @ vectors.T + links
    np.fill_diagonal(affinity, 0.0)
    starts: list[NDArray[np.int64]] = []
    for matrix in (links, affinity, centred @ centred.T + links, centred @ centred.T):
        _, columns = np.linalg.eigh((matrix + matrix.T) / 2.0)
        starts.extend((columns[:, -k] > 0).astype(np.int64) for k in (1, 2) if len(vectors) >= k)
    return starts


def speech_and_overlap(windows: Windows) -> tuple[Array, Array]:
    """Average over the windows how probably anybody speaks, and two at once.

    Returns
    -------
    speech, overlap : ndarray, shape (frames,)
        The middle of a window counts most.
    """
    total, per_window = windows.frames, windows.voices.shape[1]
    ordered = np.sort(windows.voices, axis=2)
    sums, seen = np.zeros((2, total)), np.zeros(total)
    weight = np.hanning(per_window + 2)[1:-1] + 1e-3
    for window in range(windows.voices.shape[0]):
        first = windows.first(window)
        end = min(first + per_window, total)
        if end > first:
            size = end - first
            sums[0, first:end] += ordered[window, :size, -1] * weight[:size]
            sums[1, first:end] += ordered[window, :size, -2] * weight[:size]
            seen[first:end] += weight[:size]
    sums /= np.maximum(seen, 1e-9)
    return sums[0], sums[1]


def party_frames(
    windows: Windows, pieces: Sequence[Stretch], groups: NDArray[np.int64], *, limits: DiarizeLimits
) -> NDArray[np.bool_]:
    """Frames in which each party speaks.

    Where one voice is heard it belongs to the party of its piece, whatever number the window
    gave it: two similar voices often share one. Frames of two voices belong to both parties.

    Returns
    -------
    ndarray of bool, shape (frames, 2)
    """
    speech, overlap = speech_and_overlap(windows)
    owner = np.full(windows.frames, -1, dtype=np.int64)
    for piece, group in zip(pieces, groups, strict=True):
        owner[piece.first : piece.last] = group
    known = np.flatnonzero(owner >= 0)
    everywhere = np.arange(windows.frames)
    after = np.clip(np.searchsorted(known, everywhere), 0, len(known) - 1)
    before = np.clip(after - 1, 0, len(known) - 1)
    nearer = np.abs(known[before] - everywhere) <= np.abs(known[after] - everywhere)
    owner = owner[np.where(nearer, known[before], known[after])]
    active = np.zeros((windows.frames, 2), dtype=bool)
    active[everywhere, owner] = speech > limits.onset
    both = overlap > limits.overlap_onset
    active[both] = True
    return active


def _runs(active: NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], active.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def parties(windows: Windows, embed: Embed, *, limits: DiarizeLimits) -> list[SpeakerStretch]:
    """Speech stretches of the two parties of a call.

    Parameters
    ----------
    windows : Windows
    embed : callable
        Spans in seconds → unit embeddings, shape (spans, dimensions).

    Returns
    -------
    list of SpeakerStretch
        Sorted by start. One party only when only one voice is heard.
    """
    pieces = single_voice_stretches(windows, limits=limits)
    if not pieces:
        return []
    frame_s = windows.frame_s
    long = [i for i, p in enumerate(pieces) if p.frames * frame_s >= limits.least_piece_s]
    vectors = np.zeros((len(pieces), 1))
    if long:
        places = [(pieces[i].first * frame_s, pieces[i].last * frame_s) for i in long]
        embedded = np.asarray(embed(places), dtype=np.float64)
        vectors = np.zeros((len(pieces), embedded.shape[1]))
        vectors[long] = embedded * np.array([[pieces[i].frames * frame_s] for i in long])
    same, other = window_links(windows, pieces, onset=limits.onset)
    links = limits.same_weight * same - limits.other_weight * other
    blocks = blocks_of(pieces, frame_s, pause_s=limits.block_pause_s)
    groups = two_groups(vectors, links, blocks=blocks, change_cost=limits.change_cost)
    active = party_frames(windows, pieces, groups, limits=limits)
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
