"""How a turn sounds: loudness and pitch, and whether the customer is agitated.

Loudness and pitch are measured on the frames in which a turn is really voiced, and judged
against the same speaker's other turns: telephones differ by 20 dB and voices by an octave,
so absolute values mean little.

Conventions
-----------
Loudness in dBFS, pitch in Hz, intervals in semitones. ``None`` = not measurable.

Table of contents: `loudness_db`, `pitch_hz`, `with_prosody`, `agitation`.

References
----------
.. [1] de Cheveigné & Kawahara 2002, YIN.
.. [2] Scherer 2003, Vocal communication of emotion: anger raises level and pitch together.
"""

from __future__ import annotations

import fcntl
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from statistics import median
from typing import Any

import numpy as np

from pipeline.hearing.conversation import AgitationLimits
from pipeline.hearing.levels import FRAME_S, frame_levels_db
from pipeline.ports import SAMPLE_RATE_HZ, Samples
from pipeline.records import Event, Role, Turn

_PITCH_RATE_HZ = 8_000
_PITCH_HOP = 160
_PITCH_FRAME = 512
_LOWEST_HZ, _HIGHEST_HZ = 65.0, 420.0
_MOST_S = 4.0
_ACTIVE_BELOW_PEAK_DB = 20.0


def loudness_db(samples: Samples) -> float | None:
    """Active speech level: mean power of the frames within 20 dB of the loud ones.

    Examples
    --------
    >>> loudness_db(np.concatenate([np.full(1600, 0.1), np.zeros(1600)]).astype(np.float32))
    -20.0
    """
    levels = frame_levels_db(samples)
    if not levels.size:
        return None
    peak = float(np.percentile(levels, 95))
    if peak < -80.0:
        return None
    active = levels[levels >= peak - _ACTIVE_BELOW_PEAK_DB]
    return round(float(10.0 * np.log10(np.mean(10.0 ** (active / 10.0)))), 2)


@cache
def _yin() -> Callable[..., Any]:
    """Import librosa's YIN, one process at a time: the first import compiles and fills numba's cache.

    Two processes that fill it at once can leave halves that do not fit; every later process then dies on
    a null pointer (numba issue 10128).
    """
    (package,) = find_spec("librosa").submodule_search_locations  # type: ignore[union-attr, misc]
    descriptor = os.open(package, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        from librosa import yin
    finally:
        os.close(descriptor)
    return yin


def pitch_hz(samples: Samples) -> float | None:
    """Median fundamental frequency over the voiced frames of at most 4 s around the middle.

    Returns
    -------
    float or None
        65 to 420 Hz; None without enough voiced frames.

    Examples
    --------
    >>> time = np.arange(16000) / 16000
    >>> buzz = sum(np.sin(2 * np.pi * 150 * h * time) / h for h in range(1, 8))
    >>> round(pitch_hz((0.1 * buzz).astype(np.float32)))
    150
    """
    yin = _yin()
    most = int(_MOST_S * SAMPLE_RATE_HZ)
    spare = max((len(samples) - most) // 2, 0)
    part = samples[spare : spare + most]
    # Every second sample is enough below 420 Hz once pairs are averaged (a short low-pass).
    halved = (part[: len(part) // 2 * 2].reshape(-1, 2)).mean(axis=1)
    if len(halved) < 2 * _PITCH_FRAME:
        return None
    track = yin(
        halved,
        fmin=_LOWEST_HZ,
        fmax=_HIGHEST_HZ,
        sr=_PITCH_RATE_HZ,
        frame_length=_PITCH_FRAME,
        hop_length=_PITCH_HOP,
        center=False,
    )
    frames = np.lib.stride_tricks.sliding_window_view(halved, _PITCH_FRAME)[::_PITCH_HOP][: len(track)]
    power = 10.0 * np.log10(np.mean(frames.astype(np.float64) ** 2, axis=1) + 1e-10)
    voiced = (
        (power > np.percentile(power, 95) - 15.0) & (track > _LOWEST_HZ * 1.05) & (track < _HIGHEST_HZ * 0.95)
    )
    if voiced.sum() < 8:
        return None
    return round(float(np.median(track[voiced])), 1)


def with_prosody(turn: Turn, samples: Samples) -> Turn:
    """Fill in a turn's loudness and pitch from its speaker's channel."""
    part = samples[round(turn.start_s * SAMPLE_RATE_HZ) : round(turn.end_s * SAMPLE_RATE_HZ)]
    if len(part) < int(FRAME_S * SAMPLE_RATE_HZ):
        return turn
    return replace(turn, loudness_db=loudness_db(part), pitch_hz=pitch_hz(part))


def _spread(values: Sequence[float], centre: float, least: float) -> float:
    """Robust standard deviation (1.4826 × median absolute deviation), at least ``least``."""
    return max(1.4826 * median(abs(v - centre) for v in values), least)


def agitation(
    turns: Sequence[Turn], *, limits: AgitationLimits, role: Role = "customer"
) -> tuple[Event, ...]:
    """Find turns in which a speaker is much louder and higher than in their own calm ones.

    Parameters
    ----------
    turns : sequence of Turn
        With ``loudness_db`` and ``pitch_hz``.
    role : {"customer", "agent"}

    Returns
    -------
    tuple of Event
        ``confidence`` in (0.5, 1), growing with the rise. Empty when the speaker has too few
        turns to have a baseline: whoever is angry from the first word to the last is found
        by words only.

    Examples
    --------
    >>> from pipeline.hearing.conversation import load_conversation
    >>> said = [Turn("customer", 5.0 * i, 5.0 * i + 3, "好", "", "", 1.0, (), -25.0, 180.0) for i in range(5)]
    >>> said.append(Turn("customer", 30.0, 34.0, "怎么还没好", loudness_db=-16.0, pitch_hz=250.0))
    >>> [e.start_s for e in agitation(said, limits=load_conversation().agitation)]
    [30.0]
    """
    own = [
        (t, t.loudness_db, 12.0 * math.log2(t.pitch_hz))
        for t in turns
        if t.role == role
        and t.duration_s >= limits.min_turn_s
        and t.loudness_db is not None
        and t.pitch_hz is not None
    ]
    if len(own) < limits.min_turns:
        return ()
    calm_db = median(level for _, level, _ in own)
    calm_semitones = median(pitch for _, _, pitch in own)
    spread_db = _spread([level for _, level, _ in own], calm_db, 2.0)
    spread_semitones = _spread([pitch for _, _, pitch in own], calm_semitones, 1.0)
    events = []
    for turn, level, pitch in own:
        rise_db, rise_semitones = level - calm_db, pitch - calm_semitones
        score = (rise_db / spread_db + rise_semitones / spread_semitones) / math.sqrt(2.0)
        if (
            rise_db >= limits.min_rise_db
            and rise_semitones >= limits.min_rise_semitones
            and score >= limits.threshold
        ):
            confidence = round(1.0 - 0.5 * math.exp(-(score - limits.threshold) / 2.0 - 0.1), 3)
            events.append(Event("agitation", turn.start_s, turn.end_s, role, confidence=confidence))
    return tuple(events)
