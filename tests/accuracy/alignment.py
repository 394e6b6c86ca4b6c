"""Align what was said with what was heard, character by character, by sound.

Table of contents: `syllables`, `Slip`, `slips`, `error_rate`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from pypinyin import Style, lazy_pinyin

_INITIALS = re.compile(r"^(zh|ch|sh|[bpmfdtnlgkhjqxrzcsyw])?(.*)$")


def syllables(text: str) -> list[str]:
    """Toneless pinyin of each character, chosen in context; other characters stand for themselves."""
    found = lazy_pinyin(text, style=Style.NORMAL, errors=list)
    return found if len(found) == len(text) else [syllables(char)[0] for char in text]


@lru_cache(maxsize=100_000)
def split(syllable: str) -> tuple[str, str]:
    """Initial and final of a syllable."""
    match = _INITIALS.match(syllable)
    return (match.group(1) or "", match.group(2)) if match else ("", syllable)


def _distance(one: str, other: str) -> float:
    if one == other:
        return 0.15
    (initial, final), (initial2, final2) = split(one), split(other)
    return 0.5 if initial == initial2 or final == final2 else 1.0


@dataclass(frozen=True, slots=True)
class Slip:
    """One stretch that was heard otherwise: ``said`` (may be empty) at ``start`` became ``heard``."""

    start: int
    said: str
    heard: str


def slips(said: str, heard: str) -> list[Slip]:
    """Maximal differing stretches of the cheapest alignment."""
    sound, sound2 = syllables(said), syllables(heard)
    rows, columns = len(said) + 1, len(heard) + 1
    cost = [[0.0] * columns for _ in range(rows)]
    for i in range(rows):
        for j in range(columns):
            if not i or not j:
                cost[i][j] = 0.8 * (i + j)
                continue
            same = said[i - 1] == heard[j - 1]
            swap = cost[i - 1][j - 1] + (0.0 if same else _distance(sound[i - 1], sound2[j - 1]))
            cost[i][j] = min(swap, cost[i - 1][j] + 0.8, cost[i][j - 1] + 0.8)
    return _group(said, heard, _trace(said, heard, sound, sound2, cost))


def _trace(
    said: str, heard: str, sound: Sequence[str], sound2: Sequence[str], cost: list[list[float]]
) -> list[tuple[int, int, int, int]]:
    steps = []
    i, j = len(said), len(heard)
    while i or j:
        if i and j:
            same = said[i - 1] == heard[j - 1]
            swap = cost[i - 1][j - 1] + (0.0 if same else _distance(sound[i - 1], sound2[j - 1]))
            if abs(swap - cost[i][j]) < 1e-9:
                if not same:
                    steps.append((i - 1, i, j - 1, j))
                i, j = i - 1, j - 1
                continue
        if i and abs(cost[i - 1][j] + 0.8 - cost[i][j]) < 1e-9:
            steps.append((i - 1, i, j, j))
            i -= 1
        else:
            steps.append((i, i, j - 1, j))
            j -= 1
    return steps[::-1]


def _group(said: str, heard: str, steps: Sequence[tuple[int, int, int, int]]) -> list[Slip]:
    groups: list[list[int]] = []
    for a, b, c, d in steps:
        if groups and groups[-1][1] == a and groups[-1][3] == c:
            groups[-1][1], groups[-1][3] = b, d
        else:
            groups.append([a, b, c, d])
    return [Slip(a, said[a:b], heard[c:d]) for a, b, c, d in groups]


def error_rate(said: str, heard: str) -> float:
    """Character errors in 100 characters said (CER); both already normalised."""
    from rapidfuzz.distance import Levenshtein

    return 100 * Levenshtein.distance(said, heard) / max(1, len(said))
