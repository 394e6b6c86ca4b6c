"""What somebody writes who has faster-whisper and pyannote and a folder of calls: one call after the other.

The same weights as zhijian's, all cores to each model in turn, library defaults otherwise: Whisper with
beam 5 and word times, pyannote's own `SpeakerDiarization` with ten per cent steps and two speakers, words
given to the speaker who speaks at their middle. No fillers, no roles, no verdicts, nothing stored.

``python -m benchmarks.byhand FOLDER`` (plain WAV files) prints its times as JSON.

Table of contents: `CamPlus`, `load`, `transcribe`, `main`.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from models.campplus import SpeakerEmbedder, filterbank
from models.diarize_pyannote import SEGMENTATION_FILE, import_pyannote
from models.fetch import installed
from pipeline.settings import Settings


def load(threads: int) -> tuple[Any, Any]:
    """Load Whisper and a pyannote pipeline.

    Returns
    -------
    WhisperModel, SpeakerDiarization
    """
    import torch
    from faster_whisper import WhisperModel

    torch.set_num_threads(threads)
    settings = Settings.model_validate({})
    whisper = WhisperModel(
        str(installed("whisper-base", settings.model_dir)),
        device="cpu",
        compute_type="int8",
        cpu_threads=threads,
    )
    audio = import_pyannote()
    from pyannote.audio.core.task import Problem, Resolution, Specifications
    from pyannote.audio.pipelines import SpeakerDiarization

    embedder = SpeakerEmbedder(installed("campplus-zh-en", settings.model_dir))
    torch.set_num_threads(threads)

    class CamPlus(audio.Model):  # type: ignore[misc, name-defined]
        """CAM++ as pyannote expects an embedding model."""

        def __init__(self) -> None:
            super().__init__(sample_rate=16_000, num_channels=1)
            self.specifications = Specifications(
                problem=Problem.REPRESENTATION,
                resolution=Resolution.CHUNK,
                duration=10.0,
                min_duration=0.5,
                classes=None,
            )
            self.anchor = torch.nn.Parameter(torch.zeros(1))

        @property
        def dimension(self) -> int:
            return 192

        def forward(self, waveforms: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
            vectors = []
            for index, wave in enumerate(waveforms[:, 0]):
                features = filterbank(wave.cpu().numpy().astype(np.float32))
                if weights is not None:
                    mask = weights[index].cpu().numpy()
                    at = (np.arange(len(features)) * len(mask) // len(features)).astype(int)
                    kept = features[mask[at] > 0.5]
                    features = kept if len(kept) >= 20 else features
                vectors.append(embedder.embed(features, [(0, len(features))])[0])
            return torch.from_numpy(np.stack(vectors))

    segmentation = audio.Model.from_pretrained(
        installed("pyannote-segmentation-3.0", settings.model_dir) / SEGMENTATION_FILE, map_location="cpu"
    )
    pipeline = SpeakerDiarization(
        segmentation=segmentation,
        embedding=CamPlus(),
        clustering="AgglomerativeClustering",
        plda=_no_plda(),
        segmentation_batch_size=16,
        embedding_batch_size=16,
        embedding_exclude_overlap=True,
    )
    pipeline.instantiate(
        {
            "clustering": {"method": "centroid", "min_cluster_size": 12, "threshold": 0.7},
            "segmentation": {"min_duration_off": 0.0},
        }
    )
    return whisper, pipeline


def _no_plda() -> Any:
    from pyannote.audio.core.plda import PLDA

    return PLDA.__new__(PLDA)


def transcribe(whisper: Any, pipeline: Any, path: Path) -> list[tuple[str, str]]:
    """One call: words with their speakers."""
    import torch

    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono = np.ascontiguousarray(samples.mean(axis=1))
    found = pipeline({"waveform": torch.from_numpy(mono)[None], "sample_rate": rate}, num_speakers=2)
    diarization = getattr(found, "speaker_diarization", found)
    tracks = list(diarization.itertracks(yield_label=True))
    segments, _ = whisper.transcribe(mono, language="zh", beam_size=5, word_timestamps=True)
    words = []
    for segment in segments:
        for word in segment.words:
            middle = (word.start + word.end) / 2
            near = min(
                tracks,
                key=lambda t: max(t[0].start - middle, middle - t[0].end, 0.0),
                default=(None, "", "?"),
            )
            words.append((str(near[2]), word.word))
    return words


def main() -> None:
    """Work through a folder and print what it took."""
    warnings.simplefilter("ignore")
    began_s = time.monotonic()
    whisper, pipeline = load(len(os.sched_getaffinity(0)))
    ready_s, ready_cpu_s = time.monotonic(), time.process_time()
    words = {
        path.stem: transcribe(whisper, pipeline, path) for path in sorted(Path(sys.argv[1]).glob("*.wav"))
    }
    result = {
        "load_s": ready_s - began_s,
        "wall_s": time.monotonic() - ready_s,
        "cpu_s": time.process_time() - ready_cpu_s,
        "speakers": {name: len({speaker for speaker, _ in found}) for name, found in words.items()},
        "words": {name: "".join(word for _, word in found) for name, found in words.items()},
    }
    print(json.dumps(result, ensure_ascii=False))


if __name__ == "__main__":
    main()
