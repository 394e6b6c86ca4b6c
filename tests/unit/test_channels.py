"""Copies, empty channels, leaks: synthetic channels whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.errors import InputError
from pipeline.hearing.channels import (
    gated_spans,
    is_dual_mono,
    separated,
    silent_channels,
)
from pipeline.hearing.levels import spans_of

RATE = 16_000
LEFT, RIGHT = [(0.5, 4.0), (9.0, 13.0)], [(5.0, 8.5), (12.0, 15.0)]


def talk(spans: list[tuple[float, float]], *, seed: int, seconds: float = 16.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    sound = np.convolve(rng.normal(0, 0.05, int(seconds * RATE)), [0.2, 0.5, 0.2, -0.3, 0.1], "same")
    rhythm = 0.6 + 0.4 * np.sin(2 * np.pi * 3.7 * np.arange(len(sound)) / RATE + seed)
    mask = np.zeros(len(sound))
    for start, end in spans:
        mask[int(start * RATE) : int(end * RATE)] = 1
    return sound * rhythm * mask


def call(*, leak_db: float | None, delay: int = 0, noise: float = 3e-4) -> np.ndarray:
    rng = np.random.default_rng(9)
    left, right = talk(LEFT, seed=1), talk(RIGHT, seed=2)
    gain = 0.0 if leak_db is None else 10 ** (-leak_db / 20)
    late_left, late_right = np.roll(left, delay), np.roll(right, delay)
    both = np.stack([left + gain * late_right, right + gain * late_left])
    return (both + rng.normal(0, noise, both.shape)).astype(np.float32)


@pytest.mark.parametrize(("gain", "expected"), [(1.0, True), (-0.3, True)])
def test_copies_are_recognised(gain: float, expected: bool) -> None:
    left = call(leak_db=None)[0]
    assert is_dual_mono(np.stack([left, gain * left])) is expected


def test_two_voices_are_no_copies() -> None:
    assert not is_dual_mono(call(leak_db=None))
    assert not is_dual_mono(call(leak_db=10))


def test_an_empty_channel_is_found() -> None:
    left = call(leak_db=None)[0]
    assert silent_channels(np.stack([left, np.zeros_like(left)])) == (1,)
    assert silent_channels(call(leak_db=None)) == ()


@pytest.mark.parametrize("delay", [0, 7, 640])
def test_a_leak_is_measured_and_taken_out(delay: int) -> None:
    channels = call(leak_db=15, delay=delay)
    parted = separated(channels)
    leak = parted.leaks[1]
    assert leak is not None
    assert leak.leak_db == pytest.approx(15, abs=2)
    assert leak.gain_db > 6
    alone = slice(int(1.0 * RATE), int(3.5 * RATE))
    assert np.std(parted.channels[1][alone]) < 0.4 * np.std(channels[1][alone])


def test_without_a_leak_the_channels_are_left_alone() -> None:
    channels = call(leak_db=None)
    parted = separated(channels)
    assert parted.leaks == (None, None)
    assert parted.raised == (False, False)
    np.testing.assert_array_equal(parted.channels, channels)


def test_double_talk_survives_the_gate_and_leaked_speech_does_not() -> None:
    channels = call(leak_db=15)
    everywhere = [(0.5, 4.0), (5.0, 8.5), (9.0, 15.0)]
    left, right = gated_spans(separated(channels), (everywhere, everywhere))

    def seconds(spans: list[tuple[float, float]], start: float, end: float) -> float:
        return sum(max(0.0, min(b, end) - max(a, start)) for a, b in spans)

    assert seconds(left, 12.0, 13.0) > 0.9
    assert seconds(right, 12.0, 13.0) > 0.9
    assert seconds(left, 5.0, 8.5) < 0.3
    assert seconds(right, 0.5, 4.0) < 0.3


def test_one_channel_cannot_be_separated() -> None:
    with pytest.raises(InputError, match="two channels"):
        separated(np.zeros((1, 1000), dtype=np.float32))


def test_spans_of_runs() -> None:
    assert spans_of(np.array([True, False, True])) == [(0.0, 0.01), (0.02, 0.03)]
    assert spans_of(np.zeros(3, dtype=bool)) == []
