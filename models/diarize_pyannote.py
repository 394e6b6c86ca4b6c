"""Who speaks when in a mixed channel: pyannote segmentation and CAM++ voices.

The segmentation model answers for windows of 10 s; which of its local voices is which of the
two parties is decided once for the whole call by `pipeline.hearing.diarize`, from the windows'
own agreement and one voice embedding for each stretch of speech.

Conventions
-----------
Audio is float32 mono at 16 kHz in [-1, 1]. One torch thread: calls are spread over processes.

Table of contents: `import_pyannote`, `PyannoteDiarizer`.
"""

from __future__ import annotations

import hashlib
import importlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.campplus import FRAME_HOP_S, SpeakerEmbedder, filterbank
from models.checkpoints import safe_bytes
from models.torchaudio_stand_in import importable_torchaudio
from pipeline.errors import ModelMissingError
from pipeline.hearing.activity import ActivityLimits, local_floors_db
from pipeline.hearing.diarize import Embeddings, LineLevels, Windows, parties
from pipeline.hearing.grouping import DiarizeLimits
from pipeline.hearing.levels import frame_levels_db, noise_floor_db
from pipeline.ports import SAMPLE_RATE_HZ, Samples, SpeakerStretch
from pipeline.records import ModelId

SEGMENTATION_FILE = "pytorch_model.bin"
_WINDOW_S = 10.0
_BATCH = 16


@contextmanager
def _quiet() -> Iterator[None]:
    """Third-party import and load warnings say nothing that a user of this class could act on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def import_pyannote() -> Any:
    """Import ``pyannote.audio``, also beside a torchaudio whose compiled part cannot be loaded."""
    with _quiet():
        importable_torchaudio()
        return importlib.import_module("pyannote.audio")


class PyannoteDiarizer:
    """Two-party diarization, a `pipeline.ports.Diarizer`.

    Parameters
    ----------
    segmentation : Path
        Folder with the ``pytorch_model.bin`` of pyannote/segmentation-3.0.
    embedding : Path
        Folder with the weights of CAM++.
    device : str
        Where torch computes.
    limits : DiarizeLimits, optional

    Raises
    ------
    ModelMissingError
        If weights are absent.
    """

    def __init__(
        self, segmentation: Path, embedding: Path, *, device: str = "cpu", limits: DiarizeLimits | None = None
    ) -> None:
        path = segmentation / SEGMENTATION_FILE
        if not path.is_file():
            raise ModelMissingError(f"{path}: not found; run `zhijian models fetch`")
        if device == "cpu":
            torch.set_num_threads(1)
        self._limits = limits or DiarizeLimits()
        self._embedder = SpeakerEmbedder(embedding, device=device)
        audio = import_pyannote()
        with _quiet():
            model = audio.Model.from_pretrained(safe_bytes(path), map_location="cpu")
            powerset = importlib.import_module("pyannote.audio.utils.powerset").Powerset
        if model is None:
            raise ModelMissingError(f"{path}: pyannote could not load these weights; fetch them again")
        self._network = model.eval().to(device)
        self._device = device
        mapping = powerset(
            len(model.specifications.classes), model.specifications.powerset_max_classes
        ).mapping
        self._voices_of_class: NDArray[np.float32] = mapping.cpu().numpy().astype(np.float32)
        self._two_at_once = self._voices_of_class.sum(axis=1) > 1.0
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        self._models = (ModelId("pyannote-segmentation-3.0", "segmentation", digest), self._embedder.model)

    @property
    def models(self) -> tuple[ModelId, ...]:
        """Which weights answer."""
        return self._models

    def windows(self, samples: Samples) -> Windows:
        """Local voices in overlapping windows of 10 s.

        Parameters
        ----------
        samples : ndarray, shape (n,)
        """
        size = int(_WINDOW_S * SAMPLE_RATE_HZ)
        step = int(self._limits.step_s * SAMPLE_RATE_HZ)
        count = 1 + max(0, -(-(len(samples) - size) // step))
        voices, both = [], []
        with torch.inference_mode(), _quiet():
            for at in range(0, count, _BATCH):
                several = min(_BATCH, count - at)
                part = samples[at * step : (at + several - 1) * step + size]
                padded = np.pad(part, (0, (several - 1) * step + size - len(part)))
                view = np.lib.stride_tricks.sliding_window_view(padded, size)[::step]
                batch = torch.from_numpy(np.ascontiguousarray(view, dtype=np.float32)).unsqueeze(1)
                classes = np.exp(self._network(batch.to(self._device)).float().cpu().numpy())
                voices.append(classes @ self._voices_of_class)
                both.append(classes[:, :, self._two_at_once].sum(axis=2))
        return Windows(
            np.concatenate(voices).astype(np.float64),
            self._limits.step_s,
            _WINDOW_S,
            len(samples) / SAMPLE_RATE_HZ,
            np.concatenate(both).astype(np.float64),
        )

    def stretches(self, samples: Samples) -> list[SpeakerStretch]:
        """Speech stretches of the parties, sorted by start."""
        features = filterbank(samples)

        def embed(spans: list[tuple[float, float]]) -> Embeddings:
            last = len(features)
            frames = []
            for start_s, end_s in spans:
                start = min(round(start_s / FRAME_HOP_S), max(last - 20, 0))
                frames.append((start, min(max(round(end_s / FRAME_HOP_S) - 2, start + 20), last)))
            return Embeddings(*self._embedder.embed_with_parts(features, frames))

        return parties(self.windows(samples), embed, limits=self._limits, line=_line(samples))


def _line(samples: Samples) -> LineLevels:
    levels = frame_levels_db(samples)
    return LineLevels(levels, local_floors_db(levels, noise_floor_db(levels), ActivityLimits()))
