"""What decoders read in a window, and which of two readings is believed.

Conventions
-----------
Natural logarithms. A decoder's opinion of a text is the mean logarithm of the probability of its tokens,
force-decoded over what the encoder heard, with nothing before it.

Table of contents: `Reading`, `compression_ratio`, `opinions`, `preferred`.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_LEAST = 1e-9
_FEW_FRAMES = 2


@dataclass(frozen=True, slots=True)
class Reading:
    """Tokens of one window with the decoder's own doubts.

    Attributes
    ----------
    tokens : tuple of int
    avg_logprob : float
        Mean over tokens and the end, as the decoder found them.
    no_speech_prob : float
        In [0, 1].
    compression_ratio : float
        Bytes of the text by those it can be packed into; loops are far above 1.
    attempt : int
        0 as first decoded; higher where it had to be decoded again.
    reader : int
        Which of the decoders read it; that one also says when each character was spoken and how sure it is.
    """

    tokens: tuple[int, ...]
    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float
    attempt: int = 0
    reader: int = 0


def compression_ratio(text: str) -> float:
    """Say how well a text can be packed: loops pack well.

    Examples
    --------
    >>> compression_ratio("您好，请问有什么可以帮您") < 1.2 < 5 < compression_ratio("好的" * 60)
    True
    """
    data = text.encode("utf-8")
    return len(data) / len(zlib.compress(data)) if data else 0.0


def opinions(whisper: Any, start: Sequence[int], encoded: Any, texts: Sequence[Sequence[int]]) -> list[float]:
    """Ask a decoder what it thinks of one text for each window; -inf where there is no text.

    Parameters
    ----------
    whisper : faster_whisper.WhisperModel
    start : sequence of int
        The tokens that begin a transcript.
    encoded : ctranslate2.StorageView
        What the encoder made of the windows.
    texts : sequence of sequence of int
        Tokens, without the end.
    """
    # Only probabilities are wanted, and they do not depend on the frames that the alignment is made over.
    results = whisper.model.align(
        encoded, list(start), [list(text) for text in texts], [_FEW_FRAMES] * len(texts)
    )
    found = []
    for text, result in zip(texts, results, strict=True):
        probabilities = np.asarray(result.text_token_probs[: len(text)], np.float64)
        found.append(float(np.log(np.maximum(probabilities, _LEAST)).mean()) if text else -np.inf)
    return found


def preferred(own: Sequence[float], rival: Sequence[float]) -> bool:
    """Tell whether a rival's text is to be taken: all decoders together find it likelier.

    Parameters
    ----------
    own, rival : sequence of float
        Opinions of every decoder on either text. A text that is empty (-inf) is neither preferred nor
        replaced: it says that nobody spoke, which no mean over tokens can be compared with.

    Examples
    --------
    >>> preferred([-0.2, -0.9], [-0.3, -0.5])
    True
    >>> preferred([-float("inf")] * 2, [-0.3, -0.5])
    False
    """
    return bool(np.isfinite([*own, *rival]).all() and sum(rival) > sum(own))
