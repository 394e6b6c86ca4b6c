"""Bytes of a recording to samples, in memory only.

Conventions
-----------
Samples are float32 in [-1, 1], shape ``(channels, n)``. The content decides what a file is, never its
name. A file that is shorter than its own header says was cut and is refused: a missing end would pass
for a call without a farewell.

Table of contents: `Recording`, `Limits`, `decode`, `to_16k`.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import DecodeError, EmptyAudioError
from pipeline.ports import SAMPLE_RATE_HZ

_CONTAINERS = {"WAV": "wav", "WAVEX": "wav", "RF64": "wav", "FLAC": "flac", "MP3": "mp3", "OGG": "ogg"}
_EXPECTED = "WAV (PCM, A-law, µ-law), FLAC, MP3, Ogg Vorbis or Ogg Opus"
_STREAMED = (0, 0xFFFFFFFF)  # what recorders write that do not yet know the length
_WAV_CODECS = {
    0x0031: "GSM 6.10",
    0x0045: "G.726",
    0x0064: "G.726",
    0x0083: "G.729",
    0x0042: "G.723.1",
    0x0161: "Windows Media Audio",
}
_FOREIGN = {
    b"#!AMR": "AMR",
    b"\x30\x26\xb2\x75": "Windows Media (ASF)",
    b"PK\x03\x04": "a ZIP archive",
    b"%PDF": "a PDF document",
    b"age-encryption.org": "a recording that is still encrypted (age)",
    b"\x1a\x45\xdf\xa3": "Matroska/WebM",
    b"FORM": "AIFF",
}


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """Decoded audio.

    Attributes
    ----------
    samples : ndarray of float32, shape (channels, n)
        In [-1, 1], ``channels`` is 1 or 2, ``n >= 1``.
    sample_rate_hz : int
        8000 to 48000.
    duration_s : float
    codec : str
        ``container/coding``, such as ``wav/alaw``.
    """

    samples: NDArray[np.float32]
    sample_rate_hz: int
    duration_s: float
    codec: str


@dataclass(frozen=True, slots=True)
class Limits:
    """What a recording may be at most; beyond is a mistake, not a call."""

    max_bytes: int = 1 << 30
    max_duration_s: float = 4 * 3600.0
    max_channels: int = 2
    min_rate_hz: int = 8_000
    max_rate_hz: int = 48_000


def decode(data: bytes, *, extension: str | None = None, limits: Limits | None = None) -> Recording:
    """Decode a whole recording.

    Parameters
    ----------
    data : bytes
        WAV (PCM 8 to 32 bit, float, A-law, µ-law), FLAC, MP3, Ogg Vorbis or Ogg Opus.
    extension : str, optional
        Of the file name; only used to say in an error what the file claimed to be.
    limits : Limits, optional

    Raises
    ------
    EmptyAudioError
        No bytes, or no samples.
    DecodeError
        Not audio of a known kind, cut short, damaged, holding values that are no numbers, or outside
        the limits; the message says which.

    Examples
    --------
    >>> import io, numpy, soundfile
    >>> file = io.BytesIO()
    >>> soundfile.write(file, numpy.zeros((8000, 2)), 8000, format="WAV", subtype="ALAW")
    >>> recording = decode(file.getvalue())
    >>> recording.samples.shape, recording.duration_s, recording.codec
    ((2, 8000), 1.0, 'wav/alaw')
    """
    limits = limits or Limits()
    if not data:
        raise EmptyAudioError("the recording has 0 bytes; expected audio")
    if len(data) > limits.max_bytes:
        raise DecodeError(f"the recording has {len(data)} bytes, more than the {limits.max_bytes} allowed")
    _refuse_cut(data)
    samples, rate, codec = _read(data, extension, limits)
    if samples.shape[1] == 0:
        raise EmptyAudioError(f"the recording ({codec}) has zero samples")
    bad = int(samples.size - np.count_nonzero(np.isfinite(samples)))
    if bad:
        raise DecodeError(f"the recording ({codec}) holds {bad} samples that are not finite numbers")
    np.clip(samples, -1.0, 1.0, out=samples)
    return Recording(samples, rate, samples.shape[1] / rate, codec)


def to_16k(recording: Recording) -> NDArray[np.float32]:
    """Resample to the 16 kHz that all models want.

    Returns
    -------
    ndarray of float32, shape (channels, n)
        ``n`` is the duration times 16000, rounded; the input's own array if it has that rate already.
    """
    if recording.sample_rate_hz == SAMPLE_RATE_HZ:
        return recording.samples
    import soxr

    first, *others = recording.samples
    resampled = soxr.resample(first, recording.sample_rate_hz, SAMPLE_RATE_HZ)
    if not others:
        return np.ascontiguousarray(resampled[None], dtype=np.float32)  # the array itself, no copy
    channels = np.empty((len(recording.samples), len(resampled)), dtype=np.float32)
    channels[0] = resampled
    for index, other in enumerate(others, start=1):
        channels[index] = soxr.resample(other, recording.sample_rate_hz, SAMPLE_RATE_HZ)
    return channels


def _read(data: bytes, extension: str | None, limits: Limits) -> tuple[NDArray[np.float32], int, str]:
    import soundfile

    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            container = _CONTAINERS.get(file.format)
            if container is None:
                raise DecodeError(f"the recording is {file.format}; expected {_EXPECTED}")
            codec = f"{container}/{_coding(file.subtype)}"
            rate = int(file.samplerate)
            _check_limits(file.channels, rate, file.frames, codec, limits)
            samples = file.read(dtype="float32", always_2d=True)
            # Streams and damaged files do not tell their length beforehand.
            _check_limits(file.channels, rate, len(samples), codec, limits)
            if container == "flac" and len(samples) < file.frames:
                raise DecodeError(
                    f"the recording ({codec}) was cut: {len(samples)} of {file.frames} samples are there"
                )
    except (soundfile.LibsndfileError, RuntimeError, ValueError, MemoryError) as error:
        raise DecodeError(_not_audio(data, extension)) from error
    return np.ascontiguousarray(samples.T), rate, codec


def _coding(subtype: str) -> str:
    names = {"ULAW": "mulaw", "MPEG_LAYER_III": "layer3", "DOUBLE": "float64", "FLOAT": "float32"}
    return names.get(subtype, subtype.lower())


def _check_limits(channels: int, rate: int, frames: int, codec: str, limits: Limits) -> None:
    if not 1 <= channels <= limits.max_channels:
        raise DecodeError(f"the recording ({codec}) has {channels} channels; expected 1 or 2")
    if not limits.min_rate_hz <= rate <= limits.max_rate_hz:
        raise DecodeError(
            f"the recording ({codec}) has a sample rate of {rate} Hz; "
            f"expected {limits.min_rate_hz} to {limits.max_rate_hz}"
        )
    if frames / rate > limits.max_duration_s:
        raise DecodeError(
            f"the recording ({codec}) says it lasts {frames / rate:.0f} s; "
            f"at most {limits.max_duration_s:.0f} s are accepted"
        )


def _not_audio(data: bytes, extension: str | None) -> str:
    claimed = f" (named .{extension.lstrip('.')})" if extension else ""
    for magic, name in _FOREIGN.items():
        if data.startswith(magic):
            return f"the recording{claimed} is {name}; expected {_EXPECTED}"
    if data[4:8] == b"ftyp":
        return f"the recording{claimed} is MP4/M4A; expected {_EXPECTED}"
    if data[:4] in (b"RIFF", b"RF64"):
        tag = _wav_tag(data)
        coding = _WAV_CODECS.get(tag, f"format tag 0x{tag:04x}") if tag is not None else "no format chunk"
        return f"the WAV recording{claimed} cannot be decoded: {coding}; expected {_EXPECTED}"
    if data[:4] in (b"fLaC", b"OggS"):
        return f"the recording{claimed} is damaged; expected {_EXPECTED}"
    return f"the recording{claimed} is no audio of a known kind; expected {_EXPECTED}"


def _refuse_cut(data: bytes) -> None:
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        _refuse_cut_wav(data)
    elif data[:4] == b"OggS":
        _refuse_cut_ogg(data)
    elif data[:3] == b"ID3" or data[:1] == b"\xff":
        _refuse_cut_mp3(data)


def _chunks(data: bytes) -> list[tuple[bytes, int, int]]:
    """List the chunks of a RIFF file as (id, start of content, size the header says)."""
    found, at = [], 12
    while at + 8 <= len(data):
        name, size = data[at : at + 4], struct.unpack_from("<I", data, at + 4)[0]
        found.append((name, at + 8, size))
        at += 8 + size + (size & 1)
    return found


def _wav_tag(data: bytes) -> int | None:
    for name, start, size in _chunks(data):
        if name == b"fmt " and size >= 2 and start + 2 <= len(data):
            return int(struct.unpack_from("<H", data, start)[0])
    return None


def _refuse_cut_wav(data: bytes) -> None:
    chunks = _chunks(data)
    for name, start, size in chunks:
        there = len(data) - start
        if name == b"data" and size not in _STREAMED and there < size:
            raise DecodeError(f"the WAV recording was cut: {there} of {size} bytes of audio are there")
    if not any(name == b"data" for name, _, _ in chunks):
        raise DecodeError("the WAV recording was cut or is damaged: it has no audio data chunk")


def _refuse_cut_ogg(data: bytes) -> None:
    at, ended = 0, False
    while data[at : at + 4] == b"OggS" and at + 27 <= len(data):
        lacing = data[at + 27 : at + 27 + data[at + 26]]
        ended = bool(data[at + 5] & 0x04)
        at += 27 + data[at + 26] + sum(lacing)
    if at > len(data) or not ended:
        raise DecodeError("the Ogg recording was cut: its end-of-stream mark is missing")


def _refuse_cut_mp3(data: bytes) -> None:
    """Compare with the byte count that encoders note in the first frame; without one nothing is known."""
    head = data[: 1 << 20] if data[:3] == b"ID3" else data[:4096]
    note = max(head.find(b"Xing"), head.find(b"Info"))
    frame = head.rfind(b"\xff", 0, note) if note > 0 else -1
    if note < 0 or frame < 0 or note - frame > 64 or note + 16 > len(head):
        return
    flags = struct.unpack_from(">I", head, note + 4)[0]
    if not flags & 2:
        return
    size = struct.unpack_from(">I", head, note + 8 + (4 if flags & 1 else 0))[0]
    if len(data) - frame < size:
        raise DecodeError(f"the MP3 recording was cut: {len(data) - frame} of {size} bytes are there")
