"""hear() with the fake recogniser: order, determinism, silence, layouts."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from models.fake import FakeDiarizer, FakeRecognizer
from pipeline.errors import SilentAudioError
from pipeline.hearing.audio import Recording
from pipeline.hearing.hear import hear
from pipeline.hearing.lexicon import HearingLexicon, load_lexicon
from pipeline.records import CallRecord


@pytest.fixture(scope="module")
def lexicon() -> HearingLexicon:
    return load_lexicon()


def make_call(**changes: object) -> CallRecord:
    fields: dict[str, object] = {
        "call_id": "C1",
        "direction": "inbound",
        "started_at": datetime(2026, 3, 2, 10, tzinfo=UTC),
    }
    return CallRecord(**(fields | changes))  # type: ignore[arg-type]


def voice(seconds: float, talk: list[tuple[float, float]], *, pitch_hz: float, seed: int) -> np.ndarray:
    """A buzz with the rhythm of syllables: enough of a voice for activity detection."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * 8000)) / 8000
    melody = pitch_hz * (1.0 + 0.15 * np.sin(2 * np.pi * 1.7 * time) + 0.08 * np.sin(2 * np.pi * 3.1 * time))
    phase = 2 * np.pi * np.cumsum(melody) / 8000  # a voice glides; a steady tone would be hold music
    buzz = sum(np.sin(h * phase + h) / h for h in range(1, 16))
    syllables = 0.55 + 0.45 * np.sin(2 * np.pi * 4.0 * time)
    sound = 0.08 * buzz * syllables * (1 + 0.3 * rng.normal(size=len(time)))
    mask = np.zeros(len(time))
    for start, end in talk:
        mask[int(start * 8000) : int(end * 8000)] = 1.0
    return (sound * mask + rng.normal(0, 0.001, len(time))).astype(np.float32)


def recording(*channels: np.ndarray) -> Recording:
    samples = np.stack(channels)
    return Recording(samples, 8000, samples.shape[1] / 8000, "wav/pcm")


AGENT = [(0.5, 3.0), (8.0, 11.0), (16.0, 18.0)]
CUSTOMER = [(4.0, 7.0), (12.0, 15.0)]


def never() -> FakeDiarizer:
    raise AssertionError("the diarizer must not be loaded for a stereo call")


def test_stereo_needs_no_diarizer_and_is_deterministic(lexicon: HearingLexicon) -> None:
    audio = recording(voice(20, AGENT, pitch_hz=210, seed=1), voice(20, CUSTOMER, pitch_hz=120, seed=2))
    first, second = (
        hear(
            audio,
            make_call(agent_channel=0),
            recognizer=FakeRecognizer(),
            diarizer=never,
            lexicon=lexicon,
            recording_sha256="ab",
        )
        for _ in range(2)
    )
    assert first == second
    assert first.layout == "stereo"
    assert first.roles_from == "call_record"
    assert {t.role for t in first.turns} == {"agent", "customer"}
    assert list(first.turns) == sorted(first.turns, key=lambda t: t.start_s)
    agent = [t for t in first.turns if t.role == "agent"]
    assert agent[0].start_s == pytest.approx(0.5, abs=0.15)
    assert agent[0].end_s == pytest.approx(3.0, abs=0.2)
    assert all(t.loudness_db is not None for t in first.turns)
    assert first.agent_snr_db is not None and first.agent_snr_db > 20
    assert set(first.stage_s) >= {"voices", "recognise", "roles", "turns"}


def test_swapped_channels_swap_roles(lexicon: HearingLexicon) -> None:
    a, b = voice(20, AGENT, pitch_hz=210, seed=1), voice(20, CUSTOMER, pitch_hz=120, seed=2)
    one = hear(
        recording(a, b),
        make_call(agent_channel=0),
        recognizer=FakeRecognizer(),
        diarizer=never,
        lexicon=lexicon,
        recording_sha256="",
    )
    other = hear(
        recording(b, a),
        make_call(agent_channel=1),
        recognizer=FakeRecognizer(),
        diarizer=never,
        lexicon=lexicon,
        recording_sha256="",
    )
    assert one.turns == other.turns


@pytest.mark.parametrize("channels", [1, 2])
def test_nobody_speaks(lexicon: HearingLexicon, channels: int) -> None:
    noise = np.random.default_rng(0).normal(0, 0.001, (channels, 80000)).astype(np.float32)
    with pytest.raises(SilentAudioError, match="nobody speaks"):
        hear(
            recording(*noise),
            make_call(),
            recognizer=FakeRecognizer(),
            diarizer=never,
            lexicon=lexicon,
            recording_sha256="",
        )


def test_the_same_sound_twice_is_mono(lexicon: HearingLexicon) -> None:
    both = voice(20, AGENT, pitch_hz=210, seed=1) + voice(20, CUSTOMER, pitch_hz=120, seed=2)
    heard = hear(
        recording(both, both),
        make_call(agent_channel=0),
        recognizer=FakeRecognizer(),
        diarizer=FakeDiarizer(),
        lexicon=lexicon,
        recording_sha256="",
    )
    assert heard.layout == "mono"
    assert "dual_mono" in heard.notes
    assert heard.roles_from == "content"


def test_one_empty_channel_is_diarized(lexicon: HearingLexicon) -> None:
    both = voice(20, AGENT, pitch_hz=210, seed=1) + voice(20, CUSTOMER, pitch_hz=120, seed=2)
    heard = hear(
        recording(both, np.zeros_like(both)),
        make_call(),
        recognizer=FakeRecognizer(),
        diarizer=FakeDiarizer(),
        lexicon=lexicon,
        recording_sha256="",
    )
    assert heard.layout == "mono"
    assert "one_sided" in heard.notes


@pytest.mark.parametrize("claimed", [None, 0, 1])
def test_a_claimed_channel_that_cannot_be_used_is_noted(lexicon: HearingLexicon, claimed: int | None) -> None:
    both = voice(20, AGENT, pitch_hz=210, seed=1) + voice(20, CUSTOMER, pitch_hz=120, seed=2)
    heard = hear(
        recording(both),
        make_call(agent_channel=claimed),
        recognizer=FakeRecognizer(),
        diarizer=FakeDiarizer(),
        lexicon=lexicon,
        recording_sha256="",
    )
    assert heard.layout == "mono"
    assert heard.notes == (() if claimed is None else ("agent_channel_unused",))


def test_ring_back_and_announcement_are_nobodys_words(lexicon: HearingLexicon) -> None:
    """Two rings, a menu, then the call: turns, talk time and dead air are those of the call."""
    from models.fake import FakeTurn

    time = np.arange(30 * 8000) / 8000
    rings = 0.1 * np.sin(2 * np.pi * 450 * time) * (time % 5 < 1.0) * (time < 6.5)
    agent = voice(30, [(8.0, 12.0), (16.0, 19.0), (25.0, 28.0)], pitch_hz=210, seed=1) + rings
    customer = voice(30, [(20.0, 24.0)], pitch_hz=120, seed=2)
    script = {
        30.0: [
            FakeTurn(8.0, 10.0, "欢迎致电安和保险"),
            FakeTurn(10.0, 12.0, "人工服务请按零"),
            FakeTurn(16.0, 19.0, "您好请问有什么可以帮您"),
            FakeTurn(20.0, 24.0, "你好我想查一下我的保单"),
            FakeTurn(25.0, 28.0, "好的请您稍等"),
        ]
    }
    heard = hear(
        recording(agent.astype(np.float32), customer),
        make_call(agent_channel=0),
        recognizer=FakeRecognizer(script),
        diarizer=never,
        lexicon=lexicon,
        recording_sha256="ab",
    )
    said = [t.text for t in heard.turns if t.role == "agent"]
    assert said[0].startswith("您好")
    assert not any("请按" in text for text in said)
    held = {e.text: (e.start_s, e.end_s) for e in heard.events if e.kind == "hold"}
    assert set(held) == {"ring_back", "announcement"}
    assert held["announcement"] == (pytest.approx(8.0, abs=0.3), pytest.approx(12.0, abs=0.3))
    assert not [e for e in heard.events if e.kind == "dead_air"]
