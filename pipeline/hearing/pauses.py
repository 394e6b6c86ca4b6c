"""Short silences inside speech, told by level alone.

A recogniser's word times leave no gaps: a word lasts until the next one begins, and swallows the silence
before it. Whether somebody paused around a word is told by the audio.

Conventions
-----------
Samples are float32 mono at 16 kHz, levels dBFS in frames of 20 ms, times seconds.

Table of contents: `pauses`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.ports import SAMPLE_RATE_HZ, Samples

Span = tuple[float, float]

_FRAME_S = 0.02
_BLOCK = 4096  # frames
# Between the level of the line (0) and that of speech (1): quieter than this is silence.
_QUIET = 0.35
# With less than this between the two, nothing can be called silent.
_LEAST_RANGE_DB = 8.0


def pauses(samples: Samples, spans_s: Sequence[Span], *, min_s: float) -> list[Span]:
    """Find silences of at least ``min_s`` inside and between stretches of one voice's speech.

    Parameters
    ----------
    samples : ndarray of float32, shape (n,)
        The voice's channel.
    spans_s : sequence of (start, end)
        Where it speaks; they set the level of speech.
    min_s : float, keyword-only

    Returns
    -------
    list of (start, end)
        In order of time; empty where speech and line are too much alike.

    Examples
    --------
    >>> tone = np.sin(np.arange(16000) * 0.3).astype(np.float32)
    >>> gap = np.zeros(4800, np.float32)
    >>> call = np.concatenate([tone, gap, tone])
    >>> pauses(call, [(0.0, 2.3)], min_s=0.1)
    [(1.0, 1.3)]
    """
    step = round(_FRAME_S * SAMPLE_RATE_HZ)
    frames = len(samples) // step
    if frames == 0 or not spans_s:
        return []
    rows = samples[: frames * step].reshape(frames, step)
    power = np.empty(frames)
    for at in range(0, frames, _BLOCK):  # squares of a whole call, in double precision, would be many
        power[at : at + _BLOCK] = (rows[at : at + _BLOCK].astype(np.float64) ** 2).mean(axis=1)
    level = 10.0 * np.log10(power + 1e-10)
    inside = np.zeros(frames, dtype=bool)
    for start, end in spans_s:
        inside[int(start / _FRAME_S) : int(np.ceil(end / _FRAME_S))] = True
    speech_db = float(np.percentile(level[inside], 75)) if inside.any() else 0.0
    line_db = float(np.percentile(level, 5))
    if speech_db - line_db < _LEAST_RANGE_DB:
        return []
    quiet = level < line_db + _QUIET * (speech_db - line_db)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], quiet, [False]]).astype(np.int8)))
    return [
        (round(float(a) * _FRAME_S, 3), round(float(b) * _FRAME_S, 3))
        for a, b in zip(edges[::2], edges[1::2], strict=True)
        if (b - a) * _FRAME_S >= min_s - 1e-9
    ]
