"""What somebody writes who has WhisperX and a folder of calls: one call after the other.

It runs in an environment of its own, because WhisperX pins another torch (3.8.6: ``torch~=2.8.0``), and
therefore imports nothing of zhijian. ``PYTHON -m benchmarks.byhand_whisperx MODEL FOLDER`` prints its times
as JSON; MODEL is a folder of Whisper weights in CTranslate2's format.

The defaults of its command line: its own voice activity detection, beam 5, batches of 8. Its alignment of
words (for Chinese ``jonatasgrosman/wav2vec2-large-xlsr-53-chinese-zh-cn``) and its diarization are models of
a hub and left out: what it prints are words, with neither speakers nor times of words.

Table of contents: `samples_of`, `main`.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
import wave
from pathlib import Path
from typing import Any


def samples_of(path: Path) -> Any:
    """What ``whisperx.load_audio`` gives, without needing the ffmpeg program.

    Parameters
    ----------
    path : Path
        WAV file of 16 kHz, 16 bits, one channel or more.

    Returns
    -------
    ndarray of float32, shape (n,)
        Channels mixed to one.
    """
    import numpy as np

    with wave.open(str(path)) as file:
        if (file.getframerate(), file.getsampwidth()) != (16_000, 2):
            raise ValueError(f"{path}: expected 16 kHz and 16 bits, found {file.getparams()}")
        found = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
        channels = file.getnchannels()
    return (found.reshape(-1, channels).mean(axis=1) / 32_768.0).astype(np.float32)


def main() -> None:
    """Work through a folder and print what it took."""
    warnings.simplefilter("ignore")
    import whisperx

    model, folder = sys.argv[1:3]
    began_s = time.monotonic()
    pipeline = whisperx.load_model(
        model,
        "cpu",
        compute_type="int8",
        language="zh",
        asr_options={"beam_size": 5},
        threads=len(os.sched_getaffinity(0)),
    )
    ready_s = time.monotonic()
    words = {}
    for path in sorted(Path(folder).glob("*.wav")):
        found = pipeline.transcribe(samples_of(path), batch_size=8, language="zh")
        words[path.stem] = "".join(segment["text"] for segment in found["segments"])
    result = {"load_s": ready_s - began_s, "wall_s": time.monotonic() - ready_s, "words": words}
    print(json.dumps(result, ensure_ascii=False))


if __name__ == "__main__":
    main()
