"""Speech is found, lines without speech are silent, quiet voices are voices."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.hearing.activity import activity, is_silent

RATE = 16000
rng = np.random.default_rng(7)


def voice(seconds, level_db=-25.0):
    """Vowel-like pulses through two formants, with syllables at 4 a second."""
    n = int(seconds * RATE)
    t = np.arange(n) / RATE
    pulses = np.zeros(n)
    pulses[(np.cumsum(120 + 15 * np.sin(2 * np.pi * 0.7 * t)) / RATE % 1.0) < 120 / RATE] = 1.0
    sound = np.zeros(n)
    for hz, width in ((500, 80), (1500, 120), (2500, 160)):
        decay = np.exp(-np.pi * width * np.arange(800) / RATE)
        sound += np.convolve(pulses, decay * np.cos(2 * np.pi * hz * np.arange(800) / RATE))[:n]
    sound *= 0.55 + 0.45 * np.sin(2 * np.pi * 4 * t)
    return sound / np.sqrt((sound**2).mean()) * 10 ** (level_db / 20)


def noise(seconds, level_db):
    return rng.normal(0, 10 ** (level_db / 20), int(seconds * RATE))


def line(seconds, speech=(), *, noise_db=-60.0, level_db=-25.0):
    samples = noise(seconds, noise_db)
    for start, end in speech:
        samples[int(start * RATE) : int(start * RATE) + int((end - start) * RATE)] += voice(
            end - start, level_db
        )
    return samples.astype(np.float32)


def overlap(spans, start, end):
    return sum(max(0.0, min(b, end) - max(a, start)) for a, b in spans)


@pytest.mark.parametrize("noise_db", [-75.0, -60.0, -50.0, -42.0])
def test_speech_is_found_where_it_is(noise_db):
    found = activity(line(12.0, [(1.0, 3.0), (6.0, 9.0)], noise_db=noise_db))
    assert overlap(found.spans, 1.0, 3.0) > 1.9
    assert overlap(found.spans, 6.0, 9.0) > 2.85
    assert found.speech_s < 5.6
    assert found.floor_db == pytest.approx(noise_db, abs=2.0)
    assert found.speech_db == pytest.approx(-25.0, abs=2.5)


@pytest.mark.parametrize("level_db", [-25.0, -35.0, -45.0])
def test_a_quiet_voice_is_a_voice(level_db):
    found = activity(line(10.0, [(2.0, 6.0)], noise_db=-62.0, level_db=level_db))
    assert not is_silent(found)
    assert overlap(found.spans, 2.0, 6.0) > 3.2


N = 20 * RATE
T = np.arange(N) / RATE
NOBODY = {
    "digital silence": np.zeros(N),
    "line noise": noise(20, -50.0),
    "loud noise": noise(20, -30.0),
    "mains hum": 0.05 * np.sin(2 * np.pi * 50 * T) + 0.02 * np.sin(2 * np.pi * 150 * T) + noise(20, -60.0),
    "steady tone": 0.1 * np.sin(2 * np.pi * 440 * T),
    "clicks": np.where(rng.random(N) < 1e-4, 0.5, 0.0) + noise(20, -70.0),
    "one sample": np.eye(1, N, 100)[0],
}


@pytest.mark.parametrize("name", NOBODY)
def test_nobody_speaks(name):
    assert is_silent(activity(NOBODY[name].astype(np.float32)))


def test_one_speaking_channel_is_enough():
    assert not is_silent(activity(line(6.0)), activity(line(6.0, [(1.0, 3.0)])))


def test_no_samples_are_silent():
    assert activity(np.zeros(0, np.float32)).spans == ()


def test_a_neural_detector_adds_but_never_removes():
    samples = line(8.0, [(1.0, 3.0)], noise_db=-60.0)
    samples[5 * RATE : 6 * RATE] *= 2.0  # near the floor
    alone = activity(samples)
    never = activity(samples, neural=lambda s: np.zeros(len(s) // 160, np.float32))
    assert never.spans == alone.spans
    sure = np.zeros(len(samples) // 160, np.float32)
    sure[500:600] = 1.0
    more = activity(samples, neural=lambda s: sure)
    assert overlap(more.spans, 5.0, 6.0) > 0.8 > overlap(alone.spans, 5.0, 6.0)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.0, 7.0), st.floats(0.3, 2.0)), max_size=4),
    st.floats(-80, -35),
)
def test_spans_are_sorted_apart_and_inside(stretches, noise_db):
    samples = line(10.0, [(a, a + d) for a, d in stretches], noise_db=noise_db)
    spans = activity(samples).spans
    assert all(0.0 <= a < b <= 10.0 for a, b in spans)
    assert all(b < c for (_, b), (c, _) in pairwise(spans))


def test_moving_the_audio_moves_the_spans():
    samples = line(8.0, [(2.0, 4.0)])
    later = np.concatenate([samples[: RATE // 2], samples])
    before, after = activity(samples).spans, activity(later).spans
    assert np.allclose(np.array(after), np.array(before) + 0.5, atol=0.05)
