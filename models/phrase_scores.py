"""Ask the audio itself about a phrase: force-decode it in its context and compare with what was heard.

The matcher proposes that a phrase may stand where the recogniser wrote something else. The same Whisper
model then says how probable the phrase's tokens are after the words before it, and how probable what it had
written was; the difference of the means (*relative log probability*) settles most cases that sound
alone cannot (后四位 or 后六位).

Conventions
-----------
Log probabilities are natural, per token. Relative scores near 0 or above: the phrase fits as
well as what was written; far below: it does not. Where the limits lie is data of the rulebook.

Table of contents: `relative_logprobs`; `encoded_stretch`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.ports import SAMPLE_RATE_HZ, PhraseQuery, PhraseScore, Samples

_AIR_S = 1.0
_SHORTEST_S = 5.0
_LONGEST_S = 30.0
_FRAMES_PER_S = 100
_LEAST = 1e-9
_PREFIX_TOKENS = 120
_BATCH = 16
_NEVER = float("-inf")
_NUMBER = re.compile("[零一二三四五六七八九十百]+")
_UNITS = frozenset("十百")
_DIGITS = str.maketrans("零一二三四五六七八九", "0123456789")


def relative_logprobs(
    whisper: Any, tokenizer: Any, samples: Samples, queries: Sequence[PhraseQuery]
) -> list[tuple[PhraseScore, ...]]:
    """Score phrases against what was recognised in their place.

    Parameters
    ----------
    whisper : faster_whisper.WhisperModel
    tokenizer : faster_whisper.tokenizer.Tokenizer
    samples : ndarray of float32, shape (n,)
        16 kHz mono.
    queries : sequence of PhraseQuery
        Those about the same stretch share one run of the encoder.

    Returns
    -------
    list of tuple of PhraseScore
        For each query one score a spelling, the better of its written forms; ``-inf`` where the stretch
        holds no audio.
    """
    scores = [tuple(PhraseScore(_NEVER, _NEVER) for _ in query.spellings) for query in queries]
    stretches: dict[tuple[float, float], list[int]] = {}
    for index, query in enumerate(queries):
        if query.spellings:
            stretches.setdefault((query.start_s, query.end_s), []).append(index)
    for (start_s, end_s), indices in stretches.items():
        cut = samples[round(max(0.0, start_s) * SAMPLE_RATE_HZ) : round(end_s * SAMPLE_RATE_HZ)]
        if not len(cut):
            continue
        asked = [
            (queries[index].prefix, form)
            for index in indices
            for text in (queries[index].heard, *queries[index].spellings)
            for form in _forms(text)
        ]
        means = iter(_mean_logprobs(whisper, tokenizer, asked, *encoded_stretch(whisper, cut)))
        for index in indices:
            query = queries[index]
            heard, *spelled = (
                max(next(means) for _ in _forms(text)) for text in (query.heard, *query.spellings)
            )
            scores[index] = tuple(PhraseScore(one - heard, one) for one in spelled)
    return scores


def _forms(text: str) -> list[str]:
    """A text as it may be written: numbers in characters and in digits (二十四小时, 24小时).

    Examples
    --------
    >>> _forms("二十四小时"), _forms("后六位"), _forms("您好")
    (['二十四小时', '24小时'], ['后六位', '后6位'], ['您好'])
    """
    digits = _NUMBER.sub(_as_digits, text)
    return [text] if digits == text else [text, digits]


def _as_digits(found: re.Match[str]) -> str:
    said = found.group()
    if not set(said) & _UNITS:
        return said.translate(_DIGITS)
    value, unit = 0, 0
    for char in said:
        if char in _UNITS:
            value += (unit or 1) * (10 if char == "十" else 100)
            unit = 0
        else:
            unit = int(char.translate(_DIGITS))
    return str(value + unit)


def encoded_stretch(whisper: Any, samples: Samples) -> tuple[np.ndarray[Any, Any], int]:
    """Encode just the audio and some air: padding to 30 s costs ten times as much and scores no better."""
    seconds = min(max(_SHORTEST_S, len(samples) / SAMPLE_RATE_HZ + _AIR_S), _LONGEST_S)
    frames = int(seconds * _FRAMES_PER_S) // 2 * 2
    features = whisper.feature_extractor(samples)[:, :frames]
    padded = np.zeros((features.shape[0], frames), np.float32)
    padded[:, : features.shape[1]] = features
    return np.array(whisper.encode(padded)), min(frames, features.shape[1])


def _mean_logprobs(
    whisper: Any,
    tokenizer: Any,
    asked: Sequence[tuple[str, str]],
    encoded: np.ndarray[Any, Any],
    frames: int,
) -> list[float]:
    """Mean log probability of each text after its prefix; 0 for an empty text, which nobody had to say."""
    import ctranslate2

    means = [0.0] * len(asked)
    rows = []
    for index, (prefix, text) in enumerate(asked):
        before = tokenizer.encode(prefix)[-_PREFIX_TOKENS:] if prefix else []
        tokens = tokenizer.encode(text) if text else []
        if tokens:
            rows.append((index, before, tokens))
    for at in range(0, len(rows), _BATCH):
        batch = rows[at : at + _BATCH]
        results = whisper.model.align(
            ctranslate2.StorageView.from_array(np.repeat(encoded, len(batch), axis=0)),
            tokenizer.sot_sequence,
            [before + tokens for _, before, tokens in batch],
            [frames] * len(batch),
        )
        for (index, before, tokens), result in zip(batch, results, strict=True):
            probabilities = np.asarray(result.text_token_probs[len(before) : len(before) + len(tokens)])
            means[index] = float(np.log(np.maximum(probabilities, _LEAST)).mean())
    return means
