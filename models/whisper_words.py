"""Whisper's aligned tokens as characters with believable times and their punctuation.

Conventions
-----------
Input are the dictionaries of faster-whisper's alignment (``word, start, end, probability``), one for each
character of Chinese; times are seconds from the start of the window.

Table of contents: `trimmed`, `merged_marks`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.ports import HeardWord

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
