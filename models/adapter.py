"""A low-rank adapter (LoRA) over a Whisper in CTranslate2 form, applied while the model is loaded.

Conventions
-----------
An adapter is a safetensors file. For a weight matrix ``W`` of shape (out, in), from row ``row`` on, it holds

- ``NAME@row.a``: int8, (rank, in); ``NAME@row.b``: int8, (out rows, rank); ``NAME@row.scale``: float32, (1,)

and the weights become ``W[row : row + rows] + strength * scale * (b @ a)``. The product is one of integers,
so every machine makes the same bits of it, whatever its linear algebra: results stay reproducible. Only the
decoder may change: the weights as they are, and every strength, read what one encoder heard. The file's
metadata has one key, ``about``: JSON with the weights that the adapter belongs to (``base_sha256``),
``format`` and how it was made.

The form of a model file is that of CTranslate2's converters, version 6: a list of named variables.

Table of contents: `Adapter`, `read_adapter`, `write_adapted`, `variables`.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ModelMissingError

FORMAT = "zhijian-adapter-1"
_BINARY_VERSION = 6
_FLOAT16 = 4
_NUMBERS: dict[int, np.dtype[Any]] = {
    number: np.dtype(form) for number, form in enumerate(("<f4", "i1", "<i2", "<i4", "<f2"))
}


@dataclass(frozen=True, slots=True)
class Change:
    """What is added to some rows of one weight matrix.

    Attributes
    ----------
    row : int
        First row that changes.
    a, b : ndarray of int8, shapes (rank, in) and (rows, rank)
    scale : float
    """

    row: int
    a: NDArray[np.int8]
    b: NDArray[np.int8]
    scale: np.float32

    def product(self) -> NDArray[np.float32]:
        """Give ``scale * (b @ a)``, bit for bit the same everywhere.

        Examples
        --------
        >>> a, b = np.array([[1, 2]], np.int8), np.array([[3], [-4]], np.int8)
        >>> Change(0, a, b, np.float32(0.5)).product().tolist()
        [[1.5, 3.0], [-2.0, -4.0]]
        """
        return (self.b.astype(np.int32) @ self.a.astype(np.int32)).astype(np.float32) * self.scale


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter as read from its file.

    Attributes
    ----------
    base_sha256 : str
        Of the ``model.bin`` that it was made for.
    changes : mapping of str to tuple of Change
        By the name of the variable.
    sha256 : str
        Of the adapter's file.
    strengths : tuple of float
        Shares of its changes with which the weights are loaded (`models.whisper_weights`).
    """

    base_sha256: str
    changes: Mapping[str, tuple[Change, ...]]
    sha256: str
    strengths: tuple[float, ...] = (1.0,)


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable of a model file: where its bytes are and how to read them."""

    at: int
    shape: tuple[int, ...]
    number_type: int

    def read(self, weights: bytes) -> NDArray[Any]:
        """Give its values, as a view of ``weights``."""
        dtype = _NUMBERS[self.number_type]
        count = int(np.prod(self.shape, dtype=np.int64))
        return np.frombuffer(weights, dtype, count=count, offset=self.at).reshape(self.shape)


def read_adapter(path: Path, *, sha256: str | None = None) -> Adapter:
    """Read an adapter and check it against its sum.

    Parameters
    ----------
    path : Path
    sha256 : str, optional
        What the registry says of it.

    Raises
    ------
    ModelMissingError
        It is gone, damaged, or no adapter of this form.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelMissingError(f"adapter {path} cannot be read: {error.strerror or error}") from error
    found = hashlib.sha256(data).hexdigest()
    if sha256 is not None and found != sha256:
        raise ModelMissingError(
            f"adapter {path} has sha256 {found}, the registry says {sha256}; install zhijian again"
        )
    try:
        tensors = load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        about = json.loads(header.get("__metadata__", {}).get("about", "{}"))
        if about.get("format") != FORMAT:
            raise ModelMissingError(f"adapter {path} is of format {about.get('format')!r}; expected {FORMAT}")
        changes = _changes(tensors)
        return Adapter(about["base_sha256"], changes, found)
    except (SafetensorError, KeyError, ValueError) as error:
        raise ModelMissingError(
            f"adapter {path} is damaged or no adapter: {type(error).__name__}: {error}"
        ) from error


def _changes(tensors: Mapping[str, NDArray[Any]]) -> dict[str, tuple[Change, ...]]:
    changes: dict[str, list[Change]] = {}
    for key in sorted(tensors):
        place, _, part = key.rpartition(".")
        if part != "a":
            continue
        name, _, row = place.rpartition("@")
        if not name.startswith("decoder/") or int(row) < 0:
            raise ValueError(f"{place} is no place in a decoder")
        a, b, scale = tensors[key], tensors[f"{place}.b"], tensors[f"{place}.scale"]
        if a.dtype != np.int8 or b.dtype != np.int8 or scale.dtype != np.float32 or scale.size != 1:
            raise ValueError(f"{place} is not int8 with one float32 scale")
        if a.ndim != 2 or b.ndim != 2 or a.shape[0] != b.shape[1]:
            raise ValueError(f"{place} has shapes {a.shape} and {b.shape}")
        changes.setdefault(name, []).append(Change(int(row), a, b, np.float32(scale.reshape(-1)[0])))
    return {name: tuple(rows) for name, rows in changes.items()}


def write_adapted(source: Path, target: Path, adapter: Adapter, *, strength: float = 1.0) -> None:
    """Write a ``model.bin`` with an adapter over it.

    The weights never lie in this process's memory as a whole, which a worker that keeps freed memory would
    hold for as long as it lives.

    Parameters
    ----------
    source, target : Path
        The weights as they are; the file to write.
    adapter : Adapter
    strength : float
        Share of its changes that is added.

    Raises
    ------
    ModelMissingError
        The weights are others than the adapter was made for.
    """
    with source.open("rb") as weights:
        found = hashlib.file_digest(weights, "sha256").hexdigest()
    if found != adapter.base_sha256:
        raise ModelMissingError(
            f"the adapter belongs to weights of sha256 {adapter.base_sha256}, found {found}; fetch the model "
            "again, or give its folder instead of its name: a folder is loaded without an adapter"
        )
    shutil.copyfile(source, target)
    with target.open("rb") as copied, mmap(copied.fileno(), 0, access=ACCESS_READ) as mapped:
        known = variables(mapped)
    for name, rows in adapter.changes.items():
        variable = known.get(name)
        if variable is None or variable.number_type != _FLOAT16 or len(variable.shape) != 2:
            raise ModelMissingError(
                f"the adapter changes {name}, which is no float16 matrix of these weights"
            )
        matrix = np.memmap(target, "<f2", "r+", offset=variable.at, shape=variable.shape)
        for change in rows:
            product = change.product() * np.float32(strength)
            last = change.row + len(product)
            if last > variable.shape[0] or product.shape[1] != variable.shape[1]:
                raise ModelMissingError(
                    f"the adapter's change of {name} is {product.shape} from row {change.row}; "
                    f"the matrix is {variable.shape}"
                )
            matrix[change.row : last] = (matrix[change.row : last].astype(np.float32) + product).astype("<f2")
        matrix.flush()


def variables(weights: bytes | mmap) -> dict[str, Variable]:
    """Find the variables of a CTranslate2 model file.

    Raises
    ------
    ModelMissingError
        The file is of another form, or cut.
    """
    reader = _Reader(weights)
    try:
        version = reader.number("<I")
        if version != _BINARY_VERSION:
            raise ModelMissingError(
                f"the model file has binary version {version}; adapters are for {_BINARY_VERSION}"
            )
        reader.text()
        reader.number("<I")
        found = {}
        for _ in range(reader.number("<I")):
            name = reader.text()
            shape = tuple(reader.number("<I") for _ in range(reader.number("<B")))
            number_type, size = reader.number("<B"), reader.number("<I")
            found[name] = Variable(reader.at, shape, number_type)
            reader.at += size
    except (struct.error, UnicodeDecodeError) as error:
        raise ModelMissingError("the model file is cut or no CTranslate2 model") from error
    if reader.at > len(weights):
        raise ModelMissingError(
            f"the model file ends after {len(weights)} bytes, expected {reader.at} or more"
        )
    return found


class _Reader:
    def __init__(self, data: bytes | mmap) -> None:
        self.data = data
        self.at = 0

    def number(self, form: str) -> int:
        (value,) = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return int(value)

    def text(self) -> str:
        size = self.number("<H")
        raw = bytes(self.data[self.at : self.at + size])
        self.at += size
        return raw.rstrip(b"\0").decode()
