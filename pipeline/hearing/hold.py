"""Sounds of the exchange and of waiting: ring-back, busy tone, hold music (回铃音、忙音、等待音乐).

Speech pauses, and its syllables make it swell and fade four times a second; music goes on, and its energy
stands in narrow peaks. Signalling tones are one frequency at fixed times. Each of these is looked for by
itself, so that what is found can be named.

Conventions
-----------
Samples are float32 mono at 16 kHz, spans ``(start_s, end_s)``, levels dBFS.

Table of contents: `Held`, `signal_tones`, `modulation`, `peakiness`, `tonal_frames`, `held_sounds`.

References
----------
.. [1] GB/T 3380, tones of the telephone network: 450 ± 25 Hz; ring-back 1 s on, 4 s off; busy 0.35 s on,
   0.35 s off.
.. [2] Scheirer & Slaney 1997, "Construction and evaluation of a robust multifeature speech/music
   discriminator": 4 Hz modulation, share of low-energy frames.
.. [3] Peeters 2004, spectral flatness and stability as marks of tonal sound.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.hearing.conversation import HoldLimits
from pipeline.hearing.levels import FRAME_S, frame_levels_db, noise_floor_db, smoothed_levels_db, spans_of
from pipeline.hearing.turns import merged
from pipeline.ports import SAMPLE_RATE_HZ, Samples

Span = tuple[float, float]
Array = NDArray[np.float64]
Spectra = NDArray[np.float32]
Mask = NDArray[np.bool_]

RING_BACK, BUSY, TONE, MUSIC = "ring_back", "busy", "tone", "music"

_WINDOW, _HOP = 1024, 512
_HOP_S = _HOP / SAMPLE_RATE_HZ
_BIN_HZ = SAMPLE_RATE_HZ / _WINDOW
_BAND = slice(round(300 / _BIN_HZ), round(3400 / _BIN_HZ))
_BINS = 220  # up to 3.4 kHz: what telephones carry
_BLOCK = 4096  # frames; a multiple of what the transform takes at once, so that every bit stays the same
_STEADY = 4  # frames either side (128 ms) over which a peak must stay
_PEAKS = 12
_TONAL_WINDOW_S = 2.0
_NEIGHBOURS = 25  # bins, 390 Hz: what the envelope of a spectrum is smoothed over
_SUSTAINED_S, _SUSTAINED_STEP_S = 3.0, 0.5
_LOUD_DB, _LEAST_DB = 6.0, -60.0


@dataclass(frozen=True, slots=True, order=True)
class Held:
    """A stretch of sound that nobody says, and what it is."""

    start_s: float
    end_s: float
    kind: str


def _spectra(samples: Samples) -> Spectra:
    """Power spectra of 64 ms every 32 ms up to `_BINS`, a block at a time: a call may last for hours.

    SciPy's transform takes a quarter of the time of NumPy's here.
    """
    from scipy.fft import rfft

    if len(samples) < _WINDOW:
        return np.zeros((0, _BINS), np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(samples, _WINDOW)[::_HOP]
    window = np.hanning(_WINDOW).astype(np.float32)
    power = np.empty((len(frames), _BINS), np.float32)
    for at in range(0, len(frames), _BLOCK):
        spectra = rfft(frames[at : at + _BLOCK] * window, axis=1)[:, :_BINS]
        power[at : at + _BLOCK] = spectra.real**2 + spectra.imag**2
    return power


def _loud_frames(levels: Array, count: int, bar_db: float) -> Mask:
    """Spectral frames above a level."""
    at = np.minimum((np.arange(count) * _HOP_S / FRAME_S).astype(int), len(levels) - 1)
    loud: Mask = smoothed_levels_db(levels)[at] > bar_db
    return loud


def _bar_db(levels: Array) -> float:
    """Level from which a sound stands out of the line's own noise."""
    return max(noise_floor_db(levels) + _LOUD_DB, _LEAST_DB)


def signal_tones(samples: Samples, *, limits: HoldLimits) -> list[Held]:
    """Ring-back, busy and other tones of the exchange.

    Returns
    -------
    list of Held
        A series of bursts is one stretch, its pauses included: nobody is there yet. A single burst as long
        as a ring counts as a ring; a longer one is a plain tone.

    Examples
    --------
    >>> from pipeline.hearing.conversation import load_conversation
    >>> limits = load_conversation().hold
    >>> at_s = np.arange(16 * 16000) / 16000
    >>> ring = np.where(at_s % 5 < 1, 0.1 * np.sin(2 * np.pi * 450 * at_s), 0).astype(np.float32)
    >>> [(round(h.start_s), round(h.end_s), h.kind) for h in signal_tones(ring, limits=limits)]
    [(0, 16, 'ring_back')]
    """
    return _tones(_spectra(samples), frame_levels_db(samples), limits)


def _tones(power: Spectra, levels: Array, limits: HoldLimits) -> list[Held]:
    if not len(power):
        return []
    near = np.abs(np.arange(power.shape[1]) * _BIN_HZ - limits.tone_hz) <= limits.tone_within_hz + _BIN_HZ
    purity = power[:, near].sum(axis=1) / (power[:, 13:_BINS].sum(axis=1) + 1e-9)
    loud = _loud_frames(levels, len(power), _LEAST_DB)  # purity tells it from noise
    # A frame is half a window wide of its hop: bursts are found a little too long, by the same amount.
    bursts = [
        (a, b)
        for a, b in merged(spans_of((purity >= limits.tone_purity) & loud, frame_s=_HOP_S), gap_s=0.1)
        if b - a >= (1.0 - limits.within) * limits.busy_on_s
    ]
    series: list[list[Span]] = []
    for burst in bursts:
        if series and burst[0] - series[-1][-1][1] <= (1.0 + limits.within) * limits.ring_off_s:
            series[-1].append(burst)
        else:
            series.append([burst])
    found = [Held(one[0][0], one[-1][1], _kind(one, limits)) for one in series]
    return [held for held in found if held.kind]


def _kind(bursts: list[Span], limits: HoldLimits) -> str:
    """Name a series of bursts by its cadence; empty for a blip that is none."""

    def near(value: float, wanted: float) -> bool:
        return abs(value - wanted) <= limits.within * wanted + 2 * _HOP_S

    on_s = float(np.median([b - a for a, b in bursts]))
    gaps = [after[0] - before[1] for before, after in itertools.pairwise(bursts)]
    off_s = float(np.median(gaps)) if gaps else None
    if near(on_s, limits.ring_on_s) and (off_s is None or near(off_s, limits.ring_off_s)):
        return RING_BACK
    if off_s is not None and len(bursts) >= 3 and off_s <= 2 * on_s:  # congestion is slower than busy
        return BUSY
    return TONE if on_s > limits.ring_on_s else ""


def modulation(samples: Samples) -> tuple[Array, Array]:
    """How much sound swells and fades at the pace of syllables, and how often it is nearly gone.

    Returns
    -------
    pace : ndarray, shape (windows,)
        Variance of the level (relative to its mean) at 2 to 8 Hz, in windows of 3 s every 0.5 s. Telephone
        speech lies above 0.06, nearly always above 0.12; music below 0.04.
    low : ndarray, shape (windows,)
        Share of 10 ms frames under half the mean level. Speech lies above 0.25, music below 0.2.

    Examples
    --------
    >>> steady = np.sin(np.arange(64000) / 5).astype(np.float32)
    >>> pace, low = modulation(steady)
    >>> bool(pace.max() < 0.01), float(low.max())
    (True, 0.0)
    """
    return _modulation(frame_levels_db(samples))


def _modulation(levels: Array) -> tuple[Array, Array]:
    level = 10.0 ** (levels / 20.0)
    size, step = round(_SUSTAINED_S / FRAME_S), round(_SUSTAINED_STEP_S / FRAME_S)
    if len(level) < size:
        return np.zeros(0), np.zeros(0)
    windows = np.lib.stride_tricks.sliding_window_view(level, size)[::step]
    relative = windows / np.maximum(windows.mean(axis=1, keepdims=True), 1e-9)
    taper = np.hanning(size)
    spectrum = np.abs(np.fft.rfft((relative - 1.0) * taper, axis=1)) ** 2
    at_hz = np.fft.rfftfreq(size, FRAME_S)
    band = (at_hz >= 2.0) & (at_hz <= 8.0)
    pace = 2.0 * spectrum[:, band].sum(axis=1) / (size * (taper**2).sum())
    return pace, (relative < 0.5).mean(axis=1)


def peakiness(samples: Samples) -> Array:
    """How far the spectrum of each 32 ms frame stands in peaks, its envelope taken away.

    Returns
    -------
    ndarray, shape (frames,)
        About 0.55 (Euler's constant) for any noise, 0.7 to 1 for voices, 1 to 3.5 for instruments.
    """
    from scipy.ndimage import uniform_filter1d

    power = _spectra(samples)[:, _BAND] + 1e-12
    if not len(power):
        return np.zeros(0)
    flat = power / uniform_filter1d(power, _NEIGHBOURS, axis=1)
    around = np.log(uniform_filter1d(flat, _NEIGHBOURS, axis=1)).mean(axis=1)
    return np.asarray(around - np.log(flat).mean(axis=1), dtype=np.float64)


def tonal_frames(samples: Samples) -> Array:
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
    return _tonal_share(_spectra(samples))


def _tonal_share(power: Spectra) -> Array:
    band = power[:, 19:_BINS]
    share = np.zeros(len(band))
    for at in range(0, len(band), _BLOCK):
        here = np.arange(at, min(at + _BLOCK, len(band)))
        before, after = np.maximum(here - _STEADY, 0), np.minimum(here + _STEADY, len(band) - 1)
        steady = np.minimum(np.minimum(band[before], band[after]), band[here])
        peaks = np.partition(steady, -_PEAKS, axis=1)[:, -_PEAKS:].sum(axis=1)
        share[here] = peaks / (band[here].sum(axis=1) + 1e-9)
    return share


def _music(samples: Samples, power: Spectra, levels: Array, limits: HoldLimits) -> list[Span]:
    """Stretches of music: sustained and in peaks, or tonal whatever its rhythm."""
    spans = merged([*_sustained(samples, levels, limits), *_tonal(power, levels, limits)], gap_s=1.0)
    return [(a, b) for a, b in spans if b - a >= limits.least_s]


def _sustained(samples: Samples, levels: Array, limits: HoldLimits) -> list[Span]:
    pace, low = _modulation(levels)
    steady = (pace <= limits.modulation_most) & (low <= limits.low_share_most)
    if not steady.any():
        return []
    bar = _bar_db(levels)
    spans = []
    for window in np.flatnonzero(steady):
        start_s = float(window) * _SUSTAINED_STEP_S
        inside = levels[round(start_s / FRAME_S) : round((start_s + _SUSTAINED_S) / FRAME_S)]
        if np.median(inside) <= bar:
            continue
        part = samples[round(start_s * SAMPLE_RATE_HZ) : round((start_s + _SUSTAINED_S) * SAMPLE_RATE_HZ)]
        if peakiness(part).mean() >= limits.peakiness_least:
            spans.append((start_s, start_s + _SUSTAINED_S))
    return merged(spans)


def _tonal(power: Spectra, levels: Array, limits: HoldLimits) -> list[Span]:
    share = _tonal_share(power)
    if not share.size:
        return []
    loud = _loud_frames(levels, len(share), _bar_db(levels))
    width = int(_TONAL_WINDOW_S / _HOP_S)
    weight = np.convolve(loud.astype(float), np.ones(width), mode="same")
    mean = np.convolve(np.where(loud, share, 0.0), np.ones(width), mode="same") / np.maximum(weight, 1.0)
    mask = (mean >= limits.tonal_share) & (weight >= 0.3 * width)
    return merged(spans_of(mask, frame_s=_HOP_S), gap_s=1.0)


def held_sounds(samples: Samples, *, limits: HoldLimits) -> list[Held]:
    """Everything on a line that nobody says, named, sorted, not overlapping.

    Notes
    -----
    Music under speech is not held: speech swells and fades, and keeps its place. Noise is not held either.
    """
    power, levels = _spectra(samples), frame_levels_db(samples)
    tones = _tones(power, levels, limits)
    found = list(tones)
    for a, b in _music(samples, power, levels, limits):
        found.extend(Held(c, d, MUSIC) for c, d in _outside((a, b), tones) if d - c >= limits.least_s)
    return sorted(found)


def _outside(span: Span, tones: Iterable[Held]) -> list[Span]:
    """What of a stretch of music is no tone; the tone's name is the better one."""
    left = [span]
    for tone in tones:
        left = [
            part
            for a, b in left
            for part in ((a, min(b, tone.start_s)), (max(a, tone.end_s), b))
            if part[1] - part[0] > 0.0
        ]
    return left
