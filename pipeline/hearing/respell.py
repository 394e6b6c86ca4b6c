"""Words that sound right and read wrong, written as the language has them and the audio allows (音近改字).

A small recogniser knows Chinese poorly: it writes 远音 for 原因. A word model proposes, where the recogniser
was unsure, words of the same or a near sound that make the sentence more probable; then the recogniser
itself is asked how well each fits the audio (`pipeline.ports.PhraseListener`). Only what both together
prefer is written. Words of the lexicon and the names of the call record are never touched.

Conventions
-----------
A spelling has as many characters as what it replaces, so word times stay true. Log probabilities of the word
model are decimal, those of the audio natural and summed over characters. Syllables are toneless and taken
in classes: initials or finals that are often confused count as one.

Table of contents: `Speller`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

from pipeline.hearing.repair import places_of, readings, with_characters
from pipeline.hearing.spelling import Place, SpellingRules, questions
from pipeline.mandarin import strip_punctuation
from pipeline.ports import Samples, TextListener, WordModel
from pipeline.records import Role, Turn

_LONGEST_WORD = 4
_READINGS = 2  # rare readings of a character mislead more than they help
_UNKNOWN_LOG10 = -7.0
_LEAST_P = 0.02


@dataclass(frozen=True, slots=True)
class _Path:
    cost: float
    state: Any
    before: _Path | None
    word: str

    def text(self) -> str:
        words = []
        at: _Path | None = self
        while at is not None:
            words.append(at.word)
            at = at.before
        return "".join(reversed(words))


class Speller:
    """A word model, and its words by their sound.

    Parameters
    ----------
    words : WordModel
    rules : SpellingRules
    """

    def __init__(self, words: WordModel, rules: SpellingRules) -> None:
        self.words, self.rules = words, rules
        self._class = _classes(rules.confusions)
        frequent = {word: log10 for word, log10 in words.vocabulary() if len(word) <= _LONGEST_WORD}
        self._known = frozenset(frequent)
        self._alike: dict[tuple[str, ...], list[str]] = defaultdict(list)
        for word in sorted(frequent):
            least = rules.least_log10 if len(word) > 1 else rules.least_log10_alone
            if frequent[word] >= least and rules.kept.isdisjoint(word):
                for key in self._keys(word):
                    self._alike[key].append(word)

    def respelled(
        self,
        turns: Sequence[Turn],
        samples: Mapping[Role, Samples],
        listener: object,
        terms: Iterable[str] = (),
    ) -> tuple[Turn, ...]:
        """Write what language and audio prefer, the recogniser's own words kept in ``raw``.

        Parameters
        ----------
        turns : sequence of Turn
        samples : mapping of role to ndarray of float32, shape (n,)
            The channel on which each role is heard, 16 kHz.
        listener : Recognizer
            One that cannot be asked (no `pipeline.ports.TextListener`) leaves the turns as they are.
        terms : iterable of str
            Words that are right as they stand.
        """
        if not isinstance(listener, TextListener):
            return tuple(turns)
        known = tuple(term for term in terms if len(term) > 1)
        asked = [
            question
            for number, turn in enumerate(turns)
            for question in questions(number, turn, list(self.places(number, turn, known)), self.rules)
        ]
        found: list[tuple[float, Place]] = []
        for role, side in samples.items():
            own = [question for question in asked if turns[question.turn].role == role]
            for one, answer in zip(own, listener.text_scores(side, [q.query for q in own]), strict=True):
                found += one.judged(answer, self.rules)
        changes: dict[int, dict[int, str]] = defaultdict(dict)
        for total, place in sorted(found, key=lambda one: (-one[0], one[1])):
            span = range(place.start, place.start + len(place.heard))
            if total >= self.rules.accept and changes[place.turn].keys().isdisjoint(span):
                changes[place.turn].update(zip(span, place.spelling, strict=True))
        return tuple(
            with_characters(turn, changes[number]) if changes.get(number) else turn
            for number, turn in enumerate(turns)
        )

    def places(self, number: int, turn: Turn, terms: Sequence[str] = ()) -> Iterator[Place]:
        """Find where a turn may be spelled otherwise, best spellings first within each run of characters."""
        where = places_of(turn)
        chars = [turn.words[index].text[offset] for index, offset in where]
        sure = [turn.words[index].confidence for index, _ in where]
        for at in _covered(chars, terms):
            sure[at] = 1.0
        for start, end in _runs(turn, where, chars):
            heard = "".join(chars[start:end])
            if end - start < 2 or min(sure[start:end]) >= self.rules.max_confidence:
                continue
            seen = set()
            for text in self._spellings(heard, sure[start:end]):
                for a, b in _differences(heard, text):
                    if (a, text[a:b]) in seen:
                        continue
                    seen.add((a, text[a:b]))
                    gain = self._log10(heard[:a] + text[a:b] + heard[b:]) - self._log10(heard)
                    if gain >= self.rules.min_gain:
                        yield Place(number, start + a, heard[a:b], text[a:b], gain)

    def _spellings(self, heard: str, sure: Sequence[float]) -> list[str]:
        """The best whole spellings of a run, by word model and cost of changes."""
        ends: list[list[_Path]] = [[] for _ in range(len(heard) + 1)]
        ends[0] = [_Path(0.0, self.words.start(), None, "")]
        for at in range(len(heard)):
            ends[at].sort(key=lambda path: path.cost)
            kept = ends[at][: self.rules.beam]
            for size in range(1, min(_LONGEST_WORD, len(heard) - at) + 1):
                for word, cost in self._candidates(heard[at : at + size], sure[at : at + size]):
                    for path in kept:
                        log10, state = self._step(path.state, word)
                        total = path.cost + cost - self.rules.word_weight * log10
                        ends[at + size].append(_Path(total, state, path, word))
        texts = (path.text() for path in sorted(ends[-1], key=lambda path: path.cost))
        return [text for text in dict.fromkeys(texts) if text != heard][: self.rules.most]

    def _candidates(self, heard: str, sure: Sequence[float]) -> Iterator[tuple[str, float]]:
        if len(heard) == 1 or heard in self._known:
            yield heard, 0.0
        if min(sure) >= self.rules.max_confidence:
            return
        found = dict.fromkeys(word for key in self._keys(heard) for word in self._alike.get(key, ()))
        for word in found:
            cost = 0.0
            for old, new, probability in zip(heard, word, sure, strict=True):
                if old != new:
                    if probability >= self.rules.max_confidence or old in self.rules.kept:
                        break
                    odds = max(probability, _LEAST_P) / (1.001 - min(probability, 1.0))
                    cost += (self.rules.same if _same(old, new) else self.rules.near) + math.log(odds)
            else:
                if word != heard:
                    yield word, max(cost, 0.1)

    def _step(self, state: Any, word: str) -> tuple[float, Any]:
        if word in self._known:
            return self.words.log10(state, word)
        return _UNKNOWN_LOG10, self.words.start()

    def _log10(self, text: str) -> float:
        """Of a text in its best division into words."""
        ends: list[list[tuple[float, Any]]] = [[] for _ in range(len(text) + 1)]
        ends[0] = [(0.0, self.words.start())]
        for at in range(len(text)):
            ends[at].sort(key=lambda one: -one[0])
            for size in range(1, min(_LONGEST_WORD, len(text) - at) + 1):
                word = text[at : at + size]
                if size == 1 or word in self._known:
                    for total, state in ends[at][: self.rules.beam]:
                        log10, after = self._step(state, word)
                        ends[at + size].append((total + log10, after))
        return max(total for total, _ in ends[-1])

    def _keys(self, text: str) -> list[tuple[str, ...]]:
        return list(product(*(self._sounds(char) for char in text)))[:8]

    @lru_cache(maxsize=16384)  # noqa: B019 - a speller lives as long as its process
    def _sounds(self, char: str) -> tuple[str, ...]:
        made = (self._class.get(a, a) + self._class.get(b, b) for a, b in readings(char)[:_READINGS])
        return tuple(dict.fromkeys(made))


def _covered(chars: Sequence[str], terms: Sequence[str]) -> set[int]:
    text = "".join(chars)
    covered: set[int] = set()
    for term in terms:
        at = text.find(term)
        while at >= 0:
            covered.update(range(at, at + len(term)))
            at = text.find(term, at + 1)
    return covered


def _runs(turn: Turn, where: Sequence[tuple[int, int]], chars: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Stretches of Chinese characters without punctuation between them."""
    start = 0
    for at in range(len(where) + 1):
        ends = at == len(where) or not _is_chinese(chars[at])
        if ends or (at > start and _marked(turn, where[at - 1])):
            if at > start:
                yield start, at
            start = at + 1 if ends else at


def _marked(turn: Turn, place: tuple[int, int]) -> bool:
    """Whether punctuation follows a character within its word."""
    index, offset = place
    following = turn.words[index].text[offset + 1 : offset + 2]
    return bool(following) and not strip_punctuation(following)


def _is_chinese(char: str) -> bool:
    return "一" <= char <= "鿿"


def _differences(old: str, new: str) -> Iterator[tuple[int, int]]:
    """Stretches in which two equally long texts differ."""
    at = 0
    while at < len(old):
        end = at
        while end < len(old) and old[end] != new[end]:
            end += 1
        if end > at:
            yield at, end
        at = end + 1


@lru_cache(maxsize=65536)
def _same(one: str, other: str) -> bool:
    return not set(readings(one)).isdisjoint(readings(other))


def _classes(confusions: Sequence[tuple[str, str]]) -> dict[str, str]:
    """One name for everything that confusions join."""
    groups: dict[str, str] = {}
    for a, b in confusions:
        old, new = groups.get(a, a), groups.get(b, b)
        groups.update({part: new for part, name in groups.items() if name == old})
        groups[a] = groups[b] = groups[old] = new
    return groups
