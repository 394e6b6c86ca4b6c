"""Pack stretches of speech into the 30 s windows that Whisper hears, and map times back.

Conventions
-----------
Seconds everywhere. A *piece* is a continuous stretch of the recording; a *window* is a row of pieces laid
end to end, so that silence between turns costs nothing. Pure arithmetic; no model is needed.

Table of contents: `Piece`, `Window`, `pack`, `uncovered`, `gather`, `quietest`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.ports import SAMPLE_RATE_HZ, Samples

Quietest = Callable[[float, float], float]

_END_SLACK_S = 0.04
_BLOCK = 1024  # frames whose squares are in memory at once
# Even windows: not shorter than this, and so much wider at each try.
_SHORT_S, _WIDER = 12.0, 1.06


@dataclass(frozen=True, slots=True)
class Piece:
    """Recording time ``start_s`` to ``end_s``, which begins ``at_s`` into its window."""

    start_s: float
    end_s: float
    at_s: float = 0.0

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.end_s - self.start_s


@dataclass(frozen=True, slots=True)
class Window:
    """Pieces in order; together at most one window of the model."""

    pieces: tuple[Piece, ...]

    @property
    def duration_s(self) -> float:
        """Length of all pieces together."""
        return sum(piece.duration_s for piece in self.pieces)

    def place(self, start_s: float, end_s: float) -> tuple[int, float, float]:
        """Map a stretch of window time to (piece, start, end) of the recording, inside that piece.

        Examples
        --------
        >>> window = Window((Piece(10.0, 12.0, 0.0), Piece(20.0, 21.0, 2.0)))
        >>> window.place(2.2, 2.4) == (1, 20.2, 20.4)
        True
        """
        # A word after a cut-out silence is said to begin inside the silence, so its end tells the piece.
        decisive = max(end_s - _END_SLACK_S, (start_s + end_s) / 2)
        index = 0
        for number, piece in enumerate(self.pieces):
            if piece.at_s <= decisive:
                index = number
        piece = self.pieces[index]
        shift = piece.start_s - piece.at_s
        start = min(max(start_s + shift, piece.start_s), piece.end_s)
        end = min(max(end_s + shift, start), piece.end_s)
        return index, round(start, 3), round(end, 3)

    def stretch(self, start_s: float, end_s: float, *, edge_s: float) -> tuple[float, float] | None:
        """Where a stretch of the recording lies in the window; None if not within ``edge_s`` of one piece.

        Examples
        --------
        >>> window = Window((Piece(10.0, 12.0, 0.0), Piece(20.0, 21.0, 2.0)))
        >>> window.stretch(20.25, 20.75, edge_s=0.1), window.stretch(11.0, 21.0, edge_s=0.1)
        ((2.25, 2.75), None)
        """
        for piece in self.pieces:
            if piece.start_s - edge_s <= start_s and end_s <= piece.end_s + edge_s:
                shift = piece.at_s - piece.start_s
                return max(start_s, piece.start_s) + shift, min(end_s, piece.end_s) + shift
        return None


def pack(
    spans_s: Sequence[tuple[float, float]],
    duration_s: float,
    *,
    longest_s: float = 29.0,
    pad_s: float = 0.2,
    join_s: float = 0.6,
    quietest: Quietest | None = None,
    even: bool = False,
) -> list[Window]:
    """Lay spans of speech into windows.

    Parameters
    ----------
    spans_s : sequence of (start, end)
        May touch, overlap or leave the recording; they are cleaned.
    duration_s : float
        Of the recording.
    longest_s : float, keyword-only
        Longest window; longer spans are cut at their quietest place.
    pad_s : float
        Air left before and after each span, at most half the gap to the next.
    join_s : float
        Spans closer than this stay one continuous piece, pause included.
    quietest : callable (start, end) -> time, optional
        Where to cut within a stretch; the middle if not given.
    even : bool
        Make windows about equally long instead of filling one after the other: no more of them, and none
        that is mostly empty.

    Returns
    -------
    list of Window
        In order of time; every second of every span is in exactly one window.
    """
    choose = quietest or (lambda start, end: (start + end) / 2)
    pieces = _pieces(spans_s, duration_s, pad_s, join_s)
    filled = _fill(pieces, longest_s, choose)
    if not even or len(filled) < 2:
        return filled
    limit_s = max(_SHORT_S, sum(end - start for start, end in pieces) / len(filled))
    while limit_s < longest_s:
        limit_s *= _WIDER
        tried = _fill(pieces, min(limit_s, longest_s), choose)
        if len(tried) <= len(filled):
            return tried
    return filled


def _fill(pieces: Sequence[tuple[float, float]], longest_s: float, quietest: Quietest) -> list[Window]:
    windows: list[Window] = []
    row: list[Piece] = []
    filled = 0.0
    for start, end in _split(pieces, longest_s, quietest):
        if row and filled + end - start > longest_s:
            windows.append(Window(tuple(row)))
            row, filled = [], 0.0
        row.append(Piece(start, end, filled))
        filled += end - start
    if row:
        windows.append(Window(tuple(row)))
    return windows


def _pieces(
    spans_s: Sequence[tuple[float, float]], duration_s: float, pad_s: float, join_s: float
) -> list[tuple[float, float]]:
    clean = sorted((max(0.0, a), min(duration_s, b)) for a, b in spans_s)
    joined: list[list[float]] = []
    for start, end in clean:
        if end <= start:
            continue
        if joined and start - joined[-1][1] <= join_s:
            joined[-1][1] = max(joined[-1][1], end)
        else:
            joined.append([start, end])
    padded = []
    for index, (start, end) in enumerate(joined):
        before = joined[index - 1][1] if index else -duration_s
        after = joined[index + 1][0] if index + 1 < len(joined) else 2 * duration_s
        left = max(0.0, start - min(pad_s, (start - before) / 2))
        right = min(duration_s, end + min(pad_s, (after - end) / 2))
        padded.append((left, right))
    return padded


def _split(
    pieces: Sequence[tuple[float, float]], longest_s: float, quietest: Quietest
) -> list[tuple[float, float]]:
    parts = []
    for start, end in pieces:
        at = start
        while end - at > longest_s:
            cut = min(max(quietest(at + longest_s / 2, at + longest_s), at + longest_s / 2), at + longest_s)
            parts.append((at, cut))
            at = cut
        parts.append((at, end))
    return parts


def uncovered(
    spans_s: Sequence[tuple[float, float]],
    words_s: Sequence[tuple[float, float]],
    *,
    hole_s: float,
    empty_s: float,
    reach_s: float = 0.25,
) -> list[tuple[float, float]]:
    """Find speech for which no text was written.

    Parameters
    ----------
    spans_s : sequence of (start, end)
        Where somebody speaks.
    words_s : sequence of (start, end)
        Where words were recognised; each covers ``reach_s`` to either side as well.
    hole_s : float, keyword-only
        Shortest hole between words.
    empty_s : float
        Shortest span that counts when it holds no word at all.

    Examples
    --------
    >>> uncovered([(0.0, 5.0), (6.0, 6.7)], [(0.0, 1.0), (4.0, 5.0)], hole_s=1.2, empty_s=0.5)
    [(1.25, 3.75), (6.0, 6.7)]
    """
    covered = sorted((start - reach_s, end + reach_s) for start, end in words_s)
    holes = []
    for start, end in sorted(spans_s):
        at, least = start, hole_s
        inside = [(a, b) for a, b in covered if b > start and a < end]
        if not inside:
            least = empty_s
        for a, b in inside:
            if a - at >= least:
                holes.append((round(at, 3), round(a, 3)))
            at = max(at, b)
        if end - at >= least:
            holes.append((round(at, 3), round(end, 3)))
    return holes


def gather(samples: Samples, window: Window) -> Samples:
    """Cut the pieces of a window out of the recording and lay them end to end."""
    cuts = [
        samples[round(piece.start_s * SAMPLE_RATE_HZ) : round(piece.end_s * SAMPLE_RATE_HZ)]
        for piece in window.pieces
    ]
    return np.concatenate(cuts) if cuts else np.zeros(0, np.float32)


def quietest(samples: Samples, *, frame_s: float = 0.1) -> Quietest:
    """Make a function that finds the quietest ``frame_s`` of a stretch of this recording."""
    step = round(frame_s * SAMPLE_RATE_HZ)
    frames = len(samples) // step
    rows = samples[: frames * step].reshape(frames, step)
    energy = np.empty(frames, samples.dtype)
    for at in range(0, frames, _BLOCK):
        energy[at : at + _BLOCK] = (rows[at : at + _BLOCK] ** 2).mean(axis=1)

    def choose(start_s: float, end_s: float) -> float:
        low, high = int(start_s / frame_s), int(end_s / frame_s)
        if high <= low or low >= frames:
            return (start_s + end_s) / 2
        return (low + int(energy[low:high].argmin()) + 0.5) * frame_s

    return choose
