"""How probable each character of a text is over a stretch of audio, by force-decoding it.

Conventions
-----------
Natural logarithms, one for each character. Where a token holds several characters the first of them is given
all of it; where a character takes several tokens they add up.

Table of contents: `character_logprobs`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from models.phrase_scores import encoded_stretch
from pipeline.ports import SAMPLE_RATE_HZ, Samples, TextQuery

_LEAST = 1e-9


def character_logprobs(
    whisper: Any,
    tokenizer: Any,
    samples: Samples,
    queries: Sequence[TextQuery],
    *,
    encoded: Callable[[float, float], tuple[Any, int] | None] = lambda start_s, end_s: None,
) -> list[tuple[tuple[float, ...], ...]]:
    """Score texts over stretches of audio.

    Parameters
    ----------
    whisper : faster_whisper.WhisperModel
    tokenizer : faster_whisper.tokenizer.Tokenizer
    samples : ndarray of float32, shape (n,)
        16 kHz mono.
    queries : sequence of TextQuery
    encoded : callable (start_s, end_s) -> (array, mel frames) or None
        What the encoder already made of a stretch.

    Returns
    -------
    list of tuple of tuple of float
        For each query and text one value a character; none at all where the stretch holds no audio.
    """
    import ctranslate2

    answers: list[tuple[tuple[float, ...], ...]] = []
    for query in queries:
        cut = samples[round(max(0.0, query.start_s) * SAMPLE_RATE_HZ) : round(query.end_s * SAMPLE_RATE_HZ)]
        if not len(cut):
            answers.append(tuple(() for _ in query.texts))
            continue
        heard, frames = encoded(query.start_s, query.end_s) or encoded_stretch(whisper, cut)
        rows = [tokenizer.encode(text) for text in query.texts]
        results = whisper.model.align(
            ctranslate2.StorageView.from_array(np.repeat(heard, len(rows), axis=0)),
            tokenizer.sot_sequence,
            rows,
            [frames] * len(rows),
        )
        scored = []
        for text, tokens, result in zip(query.texts, rows, results, strict=True):
            logs = np.log(np.maximum(np.asarray(result.text_token_probs[: len(tokens)]), _LEAST))
            scored.append(_by_character(text, [_bytes(tokenizer, token) for token in tokens], logs))
        answers.append(tuple(scored))
    return answers


def _by_character(text: str, tokens: Sequence[int], logs: Sequence[float]) -> tuple[float, ...]:
    """Give each character the tokens that begin in it; ``tokens`` are their lengths in bytes."""
    owner = [number for number, char in enumerate(text) for _ in char.encode()]
    sums = [0.0] * len(text)
    at = 0
    for length, log in zip(tokens, logs, strict=True):
        if text:
            sums[owner[min(at, len(owner) - 1)]] += float(log)
        at += length
    return tuple(sums)


def _bytes(tokenizer: Any, token: int) -> int:
    """Length of a token in bytes: byte-level vocabularies write one letter for each byte."""
    return len(tokenizer.tokenizer.id_to_token(token))
