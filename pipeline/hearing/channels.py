"""Two channels: which carries what, and speech that leaked across taken out again.

A stereo call centre recording has one speaker a channel, so all that can go wrong is that
the channels are copies of each other, that one is empty, or that one side leaks into the
other (crosstalk, line echo). A gate that drops the quieter side removes leaked speech and
genuine double talk alike. A leak is linear, though, so it can be *estimated* where only
the other side speaks and *subtracted* everywhere; the gate is then left with the
remainder only.

Conventions
-----------
``channels`` is float32 of shape (2, n) at 16 kHz. Levels are dB relative to full scale in
frames of 10 ms. ``leak_db`` is how much quieter the leaked copy is than its source (>= 0).

Table of contents: `ChannelLimits`, `is_dual_mono`, `silent_channels`, `Leak`, `Separated`,
`separated`, `gated_spans`.

References
----------
.. [1] Haykin, *Adaptive Filter Theory*, ch. 2: the Wiener filter by normal equations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.hearing.levels import (
    FRAME_S,
    Levels,
    frame_levels_db,
    noise_floor_db,
    smoothed_levels_db,
    spans_of,
)
from pipeline.ports import SAMPLE_RATE_HZ, Samples

Span = tuple[float, float]

_FRAME = int(FRAME_S * SAMPLE_RATE_HZ)
_REST_S = 0.25


@dataclass(frozen=True, slots=True)
class ChannelLimits:
    """When channels are copies, empty, or leaking.

    Attributes
    ----------
    dual_mono_db : float
        The difference of the channels (after the best gain) is at least this far below them.
    silent_db : float
        A channel whose loud frames (95th percentile) stay below this carries nobody.
    gate_db : float
        A side that is this much quieter than an active other side is taken for leaked speech
        when nothing better is known.
    leak_taps : int
        Length of the estimated leak path in samples at 16 kHz (128 = 8 ms).
    leak_lag_s : float
        Longest delay of a leaked copy that is looked for.
    min_leak_s : float
        At least this much one-sided speech is needed to estimate a leak.
    min_gain_db : float
        Subtraction is kept only when it lowers the leaked side by this much where it is estimated.
    raised_db : float
        A side that stays within this of its floor while the other speaks hears nothing of it.
    """

    dual_mono_db: float = 30.0
    silent_db: float = -62.0
    gate_db: float = 8.0
    leak_taps: int = 128
    leak_lag_s: float = 0.25
    min_leak_s: float = 2.0
    min_gain_db: float = 1.0
    raised_db: float = 4.0


def is_dual_mono(channels: Samples, *, limits: ChannelLimits | None = None) -> bool:
    """Whether both channels are the same recording, up to gain and codec noise.

    Examples
    --------
    >>> noise = np.random.default_rng(1).normal(0, 0.1, (2, 16000)).astype(np.float32)
    >>> is_dual_mono(noise), is_dual_mono(np.stack([noise[0], 0.5 * noise[0]]))
    (False, True)
    """
    limits = limits or ChannelLimits()
    left, right = channels
    power_left, power_right = float(left @ left), float(right @ right)
    if min(power_left, power_right) <= 0.0:
        return False
    rest = (float(left @ right) / power_left) * left
    np.subtract(right, rest, out=rest)
    return 10.0 * math.log10(max(float(rest @ rest), 1e-20) / power_right) < -limits.dual_mono_db


def silent_channels(channels: Samples, *, limits: ChannelLimits | None = None) -> tuple[int, ...]:
    """Find the channels that carry nobody (a one-sided recording), by index."""
    limits = limits or ChannelLimits()
    silent = []
    for index in range(len(channels)):
        levels = frame_levels_db(channels[index])
        if not levels.size or float(np.percentile(levels, 95)) < limits.silent_db:
            silent.append(index)
    return tuple(silent)


@dataclass(frozen=True, slots=True)
class Leak:
    """How one channel's speech reaches the other.

    Attributes
    ----------
    path : ndarray, shape (taps,)
        Impulse response from the source to the leaked side, beginning at ``lag`` samples.
    lag : int
        Samples at 16 kHz; may be negative by a few.
    leak_db : float
        Level difference between source and leaked side where only the source speaks.
    gain_db : float
        By how much subtraction lowers the leaked side there.
    """

    path: NDArray[np.float64]
    lag: int
    leak_db: float
    gain_db: float


def _only_source(source_db: Levels, other_db: Levels, gate_db: float) -> NDArray[np.bool_]:
    """Frames in which the source speaks and the other side, being far quieter, probably does not."""
    floor = noise_floor_db(source_db)
    loud = source_db > max(floor + 15.0, float(np.percentile(source_db, 95)) - 25.0)
    mask: NDArray[np.bool_] = loud & (source_db > other_db + gate_db)
    return mask


def _delays(source: Samples, other: Samples, frames: NDArray[np.bool_], reach: int) -> NDArray[np.float64]:
    """Correlate what the chosen frames of ``other`` hold with ``source`` at delays of -reach to reach.

    Returns
    -------
    ndarray, shape (2 * reach + 1,)
        ``[reach + k] = sum source[n - k] other[n]`` over the samples n of the chosen frames.
    """
    from scipy.fft import irfft, rfft

    block = 4 * reach
    size = block + 2 * reach
    total = np.zeros(size // 2 + 1, dtype=np.complex128)
    gate = np.repeat(frames, _FRAME)
    padded = np.pad(source, (reach, reach + block))
    for at in range(0, len(gate), block):
        chosen = gate[at : at + block]
        if chosen.any():
            wanted = rfft(other[at : at + len(chosen)] * chosen, size)
            total += np.conj(wanted) * rfft(padded[at : at + size], size)
    # In a block, place m of ``padded`` is source[at - reach + m], so delay k stands at m = reach - k.
    cross: NDArray[np.float64] = irfft(total, size)[: 2 * reach + 1][::-1]
    return cross


def _autocorrelation(source: Samples, frames: NDArray[np.bool_], lag: int, taps: int) -> NDArray[np.float64]:
    """Autocorrelation, up to ``taps``, of what the source said ``lag`` before the chosen frames."""
    from scipy.fft import irfft, next_fast_len, rfft

    block = 100 * _FRAME
    size = next_fast_len(block + taps, real=True)
    total = np.zeros(size // 2 + 1)
    gate = np.repeat(frames, _FRAME)
    late = np.zeros(len(gate), dtype=np.float32)
    begin, end = max(lag, 0), min(len(gate), len(source) + lag)
    late[begin:end] = source[begin - lag : end - lag]
    late *= gate
    for at in range(0, len(gate), block):
        if gate[at : at + block].any():
            spectrum = rfft(late[at : at + block], size)
            total += spectrum.real**2 + spectrum.imag**2
    auto: NDArray[np.float64] = irfft(total, size)[:taps]
    return auto


def _leak_and_rest(
    source: Samples, other: Samples, levels_db: tuple[Levels, Levels], limits: ChannelLimits
) -> tuple[Leak | None, Samples]:
    """How ``source`` leaks into ``other``, by least squares where only it speaks, and ``other`` without it.

    None, and ``other`` as it is, when there is too little one-sided speech, or nothing coherent leaks.
    """
    from scipy.linalg import solve_toeplitz

    source_db, other_db = levels_db
    frames = _only_source(source_db, other_db, limits.gate_db)
    if frames.sum() * FRAME_S < limits.min_leak_s:
        return None, other
    reach = int(limits.leak_lag_s * SAMPLE_RATE_HZ)
    near = limits.leak_taps // 4
    cross = _delays(source, other, frames, reach)
    lag = int(np.argmax(np.abs(cross[reach - near :]))) - 2 * near
    auto = _autocorrelation(source, frames, lag, limits.leak_taps)
    if auto[0] <= 0.0:
        return None, other
    auto[0] *= 1.0 + 1e-3  # keeps a band-limited signal's equations solvable
    right = cross[reach + lag : reach + lag + limits.leak_taps]
    path = np.asarray(
        solve_toeplitz(auto, np.pad(right, (0, limits.leak_taps - len(right)))), dtype=np.float64
    )
    before = _power_db(other_db[frames])
    cleaned = _subtracted(source, other, path, lag)
    gain_db = before - _power_db(frame_levels_db(cleaned)[frames])
    if gain_db < limits.min_gain_db:
        return None, other
    return Leak(path, lag, _power_db(source_db[frames]) - before, gain_db), cleaned


def _power_db(levels_db: Levels) -> float:
    """Level of the mean power of frames."""
    return float(10.0 * np.log10(np.mean(10.0 ** (levels_db / 10.0))))


def _is_raised(levels_db: tuple[Levels, Levels], limits: ChannelLimits) -> bool:
    """Whether the other channel rises above its own floor while only the source speaks: something leaks.

    True also when there is too little one-sided speech to tell.
    """
    source_db, other_db = levels_db
    frames = _only_source(source_db, other_db, limits.gate_db)
    if frames.sum() * FRAME_S < limits.min_leak_s:
        return True
    # The loudest quarter is left out: it may be the other side's own soft speech.
    heard = other_db[frames]
    heard = heard[heard <= np.percentile(heard, 75)]
    return _power_db(heard) - max(noise_floor_db(other_db), -80.0) > limits.raised_db


def _subtracted(source: Samples, other: Samples, path: NDArray[np.float64], lag: int) -> Samples:
    from scipy.signal import oaconvolve

    leaked = oaconvolve(source, path.astype(np.float32))
    total = len(other)
    shifted = np.zeros(total, np.float32)
    if lag >= 0:
        length = min(total - lag, len(leaked))
        shifted[lag : lag + length] = leaked[:length]
    else:
        length = min(total, len(leaked) + lag)
        shifted[:length] = leaked[-lag : -lag + length]
    return np.asarray(other - shifted, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Separated:
    """Two channels after subtraction.

    Attributes
    ----------
    channels : ndarray, shape (2, n)
    leaks : tuple of Leak or None
        ``leaks[i]``: what channel ``1 - i`` left in channel ``i``.
    raised : tuple of bool
        ``raised[i]``: whether channel ``i`` hears anything of the other one.
    """

    channels: Samples
    leaks: tuple[Leak | None, Leak | None]
    raised: tuple[bool, bool] = (True, True)


def separated(channels: Samples, *, limits: ChannelLimits | None = None) -> Separated:
    """Subtract from each channel what leaked into it from the other.

    Raises
    ------
    InputError
        If there are not exactly two channels.
    """
    if channels.ndim != 2 or channels.shape[0] != 2:
        raise InputError(f"expected two channels, found shape {channels.shape}; mono needs no separation")
    limits = limits or ChannelLimits()
    left, right = channels[0], channels[1]
    left_db, right_db = frame_levels_db(left), frame_levels_db(right)
    into_left, clean_left = _leak_and_rest(right, left, (right_db, left_db), limits)
    into_right, clean_right = _leak_and_rest(left, right, (left_db, right_db), limits)
    raised = (
        into_left is not None or _is_raised((right_db, left_db), limits),
        into_right is not None or _is_raised((left_db, right_db), limits),
    )
    if into_left is not None or into_right is not None:
        channels = np.stack([clean_left, clean_right])
    return Separated(channels, (into_left, into_right), raised)


def _mask(spans: Sequence[Span], count: int) -> NDArray[np.bool_]:
    mask = np.zeros(count, dtype=bool)
    for start_s, end_s in spans:
        mask[round(start_s / FRAME_S) : round(end_s / FRAME_S)] = True
    return mask


def gated_spans(
    parted: Separated,
    spans: tuple[Sequence[Span], Sequence[Span]],
    *,
    limits: ChannelLimits | None = None,
    min_span_s: float = 0.1,
) -> tuple[list[Span], list[Span]]:
    """Speech spans of both channels without those that are leaked speech of the other.

    Parameters
    ----------
    parted : Separated
    spans : pair of sequences of (start_s, end_s)
        Speech activity of the separated channels, each on its own.
    min_span_s : float
        What is left of a span after gating counts only from this length on.

    Returns
    -------
    pair of list of (start_s, end_s)

    Notes
    -----
    Where a leak was subtracted, a side is dropped only when it is no louder than the remainder
    that subtraction leaves (leak plus gain, less a margin); where none was found, the plain rule
    holds: the other side is active and ``gate_db`` louder. A side that hears nothing of the other
    is not gated at all. What is left beside a cut must
    be longer than a leaked word's tail to stay.
    """
    limits = limits or ChannelLimits()
    count = parted.channels.shape[1] // _FRAME
    levels = [smoothed_levels_db(frame_levels_db(parted.channels[i])) for i in (0, 1)]
    masks = [_mask(spans[i], count) for i in (0, 1)]
    kept: list[list[Span]] = []
    for i in (0, 1):
        if not parted.raised[i]:
            kept.append(_closed(spans[i], 0.0))
            continue
        leak = parted.leaks[i]
        margin = limits.gate_db
        if leak is not None:
            margin = max(limits.gate_db, leak.leak_db + leak.gain_db - 6.0)
        behind = masks[1 - i] & (levels[1 - i] > levels[i] + margin)
        mask = masks[i] & ~behind
        cut = _closed(spans_of(mask), 0.2)
        kept.append([s for s in cut if s[1] - s[0] >= (_REST_S if _touches(behind, s) else min_span_s)])
    return kept[0], kept[1]


def _touches(mask: NDArray[np.bool_], span: Span) -> bool:
    """Whether a frame just before or after a span is in a mask."""
    begin, end = round(span[0] / FRAME_S), round(span[1] / FRAME_S)
    return bool(mask[max(begin - 2, 0) : begin].any() or mask[end : end + 2].any())


def _closed(spans: Sequence[Span], gap_s: float) -> list[Span]:
    """Spans with gaps shorter than ``gap_s`` filled."""
    merged: list[Span] = []
    for start_s, end_s in spans:
        if merged and start_s - merged[-1][1] < gap_s:
            merged[-1] = (merged[-1][0], max(end_s, merged[-1][1]))
        else:
            merged.append((start_s, end_s))
    return merged
