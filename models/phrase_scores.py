"""Ask the audio itself about a phrase: force-decode it in its context and compare with what was heard.

The matcher proposes that a phrase may stand where the recogniser wrote something else. The same Whisper
model then says how probable the phrase's tokens are after the words before it, and how probable what it had
written was; the difference of the means (*relative log probability*) settles most cases that sound
alone cannot (后四位 or 后六位).

Conventions
-----------
Log probabilities are natural, per token. Scores near 0 or above: the phrase fits as well as what was
written. On our measurements -1.0 and above was present, below -1.5 absent, between is for a person.

Table of contents: `relative_logprobs`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.ports import SAMPLE_RATE_HZ, PhraseQuery, Samples

_AIR_S = 1.0
_SHORTEST_S = 5.0
_LONGEST_S = 30.0
_FRAMES_PER_S = 100
_LEAST = 1e-9
_PREFIX_TOKENS = 120


def relative_logprobs(
    whisper: Any, tokenizer: Any, samples: Samples, queries: Sequence[PhraseQuery]
) -> list[float]:
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
    list of float
        One for each query: the best of its spellings, relative to what was heard. ``-inf`` where the
        stretch holds no audio.
    """
    scores = [float("-inf")] * len(queries)
    stretches: dict[tuple[float, float], list[int]] = {}
    for index, query in enumerate(queries):
        stretches.setdefault((query.start_s, query.end_s), []).append(index)
    for (start_s, end_s), indices in stretches.items():
        cut = samples[round(max(0.0, start_s) * SAMPLE_RATE_HZ) : round(end_s * SAMPLE_RATE_HZ)]
        if not len(cut):
            continue
        encoded, frames = _encode(whisper, cut)
        for index in indices:
            query = queries[index]
            texts = [query.heard, *query.spellings]
            heard, *spelled = _mean_logprobs(
                whisper, tokenizer, query.prefix, texts, encoded=encoded, frames=frames
            )
            scores[index] = max(spelled) - heard if spelled else float("-inf")
    return scores


def _encode(whisper: Any, samples: Samples) -> tuple[np.ndarray[Any, Any], int]:
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
    prefix: str,
    texts: Sequence[str],
    *,
    encoded: np.ndarray[Any, Any],
    frames: int,
) -> list[float]:
    """Mean log probability of each text after the prefix; 0 for an empty text, which nobody had to say."""
    import ctranslate2

    before = tokenizer.encode(prefix)[-_PREFIX_TOKENS:] if prefix else []
    tokens = [tokenizer.encode(text) if text else [] for text in texts]
    asked = [index for index, one in enumerate(tokens) if one]
    means = [0.0] * len(texts)
    if not asked:
        return means
    batch = ctranslate2.StorageView.from_array(np.repeat(encoded, len(asked), axis=0))
    results = whisper.model.align(
        batch, tokenizer.sot_sequence, [before + tokens[index] for index in asked], [frames] * len(asked)
    )
    for index, result in zip(asked, results, strict=True):
        probabilities = np.asarray(result.text_token_probs[len(before) : len(before) + len(tokens[index])])
        means[index] = float(np.log(np.maximum(probabilities, _LEAST)).mean())
    return means
