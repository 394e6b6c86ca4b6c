"""What hearing asks of models: protocols, so that `models/` can be replaced or faked.

Table of contents: `HeardWord`, `HeardSegment`, `Recognizer`; `PhraseQuery`, `PhraseScore`,
`PhraseListener`; `TextQuery`, `TextListener`; `WordModel`;
`SpeakerStretch`, `Diarizer`.
Audio is always float32 mono in [-1, 1] at 16 kHz, shape ``(n,)``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from pipeline.records import ModelId

Samples = NDArray[np.float32]
SAMPLE_RATE_HZ = 16_000


@dataclass(frozen=True, slots=True)
class HeardWord:
    """A word as the recogniser wrote it, times in seconds from the start of the audio."""

    text: str
    start_s: float
    end_s: float
    probability: float


@dataclass(frozen=True, slots=True)
class HeardSegment:
    """A stretch of recognised text with the recogniser's own doubts about it.

    ``attempt`` counts how often it had to be decoded again (0: the first text was believed).
    """

    start_s: float
    end_s: float
    text: str
    words: tuple[HeardWord, ...]
    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float
    temperature: float = 0.0
    attempt: int = 0


class Recognizer(Protocol):
    """Speech to text."""

    @property
    def model(self) -> ModelId:
        """Which weights answer."""
        ...

    def transcribe(
        self,
        samples: Samples,
        *,
        spans_s: Sequence[tuple[float, float]],
        prompt: str | None = None,
        hotwords: str | None = None,
        draft: bool = False,
    ) -> list[HeardSegment]:
        """Recognise the speech inside ``spans_s``; times are those of ``samples``.

        A ``draft`` is never shown as the transcript: it may be decoded with less care.
        """
        ...

    def forget(self) -> None:
        """Drop what is kept of the last recording, so that it does not stand in the way of the next."""
        ...


@dataclass(frozen=True, slots=True)
class PhraseQuery:
    """Asks the audio whether a phrase was said where something else was recognised.

    Attributes
    ----------
    start_s, end_s : float
        The stretch of audio to listen to, usually a whole turn.
    prefix : str
        What was recognised in the stretch before the place.
    heard : str
        What was recognised at the place itself; empty if nothing was.
    spellings : tuple of str
        The phrase, in every way it may have been said.
    """

    start_s: float
    end_s: float
    prefix: str
    heard: str
    spellings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PhraseScore:
    """How well a phrase fits the audio: natural log probabilities, mean per token.

    Attributes
    ----------
    relative : float
        Of the phrase minus that of what was recognised in its place.
    absolute : float
        Of the phrase itself, at most 0: where even the best text is improbable, comparing says little.
    """

    relative: float
    absolute: float


@runtime_checkable
class PhraseListener(Protocol):
    """A recogniser that can be asked about a phrase; not every recogniser can."""

    def phrase_scores(
        self, samples: Samples, queries: Sequence[PhraseQuery]
    ) -> list[tuple[PhraseScore, ...]]:
        """Score every spelling of each query: relative near 0 or above it was said, far below it was not."""
        ...


@dataclass(frozen=True, slots=True)
class TextQuery:
    """Asks how probable texts are over a stretch of audio.

    Attributes
    ----------
    start_s, end_s : float
        The stretch.
    texts : tuple of str
        What may be said in it, from its beginning to its end.
    """

    start_s: float
    end_s: float
    texts: tuple[str, ...]


@runtime_checkable
class TextListener(Protocol):
    """A recogniser that can be asked about texts; not every recogniser can."""

    def text_scores(
        self, samples: Samples, queries: Sequence[TextQuery]
    ) -> list[tuple[tuple[float, ...], ...]]:
        """Natural log probability of each character of each text after those before it."""
        ...


class WordModel(Protocol):
    """How probable words are after one another: an n-gram model of written Chinese."""

    @property
    def model(self) -> ModelId:
        """Which data answer."""
        ...

    def vocabulary(self) -> Iterable[tuple[str, float]]:
        """All Chinese words, and the decimal logarithm of how frequent each is."""
        ...

    def start(self) -> Any:
        """Give the state in which nothing is known of what came before."""
        ...

    def log10(self, state: Any, word: str) -> tuple[float, Any]:
        """Decimal logarithm of a word's probability after what came before, and the state after it."""
        ...


@dataclass(frozen=True, slots=True, order=True)
class SpeakerStretch:
    """One anonymous speaker is active between two times; stretches of two speakers may overlap."""

    start_s: float
    end_s: float
    speaker: int


class Diarizer(Protocol):
    """Who speaks when in one mixed channel."""

    @property
    def models(self) -> tuple[ModelId, ...]:
        """Which weights answer."""
        ...

    def stretches(self, samples: Samples) -> list[SpeakerStretch]:
        """Speech stretches of the (usually two) speakers, sorted by start."""
        ...
