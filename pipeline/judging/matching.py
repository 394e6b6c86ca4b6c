"""How far a stretch of speech is from a literal phrase.

A `Run` is a phrase without slots. `measure` aligns it with a window of a call in two steps: syllables
that agree by their coarse sound are paired first (Levenshtein distance over coarse sounds, in C);
they anchor the alignment. What lies between two anchors, usually nothing, is aligned exactly by
weighted edit distance, free at both ends of the phrase. Those short stretches recur all day, so their
distances are remembered.

Costs and weights are hundredths of a syllable (`pipeline.judging.phonetics.UNIT`).

Table of contents: `Run`, `make_run`, `Alignment`, `measure`, `balance`,
`beyond_mishearing`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice, product

from rapidfuzz.distance import Editops, Indel, Levenshtein
from rapidfuzz.fuzz import partial_ratio_alignment

from pipeline.judging.patterns import Element
from pipeline.judging.phonetics import Sounds
from pipeline.judging.transcript import BREAK, Transcript

__all__ = [
    "BREAK",
    "Alignment",
    "Ends",
    "Range",
    "Run",
    "balance",
    "beyond_mishearing",
    "make_run",
    "measure",
]

Range = tuple[int, int]
Ends = tuple[tuple[int, int], ...]
"""(end, cost) of every way in which something can be filled from a place."""

# With substitutions as single steps, and without: each finds pairings that the other misses.
_EDITS = (Levenshtein.editops, Indel.editops)
# Relative cost up to which the first pairing is taken as it is.
_GOOD = 0.1
# Readings of many heteronyms multiply; beyond this many variants the first ones have to do.
_VARIANTS = 4
# Characters before and after a phrase in which its missing ends are looked for.
_SLACK = 1
# What one coarse half of a syllable costs at least, as a rule, when it differs.
_HALF_COST = 0.65
# How many wrong syllables outweigh one right one when alignments are compared.
_PENALTY = 8
_REMEMBERED = 200_000
# What a misheard syllable costs at most, as a rule: one of its halves is still right, or both nearly.
_MISHEARD = 75


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """A literal phrase.

    Attributes
    ----------
    chars : str
        As spoken, without punctuation.
    heavy : tuple of int
        Places of the characters that are no particles.
    rows : tuple of mapping
        Per heavy character, the costs of hearing it as any other.
    variants : tuple of str
        Coarse sounds of the heavy characters, the main reading first.
    halves : str
        Main coarse sounds as initials and finals in turn.
    required : int
        How many halves must be there for the phrase to be near enough.
    weight, budget : int
        Cost of leaving out everything, and the largest cost that is still near enough.
    """

    chars: str
    heavy: tuple[int, ...]
    rows: tuple[Mapping[str, int], ...]
    variants: tuple[str, ...]
    halves: str
    required: int
    weight: int
    budget: int


@dataclass(frozen=True, slots=True)
class Alignment:
    """A phrase found in the stream.

    Attributes
    ----------
    start, end : int
        In the stream; ``end`` is past the last character.
    cost, weight : int
        Hundredths of a syllable.
    worst : int
        Largest cost of a stretch without an anchor: errors of one wrong word stand together.
    unlike, heavy : int
        Characters, particles not counted, that were left out or written otherwise; and all of them.
    filled : tuple of (Element, int, int)
        Slots with the stretch each one took.
    strange : int
        Cost of the stretches without an anchor beyond what their syllables cost when they are misheard: a
        misheard word keeps something of its sounds, another word does not.
    """

    start: int
    end: int
    cost: int
    weight: int
    worst: int = 0
    unlike: int = 0
    heavy: int = 0
    filled: tuple[tuple[Element, int, int], ...] = ()
    strange: int = 0


def beyond_mishearing(cost: int, unlike: int) -> int:
    """How much more a stretch costs than ``unlike`` misheard syllables do; hundredths.

    Examples
    --------
    >>> beyond_mishearing(90, 2), beyond_mishearing(190, 2)
    (0, 40)
    """
    return max(0, cost - _MISHEARD * unlike)


def balance(found: Alignment) -> int:
    """What alignments are compared by: cost against what was said; less is better."""
    return _PENALTY * found.cost - found.weight


def make_run(chars: str, sounds: Sounds, max_distance: float) -> Run:
    """Prepare a literal phrase; ``max_distance`` is the cost per weight that is still near enough."""
    heavy = tuple(place for place, char in enumerate(chars) if char not in sounds.light)
    choices = product(*(sounds.coarse(chars[place]) for place in heavy))
    variants = tuple("".join(codes) for codes in islice(choices, _VARIANTS))
    halves = variants[0].translate(sounds.halves_table)
    weight = sum(map(sounds.delete_cost, chars))
    return Run(
        chars,
        heavy,
        tuple(sounds.row(chars[place]) for place in heavy),
        variants,
        halves,
        len(halves) - int(max_distance * len(heavy) / _HALF_COST + 0.5),
        weight,
        int(max_distance * weight),
    )


def measure(run: Run, call: Transcript, begin: int, end: int, budget: int) -> Alignment | None:
    """Align a phrase with a window of a call.

    Parameters
    ----------
    begin, end : int
        Window in the call's coarse sounds.
    budget : int
        Largest cost worth reporting.

    Returns
    -------
    Alignment or None
        ``None`` when the phrase is not near enough to anything in the window.
    """
    heard = call.coarse[max(0, begin) : end]
    begin = max(0, begin)
    stop = call.model.sounds.coarse(BREAK)[0]
    if stop not in heard:
        return _measure(run, call, begin, heard, budget)
    found: list[Alignment] = []
    for piece in heard.split(stop):
        if 2 * len(piece) >= len(run.heavy):
            hit = _measure(run, call, begin, piece, budget)
            if hit is not None:
                found.append(hit)
        begin += len(piece) + 1
    return min(found, key=balance, default=None)


def _measure(run: Run, call: Transcript, begin: int, heard: str, budget: int) -> Alignment | None:
    coarse = run.variants[0]
    size = len(coarse)
    if len(heard) > size + 2 * _SLACK:
        where = partial_ratio_alignment(coarse, heard)
        if where is None:
            return None
        low = max(0, where.dest_start - _SLACK)
        heard = heard[low : where.dest_end + _SLACK]
        begin += low
    best: Alignment | None = None
    for edits in _EDITS:
        blocks = _anchors(edits(coarse, heard), coarse, heard)
        found = _between_anchors(run, call, begin, blocks, budget) if blocks else None
        if found is not None and (best is None or found.cost < best.cost):
            best = found
            if best.cost <= _GOOD * run.weight:
                break
    return best


def _between_anchors(
    run: Run, call: Transcript, begin: int, blocks: list[tuple[int, int, int]], budget: int
) -> Alignment | None:
    """Add up what lies before, between and after the anchors."""
    chars, heavy, rows = run.chars, run.heavy, run.rows
    stream, at, sounds = call.stream, call.coarse_at, call.model.sounds
    cost = worst = unlike = strange = 0
    said = place = start = -1
    for first, second, count in blocks:
        for number in range(first, first + count):
            here, there = heavy[number], at[begin + second + number - first]
            if place < 0:
                cost, used, unlike = _head(sounds, chars[:here], stream, there)
                start = there - used
                if unlike and used < here and start in call.turn_starts:
                    cost -= sounds.onset
                worst = cost
                strange = beyond_mishearing(cost, unlike)
            elif here - said > 1 or there - place > 1:
                extra, different = _between(sounds, chars[said + 1 : here], stream[place + 1 : there])
                cost += extra
                unlike += different
                worst = max(worst, extra)
                strange += beyond_mishearing(extra, different)
            heard_char = stream[there]
            if heard_char != chars[here]:
                cost += rows[number][heard_char]
                unlike += 1
            said, place = here, there
        if cost > budget:
            return None
    extra, used, different = _tail(sounds, chars[said + 1 :], stream, place + 1)
    if cost + extra > budget:
        return None
    return Alignment(
        start,
        place + 1 + used,
        cost + extra,
        run.weight,
        max(worst, extra),
        unlike + different,
        len(heavy),
        strange=strange + beyond_mishearing(extra, different),
    )


def _anchors(edits: Editops, coarse: str, heard: str) -> list[tuple[int, int, int]]:
    """Stretches (of the phrase, of what was heard, how long) whose coarse sounds agree."""
    blocks = [(block.a, block.b, block.size) for block in edits.as_matching_blocks() if block.size]
    while len(blocks) > 1:
        (first, second, count), (next_first, next_second, _) = blocks[:2]
        passed = next_second - second - (next_first - first)
        if passed > 0 and heard.startswith(coarse[first : first + count], second + passed):
            blocks[0] = (first, second + passed, count)  # the same sounds stand nearer
        elif passed > count:
            del blocks[0]  # more would be passed over than it is worth
            continue
        break
    while len(blocks) > 1:
        (first, second, count), (next_first, next_second, last) = blocks[-2:]
        passed = next_second - second - (next_first - first)
        if passed > 0 and heard.startswith(coarse[next_first : next_first + last], next_second - passed):
            blocks[-1] = (next_first, next_second - passed, last)
        elif passed > last:
            del blocks[-1]
            continue
        break
    return blocks


def _distances(sounds: Sounds, said: str, heard: str) -> list[int]:
    """Cost of hearing ``said`` as the first n characters of ``heard``, for every n; packed with likeness.

    A cell is ``cost * 256 + unlike``, so that of two equal costs the one with more equal characters wins.
    """
    inserts = sounds.inserts
    row = [0]
    for char in heard:
        row.append(row[-1] + (inserts[char] << 8))
    for char in said:
        costs = sounds.row(char)
        counts = char not in sounds.light
        missed = (sounds.delete_cost(char) << 8) + counts
        after = [row[0] + missed]
        for place, other in enumerate(heard):
            changed = row[place] + (costs[other] << 8) + (counts and other != char)
            after.append(min(changed, row[place + 1] + missed, after[place] + (inserts[other] << 8)))
        row = after
    return row


def _between(sounds: Sounds, said: str, heard: str) -> Range:
    """Cost, and how many heavy characters are unlike, between two anchors."""
    key = (said, heard)
    known = sounds.between.get(key)
    if known is None:
        if len(sounds.between) >= _REMEMBERED:
            sounds.between.clear()
        packed = _distances(sounds, said, heard)[-1]
        known = sounds.between[key] = (packed >> 8, packed & 255)
    return known


def _head(sounds: Sounds, said: str, stream: str, end: int) -> tuple[int, int, int]:
    """Cost, characters used and unlike ones of the part of a phrase before its first anchor."""
    if not said:
        return 0, 0, 0
    heard = stream[max(0, end - len(said) - _SLACK) : end]
    heard = heard[heard.rfind(BREAK) + 1 :]
    return _end(sounds, sounds.heads, said[::-1], heard[::-1])


def _tail(sounds: Sounds, said: str, stream: str, begin: int) -> tuple[int, int, int]:
    """Cost, characters used and unlike ones of the part of a phrase after its last anchor."""
    if not said:
        return 0, 0, 0
    heard = stream[begin : begin + len(said) + _SLACK]
    stop = heard.find(BREAK)
    return _end(sounds, sounds.tails, said, heard if stop < 0 else heard[:stop])


def _end(
    sounds: Sounds, memory: dict[tuple[str, str], tuple[int, int, int]], said: str, heard: str
) -> tuple[int, int, int]:
    key = (said, heard)
    known = memory.get(key)
    if known is None:
        if len(memory) >= _REMEMBERED:
            memory.clear()
        row = _distances(sounds, said, heard)
        used = min(range(len(row)), key=row.__getitem__)
        known = memory[key] = (row[used] >> 8, used, row[used] & 255)
    return known
