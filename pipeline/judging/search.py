"""Where in a call a phrase may be, before anything is aligned.

A phrase that was said leaves traces: two neighbouring syllables of it that were heard about right. The
call's index answers where such pairs stand; around them the coarse sounds of the phrase and of the
text are compared as a whole (longest common subsequence, in C), and only what survives is aligned.

Table of contents: `Branch`, `make_branch`, `occurrences`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product

from rapidfuzz.distance import LCSseq

from pipeline.judging.matching import Alignment, Graph, SlotEnds, align, atoms_of, make_graph, weight_of
from pipeline.judging.patterns import Company, Digits, Duration, Element, Gap, Literal, Name
from pipeline.judging.patterns import Sequence as Expansion
from pipeline.judging.phonetics import UNIT, Sounds
from pipeline.judging.transcript import SearchSettings, Transcript

_similarity = LCSseq.similarity
# Readings of many heteronyms multiply; beyond this many variants the rest are left to the aligner.
_VARIANTS = 4
# Beyond this many different literal stretches they are compared as one, less sharply.
_NEEDLES = 12
# What one coarse half of a syllable costs at least when it differs.
_HALF_COST = 0.5

Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Needle:
    """Coarse sounds of a literal stretch, initials and finals in turn, and how many must be there."""

    halves: str
    length: int
    slack: int
    required: int


@dataclass(frozen=True, slots=True)
class Branch:
    """One alternative of a pattern, ready to be searched for.

    Attributes
    ----------
    pairs, singles : mapping
        Coarse sounds to (needle, offset in it) wherever they occur in the phrase.
    leads : mapping
        Coarse sounds to the least and most characters of the phrase that stand before them.
    exact : compiled expression or None
        All literal ways to say it, the longest first.
    said : mapping of str to (weight, heavy characters)
        Of each literal way.
    longest : int
        Characters that the phrase may take.
    slot_first : tuple of Element
        Slots with which expansions without any literal begin.
    particles : tuple of str
        Expansions made of particles alone; they have no coarse sound.
    """

    graph: Graph
    needles: tuple[Needle, ...]
    pairs: Mapping[str, tuple[Range, ...]]
    singles: Mapping[str, tuple[Range, ...]]
    leads: Mapping[str, Range]
    exact: re.Pattern[str] | None
    said: Mapping[str, Range]
    longest: int
    slot_first: tuple[Element, ...]
    particles: tuple[str, ...]


def make_branch(expansions: Sequence[Expansion], sounds: Sounds, search: SearchSettings) -> Branch:
    """Prepare the expansions of one alternative for the search."""
    longest_heavy = max(_heavy(expansion, sounds) for expansion in expansions)
    limit = search.short_max_distance if longest_heavy <= search.short_len else search.max_distance
    builder = _Builder(sounds, search, limit)
    for expansion in expansions:
        builder.add(expansion)
    literals = sorted(
        {one[0].chars for one in expansions if len(one) == 1 and isinstance(one[0], Literal)},
        key=lambda text: (-len(text), text),
    )
    said = {
        text: (
            sum(weight_of(char, sounds) for char in text),
            sum(char not in sounds.light for char in text),
        )
        for text in literals
    }
    return Branch(
        graph=make_graph(expansions, sounds, limit),
        needles=tuple(builder.needles.values()),
        pairs={code: tuple(where) for code, where in builder.seeds.items() if len(code) == 2},
        singles={code: tuple(where) for code, where in builder.seeds.items() if len(code) == 1},
        leads={code: (low, high) for code, (low, high) in builder.leads.items()},
        exact=re.compile("|".join(map(re.escape, literals))) if literals else None,
        said=said,
        longest=max(_span(expansion, search)[1] for expansion in expansions),
        slot_first=tuple(dict.fromkeys(builder.slot_first)),
        particles=tuple(dict.fromkeys(builder.particles)),
    )


def _heavy(expansion: Expansion, sounds: Sounds) -> int:
    return sum(weight_of(atom, sounds) >= UNIT for atom in atoms_of(expansion))


class _Builder:
    """Collects needles, seeds and where they stand, expansion by expansion."""

    def __init__(self, sounds: Sounds, search: SearchSettings, limit: float) -> None:
        self.sounds = sounds
        self.search = search
        self.limit = limit
        self.needles: dict[str, Needle] = {}
        self.numbers: dict[str, int] = {}
        self.seeds: dict[str, dict[Range, None]] = defaultdict(dict)
        self.leads: dict[str, Range] = {}
        self.slot_first: list[Element] = []
        self.particles: list[str] = []

    def add(self, expansion: Expansion) -> None:
        runs = [
            (place, heavy)
            for place, element in enumerate(expansion)
            if isinstance(element, Literal)
            and (heavy := [char for char in element.chars if char not in self.sounds.light])
        ]
        # One sound alone stands everywhere in a call; search by it only when there is nothing better.
        runs = [run for run in runs if len(run[1]) > 1] or runs
        for place, heavy in runs:
            low, high = _span(expansion[:place], self.search)
            self._add_run(expansion[place], heavy, low, high)
        if not runs:
            first = expansion[0]
            if isinstance(first, Literal):
                self.particles.append(first.chars)
            else:
                self.slot_first.append(first)

    def _add_run(self, element: Element, heavy: list[str], low: int, high: int) -> None:
        chars = element.chars if isinstance(element, Literal) else ""
        places = [place for place, char in enumerate(chars) if char not in self.sounds.light]
        for codes in islice(product(*map(self.sounds.coarse, heavy)), _VARIANTS):
            coarse = "".join(codes)
            number = self.numbers.setdefault(coarse, len(self.numbers))
            if coarse not in self.needles:
                self.needles[coarse] = self._needle(coarse)
            width = 2 if len(coarse) > 1 else 1
            for offset in range(len(coarse) - width + 1):
                code = coarse[offset : offset + width]
                self.seeds[code][number, offset] = None
                was_low, was_high = self.leads.get(code, (low + places[offset], high + places[offset]))
                self.leads[code] = (min(was_low, low + places[offset]), max(was_high, high + places[offset]))

    def _needle(self, coarse: str) -> Needle:
        length = len(coarse)
        slack = int(self.limit * length) + (length > 3)
        differing = int(self.limit * length / _HALF_COST + 0.5)
        halves = coarse.translate(self.sounds.halves_table)
        return Needle(halves, length, slack, len(halves) - differing)


def _span(expansion: Expansion, search: SearchSettings) -> Range:
    """Fewest and most characters that a part of a phrase takes, errors included."""
    low = high = 0
    for element in expansion:
        match element:
            case Literal(chars):
                extra = int(search.max_distance * len(chars)) + 1
                low, high = low + max(0, len(chars) - extra), high + len(chars) + extra
            case Digits(least, most):
                low, high = low + least, high + 2 * most
            case Name():
                low, high = low + 1, high + search.name_chars + 1
            case Company():
                low, high = low + 2, high + search.company_chars + 8
            case Duration():
                low, high = low + 2, high + 14
            case Gap(least, most):
                low, high = low + least, high + most
    return low, high


def occurrences(
    branch: Branch,
    call: Transcript,
    allowed: Sequence[Range] | None,
    slot_ends: SlotEnds,
    slot_starts: Iterable[int] = (),
) -> list[Alignment]:
    """Alignments of a branch all over the call, or where it begins inside ``allowed``.

    Parameters
    ----------
    allowed : sequence of (begin, end), optional
        Stretches of the stream in which it must begin, rising.
    slot_starts : iterable of int
        Where slots of `Branch.slot_first` begin in this call.
    """
    spots = _spots(branch, call)
    spots.extend((start, start) for start in slot_starts)
    for chars in branch.particles:
        spots.extend((found.start(), found.start()) for found in re.finditer(re.escape(chars), call.stream))
    if not spots:
        return []
    if allowed is not None:
        spots = [
            (max(low, begin), min(high, end - 1))
            for low, high in spots
            for begin, end in allowed
            if low < end and high >= begin
        ]
    spots.sort()
    found: list[Alignment] = []
    done = -1
    place = 0
    while place < len(spots):
        low, high = spots[place]
        place += 1
        while place < len(spots) and spots[place][0] <= high + 1:
            high = max(high, spots[place][1])
            place += 1
        # What lies inside a hit is not searched again, but what follows it in the same stretch is.
        begin = max(low, done)
        while begin <= high:
            hit = _exact(branch, call, begin, high)
            if hit is None:
                hit = align(branch.graph, call.stream, begin, high, call.model.sounds, slot_ends)
            if hit is None or hit.end <= begin:
                break
            found.append(hit)
            begin = done = hit.end
    return found


def _spots(branch: Branch, call: Transcript) -> list[Range]:
    """Stretches of the stream in which the phrase may begin."""
    spots: list[Range] = []
    tried: dict[Range, bool] = {}
    at = call.coarse_at
    for seeds, singles in ((branch.pairs, False), (branch.singles, True)):
        if not seeds:
            continue
        index = call.singles if singles else call.pairs
        for code in seeds.keys() & index.keys():
            where = seeds[code]
            low, high = branch.leads[code]
            low, high = low - 1 - low // 4, high + 1 + high // 4
            for place in index[code]:
                if _sounds_near(branch, call, where, place, tried):
                    spots.append((max(0, at[place] - high), max(0, at[place] - low)))
    return spots


def _sounds_near(
    branch: Branch, call: Transcript, where: tuple[Range, ...], place: int, tried: dict[Range, bool]
) -> bool:
    """Whether some literal stretch of the phrase is about there, by its coarse sounds."""
    for number, offset in where:
        key = (number, place - offset)
        near = tried.get(key)
        if near is None:
            needle = branch.needles[number]
            begin = place - offset - needle.slack
            end = place - offset + needle.length + needle.slack
            window = call.halves[2 * begin if begin > 0 else 0 : 2 * end]
            near = _similarity(needle.halves, window, score_cutoff=needle.required) > 0
            tried[key] = near
        if near:
            return True
    return False


def _exact(branch: Branch, call: Transcript, low: int, high: int) -> Alignment | None:
    """The phrase literally as it is written, if it begins between ``low`` and ``high``."""
    if branch.exact is None:
        return None
    match = branch.exact.search(call.stream, low, high + branch.longest)
    if match is None or match.start() > high:
        return None
    weight, heavy = branch.said[match.group()]
    return Alignment(match.start(), match.end(), 0, weight, heavy=heavy)
