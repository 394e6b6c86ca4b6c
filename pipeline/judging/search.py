"""Where in a call a phrase was said.

A phrase that was said leaves traces: two neighbouring syllables of it that were heard about right. The
call's index answers where such pairs stand; each votes for where its phrase begins. Where enough
agree, the coarse sounds of phrase and text are compared as a whole (longest common subsequence, in
C), and only what survives is aligned (`pipeline.judging.matching`). Slots then join what was found.

Table of contents: `Branch`, `make_branch`, `occurrences`.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rapidfuzz.distance import Indel, LCSseq
from rapidfuzz.process import extract

from pipeline.judging.joining import Joiner, SlotEnds, particle_hits
from pipeline.judging.matching import Alignment, Range, Run, make_run, measure
from pipeline.judging.patterns import Company, Digits, Duration, Element, Gap, Literal, Name
from pipeline.judging.patterns import Sequence as Expansion
from pipeline.judging.phonetics import UNIT, Sounds
from pipeline.judging.transcript import SearchSettings, Transcript

_share = Indel.normalized_similarity
_common = LCSseq.similarity
# Share of a phrase's pairs that must agree on its beginning.
_VOTES = 0.45
# How many of the literal stretches that sound most like a place are aligned there.
_TRIES = 2

# How many hundredths of a syllable a filled slot counts for in the weight of a phrase.
SLOT_WEIGHTS: Mapping[type, int] = {
    Digits: 3 * UNIT // 2,
    Name: UNIT // 2,
    Company: 3 * UNIT // 2,
    Duration: 3 * UNIT // 2,
    Gap: 0,
}


@dataclass(frozen=True, slots=True)
class Chain:
    """One way to say a phrase that has slots.

    Attributes
    ----------
    links : tuple of int or Element
        Numbers of runs, and slots, in order.
    weight, budget : int
        As of a `Run`.
    needed : tuple of int
        Runs that are searched for; those of one sound are only looked up where others are.
    """

    links: tuple[int | Element, ...]
    weight: int
    budget: int
    needed: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Branch:
    """One alternative of a pattern, ready to be searched for.

    Attributes
    ----------
    runs : tuple of Run
        All literal stretches of all its ways, each once.
    halves : tuple of str
        Their coarse initials and finals, each once.
    spelled : tuple of tuple of int
        Numbers of the runs with these halves; they differ in particles or in characters of one sound.
    chains : tuple of Chain
        The ways that have slots; a way without is just one of ``whole``.
    loose : int
        Largest budget of any chain: a run of it may be worse than the whole.
    whole : frozenset of int
        Runs that are the phrase by themselves.
    leads : mapping of str to (least, most)
        Coarse pairs (single sounds of runs that have only one) to how many characters of a run stand
        before them, errors included.
    votes : int
        How many pairs must agree on where a run begins.
    longest : int
        Characters of the longest run, errors included.
    exact : compiled expression or None
        All runs that are the phrase by themselves, the longest first.
    numbers : mapping of str to int
        Their numbers.
    """

    runs: tuple[Run, ...]
    halves: tuple[str, ...]
    spelled: tuple[tuple[int, ...], ...]
    chains: tuple[Chain, ...]
    loose: int
    whole: frozenset[int]
    leads: Mapping[str, Range]
    single_leads: Mapping[str, Range]
    votes: int
    longest: int
    exact: re.Pattern[str] | None
    numbers: Mapping[str, int]


def make_branch(expansions: Sequence[Expansion], sounds: Sounds, search: SearchSettings) -> Branch:
    """Prepare the expansions of one alternative for the search."""
    literal = dict.fromkeys(part.chars for one in expansions for part in one if isinstance(part, Literal))
    numbers = {chars: number for number, chars in enumerate(literal)}
    runs: list[Run] = []
    for chars in literal:
        heavy = sum(char not in sounds.light for char in chars)
        limit = search.short_max_distance if heavy <= search.short_len else search.max_distance
        runs.append(make_run(chars, sounds, limit))
    whole = frozenset(
        numbers[one[0].chars] for one in expansions if len(one) == 1 and isinstance(one[0], Literal)
    )
    chains = []
    for one in expansions:
        if len(one) > 1 or not isinstance(one[0], Literal):
            links = tuple(numbers[part.chars] if isinstance(part, Literal) else part for part in one)
            weight = sum(
                runs[link].weight if isinstance(link, int) else SLOT_WEIGHTS[type(link)] for link in links
            )
            mine = [link for link in links if isinstance(link, int) and runs[link].heavy]
            needed = tuple(number for number in mine if len(runs[number].heavy) > 1) or tuple(mine)
            chains.append(Chain(links, weight, int(search.max_distance * weight), needed))
    sought = _sought(runs, chains, whole)
    spelled: dict[str, list[int]] = {}
    for number in sought:
        spelled.setdefault(runs[number].halves, []).append(number)
    leads, single_leads = _leads([runs[number] for number in sought], search)
    # A pair before a slot (工号一零二七) is worth looking for by either of its sounds.
    pairs = {number for chain in chains for number in chain.needed if len(runs[number].heavy) == 2}
    for number in pairs - whole:
        for place, code in ((at, code) for one in runs[number].variants for at, code in enumerate(one)):
            ahead = runs[number].heavy[place]
            low, high = single_leads.get(code, (ahead, ahead))
            single_leads[code] = (min(low, ahead), max(high, ahead))
    said = sorted((runs[number].chars for number in whole), key=lambda chars: (-len(chars), chars))
    return Branch(
        runs=tuple(runs),
        halves=tuple(spelled),
        spelled=tuple(map(tuple, spelled.values())),
        chains=tuple(chains),
        loose=max((chain.budget for chain in chains), default=0),
        whole=whole,
        leads=leads,
        single_leads=single_leads,
        votes=max(1, round(_VOTES * (min((len(runs[number].heavy) for number in sought), default=1) - 1))),
        longest=max((_longest(run, search) for run in runs), default=0),
        exact=re.compile("|".join(map(re.escape, said))) if said else None,
        numbers=numbers,
    )


def _longest(run: Run, search: SearchSettings) -> int:
    return len(run.chars) + int(search.max_distance * len(run.chars)) + 1


def _sought(runs: Sequence[Run], chains: Sequence[Chain], whole: frozenset[int]) -> list[int]:
    """Runs to search for: those of more than one sound, others only where a way has no better one."""
    sought = whole.union(*(chain.needed for chain in chains))
    return sorted(number for number in sought if runs[number].heavy)


def _leads(runs: Sequence[Run], search: SearchSettings) -> tuple[dict[str, Range], dict[str, Range]]:
    leads: tuple[dict[str, Range], dict[str, Range]] = {}, {}
    for run in runs:
        width = min(2, len(run.heavy))
        for coarse in run.variants:
            for offset in range(len(coarse) - width + 1):
                ahead = run.heavy[offset]
                slack = 1 + int(search.max_distance * ahead)
                code = coarse[offset : offset + width]
                low, high = leads[2 - width].get(code, (ahead - slack, ahead + slack))
                leads[2 - width][code] = (min(low, ahead - slack), max(high, ahead + slack))
    return leads


def occurrences(
    branch: Branch, call: Transcript, allowed: Sequence[Range] | None, slot_ends: SlotEnds
) -> list[Alignment]:
    """Alignments of a branch all over the call, or where it begins inside ``allowed``.

    Parameters
    ----------
    allowed : sequence of (begin, end), optional
        Stretches of the stream in which it must begin, rising.
    """
    heard = _heard_runs(branch, call)
    found = [hit for number in branch.whole for hit in heard.get(number, ())]
    if branch.chains:
        found.extend(Joiner(branch, call, heard, slot_ends).found())
    if allowed is None:
        return found
    return [hit for hit in found if any(begin <= hit.start < end for begin, end in allowed)]


# ---- literal stretches ---------------------------------------------------------------------------
def _heard_runs(branch: Branch, call: Transcript) -> dict[int, list[Alignment]]:
    """Where each run of a branch was heard."""
    heard: dict[int, dict[Range, Alignment]] = {}
    for low, high in _spots(branch, call):
        said = branch.exact.search(call.stream, low, high + branch.longest) if branch.exact else None
        if said is not None and said.start() <= high:
            number = branch.numbers[said.group()]
            run = branch.runs[number]
            hit = Alignment(said.start(), said.end(), 0, run.weight, heavy=len(run.heavy))
            heard.setdefault(number, {})[said.span()] = hit
            continue
        begin = bisect_left(call.coarse_at, low)
        end = bisect_left(call.coarse_at, high + branch.longest)
        for numbers in _near(branch, call.halves[2 * begin : 2 * end]):
            for number in numbers:
                run = branch.runs[number]
                near = measure(run, call, begin, end, max(run.budget, branch.loose))
                if near is None:
                    break  # the others differ in particles only
                heard.setdefault(number, {}).setdefault((near.start, near.end), near)
    for number, run in enumerate(branch.runs):
        if not run.heavy and (number in branch.whole or all(not other.heavy for other in branch.runs)):
            heard[number] = particle_hits(run, call)
    return {number: list(hits.values()) for number, hits in heard.items()}


def _spots(branch: Branch, call: Transcript) -> list[Range]:
    """Stretches of the stream in which some run may begin: where enough of its pairs agree."""
    at = call.coarse_at
    pairs = call.pairs
    leads = branch.leads
    votes: list[tuple[int, int]] = []
    for code in leads.keys() & pairs.keys():
        low, high = leads[code]
        for place in pairs[code]:
            votes.append((at[place] - high, 1))
            votes.append((at[place] - low + 1, -1))
    spots = _agreed(votes, branch.votes) if len(votes) >= 2 * branch.votes else []
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


def _near(branch: Branch, heard: str) -> list[tuple[int, ...]]:
    """Numbers of the runs that sound most like a stretch of coarse halves, if near enough."""
    if len(branch.halves) == 1:
        required = branch.runs[branch.spelled[0][0]].required
        return [branch.spelled[0]] if _common(branch.halves[0], heard, score_cutoff=required) else []
    near: list[tuple[int, int, int]] = []
    for halves, score, number in extract(heard, branch.halves, scorer=_share, limit=2 * _TRIES):
        same = round(score * (len(heard) + len(halves)) / 2)
        if same >= branch.runs[branch.spelled[number][0]].required:
            near.append((len(halves) - same, -len(halves), number))
    near.sort()
    return [branch.spelled[number] for _, _, number in near[:_TRIES]]
