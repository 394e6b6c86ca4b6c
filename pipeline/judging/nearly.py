"""Places that sound nearly like a wording: where one word of it was misheard.

Goal
----
Wordings are found by exact sound (`pipeline.judging.soundindex`), since two syllables of a hundred short
wordings would otherwise be found everywhere. So 打扰您了 that was written 达教您了 is lost. Whether it was
said is for the audio to tell (`pipeline.judging.questions`); this module only proposes the place and how
the wording reads there.

How
---
Every literal stretch of a wording may differ in one syllable, or lack one. That is still a regular
expression over sound codes; what it finds is aligned with the wording's parts, and told from chance by its
cost a syllable (`pipeline.judging.phonetics`). What stands in a gap stays as it was heard.

Table of contents: `Near`, `NearWording`, `near_wording`, `near_places`, `heads_of_number`.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from pipeline.judging.matching import BREAK
from pipeline.judging.patterns import bare, read_aloud
from pipeline.judging.phonetics import UNIT, Sounds
from pipeline.judging.soundindex import SoundIndex
from pipeline.judging.wordings import Wording, kindred_codes, sound_codes

# Fewest syllables that carry meaning in a wording that one of them may be missing from.
_LEAST = 3
# ... and how much of it may be gaps.
_MOST_FREE = 0.34
# What all errors together may cost.
_MOST_COST = 2 * UNIT
# What one missing or added syllable costs; what a syllable that was said is worth against costs.
_MISSED, _WORTH = UNIT, 0.25
_GAP = re.compile(r"\{gap:(\d+)(?:-(\d+))?\}")


class Near(NamedTuple):
    """A stretch of the stream, how alike it is in [0, 1], and what the wording reads there."""

    start: int
    end: int
    alike: float
    text: str


class _Fit(NamedTuple):
    """One way to align a wording with a text up to some character; ``same`` counts equal characters."""

    cost: int
    weight: int
    same: int
    text: str

    @property
    def rank(self) -> tuple[float, int, str]:
        """Less is better; of what sounds alike (您 and 你) the one that was written."""
        return self.cost - _WORTH * self.weight, -self.same, self.text


@dataclass(frozen=True, slots=True)
class _Free:
    least: int
    most: int


@dataclass(frozen=True, slots=True)
class _Either:
    ways: tuple[_Row, ...]
    may_miss: bool


_Row = tuple["str | _Free | _Either", ...]


@dataclass(frozen=True, slots=True)
class NearWording:
    """A wording that forgives; make it with `near_wording`. ``most`` is what its longest way weighs."""

    row: _Row
    relaxed: re.Pattern[str]
    most: int


@lru_cache(maxsize=8192)
def near_wording(source: str, sounds: Sounds) -> NearWording | None:
    """Let a wording forgive; None where it has slots other than gaps.

    Examples
    --------
    >>> from pipeline.judging.transcript import load_model
    >>> near_wording("工号{digits}", load_model().sounds) is None
    True
    """
    if "{" in _GAP.sub("", source):
        return None
    row, at = _row_of(source, 0)
    assert at == len(source), f"{source!r} was not read to its end"
    relaxed = _relaxed(row, sounds, lone=_least(row) >= _LEAST)
    return NearWording(row, re.compile(relaxed), _weight(row, sounds))


def _row_of(source: str, at: int) -> tuple[_Row, int]:
    """Parts from a place to the end of its alternative; the wording is known to be well formed."""
    row: list[str | _Free | _Either] = []
    while at < len(source) and source[at] not in "|)]":
        if source[at] in "([":
            ways, may_miss = [], source[at] == "["
            while source[at] not in ")]":
                way, at = _row_of(source, at + 1)
                ways.append(way)
            row.append(_Either(tuple(ways), may_miss))
            at += 1
        elif found := _GAP.match(source, at):
            row.append(_Free(int(found[1]), int(found[2] or found[1])))
            at = found.end()
        else:
            end = at
            while end < len(source) and source[end] not in "([{|)]":
                end += 1
            if text := bare(read_aloud(source[at:end])):  # nothing is left of punctuation
                row.append(text)
            at = end
    return tuple(row), at


def _relaxed(row: _Row, sounds: Sounds, *, lone: bool = False) -> str:
    parts = []
    for part in row:
        if isinstance(part, str):
            codes = part.translate(sound_codes(sounds))
            # A syllable that stands alone may be any other where enough is left to know the wording by.
            parts.append(".?" if lone and len(codes) == 1 else _misheard(codes))
        elif isinstance(part, _Free):
            parts.append(f".{{{part.least},{part.most}}}?")
        else:
            ways = [_relaxed(way, sounds) for way in part.ways]
            if all(len(way) == 1 and isinstance(way[0], str) and len(way[0]) == 1 for way in part.ways):
                ways.append(".?")  # one of some single syllables may be misheard or lost, too
            parts.append(f"(?:{'|'.join(ways)}){'?' if part.may_miss else ''}")
    return "".join(parts)


def _misheard(codes: str) -> str:
    """One syllable may be any other or lost, or each may keep but its initial or its final."""
    if len(codes) < 2:
        return re.escape(codes)
    said = [re.escape(code) for code in codes]
    ways = ["".join([*said[:at], ".?", *said[at + 1 :]]) for at in range(len(said))]
    ways.append("".join(f"[{re.escape(kindred_codes(code))}]" for code in codes))
    return f"(?:{'|'.join(ways)})"


def _least(row: _Row) -> int:
    """Fewest literal syllables of a wording."""
    return sum(
        len(part)
        if isinstance(part, str)
        else min(map(_least, part.ways))
        if isinstance(part, _Either) and not part.may_miss
        else 0
        for part in row
    )


def _weight(row: _Row, sounds: Sounds) -> int:
    """Weight of the longest way to say a wording."""
    total = 0
    for part in row:
        if isinstance(part, str):
            total += _priced(part, sounds)[1]
        elif isinstance(part, _Either):
            total += max(_weight(way, sounds) for way in part.ways)
    return total


def near_places(
    wording: Wording,
    index: SoundIndex,
    within: Collection[int],
    *,
    alike: float,
    worth: Callable[[int, int], bool] = lambda start, end: True,
) -> Iterator[Near]:
    """Places of one wording in these segments that are at least so much alike, the same sound left out.

    ``worth`` tells of a stretch whether it is worth a closer look.
    """
    sounds = index.call.model.sounds
    loose = near_wording(wording.source, sounds)
    if loose is None:
        return
    coded, at = BREAK.join(index.coded), 0
    budget = min(_MOST_COST, int((1.0 - alike) * loose.most))
    while (match := loose.relaxed.search(coded, at)) is not None:
        at = match.start() + 1
        number = bisect_right(index.begins, match.start()) - 1
        begin, text = index.begins[number], index.segments[number]
        if number not in within:
            at = begin + len(text)
            continue
        if not worth(*match.span()):
            continue
        best = _aligned(
            loose.row, text, match.start() - begin, match.end() - begin, budget=budget, sounds=sounds
        )
        if best is None:
            continue
        end, fit = best
        if not fit.cost:
            at = max(at, begin + end)  # it is the wording itself; nothing in it is another one
            continue
        free = len(fit.text) * UNIT - fit.weight
        if fit.weight < _LEAST * UNIT or free > _MOST_FREE * fit.weight:
            continue
        share = round(1.0 - fit.cost / fit.weight, 4)
        if share >= alike:
            yield Near(match.start(), begin + end, share, fit.text)


def _aligned(
    row: _Row, text: str, start: int, end: int, *, budget: int, sounds: Sounds
) -> tuple[int, _Fit] | None:
    """Align with what matched, one more character at its end, at no more than a cost."""
    fits = _row_fits(row, text[: end + 1], {start: _Fit(0, 0, 0, "")}, budget, sounds)
    return min(fits.items(), key=lambda one: (one[1].rank, one[0]), default=None)


def _row_fits(row: _Row, text: str, begun: dict[int, _Fit], budget: int, sounds: Sounds) -> dict[int, _Fit]:
    for part in row:
        after: dict[int, _Fit] = {}
        for at, fit in begun.items():
            if isinstance(part, str):
                _keep_literal(after, part, text, at, fit, budget=budget, sounds=sounds)
            elif isinstance(part, _Free):
                for end in range(at + part.least, min(at + part.most, len(text)) + 1):
                    _keep(after, end, fit._replace(text=fit.text + text[at:end]))
            else:
                if part.may_miss:
                    _keep(after, at, fit)
                for way in part.ways:
                    if len(way) == 1 and isinstance(way[0], str):
                        _keep_literal(after, way[0], text, at, fit, budget=budget, sounds=sounds)
                        continue
                    for end, one in _row_fits(way, text, {at: fit}, budget, sounds).items():
                        _keep(after, end, one)
        begun = after
        if not begun:
            break
    return begun


def _keep_literal(
    fits: dict[int, _Fit], said: str, text: str, at: int, fit: _Fit, *, budget: int, sounds: Sounds
) -> None:
    for length, cost, same in _literal_costs(said, text[at : at + len(said)], sounds, budget - fit.cost):
        weight = fit.weight + _priced(said, sounds)[1]
        _keep(fits, at + length, _Fit(fit.cost + cost, weight, fit.same + same, fit.text + said))


def _keep(fits: dict[int, _Fit], end: int, fit: _Fit) -> None:
    known = fits.get(end)
    if known is None or fit.rank < known.rank:
        fits[end] = fit


@lru_cache(maxsize=8192)
def _priced(said: str, sounds: Sounds) -> tuple[tuple[Mapping[str, int], ...], int]:
    """Costs of hearing each character of a stretch as any other, and the weight of all."""
    return tuple(map(sounds.row, said)), sum(map(sounds.delete_cost, said))


def _literal_costs(said: str, heard: str, sounds: Sounds, most: int) -> Iterator[tuple[int, int, int]]:
    """Length heard, cost and same characters of a literal stretch, at most one syllable lost.

    ``heard`` is as long as the stretch, or shorter where the text ends. What costs more than ``most`` is left
    out, mostly after a character or two: hardly anything that is compared is alike.
    """
    size = len(said)
    if len(heard) < size - 1:
        return
    rows, _ = _priced(said, sounds)
    whole, lost = 0, most + 1  # all said so far, or one syllable of it lost before here
    for at, char in enumerate(heard[: size - 1]):
        lost = min(lost, whole + _MISSED) + rows[at + 1][char]
        whole += rows[at][char]
        if whole > most and lost > most:
            return
    lost = min(lost, whole + _MISSED)
    whole = whole + rows[-1][heard[-1]] if len(heard) == size else most + 1
    if whole <= most:
        yield size, whole, _same(said, heard)
        if whole <= _MISSED // 2:
            return  # leaving one out could not be better
    if lost <= most:
        yield size - 1, lost, _same(said, heard[: size - 1])


def _same(said: str, heard: str) -> int:
    return sum(one == other for one, other in zip(said, heard, strict=False))


def heads_of_number(sources: Sequence[str]) -> list[str]:
    """What stands right before the number in wordings that end with a number, the longest first.

    Examples
    --------
    >>> heads_of_number(["(工号|工后)[是|为]{digits:2-10}", "我是{digits}号"])
    ['工号', '工后']
    """
    heads: dict[str, None] = {}
    for source in sources:
        before, found, after = source.partition("{digits")
        if found and before and "{" not in before and not after.partition("}")[2]:
            row, _ = _row_of(before, 0)
            first = row[0]
            ways = first.ways if isinstance(first, _Either) else ((first,),)
            for way in ways:
                if len(way) == 1 and isinstance(way[0], str) and len(way[0]) > 1:
                    heads[way[0]] = None
    return sorted(heads, key=len, reverse=True)
