"""How good the line is: speech-to-noise ratio, clipping, noise, hold music.

Conventions
-----------
Samples are float32 mono at 16 kHz. Levels are dBFS; a ratio is in dB. Spans are
``(start_s, end_s)``. Sounds outside speech only: what is behind somebody's words cannot be
told apart from them here.

Table of contents: `speech_to_noise_db`, `clipped_share`, `hold_spans`, `background_events`, `complement`.

References
----------
.. [1] 一(三)1: 通话时背景音不可被客户感知.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.hearing.conversation import HoldLimits, LineLimits
from pipeline.hearing.hold import held_sounds
from pipeline.hearing.levels import FRAME_S, frame_levels_db, noise_floor_db, smoothed_levels_db, spans_of
from pipeline.hearing.turns import merged
from pipeline.ports import Samples
from pipeline.records import Event, Role

Span = tuple[float, float]
_EDGE_S = 0.15


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


_CODEC_PEAK = {"mulaw": 32124 / 32768, "alaw": 32256 / 32768}
"""Largest value of the telephone codecs, as a share of full scale (ITU-T G.711)."""


def clipped_share(samples: Samples, *, limits: LineLimits, codec: str = "") -> float:
    """Share of samples that stand at full scale in runs (in [0, 1]).

    Parameters
    ----------
    samples : ndarray, shape (n,) or (channels, n)
    codec : str
        ``container/coding`` of the recording: the telephone codecs flatten a peak below 1.0.

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
    level = limits.clip_level * _CODEC_PEAK.get(codec.rpartition("/")[2], 1.0)
    total = 0
    for channel in flat:
        full = (channel >= level) | (channel <= -level)
        edges = np.flatnonzero(np.diff(full, prepend=False, append=False))
        runs = edges[1::2] - edges[::2]
        total += int(runs[runs >= limits.clip_run].sum())
    return total / flat.size if flat.size else 0.0


def hold_spans(samples: Samples, *, limits: HoldLimits) -> list[Span]:
    """Hold music, ring-back and tones (彩铃、等待音), even where a detector took them for speech."""
    return [(held.start_s, held.end_s) for held in held_sounds(samples, limits=limits)]


def background_events(
    samples: Samples,
    speech: Sequence[Span],
    *,
    limits: LineLimits,
    hold_limits: HoldLimits,
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
        Sorted by start. ``text`` of a hold says what it is (`pipeline.hearing.hold`); the ``confidence`` of
        noise grows with the level above the floor.
    """
    levels = frame_levels_db(samples)
    duration_s = len(levels) * FRAME_S
    hold = held_sounds(samples, limits=hold_limits)
    away = [*speech, *others, *((held.start_s, held.end_s) for held in hold)]
    between = _mask(complement(away, duration_s, edge_s=_EDGE_S), len(levels))
    spoken = levels[_mask(speech, len(levels))]
    events = [Event("hold", held.start_s, held.end_s, role, held.kind) for held in hold]
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
