"""Where another spelling may stand, and how the audio is asked about it.

Conventions
-----------
Places count the characters of a turn without punctuation (`pipeline.hearing.repair.places_of`). Log
probabilities of the word model are decimal, those of the audio natural and summed over characters.

Table of contents: `SpellingRules`, `Place`, `Question`, `questions`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.hearing.repair import places_of
from pipeline.ports import TextQuery
from pipeline.records import Turn

_AIR_S = 0.2


@dataclass(frozen=True, slots=True)
class SpellingRules:
    """When another spelling is written; see ``[spelling]`` of ``lexicons/hearing.toml``.

    Attributes
    ----------
    max_confidence : float
        Characters that the recogniser was surer of stay.
    same, near : float
        What a character of the same, or of a confusable, syllable costs while looking for candidates.
    word_weight : float
        Natural log units that one decimal unit of the word model counts against them, for candidates.
    min_gain : float
        Least gain of the word model, in decimal units, for which the audio is asked.
    audio_weight : float
        Decimal units of the word model that one natural unit of the audio counts.
    accept : float
        Least sum of both for which a spelling is written.
    beam, most : int
        Paths kept while looking for candidates; whole spellings of a run that are looked at.
    after_chars : int
        Characters after a place that are scored with it.
    longest_s : float
        Longest stretch of audio to ask about.
    most_texts : int
        Texts that are asked about in one stretch beside what was heard.
    least_log10, least_log10_alone : float
        Words, and words of one character, that are rarer than this are not proposed.
    kept : frozenset of str
        Characters that are neither changed nor written: numbers, particles.
    confusions : tuple of (str, str)
        Initials or finals that are often taken for one another.
    """

    max_confidence: float = 0.98
    same: float = 1.0
    near: float = 3.0
    word_weight: float = 1.15
    min_gain: float = 0.5
    audio_weight: float = 0.67
    accept: float = 1.0
    beam: int = 8
    most: int = 8
    after_chars: int = 4
    longest_s: float = 8.0
    most_texts: int = 3
    least_log10: float = -6.2
    least_log10_alone: float = -5.2
    kept: frozenset[str] = frozenset()
    confusions: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Characters of a turn that may be spelled otherwise.

    Attributes
    ----------
    turn, start : int
        Index of the turn, and of the first character among its characters without punctuation.
    heard, spelling : str
        Equally long.
    gain : float
        Of the word model, decimal.
    """

    turn: int
    start: int
    heard: str
    spelling: str
    gain: float


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked about one stretch: the text as heard, then texts with some places spelled otherwise.

    Attributes
    ----------
    turn, first : int
        Index of the turn, and of its character with which the stretch begins.
    offsets : tuple of int
        Where each character of the stretch stands in the text.
    query : TextQuery
    rows : tuple of tuple of Place
        The places spelled otherwise in each text after the first.
    """

    turn: int
    first: int
    offsets: tuple[int, ...]
    query: TextQuery
    rows: tuple[tuple[Place, ...], ...]

    def judged(
        self, answer: Sequence[Sequence[float]], rules: SpellingRules
    ) -> Iterator[tuple[float, Place]]:
        """Each place with what language and audio together say for it."""
        heard, *others = answer
        for scores, row in zip(others, self.rows, strict=True):
            for place in row if scores else ():
                begin = place.start - self.first
                end = min(begin + len(place.heard) + rules.after_chars, len(self.offsets))
                part = slice(self.offsets[begin], self.offsets[end - 1] + 1)
                audio = math.fsum(scores[part]) - math.fsum(heard[part])
                yield place.gain + rules.audio_weight * audio, place


def questions(number: int, turn: Turn, places: Sequence[Place], rules: SpellingRules) -> Iterator[Question]:
    """Ask about the places of a turn, each stretch once, with as few texts as keep them apart."""
    if not places:
        return
    where = places_of(turn)
    for first, last in _stretches(turn, where, places, rules.longest_s):
        own = sorted(
            (one for one in places if first <= one.start and one.start + len(one.heard) <= last),
            key=lambda one: (-one.gain, one),
        )
        rows: list[list[Place]] = []
        for place in own:
            row = next((row for row in rows if all(_apart(place, other, rules) for other in row)), None)
            if row is not None:
                row.append(place)
            elif len(rows) < rules.most_texts:
                rows.append([place])
        if not rows:
            continue
        words = turn.words[where[first][0] : where[last - 1][0] + 1]
        text = "".join(word.text for word in words)
        starts = [0]
        for word in words:
            starts.append(starts[-1] + len(word.text))
        base = where[first][0]
        offsets = tuple(starts[index - base] + offset for index, offset in where[first:last])
        texts = [text]
        for row in rows:
            chars = list(text)
            for place in row:
                for at, char in enumerate(place.spelling, start=place.start - first):
                    chars[offsets[at]] = char
            texts.append("".join(chars))
        start_s, end_s = max(0.0, words[0].start_s - _AIR_S), words[-1].end_s + _AIR_S
        query = TextQuery(start_s, end_s, tuple(texts))
        yield Question(number, first, offsets, query, tuple(tuple(row) for row in rows))


def _apart(one: Place, other: Place, rules: SpellingRules) -> bool:
    """Whether two places do not touch, nor the characters that are scored with them."""
    reach = rules.after_chars
    return (
        one.start + len(one.heard) + reach <= other.start
        or other.start + len(other.heard) + reach <= one.start
    )


def _stretches(
    turn: Turn, where: Sequence[tuple[int, int]], places: Sequence[Place], longest_s: float
) -> Iterator[tuple[int, int]]:
    """Cut a turn into stretches (first character, past the last), where it pauses longest outside places."""
    inside = {at for place in places for at in range(place.start + 1, place.start + len(place.heard))}
    inside |= {at for at in range(1, len(where)) if where[at][0] == where[at - 1][0]}
    begin = 0
    while begin < len(where):
        start_s = turn.words[where[begin][0]].start_s
        end = begin + 1
        while end < len(where) and (end in inside or turn.words[where[end][0]].end_s - start_s <= longest_s):
            end += 1
        if end < len(where):
            cuts = [at for at in range((begin + end + 1) // 2, end + 1) if at > begin and at not in inside]
            end = max(cuts, key=lambda at: _pause_s(turn, where, at))
        yield begin, end
        begin = end


def _pause_s(turn: Turn, where: Sequence[tuple[int, int]], at: int) -> float:
    return turn.words[where[at][0]].start_s - turn.words[where[at - 1][0]].end_s
