"""Adapters to the neural models, and the registry that says where their weights come from.

Only this package imports ctranslate2, faster_whisper, torch or pyannote, and it does so inside
functions, so that ``import models`` costs nothing.

Table of contents: `required_models`, `load_recognizer`, `load_diarizer`, `load_words`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.ports import Diarizer, Recognizer, WordModel

SEGMENTATION = "pyannote-segmentation-3.0"
EMBEDDING = "campplus-zh-en"
WORDS = "zh-words"
FAKE = "fake"
"""Setting value of tests that need no weights; see `models.fake`."""


def required_models(model: str) -> tuple[str, ...]:
    """Names of all weights that hearing needs when ``model`` recognises.

    Examples
    --------
    >>> required_models("whisper-base")
    ('whisper-base', 'pyannote-segmentation-3.0', 'campplus-zh-en')
    >>> required_models("fake")
    ()
    """
    return () if _is_fake(model) else (model, SEGMENTATION, EMBEDDING)


def load_recognizer(
    model: str, model_dir: Path, *, device: str = "auto", compute_type: str = "default", threads: int = 1
) -> Recognizer:
    """Load the speech recogniser.

    Parameters
    ----------
    model : str
        A name of the registry, a folder with a CTranslate2 Whisper, or ``fake[:script]`` in tests. Weights
        that are named are loaded with the adapter that the registry has for them, those of a folder as
        they are.
    model_dir : Path
        Folder of the weights.
    device : {"auto", "cpu", "cuda"}
    compute_type : str
        ``default`` is int8 on a CPU and float16 on a GPU.
    threads : int

    Raises
    ------
    ModelMissingError
        Weights are absent or damaged.
    ConfigError
        Device or compute type do not exist here.
    """
    if _is_fake(model):
        from models.fake import FakeRecognizer

        return FakeRecognizer.named(model)
    from models.asr_whisper import WhisperRecognizer
    from models.fetch import adapter_of, installed, model_id
    from models.registry import load_registry

    registry = load_registry(model_dir)
    return WhisperRecognizer(
        installed(model, model_dir, registry=registry),
        model_id(model, model_dir, registry=registry),
        device=device,
        compute_type=compute_type,
        cpu_threads=threads,
        adapter=adapter_of(model, model_dir, registry=registry),
    )


def load_diarizer(model: str, model_dir: Path, *, device: str = "auto", threads: int = 1) -> Diarizer:
    """Load what tells the voices of a mixed channel apart; parameters as for `load_recognizer`."""
    if _is_fake(model):
        from models.fake import FakeDiarizer

        return FakeDiarizer.named(model)
    from models.fetch import installed

    segmentation, embedding = installed(SEGMENTATION, model_dir), installed(EMBEDDING, model_dir)
    import torch

    from models.diarize_pyannote import PyannoteDiarizer

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(threads)
    return PyannoteDiarizer(segmentation, embedding, device=device)


def load_words(model: str, model_dir: Path) -> WordModel | None:
    """Load the optional word model; None where it was not fetched, or where ``model`` is a fake.

    Raises
    ------
    ModelMissingError
        It is damaged, or the library that reads it is not installed.
    """
    if _is_fake(model) or not (model_dir / WORDS).is_dir():
        return None
    from models.fetch import installed, model_id
    from models.kenlm_words import KenlmWords

    return KenlmWords(installed(WORDS, model_dir) / "zh_CN.lm", model_id(WORDS, model_dir))


def _is_fake(model: str) -> bool:
    return model == FAKE or model.startswith(FAKE + ":")
