"""Which stretches are one voice: two parties, or three, fitted to likeness and to the windows' links.

Conventions
-----------
A piece is a `Stretch` of one voice alone; vectors are unit embeddings times a piece's seconds;
links are symmetric, in seconds, positive for "one voice". Everything is deterministic.

Table of contents: `DiarizeLimits`, `Stretch`, `blocks_of`, `two_groups`, `without_islands`,
`parted`, `third_group`.

References
----------
.. [1] Bansal, Blum, Chawla 2004, "Correlation clustering", Machine Learning 56.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.hearing.edges import EdgeLimits

Array = NDArray[np.float64]
PART_STEP_S = 0.1
_LEAST_PARTS = 3


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
        ``least_piece_s`` are not embedded and follow the windows' links alone. Even 0.2 s of a voice say
        more than those: half the errors of who speaks lay in pieces under 0.4 s while these were left out.
    same_weight, other_weight : float
        Weight of a window's "one voice" and "two voices" against the embeddings. Similar voices often
        share a number, one voice seldom gets two: the second says more.
    block_pause_s, change_cost : float
        Speakers rarely change without a pause of ``block_pause_s``; each time they do, a solution
        loses ``change_cost`` (in seconds of likeness).
    handover_onset, overlap_onset : float
        Probability from which two speak at once where one falls silent and the other goes on, and in the
        midst of what one says. Chosen where the diarization error is least.
    island_margin : float
        See `without_islands`.
    mixed_margin, mixed_cost : float
        See `parted`.
    third_gain, third_likeness, third_least_s : float
        A third voice must raise the mean likeness within groups by ``third_gain``, be no more
        like another than ``third_likeness`` (cosine), and speak for ``third_least_s``.
    relief_gain, relief_likeness, relief_mixed : float
        ... or less of the first two when it relieves another: all but the share ``relief_mixed`` of the one
        lies before all of the other, as after a transfer. Halves of one voice alternate.
    speech_onset, audible_db : float
        Where levels are known: somebody speaks where that is this probable and the level is this far above
        the line's noise. Windows are slow to let go and quick to give up quiet speech; levels are neither.
    edges : EdgeLimits
        ... and what belongs to speech around and between that.
    gap_s, least_s : float
        Pauses of one party shorter than ``gap_s`` are filled; stretches shorter than ``least_s`` dropped.
    """

    step_s: float = 2.5
    onset: float = 0.55
    least_piece_s: float = 0.2
    most_piece_s: float = 1.6
    same_weight: float = 0.01
    other_weight: float = 0.03
    block_pause_s: float = 0.15
    change_cost: float = 0.1
    handover_onset: float = 0.6
    overlap_onset: float = 0.75
    island_margin: float = 0.4
    mixed_margin: float = 0.3
    mixed_cost: float = 0.15
    third_gain: float = 0.031
    third_likeness: float = 0.7
    third_least_s: float = 6.0
    relief_gain: float = 0.024
    relief_likeness: float = 0.77
    relief_mixed: float = 0.05
    speech_onset: float = 0.15
    audible_db: float = 1.5
    edges: EdgeLimits = field(default_factory=lambda: EdgeLimits(edge_db=3.0, sound_db=1.5))
    gap_s: float = 0.1
    least_s: float = 0.1


@dataclass(frozen=True, slots=True)
class Stretch:
    """A run of frames in which one voice is alone, as its nearest window sees it."""

    first: int
    last: int  # one past the end

    @property
    def frames(self) -> int:
        """Length in frames."""
        return self.last - self.first


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
    signed = links.copy()
    np.negative(links, out=signed, where=groups[:, None] != groups[None, :])
    return fit + 0.5 * float(signed.sum())


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


def without_islands(
    groups: NDArray[np.int64], vectors: Array, blocks: NDArray[np.int64], *, margin: float
) -> NDArray[np.int64]:
    """Give a piece in the midst of another's uninterrupted speech to them unless it is plainly not theirs.

    Parameters
    ----------
    margin : float
        A piece stays when it is more like its own group than like the other by this much (cosine).
    """
    result = groups.copy()
    count = int(groups.max(initial=0)) + 1
    sums = np.stack([vectors[groups == g].sum(axis=0) for g in range(count)])
    centres = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-9)
    for index in range(1, len(groups) - 1):
        around = {int(result[index - 1]), int(result[index + 1])}
        inside = blocks[index - 1] == blocks[index] == blocks[index + 1]
        if not inside or len(around) != 1 or int(groups[index]) in around:
            continue
        (other,) = around
        likeness = centres @ vectors[index] / max(float(np.linalg.norm(vectors[index])), 1e-9)
        if likeness[groups[index]] - likeness[other] < margin:
            result[index] = other
    return result


def parted(
    pieces: Sequence[Stretch],
    groups: NDArray[np.int64],
    vectors: Array,
    parts: Mapping[int, Array],
    *,
    frame_s: float,
    limits: DiarizeLimits,
) -> tuple[list[Stretch], NDArray[np.int64]]:
    """Cut pieces in which one party speaks first and another then, where the windows heard no change.

    Parameters
    ----------
    vectors : ndarray, shape (pieces, dimensions)
        See `two_groups`.
    parts : mapping of a piece's index to ndarray, shape (parts, dimensions)
        Unit embeddings of short parts of it, every `PART_STEP_S`, evenly about its middle.
    frame_s : float, keyword-only
        Length of a frame.
    limits : DiarizeLimits, keyword-only
        Looked at are pieces that are more like their own group than like another by less than
        ``mixed_margin`` (cosine). A cut must raise the sum of the parts' likeness to whose they are
        by ``mixed_cost``.

    Returns
    -------
    pieces : list of Stretch
    groups : ndarray of int

    Examples
    --------
    >>> one, other = np.eye(2)
    >>> vectors = np.array([one, one + other, other])
    >>> heard = {1: np.array([one, one, one, other])}
    >>> pieces = [Stretch(0, 100), Stretch(100, 200), Stretch(200, 300)]
    >>> limits = DiarizeLimits()
    >>> cut, groups = parted(pieces, np.array([0, 0, 1]), vectors, heard, frame_s=0.01, limits=limits)
    >>> [(p.first, p.last) for p in cut], groups.tolist()
    ([(0, 100), (100, 160), (160, 200), (200, 300)], [0, 0, 1, 1])
    """
    sums = np.stack([vectors[groups == g].sum(axis=0) for g in range(int(groups.max()) + 1)])
    centres = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-9)
    found: list[Stretch] = []
    whose: list[int] = []
    for index, (piece, own) in enumerate(zip(pieces, groups.tolist(), strict=True)):
        likeness = centres @ vectors[index] / max(float(np.linalg.norm(vectors[index])), 1e-9)
        best = limits.mixed_cost
        cut: tuple[int, int, int] | None = None
        heard = parts.get(index, np.zeros((0, 1)))
        for other in (g for g in range(len(centres)) if g != own):
            if len(heard) < _LEAST_PARTS or likeness[own] - likeness[other] >= limits.mixed_margin:
                continue
            before = np.cumsum(heard @ (centres[other] - centres[own]))
            for gains, first, last in ((before, other, own), (before[-1] - before, own, other)):
                at = int(gains[:-1].argmax())
                if gains[at] > best:
                    best, cut = float(gains[at]), (at + 1, first, last)
        if cut is None:
            found.append(piece)
            whose.append(own)
            continue
        middle = (piece.first + piece.last) / 2.0
        at = round(middle + (cut[0] - len(heard) / 2.0) * PART_STEP_S / frame_s)
        at = min(max(at, piece.first + 1), piece.last - 1)
        found += [Stretch(piece.first, at), Stretch(at, piece.last)]
        whose += cut[1:]
    return found, np.array(whose, dtype=np.int64)


def third_group(
    groups: NDArray[np.int64], vectors: Array, links: Array, *, limits: DiarizeLimits
) -> NDArray[np.int64]:
    """Take a third voice out of two groups if one is clearly there (a transfer, a family member).

    Parameters
    ----------
    groups : ndarray of int, shape (pieces,)
        From `two_groups`.

    Returns
    -------
    ndarray of int, shape (pieces,)
        0, 1 and 2, or ``groups`` unchanged: a third voice must raise the likeness within groups
        markedly, be unlike both others, and speak for a while. One that begins where another ends
        has to do less of the first two: chance does not sort the halves of a voice by time.
    """
    weight = np.linalg.norm(vectors, axis=1)
    best, best_value = groups, -np.inf
    for split in (0, 1):
        inside = np.flatnonzero(groups == split)
        if len(inside) < 4:
            continue
        halves = two_groups(vectors[inside], links[np.ix_(inside, inside)])
        trial = groups.copy()
        trial[inside[halves == 1]] = 2
        trial = _climb(trial, vectors, links, 3)
        value = _objective(trial, vectors, links)
        if value > best_value:
            best, best_value = trial, value
    sums = np.stack([vectors[best == g].sum(axis=0) for g in range(3)])
    norms = np.linalg.norm(sums, axis=1)
    spoken = [float(weight[best == g].sum()) for g in range(3)]
    if min(spoken) < limits.third_least_s or norms.min() <= 0.0:
        return groups
    likeness = (sums @ sums.T) / np.outer(norms, norms)
    gain = (best_value - _objective(groups, vectors, links)) / float(weight.sum())
    most_alike = float(likeness[np.triu_indices(3, 1)].max())
    if most_alike <= limits.third_likeness and gain >= limits.third_gain:
        return best
    if most_alike <= limits.relief_likeness and gain >= limits.relief_gain:
        shares = [_mixed(weight * (best == a), weight * (best == b)) for a, b in ((0, 1), (0, 2), (1, 2))]
        return best if min(shares) <= limits.relief_mixed else groups
    return groups


def _mixed(one: Array, other: Array) -> float:
    """Share of the shorter voice that is out of order when one is heard before the other, or after it."""
    a, b = np.r_[0.0, np.cumsum(one)], np.r_[0.0, np.cumsum(other)]
    wrong = min(float((a[-1] - a + b).min()), float((b[-1] - b + a).min()))
    return wrong / min(float(a[-1]), float(b[-1]))


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
