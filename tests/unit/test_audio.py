"""Every promised coding is read, and what is broken is refused with the reason."""

import io
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import DecodeError, EmptyAudioError
from pipeline.hearing.audio import Limits, decode, to_16k

CODINGS = [
    ("WAV", "PCM_U8", "wav/pcm_u8"),
    ("WAV", "PCM_16", "wav/pcm_16"),
    ("WAV", "PCM_24", "wav/pcm_24"),
    ("WAV", "PCM_32", "wav/pcm_32"),
    ("WAV", "FLOAT", "wav/float32"),
    ("WAV", "DOUBLE", "wav/float64"),
    ("WAV", "ALAW", "wav/alaw"),
    ("WAV", "ULAW", "wav/mulaw"),
    ("WAVEX", "PCM_16", "wav/pcm_16"),
    ("FLAC", "PCM_16", "flac/pcm_16"),
    ("MP3", "MPEG_LAYER_III", "mp3/layer3"),
    ("OGG", "VORBIS", "ogg/vorbis"),
    ("OGG", "OPUS", "ogg/opus"),
]


def tone(rate=8000, seconds=1.0, channels=1, hz=440.0):
    t = np.arange(round(rate * seconds)) / rate
    wave = 0.5 * np.sin(2 * np.pi * hz * t)
    return np.stack([wave * (1.0 if c == 0 else 0.25) for c in range(channels)], axis=1)


def encoded(samples, rate, container="WAV", subtype="PCM_16"):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=container, subtype=subtype)
    return file.getvalue()


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [8000, 16000, 48000])
@pytest.mark.parametrize(("container", "subtype", "codec"), CODINGS)
def test_every_coding_is_decoded(container, subtype, codec, rate, channels):
    recording = decode(encoded(tone(rate, 1.0, channels), rate, container, subtype))
    assert recording.codec == codec
    assert recording.sample_rate_hz == rate
    assert recording.samples.dtype == np.float32
    assert recording.samples.shape[0] == channels
    assert recording.duration_s == pytest.approx(1.0, abs=0.1)
    middle = recording.samples[:, rate // 4 : -rate // 4]  # lossy coders need a moment to settle
    levels = np.sqrt((middle**2).mean(axis=1) * 2)
    assert levels == pytest.approx([0.5, 0.125][:channels], rel=0.15)


def test_content_decides_not_the_name():
    assert decode(encoded(tone(), 8000, "FLAC"), extension="wav").codec == "flac/pcm_16"


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 44100, 48000])
def test_to_16k_keeps_duration_and_pitch(rate):
    resampled = to_16k(decode(encoded(tone(rate, 1.0, 2), rate)))
    assert resampled.shape == (2, 16000)
    spectrum = np.abs(np.fft.rfft(resampled[0]))
    assert int(spectrum.argmax()) == 440


def test_16k_is_not_copied():
    recording = decode(encoded(tone(16000), 16000))
    assert to_16k(recording) is recording.samples


@pytest.mark.parametrize("data", [b"", encoded(np.zeros((0, 1)), 8000)])
def test_nothing_is_empty_audio(data):
    with pytest.raises(EmptyAudioError, match=r"0 bytes|zero samples"):
        decode(data)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.999])
@pytest.mark.parametrize(
    ("container", "subtype"),
    [
        ("WAV", "PCM_16"),
        ("WAV", "ALAW"),
        ("FLAC", "PCM_16"),
        ("OGG", "OPUS"),
        ("OGG", "VORBIS"),
        ("MP3", "MPEG_LAYER_III"),
    ],
)
def test_a_cut_file_is_noticed(container, subtype, share):
    rng = np.random.default_rng(1)
    whole = encoded(rng.normal(0, 0.1, (16000, 1)), 8000, container, subtype)
    decode(whole)
    with pytest.raises(DecodeError, match=r"cut|damaged"):
        decode(whole[: int(len(whole) * share)])


def test_a_streamed_wav_of_unknown_length_is_read():
    whole = bytearray(encoded(tone(), 8000))
    struct.pack_into("<I", whole, 4, 0xFFFFFFFF)
    struct.pack_into("<I", whole, whole.index(b"data") + 4, 0xFFFFFFFF)
    assert decode(bytes(whole)).duration_s == pytest.approx(1.0)


def test_a_wav_without_data_chunk_was_cut():
    with pytest.raises(DecodeError, match="no audio data chunk"):
        decode(encoded(tone(), 8000)[:36])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_refused(value):
    samples = tone()
    samples[10] = value
    with pytest.raises(DecodeError, match="holds 1 samples that are not finite"):
        decode(encoded(samples, 8000, "WAV", "FLOAT"))


def test_values_beyond_full_scale_are_clipped():
    assert np.abs(decode(encoded(tone() * 4, 8000, "WAV", "FLOAT")).samples).max() == 1.0


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"hello, this is a text file" * 10, "no audio of a known kind"),
        (b"#!AMR\n" + bytes(100), "AMR"),
        (b"\x00\x00\x00\x20ftypM4A " + bytes(100), "MP4/M4A"),
        (b"PK\x03\x04" + bytes(100), "ZIP"),
        (b"age-encryption.org/v1\n" + bytes(100), "still encrypted"),
        (bytes(1000), "no audio of a known kind"),
    ],
)
def test_what_is_no_audio_is_named(data, says):
    with pytest.raises(DecodeError, match=says):
        decode(data, extension="wav")


def test_an_unknown_wav_coding_is_named():
    data = bytearray(encoded(tone(), 8000))
    struct.pack_into("<H", data, data.index(b"fmt ") + 8, 0x0083)
    with pytest.raises(DecodeError, match=r"G\.729"):
        decode(bytes(data))


@pytest.mark.parametrize(
    ("samples", "rate", "limits", "says"),
    [
        (tone(channels=3), 8000, Limits(), "3 channels"),
        (tone(rate=4000), 4000, Limits(), "4000 Hz"),
        (tone(rate=96000), 96000, Limits(), "96000 Hz"),
        (tone(seconds=3.0), 8000, Limits(max_duration_s=2.0), "lasts 3 s"),
        (tone(), 8000, Limits(max_bytes=100), "bytes, more than the 100 allowed"),
    ],
)
def test_limits(samples, rate, limits, says):
    with pytest.raises(DecodeError, match=says):
        decode(encoded(samples, rate), limits=limits)


VALID = [encoded(tone(seconds=0.2), 8000, container, subtype) for container, subtype, _ in CODINGS]


@settings(max_examples=150, deadline=None)
@given(
    which=st.integers(0, len(VALID) - 1),
    at=st.floats(0, 1),
    junk=st.binary(min_size=1, max_size=12),
    keep=st.floats(0, 1),
)
def test_damage_never_raises_anything_else(which, at, junk, keep):
    data = bytearray(VALID[which])
    place = int(at * (len(data) - 1))
    data[place : place + len(junk)] = junk
    data = data[: max(1, int(len(data) * keep))]
    try:
        recording = decode(bytes(data))
    except (DecodeError, EmptyAudioError):
        return
    assert np.isfinite(recording.samples).all()


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400))
def test_random_bytes_never_raise_anything_else(data):
    with pytest.raises((DecodeError, EmptyAudioError)):
        decode(data)
