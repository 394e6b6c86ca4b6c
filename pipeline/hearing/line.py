"""How good the line is: speech-to-noise ratio, clipping, noise, hold music.

Conventions
-----------
Samples are float32 mono at 16 kHz. Levels are dBFS; a ratio is in dB. Spans are
``(start_s, end_s)``. Sounds outside speech only: what is behind somebody's words cannot be
told apart from them here.

Table of contents: `speech_to_noise_db`, `clipped_share`, `tonal_frames`,
`hold_spans`, `background_events`, `complement`.

References
----------
.. [1] 一(三)1: 通话时背景音不可被客户感知.
.. [2] Peeters 2004, spectral flatness and stability as marks of tonal sound.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.hearing.channels import FRAME_S, frame_levels_db, noise_floor_db, smoothed_levels_db, spans_of
from pipeline.hearing.conversation import LineLimits
from pipeline.hearing.turns import merged
from pipeline.ports import SAMPLE_RATE_HZ, Samples
from pipeline.records import Event, Role

Span = tuple[float, float]
_EDGE_S = 0.15
_WINDOW = 1024
_HOP = 512
_STEADY = 4  # frames either side (128 ms) over which a peak must stay
_PEAKS = 12
_TONAL_WINDOW_S = 2.0
_RING_GAP_S = 4.5  # 回铃音 sounds 1 s and pauses 4 s


def complement(spans: Iterable[Span], duration_s: float, *, edge_s: float = 0.0) -> list[Span]:
    """Invert spans, keeping ``edge_s`` away from each.

    Examples
    --------
    >>> complement([(1.0, 2.0)], 4.0, edge_s=0.25)
    [(0.0, 0.75), (2.25, 4.0)]
    """
    result: list[Span] = []
    at = 0.0
    for start_s, end_s in sorted(spans):
        if start_s - edge_s > at:
            result.append((at, start_s - edge_s))
        at = max(at, end_s + edge_s)
    if duration_s > at:
        result.append((at, duration_s))
    return result


def _mask(spans: Iterable[Span], count: int) -> NDArray[np.bool_]:
    mask = np.zeros(count, dtype=bool)
    for start_s, end_s in spans:
        mask[max(round(start_s / FRAME_S), 0) : round(end_s / FRAME_S)] = True
    return mask


def _mean_db(levels_db: NDArray[np.float64]) -> float:
    return float(10.0 * np.log10(np.mean(10.0 ** (levels_db / 10.0))))


def speech_to_noise_db(
    samples: Samples, speech: Sequence[Span], *, others: Sequence[Span] = ()
) -> float | None:
    """Level of the speech over the level between speech.

    Parameters
    ----------
    samples : ndarray, shape (n,)
    speech : sequence of spans
        Of the speaker whose ratio it is.
    others : sequence of spans
        Of anybody else; left out of both levels.

    Returns
    -------
    float or None
        In dB, capped to [-10, 60]. None when there is under 0.3 s of either.

    Notes
    -----
    The noise's power is taken off the speech's. Frames of digital silence (a voice
    gate, comfort silence) say nothing of noise and are left out; when nothing else lies between
    the words the line is as clean as 60 dB.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> sound = rng.normal(0, 0.001, 32000).astype(np.float32)
    >>> sound[8000:24000] += rng.normal(0, 0.1, 16000).astype(np.float32)
    >>> round(speech_to_noise_db(sound, [(0.5, 1.5)]))
    40
    """
    levels = frame_levels_db(samples)
    duration_s = len(levels) * FRAME_S
    voiced = _mask(speech, len(levels)) & ~_mask(others, len(levels))
    between = _mask(complement([*speech, *others], duration_s, edge_s=_EDGE_S), len(levels))
    if voiced.sum() * FRAME_S < 0.3 or between.sum() * FRAME_S < 0.3:
        return None
    quiet = levels[between]
    quiet = quiet[quiet > -90.0]
    if quiet.size * FRAME_S < 0.3:
        return 60.0
    noise = 10.0 ** (_mean_db(np.minimum(quiet, np.percentile(quiet, 90))) / 10.0)
    signal = max(10.0 ** (_mean_db(levels[voiced]) / 10.0) - noise, 1e-12)
    return float(np.clip(10.0 * np.log10(signal / noise), -10.0, 60.0))


def clipped_share(samples: Samples, *, limits: LineLimits) -> float:
    """Share of samples that stand at full scale in runs (in [0, 1]).

    Parameters
    ----------
    samples : ndarray, shape (n,) or (channels, n)

    Notes
    -----
    Measured before resampling where possible: filters round a flattened top off.

    Examples
    --------
    >>> from pipeline.hearing.conversation import load_conversation
    >>> clipped_share(np.ones((1, 100), np.float32), limits=load_conversation().line)
    1.0
    """
    flat = np.atleast_2d(np.asarray(samples))
    total = 0
    for channel in flat:
        full = (np.abs(channel) >= limits.clip_level).astype(np.int8)
        edges = np.flatnonzero(np.diff(np.concatenate([[0], full, [0]])))
        runs = edges[1::2] - edges[::2]
        total += int(runs[runs >= limits.clip_run].sum())
    return total / flat.size if flat.size else 0.0


def tonal_frames(samples: Samples) -> NDArray[np.float64]:
    """How tonal each 32 ms frame is: share of its energy in few narrow peaks that stay where they are.

    Parameters
    ----------
    samples : ndarray, shape (n,)

    Returns
    -------
    ndarray, shape (frames,)
        In [0, 1]. Tones and music are near 1; the harmonics of a voice move and score low.

    Examples
    --------
    >>> time = np.arange(32000) / 16000
    >>> bool(np.median(tonal_frames(np.sin(2 * np.pi * 450 * time).astype(np.float32))) > 0.8)
    True
    >>> hiss = np.random.default_rng(0).normal(0, 0.1, 32000).astype(np.float32)
    >>> bool(np.median(tonal_frames(hiss)) < 0.3)
    True
    """
    if len(samples) < _WINDOW:
        return np.zeros(0)
    frames = np.lib.stride_tricks.sliding_window_view(samples, _WINDOW)[::_HOP]
    band = np.abs(np.fft.rfft(frames * np.hanning(_WINDOW).astype(np.float32), axis=1)[:, 19:220]) ** 2
    padded = np.pad(band, ((_STEADY, _STEADY), (0, 0)), mode="edge")
    steady = np.minimum(np.minimum(padded[: -2 * _STEADY], padded[2 * _STEADY :]), band)
    peaks = np.partition(steady, -_PEAKS, axis=1)[:, -_PEAKS:].sum(axis=1)
    share: NDArray[np.float64] = peaks / (band.sum(axis=1) + 1e-9)
    return share


def hold_spans(samples: Samples, *, limits: LineLimits) -> list[Span]:
    """Hold music, ring-back and tones (彩铃、等待音), even where a detector took them for speech."""
    share = tonal_frames(samples)
    if not share.size:
        return []
    levels = frame_levels_db(samples)
    hop_s = _HOP / SAMPLE_RATE_HZ
    at = np.minimum((np.arange(len(share)) * hop_s / FRAME_S).astype(int), len(levels) - 1)
    loud = smoothed_levels_db(levels)[at] > max(noise_floor_db(levels) + 6.0, -60.0)
    width = int(_TONAL_WINDOW_S / hop_s)
    weight = np.convolve(loud.astype(float), np.ones(width), mode="same")
    mean = np.convolve(np.where(loud, share, 0.0), np.ones(width), mode="same") / np.maximum(weight, 1.0)
    mask = (mean >= limits.tonal_share) & (weight >= 0.3 * width)
    joined: list[Span] = []
    for start_s, end_s in merged(spans_of(mask, frame_s=hop_s), gap_s=1.0):
        quiet = joined and not loud[int(joined[-1][1] / hop_s) : int(start_s / hop_s)].mean() > 0.2
        if quiet and start_s - joined[-1][1] <= _RING_GAP_S:
            joined[-1] = (joined[-1][0], end_s)
        else:
            joined.append((start_s, end_s))
    return [(a, b) for a, b in joined if b - a >= limits.hold_min_s]


def background_events(
    samples: Samples,
    speech: Sequence[Span],
    *,
    limits: LineLimits,
    role: Role | None = None,
    others: Sequence[Span] = (),
) -> tuple[Event, ...]:
    """Noticeable sound outside speech: ``hold`` for music and tones, ``noise`` for anything else.

    Parameters
    ----------
    samples : ndarray, shape (n,)
        One side of the line.
    speech, others : sequence of spans
        Speech of this side, and of anybody else who is heard on it.

    Returns
    -------
    tuple of Event
        Sorted by start. ``confidence`` grows with the level above the floor.
    """
    levels = frame_levels_db(samples)
    duration_s = len(levels) * FRAME_S
    hold = hold_spans(samples, limits=limits)
    between = _mask(complement([*speech, *others, *hold], duration_s, edge_s=_EDGE_S), len(levels))
    spoken = levels[_mask(speech, len(levels))]
    events = [Event("hold", a, b, role) for a, b in hold]
    if between.any() and spoken.size:
        floor = noise_floor_db(levels[between])
        bar = max(floor + limits.noise_above_db, _mean_db(spoken) - limits.noise_below_speech_db)
        smooth = smoothed_levels_db(np.where(between, levels, -100.0))
        for start_s, end_s in merged(spans_of((smooth > bar) & between), gap_s=0.3):
            if end_s - start_s >= limits.noise_min_s:
                part = levels[round(start_s / FRAME_S) : round(end_s / FRAME_S)]
                above = _mean_db(part) - floor
                events.append(
                    Event("noise", start_s, end_s, role, confidence=float(min(0.5 + above / 60.0, 0.95)))
                )
    return tuple(sorted(events, key=lambda e: (e.start_s, e.kind)))
