"""Two clean voice tracks become a telephone recording.

Band 300–3400 Hz, 8 kHz, background, crosstalk, clipping-free level, then the codec.
All randomness comes from a generator that the caller seeds.

Table of contents: `LINE_HZ`; `background`, `telephone`, `crosstalk`, `encode`.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from scipy import signal

from synth.voice import SPEECH_HZ

LINE_HZ = 8_000
_FORMATS = {
    "alaw.wav": ("WAV", "ALAW"),
    "ulaw.wav": ("WAV", "ULAW"),
    "pcm.wav": ("WAV", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "opus.ogg": ("OGG", "OPUS"),
}
_CHATTER = (
    "你那个方案昨天改完了没有",
    "下午三点开会别忘了带电脑",
    "中午一起去楼下吃面吧",
    "他说客户下个星期再过来",
    "这个表格应该发给财务部",
    "周末天气不错我们去爬山",
    "打印机又卡纸了谁来看一下",
    "快递放在前台了你去拿吧",
)


def background(
    kind: str, length: int, level_db: float, rng: np.random.Generator, say: Callable[[str, float], np.ndarray]
) -> np.ndarray:
    """Background sound at `SPEECH_HZ`.

    Parameters
    ----------
    kind : {"none", "line", "babble", "music", "street"}
    length : int
        Samples.
    level_db : float
        RMS in dBFS.
    rng : numpy Generator
    say : callable
        ``say(text, pitch) -> samples``, used for the chatter of colleagues.

    Returns
    -------
    float32 array, shape (length,)
    """
    if kind == "none":
        return np.zeros(length, np.float32)
    if kind == "babble":
        sound = _babble(length, rng, say)
    elif kind == "music":
        sound = _music(length, rng)
    elif kind == "street":
        sound = _coloured(length, rng, slope=1.0)
        swell = np.interp(np.arange(length), np.linspace(0, length, 12), rng.uniform(0.4, 1.6, 12))
        sound = sound * swell
    else:
        sound = _coloured(length, rng, slope=0.35)
    rms = float(np.sqrt(np.mean(sound**2)))
    return (sound * (10 ** (level_db / 20) / rms)).astype(np.float32)


def _coloured(length: int, rng: np.random.Generator, *, slope: float) -> np.ndarray:
    spectrum = np.fft.rfft(rng.standard_normal(length))
    frequency = np.maximum(np.fft.rfftfreq(length, 1 / SPEECH_HZ), 50.0)
    return np.fft.irfft(spectrum * (frequency / 1000) ** -slope, length)


def _babble(length: int, rng: np.random.Generator, say: Callable[[str, float], np.ndarray]) -> np.ndarray:
    sound = np.zeros(length)
    for _ in range(3):  # three colleagues, each talking with pauses
        at = int(rng.uniform(0, 2) * SPEECH_HZ)
        while at < length:
            voice = say(_CHATTER[int(rng.integers(len(_CHATTER)))], float(rng.choice([0.85, 1.0, 1.12])))
            part = voice[: length - at]
            sound[at : at + len(part)] += part * rng.uniform(0.5, 1.0)
            at += len(voice) + int(rng.uniform(0.2, 1.2) * SPEECH_HZ)
    return sound + 0.02 * np.std(sound) * rng.standard_normal(length)


def _music(length: int, rng: np.random.Generator) -> np.ndarray:
    time_s = np.arange(length) / SPEECH_HZ
    sound = np.zeros(length)
    beat_s = 0.45
    for beat in range(int(length / SPEECH_HZ / beat_s) + 1):
        note = 392.0 * 2 ** (int(rng.choice([0, 2, 4, 7, 9, 12])) / 12)
        since = time_s - beat * beat_s
        ring = (since >= 0) & (since < 1.2)
        for partial, weight in ((1, 1.0), (2, 0.5), (3, 0.2)):
            tone = np.sin(2 * np.pi * note * partial * since[ring])
            sound[ring] += weight * tone * np.exp(-3 * since[ring])
    return sound


def telephone(samples: np.ndarray, tilt_db: float = 0.0) -> np.ndarray:
    """Band-pass 300–3400 Hz with a handset tilt, then 8 kHz.

    Parameters
    ----------
    samples : float array, shape (n,)
        At `SPEECH_HZ`.
    tilt_db : float
        Gain at 3 kHz relative to 1 kHz.
    """
    band = signal.butter(6, [300, 3400], "bandpass", fs=SPEECH_HZ, output="sos")
    shaped = signal.sosfilt(band, samples)
    if tilt_db:
        shelf = signal.butter(1, 1700, "highpass", fs=SPEECH_HZ, output="sos")
        shaped = shaped + (10 ** (tilt_db / 20) - 1) * signal.sosfilt(shelf, shaped)
    return signal.resample_poly(shaped, LINE_HZ, SPEECH_HZ).astype(np.float32)


def crosstalk(tracks: np.ndarray, level_db: float) -> np.ndarray:
    """Each channel leaks into the other, dulled and 12 ms late.

    Parameters
    ----------
    tracks : array, shape (2, n)
        At `LINE_HZ`.
    level_db : float
        Level of the leak, e.g. -15.
    """
    dull = signal.butter(2, 2200, "lowpass", fs=LINE_HZ, output="sos")
    delay = LINE_HZ * 12 // 1000
    leak = np.zeros_like(tracks)
    leak[:, delay:] = signal.sosfilt(dull, tracks[::-1], axis=1)[:, :-delay]
    return tracks + 10 ** (level_db / 20) * leak


def encode(tracks: np.ndarray, codec: str) -> bytes:
    """Encode ``(channels, n)`` at `LINE_HZ`; ``codec`` is a key of `_FORMATS`."""
    import soundfile

    container, subtype = _FORMATS[codec]
    buffer = io.BytesIO()
    frames = np.clip(tracks.T, -0.999, 0.999)
    soundfile.write(buffer, frames, LINE_HZ, format=container, subtype=subtype)
    return buffer.getvalue()
