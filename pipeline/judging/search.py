"""Where in a call a phrase may be, before anything is aligned.

A phrase that was said leaves traces: two neighbouring syllables of it that were heard about right. The
call's index answers where such pairs stand; around them the coarse sounds of the phrase and of the
text are compared as a whole (longest common subsequence, in C), and only what survives is aligned.

Table of contents: `Branch`, `make_branch`, `occurrences`.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, product

from rapidfuzz.distance import Indel
from rapidfuzz.process import extract

from pipeline.judging.matching import (
    BREAK,
    Alignment,
    Graph,
    Range,
    SlotEnds,
    align,
    atoms_of,
    balance,
    make_graph,
    weight_of,
)
from pipeline.judging.patterns import Company, Digits, Duration, Element, Gap, Literal, Name
from pipeline.judging.patterns import Sequence as Expansion
from pipeline.judging.phonetics import UNIT, Sounds
from pipeline.judging.transcript import SearchSettings, Transcript

_similarity = Indel.normalized_similarity
# Readings of many heteronyms multiply; beyond this many variants the rest are left to the aligner.
_VARIANTS = 4
# Share of a phrase's pairs that must agree on its beginning.
_VOTES = 0.35
# Up to this many literal ways are compared one by one; more are aligned as one graph.
_WAYS = 64
# How many of them are aligned at one place.
_TRIES = 2
# Alignments that a branch remembers.
_REMEMBERED = 4096
# What one coarse half of a syllable costs at least when it differs.
_HALF_COST = 0.65


@dataclass(frozen=True, slots=True)
class Way:
    """One literal stretch of a phrase.

    Attributes
    ----------
    required : int
        How many of its coarse initials and finals must be there.
    graph : Graph
        What to align where it is: only what is spelled like it if the phrase is all literal, else all.
    """

    required: int
    graph: Graph


@dataclass(frozen=True, slots=True)
class Branch:
    """One alternative of a pattern, ready to be searched for.

    Attributes
    ----------
    leads : mapping of str to (least, most)
        Coarse pairs of the phrase to how many of its characters stand before them, errors included.
    single_leads : mapping
        The same for coarse sounds of parts that have only one.
    votes : int
        How many pairs must agree on where the phrase begins before it is aligned there.
    runs : tuple of str
        Coarse initials and finals, in turn, of every literal stretch.
    ways : tuple of Way
        Per literal stretch, how it is to be aligned and how much of it must be there.
    exact : compiled expression or None
        All literal ways to say it, the longest first.
    said : mapping of str to (weight, heavy characters)
        Of each literal way.
    longest : int
        Characters that the phrase may take.
    portable : bool
        Whether an alignment depends on the characters alone, not on the call (no slots).
    slot_first : tuple of Element
        Slots with which expansions without any literal begin.
    particles : tuple of str
        Expansions made of particles alone; they have no coarse sound.
    known : dict
        Alignments by stretch of text; agents say the same things all day.
    """

    graph: Graph
    leads: Mapping[str, Range]
    single_leads: Mapping[str, Range]
    votes: int
    runs: tuple[str, ...]
    ways: tuple[Way, ...]
    exact: re.Pattern[str] | None
    said: Mapping[str, Range]
    longest: int
    portable: bool
    slot_first: tuple[Element, ...]
    particles: tuple[str, ...]
    known: dict[tuple[str, int], Alignment | None] = field(default_factory=dict, compare=False)


def make_branch(expansions: Sequence[Expansion], sounds: Sounds, search: SearchSettings) -> Branch:
    """Prepare the expansions of one alternative for the search."""
    heavy = [sum(weight_of(atom, sounds) >= UNIT for atom in atoms_of(one)) for one in expansions]
    limit = search.short_max_distance if max(heavy) <= search.short_len else search.max_distance
    builder = _Builder(sounds, search)
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
    graph = make_graph(expansions, sounds, limit)
    apart = not builder.slotted and len(builder.spelled) <= _WAYS
    ways = tuple(
        Way(
            len(halves) - int(limit * len(halves) / 2 / _HALF_COST + 0.5),
            make_graph(same, sounds, limit) if apart else graph,
        )
        for halves, same in builder.spelled.items()
    )
    return Branch(
        graph=graph,
        leads={code: lead for code, lead in builder.leads.items() if len(code) == 2},
        single_leads={code: lead for code, lead in builder.leads.items() if len(code) == 1},
        votes=max(1, round(_VOTES * builder.fewest_pairs)),
        runs=tuple(builder.spelled),
        ways=ways,
        exact=re.compile("|".join(map(re.escape, literals))) if literals else None,
        said=said,
        longest=max(_span(expansion, search)[1] for expansion in expansions),
        portable=all(isinstance(element, Literal | Gap) for one in expansions for element in one),
        slot_first=tuple(dict.fromkeys(builder.slot_first)),
        particles=tuple(dict.fromkeys(builder.particles)),
    )


class _Builder:
    """Collects the coarse pairs of all expansions and where they stand."""

    def __init__(self, sounds: Sounds, search: SearchSettings) -> None:
        self.sounds = sounds
        self.search = search
        self.spelled: dict[str, list[Expansion]] = {}
        self.fewest_pairs = 1 << 30
        self.slotted = False
        self.leads: dict[str, Range] = {}
        self.slot_first: list[Element] = []
        self.particles: list[str] = []

    def add(self, expansion: Expansion) -> None:
        found: list[tuple[int, str, list[int]]] = []
        for place, element in enumerate(expansion):
            if isinstance(element, Literal):
                heavy = [at for at, char in enumerate(element.chars) if char not in self.sounds.light]
                if heavy:
                    found.append((place, element.chars, heavy))
        self.slotted |= len(expansion) != 1 or not found
        self.fewest_pairs = min(self.fewest_pairs, sum(len(run[2]) - 1 for run in found))
        # One sound alone stands everywhere in a call; search by it only when there is nothing better.
        found = [run for run in found if len(run[2]) > 1] or found
        for place, chars, heavy in found:
            coarse = self._add_run(chars, heavy, _span(expansion[:place], self.search))
            self.spelled.setdefault(coarse.translate(self.sounds.halves_table), []).append(expansion)
        if not found:
            first = expansion[0]
            if isinstance(first, Literal):
                self.particles.append(first.chars)
            else:
                self.slot_first.append(first)

    def _add_run(self, chars: str, heavy: list[int], before: Range) -> str:
        """Note where the pairs of a literal stretch stand; gives its main coarse sounds."""
        width = min(2, len(heavy))
        main = "".join(self.sounds.coarse(chars[at])[0] for at in heavy)
        for codes in islice(product(*(self.sounds.coarse(chars[at]) for at in heavy)), _VARIANTS):
            coarse = "".join(codes)
            for offset in range(len(coarse) - width + 1):
                code = coarse[offset : offset + width]
                ahead = heavy[offset]
                low = before[0] + ahead - 1 - ahead // 4
                high = before[1] + ahead + 1 + ahead // 4
                was_low, was_high = self.leads.get(code, (low, high))
                self.leads[code] = (min(was_low, low), max(was_high, high))
        return main


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
    if allowed is not None:
        spots = [
            (max(low, begin), min(high, end - 1))
            for low, high in spots
            for begin, end in allowed
            if low < end and high >= begin
        ]
    spots.sort()
    found: list[Alignment] = []
    done = 0
    for low, high in spots:
        # What lies inside a hit is not searched again, but what follows it in the same stretch is.
        begin = max(low, done)
        while begin <= high:
            hit = _best(branch, call, (begin, high), slot_ends)
            if hit is None:
                break
            found.append(hit)
            begin = done = max(hit.end, begin + 1)
        done = max(done, high + 1)
    return found


def _spots(branch: Branch, call: Transcript) -> list[Range]:
    """Stretches of the stream in which the phrase may begin: where enough of its pairs agree."""
    votes: list[tuple[int, int]] = []
    at = call.coarse_at
    pairs = call.pairs
    for code in branch.leads.keys() & pairs.keys():
        low, high = branch.leads[code]
        for place in pairs[code]:
            votes.append((at[place] - high, 1))
            votes.append((at[place] - low + 1, -1))
    if len(votes) < 2 * branch.votes:
        votes.clear()
    spots = _agreed(votes, branch.votes) if votes else []
    if branch.single_leads:
        singles = call.singles
        for code in branch.single_leads.keys() & singles.keys():
            low, high = branch.single_leads[code]
            spots.extend((max(0, at[place] - high), max(0, at[place] - low)) for place in singles[code])
    return spots


def _agreed(votes: list[tuple[int, int]], needed: int) -> list[Range]:
    """Stretches that at least ``needed`` intervals cover, from their begins (+1) and ends (-1)."""
    votes.sort()
    spots: list[Range] = []
    count = 0
    begin = -1
    for place, change in votes:
        count += change
        if change > 0 and count == needed:
            begin = place
        elif change < 0 and count == needed - 1:
            spots.append((max(0, begin), max(0, place - 1)))
    return spots


def _near_graphs(branch: Branch, call: Transcript, window: Range) -> list[Graph]:
    """What to align, if anything, by the literal stretches that sound most like what is there."""
    if not branch.runs:
        return [branch.graph]
    begin = bisect_left(call.coarse_at, window[0])
    end = bisect_left(call.coarse_at, window[1] + branch.longest)
    heard = call.halves[2 * begin : 2 * end]
    near: list[tuple[int, int, int]] = []
    for run, score, number in extract(heard, branch.runs, scorer=_similarity, limit=3 * _TRIES):
        same = round(score * (len(heard) + len(run)) / 2)
        if same >= branch.ways[number].required:
            near.append((len(run) - same, -len(run), number))
    return list(dict.fromkeys(branch.ways[number].graph for _, _, number in sorted(near)[:_TRIES]))


def _best(branch: Branch, call: Transcript, window: Range, slot_ends: SlotEnds) -> Alignment | None:
    """The best alignment that begins in a window: the phrase as written, else by its sound."""
    low, high = window
    stream = call.stream
    if branch.exact is not None:
        match = branch.exact.search(stream, low, high + branch.longest)
        if match is not None and match.start() <= high:
            weight, heavy = branch.said[match.group()]
            return Alignment(match.start(), match.end(), 0, weight, heavy=heavy)
    graphs = _near_graphs(branch, call, window)
    if not graphs:
        return None
    if not branch.portable:
        return align(branch.graph, stream, window, call.model.sounds, slot_ends)
    text = stream[low : high + branch.longest + 1]
    key = (text, high - low)
    if key not in branch.known:
        if len(branch.known) >= _REMEMBERED:
            branch.known.clear()
        text += BREAK  # an alignment reads one character ahead
        hits = (align(graph, text, (0, high - low), call.model.sounds, slot_ends) for graph in graphs)
        branch.known[key] = min(filter(None, hits), key=balance, default=None)
    hit = branch.known[key]
    return hit and replace(hit, start=hit.start + low, end=hit.end + low)
