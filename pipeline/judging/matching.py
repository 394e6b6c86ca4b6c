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

from pipeline.judging.patterns import Company, Digits, Duration, Element, Gap, Literal, Name
from pipeline.judging.patterns import Sequence as Expansion
from pipeline.judging.phonetics import UNIT, Sounds

PENALTY = 8
"""How many syllables said are worth one wrong syllable when paths are compared."""

HEADSTART = 110
"""How far (hundredths of a syllable) a beginning may be worse than the whole phrase may be."""

# How many hundredths of a syllable a filled slot counts for in the weight of a phrase.
SLOT_WEIGHTS: dict[type, int] = {
    Digits: UNIT // 2,
    Name: UNIT // 2,
    Company: UNIT,
    Duration: UNIT,
    Gap: 0,
}

_BITS = 24
_MASK = (1 << _BITS) - 1

BREAK = "\n"
"""Ends a stretch of speech; no phrase runs over it."""

Atom = str | Element
Range = tuple[int, int]
Ends = tuple[tuple[int, int], ...]
"""(end, cost) of every way in which a slot can be filled from a place."""


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


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """All ways to say a phrase; node 0 begins, edges run from lower to higher nodes.

    Attributes
    ----------
    edges, incoming : tuple of tuple of Edge
        By source node, and by target node.
    ends : frozenset of int
        Nodes at which a phrase may be complete.
    after_gap : frozenset of int
        Nodes before which anything may stand, so that nothing need be passed over there.
    bounds : tuple of int
        Per node, the largest packed balance from which the phrase can still be good enough.
    """

    edges: tuple[tuple[Edge, ...], ...]
    incoming: tuple[tuple[Edge, ...], ...]
    ends: frozenset[int]
    after_gap: frozenset[int]
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


def balance(found: Alignment) -> int:
    """What alignments are compared by: cost against what was said; less is better."""
    return PENALTY * found.cost - found.weight


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
    incoming: list[list[Edge]] = [[] for _ in edges]
    for edge in (edge for leaving in edges for edge in leaving):
        incoming[edge.target].append(edge)
    after_gap = frozenset(
        node for node, arriving in enumerate(incoming) if arriving and all(_is_gap(edge) for edge in arriving)
    )
    bounds = _bounds(edges, max_distance)
    return Graph(edges, tuple(map(tuple, incoming)), ends, after_gap, bounds, max_distance)


def _is_gap(edge: Edge) -> bool:
    return isinstance(edge.atom, Gap)


def _bounds(edges: tuple[tuple[Edge, ...], ...], max_distance: float) -> tuple[int, ...]:
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
    bounds: list[int] = []
    for node in range(size):
        within = min(max_distance * (said[node] + rest[node]), max_distance * said[node] + HEADSTART)
        bounds.append((int(PENALTY * within) - said[node] + 1) << _BITS)
    return tuple(bounds)


def align(graph: Graph, stream: str, window: Range, sounds: Sounds, slot_ends: SlotEnds) -> Alignment | None:
    """Find the best alignment of a phrase whose beginning lies in a stretch of the stream.

    Parameters
    ----------
    window : (low, high)
        First and last place at which its first heard character may stand.

    Returns
    -------
    Alignment or None
        ``None`` when nothing near enough begins there.
    """
    search = _Search(graph, stream, window, sounds, slot_ends)
    final = search.forward()
    if final is None:
        return None
    found = search.traced(*final)
    return found if found.cost <= graph.max_distance * found.weight else None


class _Search:
    """One run of the dynamic program.

    ``rows[node]`` maps a place of the stream to the best packed balance there. ``heads[node]`` is the
    balance of having left out everything before the node, when nothing has been heard yet: a phrase
    begins at the first character that is heard at least a little like its own.
    """

    __slots__ = ("graph", "heads", "high", "inserts", "low", "rows", "slot_ends", "sounds", "stream")

    def __init__(self, graph: Graph, stream: str, window: Range, sounds: Sounds, slot_ends: SlotEnds) -> None:
        self.graph = graph
        self.stream = stream
        self.low, self.high = max(0, window[0]), min(len(stream) - 2, window[1])
        self.sounds = sounds
        self.inserts = sounds.inserts
        self.slot_ends = slot_ends
        self.rows: list[dict[int, int]] = [{} for _ in graph.edges]
        self.heads: dict[int, int] = {0: 0}

    def forward(self) -> tuple[int, int, int] | None:
        """Best final state: node, place, packed balance."""
        graph, rows, heads = self.graph, self.rows, self.heads
        best: tuple[int, int, int] | None = None
        for node, edges in enumerate(graph.edges):
            row = rows[node]
            if row:
                if node in graph.ends:
                    at = min(row, key=lambda place, row=row: (row[place], -place))  # type: ignore[misc]
                    if best is None or row[at] < best[2]:
                        best = (node, at, row[at])
                if edges and node not in graph.after_gap:
                    self._pass_over(row, graph.bounds[node])
            elif node not in heads:
                continue
            for edge in edges:
                bound = graph.bounds[edge.target]
                if node in heads:
                    self._begin(edge, rows[edge.target], bound)
                if row and edge.costs is None:
                    self._fill(edge, row, rows[edge.target], bound)
                elif row and edge.costs is not None:
                    self._hear(edge.costs, edge.weight << _BITS, row, rows[edge.target], bound)
        return best

    def _begin(self, edge: Edge, after: dict[int, int], bound: int) -> None:
        """Begin the phrase with an edge, or leave it out and begin later."""
        stream = self.stream
        base = self.heads[edge.source] - (edge.weight << _BITS)
        costs = edge.costs
        if costs is None:
            for at in range(self.low, self.high + 1):
                for end, cost in self._ends(edge.atom, at):
                    value = base + (PENALTY * cost << _BITS) + _MASK - at
                    if value < after.get(end, bound):
                        after[end] = value
            return
        weight = edge.weight
        for at in range(self.low, self.high + 1):
            cost = costs[stream[at]]
            if cost < weight:
                value = base + (PENALTY * cost << _BITS) + _MASK - at
                if value < after.get(at + 1, bound):
                    after[at + 1] = value
        value = base + (PENALTY * weight << _BITS)
        if value < bound and value < self.heads.get(edge.target, bound):
            self.heads[edge.target] = value

    def _hear(
        self, costs: Mapping[str, int], gain: int, row: dict[int, int], after: dict[int, int], bound: int
    ) -> None:
        """Hear an edge's character as whatever stands there, or leave it out."""
        stream = self.stream
        missed = (PENALTY - 1) * gain
        last = len(stream) - 1
        for at, value in row.items():
            if at < last:
                heard = value - gain + (PENALTY * costs[stream[at]] << _BITS)
                if heard < bound and (at + 1 not in after or heard < after[at + 1]):
                    after[at + 1] = heard
            left_out = value + missed
            if left_out < bound and (at not in after or left_out < after[at]):
                after[at] = left_out

    def _fill(self, edge: Edge, row: dict[int, int], after: dict[int, int], bound: int) -> None:
        """Fill a slot in every way it can be filled."""
        gain = edge.weight << _BITS
        for at, value in row.items():
            for end, cost in self._ends(edge.atom, at):
                filled = value - gain + (PENALTY * cost << _BITS)
                if filled < after.get(end, bound):
                    after[end] = filled

    def _ends(self, atom: Atom, at: int) -> Ends:
        """Where a slot that begins at a place may end, and at what cost."""
        if isinstance(atom, Gap):
            room = self.stream.find(BREAK, at) - at
            return tuple((at + count, 0) for count in range(atom.low, min(atom.high, room) + 1))
        return () if isinstance(atom, str) else self.slot_ends(atom, at)

    def _pass_over(self, row: dict[int, int], bound: int) -> None:
        """Let heard characters that the phrase does not have be passed over."""
        stream, inserts = self.stream, self.inserts
        for at in sorted(row):
            place = at
            value = row[at] + (PENALTY * inserts[stream[place]] << _BITS)
            while value < bound and (place + 1 not in row or value < row[place + 1]):
                place += 1
                row[place] = value
                value += PENALTY * inserts[stream[place]] << _BITS

    def traced(self, node: int, at: int, value: int) -> Alignment:
        """Walk back from the best state to learn which path was taken and what each edge cost."""
        graph, light = self.graph, self.sounds.light
        start, end = _MASK - (value & _MASK), at
        costs: list[int] = []
        filled: list[tuple[Element, int, int]] = []
        extra = weight = unlike = heavy = 0
        begun = True
        while node:
            step = self._came_from(node, at, value) if begun else self._left_out(node)
            if step is None:
                inserted = self.inserts[self.stream[at - 1]]
                extra += inserted
                value -= PENALTY * inserted << _BITS
                at -= 1
                continue
            edge, origin, cost, begun = step
            if not isinstance(edge.atom, str):
                filled.append((edge.atom, origin, at))
            elif edge.atom not in light:
                heavy += 1
                unlike += origin == at or self.stream[origin] != edge.atom
            weight += edge.weight
            costs.append(cost + extra)
            extra = 0
            node, at = edge.source, origin
            value = self.rows[node].get(at, 0) if begun else 0
        worst = max(map(sum, zip(costs, [*costs[1:], 0], strict=True)))
        return Alignment(start, end, sum(costs), weight, worst, unlike, heavy, tuple(reversed(filled)))

    def _came_from(self, node: int, at: int, value: int) -> tuple[Edge, int, int, bool] | None:
        """Edge, place and cost that led to a state; None if a heard character was passed over."""
        for edge in self.graph.incoming[node]:
            before = self.rows[edge.source]
            base = value + (edge.weight << _BITS)
            start = _MASK - (value & _MASK)
            head = self.heads.get(edge.source)
            if edge.costs is None:
                for origin, cost in self._origins(edge, at, {*before, start}):
                    earlier = base - (PENALTY * cost << _BITS)
                    if before.get(origin) == earlier:
                        return edge, origin, cost, True
                    if origin == start and head is not None and head + _MASK - start == earlier:
                        return edge, origin, cost, False
                continue
            cost = edge.costs[self.stream[at - 1]]
            earlier = base - (PENALTY * cost << _BITS)
            if before.get(at - 1) == earlier:
                return edge, at - 1, cost, True
            if at - 1 == start and head is not None and head + _MASK - start == earlier:
                return edge, at - 1, cost, False
            if before.get(at) == base - (PENALTY * edge.weight << _BITS):
                return edge, at, edge.weight, True
        return None

    def _origins(self, edge: Edge, at: int, places: set[int]) -> list[tuple[int, int]]:
        """Places from which a slot can have been filled up to ``at``, and at what cost."""
        ends = ((origin, self._ends(edge.atom, origin)) for origin in sorted(places))
        return [(origin, cost) for origin, reached in ends for end, cost in reached if end == at]

    def _left_out(self, node: int) -> tuple[Edge, int, int, bool]:
        """Edge that was left out before anything was heard."""
        for edge in self.graph.incoming[node]:
            head = self.heads.get(edge.source)
            if head is not None and head + ((PENALTY - 1) * edge.weight << _BITS) == self.heads[node]:
                return edge, -1, edge.weight, False
        raise AssertionError("a head has no predecessor")
