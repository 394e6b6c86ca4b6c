"""Insurance terms that were misheard as other words of their sound (音近修复).

A small recogniser writes 礼陪 for 理赔. Where it was unsure and what it wrote sounds like a term of the
lexicon, the term is written instead; what it had written stays beside it (``Turn.raw``). Only terms and
the names of the call record are ever written, never phrases that a rule asks for, and matching goes by sound
anyway: a repair helps whoever reads the transcript, and no verdict hangs on it.

Conventions
-----------
A term replaces exactly as many characters as it has, so that word times stay true. What was heard may be read
in any way its characters can be, a term only as the word is read: by a rare reading of 听, 接听 would sound
like words that nobody says alike. Costs are per syllable: 0 for the same toneless syllable, ``near`` when
initial or final differ by a usual confusion, 1 otherwise.

Table of contents: `RepairRules`, `repaired`; `places_of`, `with_characters`, `readings`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from pipeline.mandarin import strip_punctuation
from pipeline.records import Turn, Word

_NEVER = 1.0
_INITIALS = ("zh", "ch", "sh", *"bpmfdtnlgkhjqxrzcsyw")


@dataclass(frozen=True, slots=True)
class RepairRules:
    """When a term is written instead of what was heard; see ``lexicons/hearing.toml``.

    Attributes
    ----------
    terms : tuple of str
        Chinese, at least two characters each.
    max_cost : float
        Mean cost a syllable up to which a term of three or more characters sounds alike; shorter ones
        must sound the same.
    max_confidence : float
        Mean probability of the differing words beyond which the recogniser is believed.
    near : float
        Cost of a usual confusion.
    confusions : tuple of (str, str)
        Initials or finals that are often taken for one another.
    """

    terms: tuple[str, ...] = ()
    max_cost: float = 0.0
    max_confidence: float = 0.0
    near: float = 0.4
    confusions: tuple[tuple[str, str], ...] = ()


def repaired(turn: Turn, rules: RepairRules) -> Turn:
    """Write the terms that a turn was meant to hold, its own words kept in ``raw``.

    Examples
    --------
    >>> rules = RepairRules(("理赔",), max_cost=0.2, max_confidence=0.6)
    >>> words = tuple(Word(char, at, at + 0.2, 0.3) for at, char in enumerate("我要礼陪"))
    >>> turn = repaired(Turn("customer", 0.0, 4.0, "我要礼陪", words=words), rules)
    >>> turn.text, turn.raw, turn.words[2].text
    ('我要理赔', '我要礼陪', '理')
    """
    places = places_of(turn)
    chars = [turn.words[index].text[offset] for index, offset in places]
    changed: dict[int, str] = {}
    for term in sorted(rules.terms, key=lambda one: (-len(one), one)):
        for start in _sounding(chars, term, rules):
            span = range(start, start + len(term))
            if changed.keys() & set(span) or _parted(turn.words, places, span):
                continue
            if _doubted(turn.words, [places[at][0] for at in span if chars[at] != term[at - start]], rules):
                changed.update({at: term[at - start] for at in span})
    return with_characters(turn, changed)


def places_of(turn: Turn) -> list[tuple[int, int]]:
    """Where the characters of a turn stand, punctuation left out: (word, offset in it)."""
    return [
        (index, offset)
        for index, word in enumerate(turn.words)
        for offset, char in enumerate(word.text)
        if strip_punctuation(char)
    ]


def with_characters(turn: Turn, changed: Mapping[int, str]) -> Turn:
    """Exchange characters, numbered as in `places_of`; what was heard stays in ``raw``.

    Examples
    --------
    >>> turn = Turn("customer", 0.0, 1.0, "礼，陪", words=(Word("礼，", 0.0, 0.5), Word("陪", 0.5, 1.0)))
    >>> changed = with_characters(turn, {1: "赔"})
    >>> changed.text, changed.raw
    ('礼，赔', '礼，陪')
    """
    words = [list(word.text) for word in turn.words]
    places = places_of(turn)
    for at, char in changed.items():
        index, offset = places[at]
        words[index][offset] = char
    if not changed or all("".join(new) == old.text for new, old in zip(words, turn.words, strict=True)):
        return turn
    made = tuple(replace(word, text="".join(new)) for word, new in zip(turn.words, words, strict=True))
    text = _rewritten(turn.text, turn.words, made)
    return turn if text is None else replace(turn, text=text, raw=turn.raw or turn.text, words=made)


def _rewritten(text: str, old: Sequence[Word], new: Sequence[Word]) -> str | None:
    """The turn's text with its words exchanged; None where the words are not found in it."""
    result, at = "", 0
    for before, after in zip(old, new, strict=True):
        found = text.find(before.text, at)
        if found < 0:
            return None
        result += text[at:found] + after.text
        at = found + len(before.text)
    return result + text[at:]


def _sounding(chars: Sequence[str], term: str, rules: RepairRules) -> Iterator[int]:
    limit = rules.max_cost * len(term) if len(term) > 2 else 0.0
    meant = tuple(zip(term, _reading(term), strict=True))
    for start in range(len(chars) - len(term) + 1):
        if not limit and meant[0][1] not in readings(chars[start]) and chars[start] != term[0]:
            continue
        cost = 0.0
        for heard, (char, sound) in zip(chars[start : start + len(term)], meant, strict=True):
            cost += 0.0 if heard == char else _cost(heard, sound, rules.confusions, rules.near)
            if cost > limit + 1e-9:
                break
        else:
            if any(chars[start + at] != char for at, char in enumerate(term)):
                yield start


def _parted(words: Sequence[Word], places: Sequence[tuple[int, int]], span: range) -> bool:
    """Whether punctuation stands inside a stretch of characters."""
    for at in span[:-1]:
        (index, offset), (after, later) = places[at], places[at + 1]
        if index == after:
            if later != offset + 1:
                return True
        elif offset != len(words[index].text) - 1 or later != 0:
            return True
    return False


def _doubted(words: Sequence[Word], differing: Sequence[int], rules: RepairRules) -> bool:
    sure = [words[index].confidence for index in differing]
    return sum(sure) <= rules.max_confidence * len(sure)


@lru_cache(maxsize=65536)
def _cost(heard: str, sound: tuple[str, str], confusions: tuple[tuple[str, str], ...], near: float) -> float:
    """Cost of having heard a character for a sound: that of its best reading."""
    best = _NEVER
    for one in readings(heard):
        if one == sound:
            return 0.0
        parts = [
            0.0 if a == b else near if (a, b) in confusions or (b, a) in confusions else _NEVER
            for a, b in zip(one, sound, strict=True)
        ]
        best = min(best, sum(parts))
    return best


@lru_cache(maxsize=4096)
def _reading(term: str) -> tuple[tuple[str, str], ...]:
    """Toneless (initial, final) of each character of a term, as the word is read."""
    from pypinyin import Style, pinyin

    found = pinyin(term, style=Style.NORMAL)
    if len(found) != len(term):  # letters or digits in it, which stay together
        found = [pinyin(char, style=Style.NORMAL)[0] for char in term]
    return tuple(_split(readings[0]) for readings in found)


@lru_cache(maxsize=16384)
def readings(char: str) -> tuple[tuple[str, str], ...]:
    """Toneless (initial, final) of every reading of a character, the usual one first; none if not Chinese."""
    from pypinyin import Style, pinyin

    if not "一" <= char <= "鿿":
        return ()
    syllables = pinyin(char, style=Style.NORMAL, heteronym=True)[0]
    return tuple(dict.fromkeys(_split(one) for one in syllables))


def _split(syllable: str) -> tuple[str, str]:
    initial = next((one for one in _INITIALS if syllable.startswith(one)), "")
    return initial, syllable[len(initial) :]
