"""Joining what was heard of a phrase with the slots between.

A way to say a phrase that has slots (工号{digits}) is a chain of literal stretches and slots. The
stretches stand where `pipeline.judging.search` found them; between them every slot is filled in every way
it can be, at the cheapest cost.

Table of contents: `particle_hits`, `short_hits`, `Joiner`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.judging.matching import Alignment, Ends, Range, Run, beyond_mishearing, measure
from pipeline.judging.patterns import Company, Digits, Element, Gap, Name
from pipeline.judging.transcript import Transcript

if TYPE_CHECKING:
    from pipeline.judging.search import Branch

SlotEnds = Callable[[Element, int], Ends]
# Characters that may be passed over between a literal stretch and what follows it.
_PASSED = 2


def particle_hits(run: Run, call: Transcript) -> dict[Range, Alignment]:
    """Phrases of particles alone (嗯) have no coarse sound; they are looked up as they are written."""
    spans = (match.span() for match in re.finditer(re.escape(run.chars), call.stream))
    return {span: Alignment(*span, 0, run.weight) for span in spans}


def short_hits(run: Run, call: Transcript) -> Sequence[Alignment]:
    """Where a run of at most one sound stands; found once a call."""
    if len(run.heavy) > 1:
        return ()
    known = call.short.get(run.chars)
    if known is None:
        if run.heavy:
            places = [place for code in run.variants for place in call.singles.get(code, ())]
            near = (measure(run, call, place, place + 1, run.weight) for place in places)
            known = [hit for hit in near if hit is not None]
        else:
            known = list(particle_hits(run, call).values())
        call.short[run.chars] = known
    return known


@dataclass(frozen=True, slots=True)
class State:
    """A chain up to some place of the stream."""

    start: int
    at: int
    cost: int
    worst: int = 0
    unlike: int = 0
    heavy: int = 0
    filled: tuple[tuple[Element, int, int], ...] = ()
    strange: int = 0


class Joiner:
    """Joins the runs of a branch where they were heard with its slots as they can be filled.

    Ways that begin alike are joined once: states are kept by the links that led to them.
    """

    __slots__ = ("branch", "budget", "call", "heard", "inserts", "known", "slot_ends")

    def __init__(
        self, branch: Branch, call: Transcript, heard: Mapping[int, Sequence[Alignment]], slot_ends: SlotEnds
    ) -> None:
        self.branch = branch
        self.call = call
        self.heard = heard
        self.slot_ends = slot_ends
        self.budget = branch.loose
        self.inserts = call.model.sounds.inserts
        self.known: dict[tuple[int | Element, ...], list[State]] = {}

    def found(self) -> list[Alignment]:
        """Alignments of all ways with slots."""
        heard, runs = self.heard, self.branch.runs
        found: list[Alignment] = []
        for chain in self.branch.chains:
            missing = 0
            for number in chain.needed:
                if number not in heard:
                    missing += runs[number].weight
            if missing > chain.budget:
                continue
            for state in self._after(chain.links):
                if state.cost <= chain.budget and state.at > state.start:
                    found.append(
                        Alignment(
                            state.start,
                            state.at,
                            state.cost,
                            chain.weight,
                            state.worst,
                            state.unlike,
                            state.heavy,
                            state.filled,
                            state.strange,
                        )
                    )
        return found

    def _after(self, links: tuple[int | Element, ...]) -> list[State]:
        """States after some links from the beginning of a way."""
        states = self.known.get(links)
        if states is None:
            last = links[-1]
            following: dict[int, State] = {}
            if len(links) == 1:
                self._begin(last, following)
            elif isinstance(last, int):
                for state in self._after(links[:-1]):
                    self._add_run(self.branch.runs[last], self._hits(last), state, following)
            else:
                for state in self._after(links[:-1]):
                    self._add_slot(last, state, following)
            states = self.known[links] = list(following.values())
        return states

    def _hits(self, number: int) -> Sequence[Alignment]:
        return self.heard.get(number) or short_hits(self.branch.runs[number], self.call)

    def _begin(self, first: int | Element, following: dict[int, State]) -> None:
        if isinstance(first, int):
            for hit in self._hits(first):
                if hit.cost <= self.budget:
                    state = State(
                        hit.start, hit.end, hit.cost, hit.worst, hit.unlike, hit.heavy, strange=hit.strange
                    )
                    _keep(state, following)
            return
        places: set[int] = set()
        if self.branch.runs:
            reach = _reach(first, self.call)
            for hits in self.heard.values():
                for hit in hits:
                    places.update(range(max(0, hit.start - reach), hit.start))
        else:
            places.update(range(len(self.call.stream)))
        for start in sorted(places):
            for end, cost in self.slot_ends(first, start):
                if cost <= self.budget:
                    _keep(State(start, end, cost, filled=((first, start, end),)), following)

    def _add_run(
        self, run: Run, hits: Sequence[Alignment], state: State, following: dict[int, State]
    ) -> None:
        """Go on with a run that was heard right after a state, or without it if that is cheap enough."""
        for hit in hits:
            if not state.at <= hit.start <= state.at + _PASSED:
                continue
            cost = state.cost + hit.cost
            for char in self.call.stream[state.at : hit.start]:
                cost += self.inserts[char]
            if cost <= self.budget:
                joined = State(
                    state.start,
                    hit.end,
                    cost,
                    max(state.worst, hit.worst),
                    state.unlike + hit.unlike,
                    state.heavy + hit.heavy,
                    state.filled,
                    state.strange + hit.strange,
                )
                _keep(joined, following)
        without = state.cost + run.weight
        if without <= self.budget:
            heavy = len(run.heavy)
            left = State(
                state.start,
                state.at,
                without,
                max(state.worst, run.weight),
                state.unlike + heavy,
                state.heavy + heavy,
                state.filled,
                state.strange + beyond_mishearing(run.weight, heavy),
            )
            _keep(left, following)

    def _add_slot(self, slot: Element, state: State, following: dict[int, State]) -> None:
        """Go on with a slot, passing over a character or two before it."""
        cost = state.cost
        for at in range(state.at, state.at + 1 + (0 if isinstance(slot, Gap) else _PASSED)):
            for end, more in self.slot_ends(slot, at):
                total = cost + more
                if total <= self.budget:
                    known = following.get(end)
                    if known is None or (total, -state.start) < (known.cost, -known.start):
                        filled = (*state.filled, (slot, at, end))
                        following[end] = State(
                            state.start,
                            end,
                            total,
                            state.worst,
                            state.unlike,
                            state.heavy,
                            filled,
                            state.strange,
                        )
            cost += self.inserts[self.call.stream[at]]
            if cost > self.budget:
                return


def _reach(element: Element, call: Transcript) -> int:
    """How many characters before what follows it a slot may begin."""
    search = call.model.search
    match element:
        case Digits(_, high):
            return 2 * high + _PASSED
        case Name():
            return search.name_chars + 1 + _PASSED
        case Company():
            return search.company_chars + 8 + _PASSED
        case Gap(_, high):
            return high + _PASSED
        case _:
            return 14 + _PASSED


def _keep(state: State, following: dict[int, State]) -> None:
    known = following.get(state.at)
    if known is None or (state.cost, -state.start) < (known.cost, -known.start):
        following[state.at] = state
