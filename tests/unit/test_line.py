"""Line quality and prosody on sounds whose truth is known; the limits' file."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import RulebookError
from pipeline.hearing.conversation import load_conversation
from pipeline.hearing.line import background_events, clipped_share, complement, hold_spans, speech_to_noise_db
from pipeline.hearing.prosody import agitation, loudness_db, pitch_hz, with_prosody
from pipeline.records import Turn

RATE = 16_000
DATA = load_conversation()
SHIPPED = Path(__file__).resolve().parents[2] / "lexicons" / "conversation.toml"


def hiss(seconds: float, level_db: float, seed: int = 0) -> np.ndarray:
    return (
        np.random.default_rng(seed).normal(0, 10 ** (level_db / 20), int(seconds * RATE)).astype(np.float32)
    )


def placed(*parts: tuple[float, np.ndarray], seconds: float = 20.0, floor_db: float = -60.0) -> np.ndarray:
    sound = hiss(seconds, floor_db, seed=7)
    for start, part in parts:
        sound[int(start * RATE) : int(start * RATE) + len(part)] += part
    return sound


def melody(seconds: float, seed: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    notes = []
    while sum(map(len, notes)) < seconds * RATE:
        time = np.arange(int(rng.uniform(0.3, 0.6) * RATE)) / RATE
        chord = [330 * 2 ** (k / 12) for k in rng.choice(18, 3)]
        notes.append(sum(np.sin(2 * np.pi * f * h * time) / h for f in chord for h in (1, 2, 3)))
    return (0.03 * np.concatenate(notes)[: int(seconds * RATE)]).astype(np.float32)


@pytest.mark.parametrize("ratio_db", [5, 15, 30])
def test_speech_to_noise(ratio_db: int) -> None:
    sound = placed((5.0, hiss(5, -50 + ratio_db, seed=2)), floor_db=-50)
    assert speech_to_noise_db(sound, [(5.0, 10.0)]) == pytest.approx(ratio_db, abs=1.5)


def test_speech_to_noise_needs_both() -> None:
    assert speech_to_noise_db(hiss(5, -30), []) is None
    assert speech_to_noise_db(hiss(5, -30), [(0.0, 5.0)]) is None


def test_digital_silence_is_a_clean_line() -> None:
    sound = np.zeros(5 * RATE, dtype=np.float32)
    sound[RATE : 2 * RATE] = hiss(1, -20)
    assert speech_to_noise_db(sound, [(1.0, 2.0)]) == 60.0


def test_clipping_counts_runs_only() -> None:
    sound = np.zeros(1000, dtype=np.float32)
    sound[[10, 100, 101]] = 1.0
    assert clipped_share(sound, limits=DATA.line) == 0.0
    sound[200:210] = -1.0
    assert clipped_share(sound, limits=DATA.line) == pytest.approx(10 / 1000)


@pytest.mark.parametrize("codec", ["mulaw", "alaw"])
def test_clipping_is_seen_through_the_telephone_codecs(codec):
    import io

    import soundfile

    from pipeline.hearing.audio import decode

    t = np.arange(8000) / 8000
    for gain, clipped in ((3.0, True), (0.5, False)):
        file = io.BytesIO()
        tone = np.clip(gain * np.sin(2 * np.pi * 200 * t), -1, 1)
        soundfile.write(file, tone, 8000, format="WAV", subtype="ULAW" if codec == "mulaw" else "ALAW")
        audio = decode(file.getvalue(), extension="wav")
        assert (clipped_share(audio.samples, limits=DATA.line, codec=audio.codec) > 0.3) is clipped


def test_music_is_hold_and_rustling_is_noise() -> None:
    sound = placed((1.0, hiss(3, -25, seed=2)), (6.0, melody(6)), (14.0, hiss(2.5, -35, seed=3)))
    events = background_events(sound, [(1.0, 4.0)], limits=DATA.line, hold_limits=DATA.hold, role="agent")
    assert [e.kind for e in events] == ["hold", "noise"]
    hold, noise = events
    assert hold.start_s == pytest.approx(6.0, abs=1.0)
    assert hold.end_s == pytest.approx(12.0, abs=1.0)
    assert (noise.start_s, noise.end_s) == (pytest.approx(14.0, abs=0.2), pytest.approx(16.5, abs=0.2))
    assert noise.role == "agent"


def test_ring_back_is_one_hold() -> None:
    time = np.arange(RATE) / RATE
    tone = (0.1 * np.sin(2 * np.pi * 450 * time)).astype(np.float32)
    spans = hold_spans(placed((1.0, tone), (6.0, tone), (11.0, tone)), limits=DATA.hold)
    assert len(spans) == 1
    assert spans[0][0] == pytest.approx(1.0, abs=0.7)
    assert spans[0][1] == pytest.approx(12.0, abs=0.7)


def test_hiss_is_neither() -> None:
    assert (
        background_events(placed((1.0, hiss(3, -25))), [(1.0, 4.0)], limits=DATA.line, hold_limits=DATA.hold)
        == ()
    )


def test_complement_keeps_away_from_edges() -> None:
    assert complement([], 3.0) == [(0.0, 3.0)]
    assert complement([(0.0, 3.0)], 3.0) == []


@pytest.mark.parametrize("hz", [95.0, 140.0, 220.0, 330.0])
def test_pitch(hz: float) -> None:
    time = np.arange(2 * RATE) / RATE
    buzz = sum(np.sin(2 * np.pi * hz * h * time) / h for h in range(1, 10) if hz * h < 3400)
    assert pitch_hz((0.1 * buzz).astype(np.float32)) == pytest.approx(hz, rel=0.02)


def test_no_pitch_in_noise_free_silence_or_a_click() -> None:
    assert pitch_hz(np.zeros(100, dtype=np.float32)) is None
    assert loudness_db(np.zeros(RATE, dtype=np.float32)) is None


def test_only_one_process_at_a_time_fills_the_cache_of_compiled_pitch_code() -> None:
    (package,) = find_spec("librosa").submodule_search_locations
    descriptor = os.open(package, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    code = "from pipeline.hearing import prosody; print('ready', flush=True); prosody._yin(); print('done')"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "ready\n"
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(timeout=4)
        os.close(descriptor)
        assert other.communicate(timeout=120)[0] == "done\n"


def test_prosody_reads_the_turn_only() -> None:
    sound = placed((5.0, hiss(2, -20, seed=1)))
    turn = with_prosody(Turn("agent", 5.0, 7.0, "好"), sound)
    assert turn.loudness_db == pytest.approx(-20, abs=0.5)


def calm(count: int) -> list[Turn]:
    return [
        Turn("customer", 5.0 * i, 5.0 * i + 3, "好", loudness_db=-25.0 + i % 2, pitch_hz=180.0 + 3 * (i % 3))
        for i in range(count)
    ]


@pytest.mark.parametrize(
    ("level", "pitch", "expected"),
    [(-15.0, 250.0, 1), (-15.0, 185.0, 0), (-25.0, 250.0, 0), (-23.0, 190.0, 0)],
)
def test_agitation_needs_loudness_and_pitch(level: float, pitch: float, expected: int) -> None:
    turn = Turn("customer", 50.0, 54.0, "怎么还没好", loudness_db=level, pitch_hz=pitch)
    events = agitation([*calm(6), turn], limits=DATA.agitation)
    assert len(events) == expected
    assert all(e.role == "customer" and 0.5 < e.confidence < 1 for e in events)


def test_agitation_needs_a_baseline() -> None:
    turn = Turn("customer", 50.0, 54.0, "怎么还没好", loudness_db=-10.0, pitch_hz=300.0)
    assert agitation([*calm(2), turn], limits=DATA.agitation) == ()


def test_limits_report_every_problem(tmp_path: Path) -> None:
    bad = tmp_path / "conversation.toml"
    text = SHIPPED.read_text(encoding="utf-8").replace("pause_s = 1.5", "pause_s = -1.5\nextra = 3")
    bad.write_text(text.replace("min_s = 3.0", 'min_s = "x"'), encoding="utf-8")
    with pytest.raises(RulebookError) as caught:
        load_conversation(bad)
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert any("'extra' is unknown in [turns]" in line for line in lines)
    assert any("'pause_s' must be a float >= 0" in line for line in lines)
    assert all(line.startswith("conversation.toml:") for line in lines)
