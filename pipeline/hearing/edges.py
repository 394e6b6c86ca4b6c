"""Where speech begins, ends and pauses, by what is still heard there.

A detector says roughly where somebody speaks. Fixed margins and a fixed shortest pause then invent as much
as they save: a vowel that is cut off needs no margin, a fading one a long one; half a second in which
somebody breathes is no pause, a quarter of a second as still as the line is one. Both are decided by the
level above the line's own noise.

Conventions
-----------
Spans are ``(start_s, end_s)``, sorted; levels and floors are dB relative to full scale in frames of 10 ms.

Table of contents: `EdgeLimits`, `fitted`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.hearing.levels import FRAME_S, Levels, smoothed_levels_db, spans_of
from pipeline.hearing.turns import merged

Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class EdgeLimits:
    """What belongs to speech around and between its loud parts.

    Attributes
    ----------
    edge_db : float
        Speech begins and ends where the level is this far above the floor.
    before_s, after_s : float
        ... but not farther than this from where it is plainly loud.
    sound_db : float
        Between two stretches, what is this far above the floor is a breath, a consonant, a decaying vowel.
    close_s : float
        Nobody pauses for less: the closure of a stop lasts up to 0.15 s. Where breaths leave no longer
        stillness between two stretches there is no pause.
    pause_s : float
        What lies farther apart has a pause between, whatever is heard there.
    """

    edge_db: float = 3.5
    before_s: float = 0.15
    after_s: float = 0.2
    sound_db: float = 2.0
    close_s: float = 0.2
    pause_s: float = 0.6


def fitted(
    spans: Sequence[Span], levels_db: Levels, floors_db: Levels, *, limits: EdgeLimits | None = None
) -> list[Span]:
    """Fit the edges of spans to the sound and close pauses that are none.

    Parameters
    ----------
    spans : sequence of (start_s, end_s)
        Where speech is plainly heard.
    levels_db, floors_db : ndarray, shape (frames,)
        Level and noise floor.

    Examples
    --------
    >>> levels = np.full(300, -60.0)
    >>> levels[100:150] = levels[190:230] = -20.0  # 0.4 s between, and nothing to be heard
    >>> fitted([(1.02, 1.5), (1.9, 2.3)], levels, np.full(300, -60.0))
    [(0.99, 1.51), (1.89, 2.31)]
    >>> levels[150:190] = -55.0  # the same time, and something is
    >>> fitted([(1.02, 1.5), (1.9, 2.3)], levels, np.full(300, -60.0))
    [(0.99, 2.31)]
    """
    limits = limits or EdgeLimits()
    if not levels_db.size:
        return list(spans)
    above_db = smoothed_levels_db(levels_db, 3) - floors_db
    heard, still = above_db > limits.edge_db, above_db <= limits.sound_db
    result: list[Span] = []
    for start_s, end_s in merged(_widened(span, heard, limits) for span in spans):
        if result and _closed(result[-1][1], start_s, still, limits):
            result[-1] = (result[-1][0], end_s)
        else:
            result.append((start_s, end_s))
    return result


def _widened(span: Span, heard: NDArray[np.bool_], limits: EdgeLimits) -> Span:
    """A span as far as sound goes on before and after it."""
    first, last = round(span[0] / FRAME_S), min(round(span[1] / FRAME_S), len(heard))
    before = heard[max(first - round(limits.before_s / FRAME_S), 0) : first][::-1]
    after = heard[last : last + round(limits.after_s / FRAME_S)]
    begin, end = first - _run(before), last + _run(after)
    return (
        span[0] if begin == first else round(begin * FRAME_S, 4),
        span[1] if end == last else round(end * FRAME_S, 4),
    )


def _run(frames: NDArray[np.bool_]) -> int:
    """Number of true frames at the beginning."""
    return len(frames) if frames.all() else int(frames.argmin())


def _closed(end_s: float, start_s: float, still: NDArray[np.bool_], limits: EdgeLimits) -> bool:
    """Whether the time between two stretches of speech is no pause."""
    if start_s - end_s < limits.close_s:
        return True
    if start_s - end_s >= limits.pause_s:
        return False
    between = spans_of(still[round(end_s / FRAME_S) : round(start_s / FRAME_S)])
    return all(b - a < limits.close_s for a, b in between)
