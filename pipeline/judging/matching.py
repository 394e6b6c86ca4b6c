"""Aligning all ways to say a phrase with what was heard, at once.

The expansions of a pattern (`pipeline.judging.patterns`) share most of their characters, so they are
folded into a small acyclic `Graph`: nodes are what has been said so far, edges are a character or a
slot. `align` runs a weighted edit distance over graph and text, free at both ends of the text.

Of all paths the one is taken that says most at least cost: it minimises
``PENALTY * cost - weight said``, so that an optional word that was heard is part of the hit, and one
that was not is left out. States that can no longer come below the largest relative cost are dropped;
what remains is a narrow band, a handful of states a node.

A state packs that balance and the start into one integer, balance first, so that a smaller integer is
a better state and of two equal ones the shorter span.

Table of contents: `Edge`, `Graph`, `make_graph`, `Alignment`, `align`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.judging.patterns import Company, Digits, Duration, Element, Gap, Literal, Name
from pipeline.judging.patterns import Sequence as Expansion
from pipeline.judging.phonetics import UNIT, Sounds

PENALTY = 8
"""How many syllables said are worth one wrong syllable when paths are compared."""

# How many hundredths of a syllable a filled slot counts for in the weight of a phrase.
SLOT_WEIGHTS: dict[type, int] = {
    Digits: UNIT,
    Name: UNIT // 2,
    Company: 2 * UNIT,
    Duration: 2 * UNIT,
    Gap: 0,
}

_BITS = 24
_MASK = (1 << _BITS) - 1
_NOTHING = 1 << 62

Atom = str | Element
Ends = tuple[tuple[int, int], ...]
"""(end, cost) of every way in which a slot can be filled from a place."""


class Stream(Protocol):
    """What is aligned with: one string for the whole call, ending in a line break."""

    stream: str


SlotEnds = Callable[[Element, int], Ends]


@dataclass(frozen=True, slots=True)
class Edge:
    """One character with its costs, or one slot, from a node to a later one.

    Attributes
    ----------
    costs : mapping of str to int or None
        Of hearing the character as any other; None for a slot.
    weight : int
        Hundredths of a syllable that it counts for; a character's is the cost of leaving it out.
    """

    source: int
    target: int
    atom: Atom
    costs: Mapping[str, int] | None
    weight: int


@dataclass(frozen=True, slots=True)
class Graph:
    """All ways to say a phrase; node 0 begins, edges run from lower to higher nodes.

    Attributes
    ----------
    edges : tuple of tuple of Edge
        By source node.
    ends : frozenset of int
        Nodes at which a phrase may be complete.
    bounds : tuple of int
        Per node, the largest packed balance from which the phrase can still be good enough.
    """

    edges: tuple[tuple[Edge, ...], ...]
    ends: frozenset[int]
    bounds: tuple[int, ...]
    max_distance: float


@dataclass(frozen=True, slots=True)
class Alignment:
    """One way to say a phrase, found in the stream.

    Attributes
    ----------
    start, end : int
        In the stream; ``end`` is past the last character.
    cost, weight : int
        Hundredths of a syllable.
    worst_pair : int
        Largest cost of two neighbouring edges.
    unlike, heavy : int
        Characters, particles not counted, that were left out or written otherwise; and all of them.
    filled : tuple of (Element, int, int)
        Slots with the stretch each one took.
    """

    start: int
    end: int
    cost: int
    weight: int
    worst_pair: int = 0
    unlike: int = 0
    heavy: int = 0
    filled: tuple[tuple[Element, int, int], ...] = ()


def atoms_of(expansion: Expansion) -> tuple[Atom, ...]:
    """Characters and slots of an expansion, in order."""
    found: list[Atom] = []
    for element in expansion:
        if isinstance(element, Literal):
            found.extend(element.chars)
        else:
            found.append(element)
    return tuple(found)


def weight_of(atom: Atom, sounds: Sounds) -> int:
    """Hundredths of a syllable that an atom counts for."""
    return sounds.delete_cost(atom) if isinstance(atom, str) else SLOT_WEIGHTS[type(atom)]


def make_graph(expansions: Sequence[Expansion], sounds: Sounds, max_distance: float) -> Graph:
    """Fold expansions into their smallest acyclic graph.

    Parameters
    ----------
    max_distance : float
        Cost per weight, in [0, 1], beyond which nothing is worth reporting.
    """
    nodes: dict[frozenset[tuple[Atom, ...]], int] = {}
    outgoing: list[dict[Atom, frozenset[tuple[Atom, ...]]]] = []
    depths: list[int] = []
    pending = [(frozenset(atoms_of(expansion) for expansion in expansions), 0)]
    while pending:
        rests, depth = pending.pop()
        known = nodes.get(rests)
        if known is None:
            known = nodes[rests] = len(outgoing)
            depths.append(depth)
            following: dict[Atom, set[tuple[Atom, ...]]] = {}
            for rest in sorted(rests, key=repr):
                if rest:
                    following.setdefault(rest[0], set()).add(rest[1:])
            outgoing.append({atom: frozenset(tails) for atom, tails in following.items()})
        elif depths[known] >= depth:
            continue
        depths[known] = depth
        pending.extend((tails, depth + 1) for tails in outgoing[known].values())
    order = sorted(range(len(outgoing)), key=lambda node: depths[node])
    number = {node: place for place, node in enumerate(order)}
    rests_of = {node: rests for rests, node in nodes.items()}
    edges = tuple(
        tuple(
            Edge(
                number[node],
                number[nodes[tails]],
                atom,
                sounds.row(atom) if isinstance(atom, str) else None,
                weight_of(atom, sounds),
            )
            for atom, tails in outgoing[node].items()
        )
        for node in order
    )
    ends = frozenset(number[node] for node in order if () in rests_of[node])
    return Graph(edges, ends, _bounds(edges, ends, max_distance), max_distance)


def _bounds(
    edges: tuple[tuple[Edge, ...], ...], ends: frozenset[int], max_distance: float
) -> tuple[int, ...]:
    """Largest balance at each node that some path can still bring within ``max_distance``."""
    size = len(edges)
    said = [0] * size
    rest = [0] * size
    for node in range(size):
        for edge in edges[node]:
            said[edge.target] = max(said[edge.target], said[node] + edge.weight)
    for node in range(size - 1, -1, -1):
        for edge in edges[node]:
            rest[node] = max(rest[node], edge.weight + rest[edge.target])
    allowed = [int(PENALTY * max_distance * (said[node] + rest[node])) - said[node] for node in range(size)]
    return tuple((bound + 1) << _BITS for bound in allowed)


def align(
    graph: Graph, stream: str, low: int, high: int, sounds: Sounds, slot_ends: SlotEnds
) -> Alignment | None:
    """Find the best alignment of a phrase that begins at ``low`` to ``high`` of the stream.

    Returns
    -------
    Alignment or None
        ``None`` when nothing near enough begins there.
    """
    size = len(stream)
    rows: list[dict[int, int]] = [{} for _ in graph.edges]
    rows[0] = {at: _MASK - at for at in range(max(0, low), min(size - 1, high) + 1)}
    inserts = sounds.inserts
    best = (_NOTHING, 0, 0)
    for node, edges in enumerate(graph.edges):
        row = rows[node]
        if not row:
            continue
        if node in graph.ends:
            at = min(row, key=lambda place: (row[place], -place))
            best = min(best, (row[at], -at, node))
        if not edges:
            continue
        if node:
            row = rows[node] = _with_insertions(row, stream, inserts, graph.bounds[node])
        for edge in edges:
            _step(row, rows[edge.target], edge, graph.bounds[edge.target], stream, slot_ends)
    value, end, node = best
    if value == _NOTHING:
        return None
    found = _traced(graph, stream, rows, (node, -end, value), sounds, slot_ends)
    return found if found.cost <= graph.max_distance * found.weight else None


def _step(
    row: dict[int, int],
    after: dict[int, int],
    edge: Edge,
    bound: int,
    stream: str,
    slot_ends: SlotEnds,
) -> None:
    gain = edge.weight << _BITS
    costs = edge.costs
    if costs is None:
        slot = edge.atom
        for at, value in row.items():
            for end, cost in slot_ends(slot, at):  # type: ignore[arg-type]  # an edge without costs is a slot
                filled = value - gain + (PENALTY * cost << _BITS)
                if filled < after.get(end, bound):
                    after[end] = filled
        return
    missed_cost = (PENALTY - 1) * gain
    last = len(stream) - 1
    for at, value in row.items():
        if at < last:
            heard = value - gain + (PENALTY * costs[stream[at]] << _BITS)
            if heard < after.get(at + 1, bound):
                after[at + 1] = heard
        value += missed_cost
        if value < after.get(at, bound):
            after[at] = value


def _with_insertions(
    states: dict[int, int], stream: str, inserts: Mapping[str, int], bound: int
) -> dict[int, int]:
    """Let heard characters that the phrase does not have be passed over."""
    ordered: dict[int, int] = {}
    carried = _NOTHING
    place = -1
    for at in sorted(states):
        while place < at and carried < bound:
            ordered[place] = carried
            carried += PENALTY * inserts[stream[place]] << _BITS
            place += 1
        value = states[at]
        if place == at and carried < value:
            value = carried
        ordered[at] = value
        carried = value + (PENALTY * inserts[stream[at]] << _BITS)
        place = at + 1
    while carried < bound:
        ordered[place] = carried
        carried += PENALTY * inserts[stream[place]] << _BITS
        place += 1
    return ordered


def _traced(
    graph: Graph,
    stream: str,
    rows: list[dict[int, int]],
    final: tuple[int, int, int],
    sounds: Sounds,
    slot_ends: SlotEnds,
) -> Alignment:
    """Walk back from the best state to learn which path was taken and what each edge cost."""
    incoming: dict[int, list[Edge]] = {}
    for edges in graph.edges:
        for edge in edges:
            incoming.setdefault(edge.target, []).append(edge)
    node, at, value = final
    start, end = _MASK - (value & _MASK), at
    costs: list[int] = []
    filled: list[tuple[Element, int, int]] = []
    extra = weight = unlike = heavy = 0
    while node:
        step = _came_from(incoming[node], stream, rows, at, value, slot_ends)
        if step is None:
            inserted = sounds.inserts[stream[at - 1]]
            extra += inserted
            value -= PENALTY * inserted << _BITS
            at -= 1
            continue
        edge, origin, cost = step
        if isinstance(edge.atom, str):
            if edge.atom not in sounds.light:
                heavy += 1
                unlike += origin == at or stream[origin] != edge.atom
        else:
            filled.append((edge.atom, origin, at))
        weight += edge.weight
        costs.append(cost + extra)
        extra = 0
        value = rows[edge.source][origin]
        node, at = edge.source, origin
    worst = max(map(sum, zip(costs, [*costs[1:], 0], strict=True)))
    return Alignment(start, end, sum(costs), weight, worst, unlike, heavy, tuple(reversed(filled)))


def _came_from(
    edges: Sequence[Edge],
    stream: str,
    rows: list[dict[int, int]],
    at: int,
    value: int,
    slot_ends: SlotEnds,
) -> tuple[Edge, int, int] | None:
    """Edge, place and cost that led to a state; None if a heard character was passed over."""
    for edge in edges:
        before = rows[edge.source]
        base = value + (edge.weight << _BITS)
        if edge.costs is None:
            for origin, earlier in before.items():
                for reached, cost in slot_ends(edge.atom, origin):  # type: ignore[arg-type]
                    if reached == at and earlier + (PENALTY * cost << _BITS) == base:
                        return edge, origin, cost
            continue
        if at - 1 in before:
            cost = edge.costs[stream[at - 1]]
            if before[at - 1] + (PENALTY * cost << _BITS) == base:
                return edge, at - 1, cost
        if at in before and before[at] + (PENALTY * edge.weight << _BITS) == base:
            return edge, at, edge.weight
    return None
