"""Where somebody speaks in one channel (语音活动), and whether anybody does at all.

Two witnesses that fail differently: the level above a noise floor that follows the line, and
webrtcvad, which knows the shape of speech but takes steady noise for it. A frame counts when both
agree. A neural detector may be added; it can bring in quiet speech that stays near the floor, but it
cannot veto loud speech (Silero was seen to drop most of one side's speech on two mixed calls).

Conventions
-----------
Samples are float32 mono at 16 kHz; frames are 10 ms; levels are dBFS; spans are ``(start_s, end_s)``.

Table of contents: `ActivityLimits`, `Activity`, `activity`, `is_silent`, `local_floors_db`.

References
----------
.. [1] webrtcvad: the voice activity detector of the WebRTC project (Gaussian mixture on six sub-bands).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.hearing.edges import EdgeLimits, fitted
from pipeline.hearing.levels import FRAME_S, frame_levels_db, noise_floor_db, spans_of
from pipeline.hearing.turns import merged
from pipeline.ports import SAMPLE_RATE_HZ, Samples

Mask = NDArray[np.bool_]
Probability = Callable[[Samples], NDArray[np.float32]]
"""A neural detector: samples to the speech probability of every 10 ms frame."""

_VAD_FRAME = 480  # 30 ms: the longest webrtcvad takes, and its most reliable
_BLOCK = 4096 * _VAD_FRAME
_DIGITAL_SILENCE_DB = -95.0


@dataclass(frozen=True, slots=True)
class ActivityLimits:
    """Thresholds of speech activity.

    Attributes
    ----------
    on_db, off_db : float
        A stretch begins this far above the noise floor and ends when the level falls below the lower one.
    floor_window_s : float
        The floor follows the line's noise over this time.
    floor_rise_db : float
        ... but never by more than this above the quietest tenth of the call: talk is no noise.
    min_level_db : float
        Nothing quieter than this is speech to anybody.
    below_speech_db : float
        Nothing further than this below the channel's own loud speech is speech of the same person.
    vad_mode : int
        webrtcvad's aggressiveness, 0 to 3.
    vad_share : float
        Share of webrtcvad frames that must agree within a stretch.
    neural_on : float
        Probability from which a neural detector adds a frame.
    join_s : float
        Loud parts closer than this are judged by webrtcvad together.
    min_s : float
        Stretches shorter than this are no speech.
    min_run : int
        Shorter runs of loud frames are clicks.
    edges : EdgeLimits
        What belongs to a stretch around and between its loud parts.
    min_speech_s : float
        With less than this in a whole recording nobody speaks.
    """

    on_db: float = 10.0
    off_db: float = 6.0
    floor_window_s: float = 12.0
    floor_rise_db: float = 12.0
    min_level_db: float = -62.0
    below_speech_db: float = 38.0
    vad_mode: int = 1
    vad_share: float = 0.35
    neural_on: float = 0.6
    join_s: float = 0.17
    min_s: float = 0.09
    min_run: int = 3
    edges: EdgeLimits = field(default_factory=EdgeLimits)
    min_speech_s: float = 0.35


@dataclass(frozen=True, slots=True)
class Activity:
    """Speech of one channel.

    Attributes
    ----------
    spans : tuple of (start_s, end_s)
        Sorted, apart by at least ``edges.close_s``.
    speech_db : float or None
        Level of the speech (energy mean over all spans); None when there is none.
    floor_db : float
        Level of the line when nobody speaks.
    """

    spans: tuple[tuple[float, float], ...]
    speech_db: float | None
    floor_db: float

    @property
    def speech_s(self) -> float:
        """Seconds of speech."""
        return sum(end - start for start, end in self.spans)


def activity(
    samples: Samples, *, neural: Probability | None = None, limits: ActivityLimits | None = None
) -> Activity:
    """Find the stretches in which somebody speaks.

    Parameters
    ----------
    samples : ndarray of float32, shape (n,)
        One channel, 16 kHz.
    neural : callable, optional
        Adds frames that it is sure of; never removes any.
    limits : ActivityLimits, optional

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> noise = rng.normal(0, 10 ** (-50 / 20), 48000).astype(np.float32)
    >>> activity(noise).spans
    ()
    """
    limits = limits or ActivityLimits()
    levels = frame_levels_db(samples)
    floor = noise_floor_db(levels)
    if not levels.size:
        return Activity((), None, floor)
    floors = local_floors_db(levels, floor, limits)
    loud = _loud(levels, floors, limits)
    voiced = _voiced(samples, len(levels), limits.vad_mode)
    mask = _agreed(loud, voiced, limits)
    if neural is not None:
        sure = neural(samples)[: len(levels)] >= limits.neural_on
        audible = levels > np.maximum(floor + limits.off_db / 2, limits.min_level_db)
        mask[: len(sure)] |= sure & audible[: len(sure)]
    close_s, duration_s = limits.edges.close_s, len(samples) / SAMPLE_RATE_HZ
    kept = [(a, b) for a, b in merged(spans_of(mask), gap_s=close_s) if b - a >= limits.min_s]
    wide = fitted(kept, levels, floors, limits=limits.edges)
    spans = tuple((round(a, 3), round(min(duration_s, b), 3)) for a, b in wide)
    inside = levels[mask]
    speech_db = float(10 * np.log10(np.mean(10 ** (inside / 10)))) if spans and inside.size else None
    return Activity(spans, speech_db, floor)


def is_silent(*channels: Activity, limits: ActivityLimits | None = None) -> bool:
    """Whether nobody speaks in any channel: silence, line noise, a hum.

    A quiet voice is a voice: what counts is that it stands out of the line's own noise.
    """
    limits = limits or ActivityLimits()
    return all(channel.speech_s < limits.min_speech_s for channel in channels)


def local_floors_db(levels: NDArray[np.float64], floor: float, limits: ActivityLimits) -> NDArray[np.float64]:
    """Noise floor of every frame: the quietest tenth of its surroundings, within bounds."""
    half = max(1, round(limits.floor_window_s / FRAME_S / 2))
    step = half // 4 or 1
    centres = np.arange(0, len(levels), step)
    local = np.array([_low(levels[max(0, c - half) : c + half], floor) for c in centres])
    bounded = np.clip(local, floor, floor + limits.floor_rise_db)
    floors: NDArray[np.float64] = np.interp(np.arange(len(levels)), centres, bounded)
    return floors


def _low(levels: NDArray[np.float64], otherwise: float) -> float:
    sounding = levels[levels > _DIGITAL_SILENCE_DB]
    return float(np.percentile(sounding, 10)) if sounding.size else otherwise


def _loud(levels: NDArray[np.float64], floors: NDArray[np.float64], limits: ActivityLimits) -> Mask:
    """Frames above the floor, with hysteresis."""
    least = max(limits.min_level_db, float(np.percentile(levels, 98)) - limits.below_speech_db)
    on = levels > np.maximum(floors + limits.on_db, least)
    off = levels > np.maximum(floors + limits.off_db, least)
    # A run of frames above the lower limit counts when any of it is above the upper one.
    mask = np.zeros(len(levels), dtype=bool)
    for start_s, end_s in spans_of(off):
        start, end = round(start_s / FRAME_S), round(end_s / FRAME_S)
        if end - start >= limits.min_run and on[start:end].any():
            mask[start:end] = True
    return mask


def _voiced(samples: Samples, frames: int, mode: int) -> Mask:
    """Ask webrtcvad about every 30 ms; its answer holds for the three 10 ms frames inside."""
    import webrtcvad

    detector = webrtcvad.Vad(mode)
    step = 2 * _VAD_FRAME
    answers: list[bool] = []
    for first in range(0, len(samples), _BLOCK):
        part = samples[first : first + _BLOCK]
        data = (np.clip(part, -1.0, 1.0) * 32767).astype("<i2").tobytes()
        answers += [
            detector.is_speech(data[at : at + step], SAMPLE_RATE_HZ)
            for at in range(0, len(data) - step + 1, step)
        ]
    voiced = np.repeat(np.array(answers, dtype=bool), 3)[:frames]
    return np.pad(voiced, (0, frames - len(voiced)))


def _agreed(loud: Mask, voiced: Mask, limits: ActivityLimits) -> Mask:
    """Loud stretches in which enough frames are voiced."""
    mask = np.zeros(len(loud), dtype=bool)
    for start_s, end_s in merged(spans_of(loud), gap_s=limits.join_s):
        start, end = round(start_s / FRAME_S), round(end_s / FRAME_S)
        if voiced[start:end].mean() >= limits.vad_share:
            mask[start:end] = loud[start:end]
    return mask
