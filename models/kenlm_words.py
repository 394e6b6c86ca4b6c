"""A word model that KenLM reads: its binary form, as input methods ship it, or an ARPA file.

Conventions
-----------
Of a binary file the vocabulary is read from its end, where KenLM keeps it when it was built with one.
Decimal logarithms.

Table of contents: `KenlmWords`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.errors import ModelMissingError
from pipeline.records import ModelId

_BINARY = b"mmap lm "
_FIRST_WORD = b"<unk>\x00"


class KenlmWords:
    """A `pipeline.ports.WordModel` over one file.

    Parameters
    ----------
    file : Path
    model : ModelId
        What to call it in results.

    Raises
    ------
    ModelMissingError
        The file is no such model, or the library that reads it is not installed.
    """

    def __init__(self, file: Path, model: ModelId) -> None:
        try:
            import kenlm
        except ImportError as error:
            raise ModelMissingError(
                "the word model needs the package ufal-kenlm, which is not installed; "
                "run: python -m pip install ufal-kenlm"
            ) from error
        try:
            self._ngrams = kenlm.Model(str(file))
        except OSError as error:
            raise ModelMissingError(f"{file} is no word model that KenLM reads: {error}") from error
        self._words = _vocabulary(file)
        self._state = kenlm.State
        self._model = model

    @property
    def model(self) -> ModelId:
        """Which data answer."""
        return self._model

    def vocabulary(self) -> Iterator[tuple[str, float]]:
        """All Chinese words, and the decimal logarithm of how frequent each is."""
        start = self.start()
        for word in self._words:
            if all("一" <= char <= "鿿" for char in word):
                yield word, self.log10(start, word)[0]

    def start(self) -> Any:
        """Give the state in which nothing is known of what came before."""
        state = self._state()
        self._ngrams.NullContextWrite(state)
        return state

    def log10(self, state: Any, word: str) -> tuple[float, Any]:
        """Decimal logarithm of a word's probability after what came before, and the state after it."""
        after = self._state()
        return float(self._ngrams.BaseScore(state, word, after)), after


def _vocabulary(file: Path) -> tuple[str, ...]:
    data = file.read_bytes()
    if not data.startswith(_BINARY):
        lines = data.decode().partition("\\1-grams:\n")[2].partition("\n\\")[0].splitlines()
        return tuple(line.split("\t")[1] for line in lines if line.count("\t"))
    begin = data.find(_FIRST_WORD)
    if begin < 0:
        raise ModelMissingError(f"{file} holds no vocabulary; build it with one (KenLM's default)")
    return tuple(word.decode() for word in data[begin:].split(b"\x00") if word)
