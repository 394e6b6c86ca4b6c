"""Compiled code that kills every process which loads it, found and thrown away.

librosa's pitch tracker is compiled by numba, which keeps the machine code in files. A power cut, a copied
environment or another processor can leave files that do not fit; whoever loads them dies by a signal. That
looks like a worker that died, night after night.

Table of contents: `compiled_code_is_sound`, `mend_compiled_code`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

_PROBE = """
import numpy
from pipeline.hearing.prosody import pitch_hz

time_s = numpy.arange(16_000) / 16_000
pitch_hz((0.1 * numpy.sign(numpy.sin(2 * numpy.pi * 150 * time_s))).astype("float32"))
"""
_PATIENCE_S = 300.0


def compiled_code_is_sound(probe: str = _PROBE) -> bool:
    """Whether a process that uses the compiled code lives.

    Parameters
    ----------
    probe : str
        Program that uses it.
    """
    try:
        done = subprocess.run(  # noqa: S603 - a fixed program
            [sys.executable, "-c", probe], capture_output=True, timeout=_PATIENCE_S, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def mend_compiled_code(probe: str = _PROBE) -> tuple[Path, ...]:
    """Throw numba's files away if a process that uses them does not live; they are made again when needed.

    Parameters
    ----------
    probe : str
        As for `compiled_code_is_sound`.

    Returns
    -------
    tuple of Path
        What was thrown away; empty if all is well, or if there was nothing that could be.
    """
    if compiled_code_is_sound(probe):
        return ()
    gone = []
    for folder in _cache_folders():
        for path in sorted(folder.rglob("*.nb[ci]")):
            try:
                path.unlink()
            except OSError:  # not ours to delete; the night says what died
                continue
            gone.append(path)
    return tuple(gone)


def _cache_folders() -> list[Path]:
    """Where numba keeps librosa's machine code."""
    if named := os.environ.get("NUMBA_CACHE_DIR"):
        return [Path(named)]
    package = find_spec("librosa")
    return [Path(place) for place in (package.submodule_search_locations or ())] if package else []
