"""Levels in frames, the noise floor, and runs of frames as spans.

Conventions
-----------
Samples are float32 mono at 16 kHz; frames are 10 ms; levels are dB relative to full scale.

Table of contents: `FRAME_S`, `frame_levels_db`, `noise_floor_db`, `smoothed_levels_db`, `spans_of`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.ports import SAMPLE_RATE_HZ, Samples

Levels = NDArray[np.float64]
Span = tuple[float, float]

FRAME_S = 0.01
_FRAME = int(FRAME_S * SAMPLE_RATE_HZ)
_QUIET_DB = -100.0


def frame_levels_db(samples: Samples) -> Levels:
    """Level of every 10 ms frame.

    Parameters
    ----------
    samples : ndarray, shape (n,)

    Returns
    -------
    ndarray, shape (n // 160,)
        RMS level in dBFS, at least -100.

    Examples
    --------
    >>> frame_levels_db(np.full(320, 0.1, dtype=np.float32)).round(1)
    array([-20., -20.])
    """
    count = len(samples) // _FRAME
    frames = np.asarray(samples[: count * _FRAME]).reshape(count, _FRAME)
    power: NDArray[np.float64] = np.einsum("ij,ij->i", frames, frames).astype(np.float64) / _FRAME
    levels: Levels = 10.0 * np.log10(np.maximum(power, 10.0 ** (_QUIET_DB / 10.0)))
    return levels


def noise_floor_db(levels_db: Levels) -> float:
    """Level of the quietest tenth of the frames that are not digital silence."""
    sounding = levels_db[levels_db > _QUIET_DB + 1.0]
    return float(np.percentile(sounding, 10)) if sounding.size else _QUIET_DB


def smoothed_levels_db(levels_db: Levels, frames: int = 15) -> Levels:
    """Level over a sliding window (energy mean), so that a pause between syllables counts as speech."""
    power = 10.0 ** (levels_db / 10.0)
    kernel = np.ones(frames) / frames
    smoothed: Levels = 10.0 * np.log10(np.maximum(np.convolve(power, kernel, mode="same"), 1e-10))
    return smoothed


def spans_of(mask: NDArray[np.bool_], *, frame_s: float = FRAME_S) -> list[Span]:
    """Turn runs of true frames into (start_s, end_s).

    Examples
    --------
    >>> spans_of(np.array([False, True, True, False]))
    [(0.01, 0.03)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return [
        (round(float(a) * frame_s, 4), round(float(b) * frame_s, 4))
        for a, b in zip(edges[::2], edges[1::2], strict=True)
    ]
