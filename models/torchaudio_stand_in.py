"""Import torchaudio also where its compiled part cannot be loaded.

A CPU build of torch next to a torchaudio linked against CUDA fails on import. Its pure Python parts are all
that is needed here, so its extension module is replaced by an empty one, and only then.
"""

from __future__ import annotations

import importlib
import sys
import types


def importable_torchaudio() -> None:
    """Make ``import torchaudio`` work for whoever imports it next."""
    try:
        importlib.import_module("torchaudio")
    except (OSError, ImportError):
        for name in [n for n in sys.modules if n == "torchaudio" or n.startswith("torchaudio.")]:
            del sys.modules[name]
        stand_in = types.ModuleType("torchaudio._extension")
        stand_in._IS_TORCHAUDIO_EXT_AVAILABLE = False  # type: ignore[attr-defined]
        stand_in._IS_ALIGN_AVAILABLE = False  # type: ignore[attr-defined]
        stand_in.fail_if_no_align = lambda function: function  # type: ignore[attr-defined]
        sys.modules["torchaudio._extension"] = stand_in
        importlib.import_module("torchaudio")
