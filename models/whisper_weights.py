"""Weights of a Whisper on their way into memory: as they are, and with an adapter over them.

Table of contents: `Weights`, `load_weights`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

from models.adapter import Adapter, write_adapted
from pipeline.errors import ConfigError, ModelMissingError

_FILES = ("model.bin", "config.json", "tokenizer.json")


@dataclass(frozen=True, slots=True)
class Weights:
    """The same model several times; what one encoder heard, every decoder can read.

    Attributes
    ----------
    plain : faster_whisper.WhisperModel
        As they are.
    adapted : tuple of faster_whisper.WhisperModel
        One for each strength of the adapter; ``plain`` alone without an adapter.
    """

    plain: Any
    adapted: tuple[Any, ...]


def load_weights(folder: Path, how: Mapping[str, Any], adapter: Adapter | None = None) -> Weights:
    """Load a folder of CTranslate2 files, and again with every strength of an adapter.

    Parameters
    ----------
    folder : Path
    how : mapping of str to value
        ``device``, ``compute_type``, ``cpu_threads``.
    adapter : Adapter, optional

    Raises
    ------
    ModelMissingError
        The folder holds no usable Whisper model, or there is no room for adapted weights.
    ConfigError
        The device or compute type does not exist on this machine.
    """
    for file in _FILES:
        if not (folder / file).is_file():
            raise ModelMissingError(f"{folder} holds no {file}; expected a Whisper model for CTranslate2")
    plain = _loaded(folder, how)
    if adapter is None:
        return Weights(plain, (plain,))
    return Weights(plain, tuple(_loaded(folder, how, adapter, strength) for strength in adapter.strengths))


def _loaded(
    folder: Path, how: Mapping[str, Any], adapter: Adapter | None = None, strength: float = 1.0
) -> Any:
    """Load the weights once.

    Changed weights lie in a folder of their own while they are loaded: given as bytes, CTranslate2 would
    keep them for as long as it lives.
    """
    from faster_whisper import WhisperModel

    try:
        if adapter is None:
            return WhisperModel(str(folder), local_files_only=True, **how)
        with TemporaryDirectory(prefix="zhijian-weights-") as changed:
            for file in folder.iterdir():
                if file.name != "model.bin":
                    (Path(changed) / file.name).symlink_to(file.resolve())
            write_adapted(folder / "model.bin", Path(changed) / "model.bin", adapter, strength=strength)
            return WhisperModel(changed, local_files_only=True, **how)
    except OSError as error:
        raise ModelMissingError(
            f"the Whisper model in {folder} cannot be read, or its adapted weights not be written to "
            f"{gettempdir()}: {error.strerror or error}; check rights and space (TMPDIR sets another folder)"
        ) from error
    except ValueError as error:
        device, number = how["device"], how["compute_type"]
        raise ConfigError(f"device '{device}' with compute type '{number}': {error}") from error
    except RuntimeError as error:
        raise ModelMissingError(f"the Whisper model in {folder} cannot be loaded: {error}") from error
