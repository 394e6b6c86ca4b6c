"""Ring-back, busy tone, music and announcements on sounds made here; none of them in speech."""

from __future__ import annotations

import numpy as np
import pytest
import soxr
from builders import SAMPLES

from benchmarks.hearing.generated import generated_calls
from benchmarks.hearing.lines import telephone
from pipeline.hearing import hold
from pipeline.hearing.announcements import announced, without_announcements
from pipeline.hearing.audio import to_16k
from pipeline.hearing.conversation import load_conversation
from pipeline.hearing.hold import held_sounds, modulation, peakiness
from pipeline.hearing.lanes import Lane, Lanes
from pipeline.records import Word

RATE = 16_000
DATA = load_conversation()


def line(sound: np.ndarray, noise_db: float = -50.0) -> np.ndarray:
    """Over a telephone."""
    coded = telephone(sound.astype(np.float32), np.random.default_rng(1), noise_db=noise_db)
    return soxr.resample(coded, 8000, RATE)


def bursts(on_s: float, every_s: float, *, hz: float = 450.0, seconds: float = 20.0) -> np.ndarray:
    at_s = np.arange(int(seconds * RATE)) / RATE
    sounding = ((at_s - 2.0) % every_s < on_s) & (at_s >= 2.0) & (at_s < seconds - 2.0)
    return 0.1 * np.sin(2 * np.pi * hz * at_s) * sounding


def instrument(kind: str, hz: float, seconds: float) -> np.ndarray:
    at_s = np.arange(int(seconds * RATE)) / RATE
    vibrato = 0.013 * hz * np.sin(2 * np.pi * 5.5 * at_s) if kind in ("strings", "singing") else 0.0
    sound = np.zeros(len(at_s))
    for k in range(1, 12):
        weight = 1.0 / k
        if kind == "singing":
            weight = 1 / (1 + ((k * hz - 600) / 300) ** 2) + 0.3 / (1 + ((k * hz - 1500) / 400) ** 2)
        fading = np.exp(-0.9 * k * at_s) if kind == "plucked" else 1.0
        sound += weight * fading * np.sin(2 * np.pi * k * hz * at_s + k * vibrato)
    return sound * np.minimum(1, np.minimum(at_s / 0.02, (seconds - at_s) / 0.03))


def tune(kind: str, *, drums: bool = False, seconds: float = 14.0, seed: int = 4) -> np.ndarray:
    draw = np.random.default_rng(seed)
    sound = np.zeros(int(seconds * RATE))
    at_s = 0.0
    while at_s < seconds - 1.0:
        length = draw.uniform(0.25, 0.8)
        for semitone in draw.integers(0, 24, 3):
            part = instrument(kind, 196 * 2 ** (semitone / 12), length + 0.05)
            begin = int(at_s * RATE)
            sound[begin : begin + len(part)] += part[: len(sound) - begin]
        at_s += length
    if drums:
        for at_s in np.arange(0, seconds - 0.2, 0.25):
            hit = draw.normal(0, 3, 1600) * np.exp(-np.arange(1600) / 300)
            sound[int(at_s * RATE) : int(at_s * RATE) + 1600] += hit
    return 0.05 * sound / np.sqrt(np.mean(sound**2))


def kinds(sound: np.ndarray) -> list[str]:
    return [held.kind for held in held_sounds(sound, limits=DATA.hold)]


@pytest.mark.parametrize(
    ("on_s", "every_s", "kind"),
    [(1.0, 5.0, "ring_back"), (0.35, 0.7, "busy"), (0.7, 1.4, "busy"), (16.0, 99.0, "tone")],
)
@pytest.mark.parametrize("hz", [430.0, 450.0, 470.0])
def test_tones_of_the_exchange_are_named(on_s, every_s, kind, hz):
    (found,) = held_sounds(line(bursts(on_s, every_s, hz=hz)), limits=DATA.hold)
    assert found.kind == kind
    assert found.start_s == pytest.approx(2.0, abs=0.2)
    assert found.end_s == pytest.approx(18.0, abs=1.2)


def test_a_single_ring_is_a_ring_and_a_blip_is_nothing():
    assert kinds(line(bursts(1.0, 99.0))) == ["ring_back"]
    assert kinds(line(bursts(0.15, 99.0))) == []


def test_other_frequencies_are_no_ring_back():
    assert "ring_back" not in kinds(line(bursts(1.0, 5.0, hz=700.0)))


@pytest.mark.parametrize("kind", ["plucked", "organ", "strings", "singing"])
@pytest.mark.parametrize("drums", [False, True])
def test_music_is_found_where_it_is(kind, drums):
    silence = np.zeros(4 * RATE)
    (found,) = held_sounds(
        line(np.concatenate([silence, tune(kind, drums=drums), silence])), limits=DATA.hold
    )
    assert found.kind == "music"
    assert found.start_s == pytest.approx(4.0, abs=1.0)
    assert found.end_s == pytest.approx(18.0, abs=1.6)


@pytest.mark.parametrize("shape", ["white", "brown", "hum"])
def test_noise_is_no_music(shape):
    draw = np.random.default_rng(2)
    sound = draw.normal(0, 1, 12 * RATE)
    if shape == "brown":
        sound = np.cumsum(sound)
        sound -= np.convolve(sound, np.ones(200) / 200, "same")
    if shape == "hum":  # all through the recording: it is the floor
        at_s = np.arange(12 * RATE) / RATE
        sound = sum(np.sin(2 * np.pi * 50 * k * at_s) for k in (7, 9, 11))
    assert kinds(line(0.03 * sound / np.std(sound))) == []


@pytest.mark.parametrize("call_id", ["in03", "in04", "out05", "out06"])
def test_speech_is_no_music(call_id):
    (call,) = [c for c in generated_calls(SAMPLES) if c.id == call_id]
    for channel in to_16k(call.audio()):
        assert kinds(channel) == []
        pace, low = modulation(channel)
        assert np.percentile(pace, 90) > 2 * DATA.hold.modulation_most
        assert np.percentile(low, 90) > DATA.hold.low_share_most


def test_peakiness_of_noise_is_eulers_constant():
    hiss = np.random.default_rng(0).normal(0, 0.1, 5 * RATE).astype(np.float32)
    assert np.median(peakiness(hiss)) == pytest.approx(0.5772, abs=0.06)


# -- announcements


def said(*lines: tuple[float, str]) -> list[Word]:
    """One word a line, a quarter of a second a character."""
    return [Word(text, at_s, at_s + 0.25 * len(text)) for at_s, text in lines]


CUES = DATA.announcement
MENU = ((0.5, "您好欢迎致电安和保险"), (3.5, "普通话请按一"), (5.5, "人工服务请按零"))
AGENT = ((12.0, "您好"), (12.6, "请问有什么可以帮您"))
CUSTOMER = ((16.0, "你好我想查一下保单"),)


def test_a_menu_is_an_announcement_up_to_its_last_line():
    assert announced([said(*MENU, *AGENT), said(*CUSTOMER)], cues=CUES) == [(0, (0.5, 7.25))]


def test_the_recogniser_may_write_it_by_sound():
    misheard = ((0.5, "银工服务请按零"), (3.0, "普通话请案一"))
    assert announced([said(*misheard, *AGENT), said(*CUSTOMER)], cues=CUES) == [(0, (0.5, 4.5))]


@pytest.mark.parametrize(
    "opening",
    [
        ((0.5, "您好安和保险为保证服务质量本次通话将被录音请问有什么可以帮您"),),
        ((0.5, "您好"), (1.5, "这里是安和保险公司服务专线"), (5.0, "为了保证服务质量本次通话会被录音")),
    ],
)
def test_an_agent_who_speaks_of_recording_is_no_announcement(opening):
    assert announced([said(*opening), said((20.0, "好的你说"))], cues=CUES) == []


def test_recording_notice_then_a_greeting_is_an_announcement():
    lines = ((0.5, "为保证服务质量您的通话将被录音"), (9.0, "您好工号一零二七请问有什么可以帮您"))
    ((lane, span),) = announced([said(*lines), said((14.0, "你好"))], cues=CUES)
    assert (lane, span) == (0, (0.5, 4.25))


def test_after_an_answer_no_announcement_follows():
    later = said((0.5, "您好请问有什么可以帮您"), (9.0, "为您转接人工"), (11.0, "满意请按一"))
    assert announced([later, said((4.0, "你好我想查一下我的理赔进度"))], cues=CUES) == []


def test_the_network_speaks_on_the_customers_side():
    network = said((0.5, "您好您拨打的用户正忙"), (3.5, "请稍后再拨"))
    assert announced([[], network], cues=CUES) == [(1, (0.5, 4.75))]


@pytest.mark.parametrize("layout", ["stereo", "mono"])
def test_announcements_leave_voices_and_words(layout):
    silence = np.zeros(RATE * 20, dtype=np.float32)
    agent = Lane(0, silence, ((0.4, 7.4), (11.9, 15.0)))
    customer = Lane(1, silence, ((15.9, 18.5),))
    lanes = Lanes(layout, (agent, customer))
    left, words = without_announcements(lanes, [said(*MENU, *AGENT), said(*CUSTOMER)], cues=CUES)
    assert [w.text for w in words[0]] == ["您好", "请问有什么可以帮您"]
    assert words[1] == said(*CUSTOMER)
    assert left.lanes[0].spans == ((11.9, 15.0),)
    assert left.announced == ((0.5, 7.25),)


def test_a_voice_that_only_announces_is_no_party_of_a_mixed_call():
    silence = np.zeros(RATE * 20, dtype=np.float32)
    lanes = Lanes("mono", tuple(Lane(0, silence, s) for s in (((0.4, 7.4),), ((11.9, 15.0),))))
    left, words = without_announcements(lanes, [said(*MENU), said(*AGENT)], cues=CUES)
    assert len(left.lanes) == len(words) == 1
    stereo, channels = without_announcements(
        Lanes("stereo", lanes.lanes), [said(*MENU), said(*AGENT)], cues=CUES
    )
    assert len(stereo.lanes) == len(channels) == 2


def test_a_long_call_is_heard_as_one_in_blocks(monkeypatch):
    music = instrument("strings", 330.0, 8.0)
    call = line(np.concatenate([bursts(1.0, 5.0), music, bursts(0.35, 0.7)]))
    whole, share = hold._spectra(call), hold._tonal_share(hold._spectra(call))
    monkeypatch.setattr(hold, "_BLOCK", 64)
    assert np.array_equal(hold._spectra(call), whole)
    assert np.array_equal(hold._tonal_share(whole), share)
