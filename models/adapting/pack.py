"""Write a trained adapter as the file that is shipped: ``python -m models.adapting.pack FACTORS OUT``.

Factors are rounded to 8 bits after being balanced against each other rank by rank; `models.adapter` tells the
form. Prints the sha256 for ``models/registry.toml``.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.adapter import FORMAT
from models.adapting.decoder import place_of

_LARGEST = 127


def rounded(
    a: NDArray[np.float32], b: NDArray[np.float32]
) -> tuple[NDArray[np.int8], NDArray[np.int8], np.float32]:
    """Round two factors to int8 with one common scale, so that ``scale * (b @ a)`` is near their product.

    Examples
    --------
    >>> a, b = np.array([[1.0, -2.0]], np.float32), np.array([[0.5], [0.25]], np.float32)
    >>> a8, b8, scale = rounded(a, b)
    >>> bool(np.abs(scale * (b8.astype(int) @ a8.astype(int)) - b @ a).max() < 0.01)
    True
    """
    tall, wide = np.abs(a).max(axis=1), np.abs(b).max(axis=0)
    balance = np.sqrt(np.maximum(wide, 1e-12) / np.maximum(tall, 1e-12))
    left, right = a * balance[:, None], b / balance[None]
    scales = [max(float(np.abs(part).max()), 1e-12) / _LARGEST for part in (left, right)]
    a8, b8 = (np.round(part / s).astype(np.int8) for part, s in zip((left, right), scales, strict=True))
    return a8, b8, np.float32(scales[0] * scales[1])


def packed(factors: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[Any]]:
    """Give the tensors of the adapter's file for factors ``MODULE.a`` and ``MODULE.b``."""
    tensors: dict[str, NDArray[Any]] = {}
    for name in sorted(factors):
        module, _, part = name.rpartition(".")
        if part != "a":
            continue
        a8, b8, scale = rounded(factors[name], factors[f"{module}.b"])
        place = place_of(module)
        key = f"{place.variable}/weight@{place.block * len(b8)}"
        tensors |= {f"{key}.a": a8, f"{key}.b": b8, f"{key}.scale": np.array([scale], np.float32)}
    return tensors


def main(factors: Path, out: Path) -> None:
    """Pack one file of factors."""
    import torch
    from safetensors.numpy import save_file

    saved = torch.load(factors, weights_only=True)
    tensors = packed({name: value.numpy() for name, value in saved["factors"].items()})
    about = saved["about"] | {"format": FORMAT}
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, out, metadata={"about": json.dumps(about, sort_keys=True)})
    sys.stdout.write(f"{hashlib.sha256(out.read_bytes()).hexdigest()}  {out}, {out.stat().st_size} bytes\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
