"""Whisper's aligned tokens as characters with believable times and their punctuation.

Conventions
-----------
Input are the dictionaries of faster-whisper's alignment (``word, start, end, probability``), one for each
character of Chinese; times are seconds from the start of the window.

Table of contents: `trimmed`, `merged_marks`, `heard_segment`, `word_times`, `inside`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from models.readings import Reading, compression_ratio
from models.windows import Piece
from pipeline.ports import HeardSegment, HeardWord

_PREPEND = "\"'“¿([{-《（"
_APPEND = "\"'.。,，!！?？:：”)]}、》）；;…"


def trimmed(aligned: Sequence[dict[str, Any]]) -> list[HeardWord]:
    """Shorten characters that the alignment stretched over a pause.

    A character lasts at most 2.5 medians: the alignment gives the silence before a phrase to its first
    character and the silence after a phrase to its mark or last character.
    """
    spoken = [word for word in aligned if word["word"].strip()]
    durations = [word["end"] - word["start"] for word in spoken if word["end"] > word["start"]]
    most = 2.5 * min(0.5, float(np.median(durations))) if durations else 0.5
    words: list[HeardWord] = []
    for word in spoken:
        start, end = float(word["start"]), float(word["end"])
        if end - start > most:
            after_mark = not words or words[-1].text[-1] in _APPEND
            start, end = (end - most, end) if after_mark else (start, start + most)
        words.append(HeardWord(word["word"], start, end, float(word["probability"])))
    return words


def merged_marks(words: Sequence[HeardWord]) -> list[HeardWord]:
    """Attach punctuation to the character before it, opening marks to the one after."""
    merged: list[HeardWord] = []
    opening = ""
    for word in words:
        text = word.text.strip()
        if text in _PREPEND:
            opening += text
        elif text in _APPEND and merged:
            last = merged[-1]
            merged[-1] = HeardWord(last.text + text, last.start_s, last.end_s, last.probability)
        elif text not in _APPEND:
            spaced = word.text if word.text.isascii() else text
            merged.append(HeardWord(opening + spaced, word.start_s, word.end_s, word.probability))
            opening = ""
    return merged


def heard_segment(piece: Piece, words: Sequence[HeardWord], reading: Reading) -> HeardSegment:
    """Put the words of one continuous stretch of speech together."""
    text = "".join(word.text for word in words)
    logprob = float(np.mean([np.log(max(word.probability, 1e-6)) for word in words]))
    return HeardSegment(
        start_s=round(piece.start_s, 3),
        end_s=round(piece.end_s, 3),
        text=text,
        words=tuple(words),
        avg_logprob=min(0.0, logprob),
        no_speech_prob=reading.no_speech_prob,
        compression_ratio=compression_ratio(text),
        attempt=reading.attempt,
    )


def word_times(segments: Sequence[HeardSegment]) -> list[tuple[float, float]]:
    """When every word was said."""
    return [(word.start_s, word.end_s) for segment in segments for word in segment.words]


def inside(segment: HeardSegment, holes: Sequence[tuple[float, float]]) -> HeardSegment | None:
    """Keep of a late segment what stands in a hole; at its edges neighbours are heard a second time."""
    words = tuple(
        word
        for word in segment.words
        if any(start <= (word.start_s + word.end_s) / 2 <= end for start, end in holes)
    )
    if not words:
        return None
    return replace(segment, words=words, text="".join(word.text for word in words), attempt=1)
