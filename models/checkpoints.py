"""Checkpoints that are read without running anything they hold.

A torch checkpoint is a pickle, and a pickle can run code; pyannote loads its own without restriction. So the
bytes are read here first by torch's restricted unpickler, which knows tensors and the few classes named
below and refuses everything else, and only bytes that passed are handed on.

Table of contents: `safe_bytes`.
"""

from __future__ import annotations

import importlib
import io
import pickle
from pathlib import Path

import torch

from pipeline.errors import ModelMissingError

_CLASSES = ("Resolution", "Problem", "Specifications")
_ARCHITECTURES = "pyannote.audio.models."


def safe_bytes(path: Path) -> io.BytesIO:
    """Read a pyannote checkpoint and make sure that loading it runs no code of its own.

    Parameters
    ----------
    path : Path

    Returns
    -------
    io.BytesIO
        The very bytes that were checked, at their start.

    Raises
    ------
    ModelMissingError
        If they hold anything but weights and pyannote's own description of them.
    """
    data = path.read_bytes()
    task = importlib.import_module("pyannote.audio.core.task")
    known = [getattr(task, name) for name in _CLASSES] + [torch.torch_version.TorchVersion]
    try:
        with torch.serialization.safe_globals(known):
            found = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        module = str(found["pyannote.audio"]["architecture"]["module"])
    except (pickle.UnpicklingError, RuntimeError, KeyError, TypeError, ValueError, EOFError) as error:
        raise ModelMissingError(
            f"{path}: no checkpoint of weights alone ({type(error).__name__}); fetch it again with "
            "`zhijian models fetch --verify`"
        ) from None
    if not module.startswith(_ARCHITECTURES):
        raise ModelMissingError(f"{path}: names a network that is none of pyannote's; fetch it again")
    return io.BytesIO(data)
