"""Aligning one way to say a phrase with what was heard.

An expansion (`pipeline.judging.patterns`) becomes a `Plan`: a list of steps, each a character with
its costs or a slot, and the coarse sounds by which a call is searched for it first. `align` then
runs a weighted edit distance over the few places that survive, free at both ends.

The dynamic program keeps, after every step, the cheapest way to have reached each place of the
stream within the budget. A state packs cost and start into one integer, cost first, so that a
smaller integer is a better state and of two equal costs the shorter span.

Table of contents: `Step`, `Part`, `Plan`, `make_plan`, `Alignment`, `align`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice, product

from pipeline.judging.patterns import Company, Digits, Duration, Element, Gap, Literal, Name, Sequence
from pipeline.judging.phonetics import UNIT, Sounds
from pipeline.judging.slots import WEIGHTS, slot_ends
from pipeline.judging.transcript import SearchSettings, Transcript

_BITS = 24
_MASK = (1 << _BITS) - 1
_VARIANTS = 4


@dataclass(frozen=True, slots=True)
class Step:
    """One character of a phrase with its costs, or one slot."""

    char: str = ""
    row: Mapping[str, int] | None = None
    delete: int = 0
    slot: Element | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of literal characters by which a phrase is searched for.

    Attributes
    ----------
    coarse : tuple of str
        Coarse sounds without particles; several when characters have several readings.
    errors : int
        Coarse differences within which the whole phrase may still be good enough.
    lead : int
        Particles before the first coarse sound.
    before_low, before_high : int
        Least and most characters of the phrase that stand before this part.
    """

    coarse: tuple[str, ...]
    errors: int
    lead: int
    before_low: int
    before_high: int


@dataclass(frozen=True, slots=True)
class Plan:
    """One way to say a phrase, ready to be searched for.

    Attributes
    ----------
    weight : int
        Cost of leaving everything out, in hundredths of a syllable; costs are relative to it.
    budget : int
        Largest cost worth reporting.
    literal : str
        The phrase if it has no slots, else empty.
    """

    steps: tuple[Step, ...]
    weight: int
    budget: int
    literal: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Alignment:
    """The cheapest way to find a plan in a stretch of the stream.

    Attributes
    ----------
    start, end : int
        In the stream; ``end`` is past the last character.
    cost : int
        Hundredths of a syllable.
    step_costs : tuple of int
        Per step, insertions before it included.
    unlike : int
        Heavy characters that were left out or written otherwise.
    filled : tuple of (Element, int, int)
        Slots with the stretch each one took.
    """

    start: int
    end: int
    cost: int
    step_costs: tuple[int, ...]
    unlike: int
    filled: tuple[tuple[Element, int, int], ...]


def make_plan(sequence: Sequence, sounds: Sounds, search: SearchSettings) -> Plan:
    """Turn an expansion into steps, a budget and the parts to search by."""
    steps: list[Step] = []
    weight = heavy = 0
    for element in sequence:
        if isinstance(element, Literal):
            for char in element.chars:
                delete = sounds.delete_cost(char)
                steps.append(Step(char, sounds.row(char), delete))
                weight += delete
                heavy += char not in sounds.light
        else:
            steps.append(Step(slot=element))
            weight += WEIGHTS[type(element)]
    share = search.short_max_distance if heavy <= search.short_len else search.max_distance
    budget = int(weight * share)
    literal = sequence[0].chars if len(sequence) == 1 and isinstance(sequence[0], Literal) else ""
    return Plan(tuple(steps), weight, budget, literal, _parts(sequence, sounds, search, budget))


def _parts(sequence: Sequence, sounds: Sounds, search: SearchSettings, budget: int) -> tuple[Part, ...]:
    parts: list[Part] = []
    low = high = 0
    for element in sequence:
        if isinstance(element, Literal):
            heavy = [char for char in element.chars if char not in sounds.light]
            if heavy:
                lead = next(i for i, char in enumerate(element.chars) if char not in sounds.light)
                variants = product(*(sounds.coarse(char) for char in heavy))
                coarse = tuple("".join(codes) for codes in islice(variants, _VARIANTS))
                errors = min(budget // UNIT, int(search.max_distance * len(heavy)))
                parts.append(Part(coarse, errors, lead, low, high))
            extra = errors_in(len(element.chars), search)
            low, high = max(0, low + len(element.chars) - extra), high + len(element.chars) + extra
        else:
            least, most = _span(element, search)
            low, high = low + least, high + most
    # A part of one sound finds every such sound in the call; use it only when there is no better one.
    long = [part for part in parts if len(part.coarse[0]) > 1]
    return tuple(long or parts)


def errors_in(length: int, search: SearchSettings) -> int:
    """Characters that may be missing from, or extra in, a literal of some length."""
    return int(search.max_distance * length) + 1


def _span(element: Element, search: SearchSettings) -> tuple[int, int]:
    match element:
        case Digits(low, high):
            return low, 2 * high
        case Name():
            return 1, search.name_chars + 1
        case Company():
            return 2, search.company_chars + 8
        case Duration():
            return 2, 14
        case Gap(low, high):
            return low, high
        case _:
            raise TypeError(f"{element!r} is no slot")


def align(plan: Plan, call: Transcript, low: int, high: int) -> Alignment | None:
    """Find the cheapest alignment of a plan that begins at ``low`` to ``high`` of the stream.

    Returns
    -------
    Alignment or None
        ``None`` when nothing within the plan's budget begins there.
    """
    rows = _forward(plan, call, low, high)
    final = rows[-1]
    if not final:
        return None
    end = min(final, key=lambda at: (final[at] >> _BITS, _MASK - (final[at] & _MASK) - at))
    if plan.steps[-1].slot is None:
        end = min(final, key=lambda at: (final[at], at))
    return _traced(plan, call, rows, end)


def _forward(plan: Plan, call: Transcript, low: int, high: int) -> list[dict[int, int]]:
    stream, inserts = call.stream, call.model.sounds.inserts
    limit = (plan.budget + 1) << _BITS
    last = len(plan.steps) - 1
    size = len(stream)
    states = {at: _MASK - at for at in range(max(0, low), min(size - 1, high) + 1)}
    rows = [states]
    for number, step in enumerate(plan.steps):
        after: dict[int, int] = {}
        row = step.row
        if row is not None:
            delete = step.delete << _BITS
            for at, value in states.items():
                if at < size:
                    heard = value + (row[stream[at]] << _BITS)
                    if heard < limit and heard < after.get(at + 1, limit):
                        after[at + 1] = heard
                missed = value + delete
                if missed < limit and missed < after.get(at, limit):
                    after[at] = missed
        elif step.slot is not None:
            for at, value in states.items():
                for end, cost in slot_ends(step.slot, call, at):
                    filled = value + (cost << _BITS)
                    if filled < after.get(end, limit):
                        after[end] = filled
        if not after:
            rows.append(after)
            return rows
        if number < last:
            after = _with_insertions(after, stream, inserts, limit)
        rows.append(after)
        states = after
    return rows


def _with_insertions(
    states: dict[int, int], stream: str, inserts: Mapping[str, int], limit: int
) -> dict[int, int]:
    """Let heard characters that the phrase does not have be passed over; keys come out rising."""
    ordered: dict[int, int] = {}
    carried = limit
    carried_to = -1
    for at in sorted(states):
        while carried_to >= 0 and carried_to < at and carried < limit:
            ordered[carried_to] = carried
            carried, carried_to = carried + (inserts[stream[carried_to]] << _BITS), carried_to + 1
        value = states[at]
        if carried_to == at and carried < value:
            value = carried
        ordered[at] = value
        if at < len(stream):
            carried, carried_to = value + (inserts[stream[at]] << _BITS), at + 1
        else:
            carried, carried_to = limit, -1
    while carried < limit and carried_to < len(stream):
        ordered[carried_to] = carried
        carried, carried_to = carried + (inserts[stream[carried_to]] << _BITS), carried_to + 1
    return ordered


def _traced(plan: Plan, call: Transcript, rows: list[dict[int, int]], end: int) -> Alignment:
    """Walk back from the best end to learn what each step cost."""
    stream, sounds = call.stream, call.model.sounds
    costs = [0] * len(plan.steps)
    filled: list[tuple[Element, int, int]] = []
    unlike = 0
    at = end
    value = rows[-1][end]
    start = _MASK - (value & _MASK)
    total = value >> _BITS
    number = len(plan.steps)
    while number > 0:
        step = plan.steps[number - 1]
        before = rows[number - 1]
        if number < len(plan.steps) and at - 1 in rows[number]:
            extra = sounds.inserts[stream[at - 1]]
            if rows[number][at - 1] + (extra << _BITS) == value:
                costs[number] += extra
                at -= 1
                value = rows[number][at]
                continue
        if step.row is not None:
            if at - 1 in before and before[at - 1] + (step.row[stream[at - 1]] << _BITS) == value:
                at -= 1
                unlike += step.char not in sounds.light and stream[at] != step.char
                costs[number - 1] += step.row[stream[at]]
            else:
                unlike += step.char not in sounds.light
                costs[number - 1] += step.delete
            value = before[at]
        elif step.slot is not None:
            for origin, cost in _slot_origins(step.slot, call, before, at):
                if before[origin] + (cost << _BITS) == value:
                    filled.append((step.slot, origin, at))
                    costs[number - 1] += cost
                    at, value = origin, before[origin]
                    break
        number -= 1
    return Alignment(start, end, total, tuple(costs), unlike, tuple(reversed(filled)))


def _slot_origins(
    slot: Element, call: Transcript, before: Mapping[int, int], end: int
) -> list[tuple[int, int]]:
    return [
        (origin, cost)
        for origin in before
        for reached, cost in slot_ends(slot, call, origin)
        if reached == end
    ]
