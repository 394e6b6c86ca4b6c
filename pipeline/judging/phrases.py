"""Finding phrases in a call by their sound.

Goal
----
A rule says what an agent must say; a recogniser writes down something that sounds like it. `find`
looks for a compiled pattern in an indexed call and tells where it stands, how alike it sounds and how
probable it is that it was said.

Conventions
-----------
Patterns are written in the language of `pipeline.judging.patterns`. Positions are characters of the
turn's spoken, punctuation-free text; times are seconds. ``score`` is 1 for what sounds identical.

Table of contents: `compile_pattern`, `Pattern`, `Hit`, `find`; `Transcript` and `PatternError` are
re-exported.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from rapidfuzz.distance import LCSseq

from pipeline.judging.calibration import features
from pipeline.judging.matching import Alignment, Plan, align, make_plan
from pipeline.judging.patterns import (
    Company,
    Digits,
    Duration,
    Element,
    Name,
    PatternError,
    parse_pattern,
)
from pipeline.judging.phonetics import UNIT
from pipeline.judging.slots import slot_value
from pipeline.judging.transcript import MatchModel, Transcript, load_model
from pipeline.records import Role

__all__ = ["Hit", "Pattern", "PatternError", "Transcript", "compile_pattern", "find"]

_similarity = LCSseq.similarity
_SLOT_NAMES: dict[type, str] = {Digits: "digits", Name: "name", Company: "company", Duration: "duration"}
# Ways to say a phrase that are aligned at one place before the best of them is taken.
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Hit:
    """A place where a phrase was said, or nearly.

    Attributes
    ----------
    turn, end_turn : int
        Turns in which it begins and ends; they differ only when it runs on over a backchannel.
    start, end : int
        Offsets of its first character in ``texts[turn]`` and past its last in ``texts[end_turn]``.
    start_s, end_s : float
    role : {"agent", "customer"}
    quote : str
        What was heard, with punctuation.
    score : float
        In [0, 1]; 1 sounds identical.
    confidence : float
        Calibrated probability, in (0, 1), that the phrase was really said.
    slots : mapping of str to str
        ``digits``, ``name``, ``company``, ``duration``; a second one of a kind is ``digits2``.
    negated, quoted : bool
        The words around it deny it, or put it in somebody else's mouth.
    """

    turn: int
    start: int
    end: int
    start_s: float
    end_s: float
    role: Role
    quote: str
    score: float
    confidence: float
    slots: Mapping[str, str]
    negated: bool
    quoted: bool
    end_turn: int


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled pattern; make it with `compile_pattern`.

    Attributes
    ----------
    source : str
        As written.
    """

    source: str
    plans: tuple[Plan, ...]
    seeds: Mapping[str, tuple[tuple[int, int, int], ...]]
    single_seeds: Mapping[str, tuple[tuple[int, int, int], ...]]
    unanchored: tuple[int, ...]
    model: MatchModel


@lru_cache(maxsize=4096)
def compile_pattern(source: str, model: MatchModel | None = None) -> Pattern:
    """Compile a phrase pattern.

    Parameters
    ----------
    source : str
        In the language of `pipeline.judging.patterns`.
    model : MatchModel, optional
        Lexicons to match by; must be the transcript's. The shipped ones when left out.

    Raises
    ------
    PatternError
        ``message`` and ``column`` of the first thing that is wrong.

    Examples
    --------
    >>> from pipeline.records import Turn
    >>> call = Transcript.of([Turn("agent", 0.0, 3.0, "你好，请问有什么可以帮宁的？")])
    >>> [(hit.quote, round(hit.score, 2)) for hit in find(compile_pattern("您好[请问]有什么可以帮您"), call)]
    [('你好，请问有什么可以帮宁', 1.0)]
    """
    model = model or load_model()
    search = model.search
    sequences = parse_pattern(source, max_expansions=search.max_expansions, group_gap=search.group_gap)
    plans = tuple(make_plan(sequence, model.sounds, search) for sequence in sequences)
    seeds: dict[str, dict[tuple[int, int, int], None]] = defaultdict(dict)
    singles: dict[str, dict[tuple[int, int, int], None]] = defaultdict(dict)
    unanchored: list[int] = []
    for number, plan in enumerate(plans):
        if not plan.parts:
            unanchored.append(number)
        for which, part in enumerate(plan.parts):
            for coarse in part.coarse:
                if len(coarse) == 1:
                    singles[coarse][number, which, 0] = None
                for offset in range(len(coarse) - 1):
                    seeds[coarse[offset : offset + 2]][number, which, offset] = None
    return Pattern(
        source,
        plans,
        MappingProxyType({pair: tuple(where) for pair, where in seeds.items()}),
        MappingProxyType({code: tuple(where) for code, where in singles.items()}),
        tuple(unanchored),
        model,
    )


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A place worth aligning: the stretch in which a plan may begin."""

    missing: int
    plan: int
    low: int
    high: int


def find(pattern: Pattern, transcript: Transcript, *, turns: Sequence[int] | None = None) -> list[Hit]:
    """Places where a phrase was said, or nearly, best first at each place, none overlapping.

    Parameters
    ----------
    pattern : Pattern
    transcript : Transcript
    turns : sequence of int, optional
        Turns in which a hit must begin; all when left out.

    Returns
    -------
    list of Hit
        In order of time. Includes near misses: let `MatchLimits` decide by ``confidence``.
    """
    allowed = _allowed(transcript, turns)
    if allowed is not None and not allowed:
        return []
    best: list[tuple[Alignment, Plan]] = []
    for candidates in _places(pattern, transcript, allowed):
        best.extend(_best_here(pattern, transcript, candidates, allowed))
    return _hits(transcript, best)


def _allowed(call: Transcript, turns: Sequence[int] | None) -> list[tuple[int, int]] | None:
    """Stretches of the stream in which a hit may begin, rising; None for everywhere."""
    if turns is None:
        return None
    wanted = set(turns)
    return [
        (begin, begin + len(call.texts[turn]))
        for begin, turn in zip(call.starts, call.order, strict=True)
        if turn in wanted and call.texts[turn]
    ]


def _places(
    pattern: Pattern, call: Transcript, allowed: list[tuple[int, int]] | None
) -> Iterable[list[_Candidate]]:
    """Candidates, grouped by the place where they may begin."""
    found = _candidates(pattern, call)
    found.extend(_literal_candidates(pattern, call))
    if allowed is not None:
        found = [each for each in found if _clipped(each, allowed)]
    found.sort(key=lambda each: each.low)
    group: list[_Candidate] = []
    reach = -1
    for each in found:
        if group and each.low > reach:
            yield group
            group = []
            reach = -1
        group.append(each)
        reach = max(reach, each.high)
    if group:
        yield group


def _candidates(pattern: Pattern, call: Transcript) -> list[_Candidate]:
    diagonals: dict[tuple[int, int], set[int]] = defaultdict(set)
    pairs = call.pairs
    for pair in pattern.seeds.keys() & pairs.keys():
        places = pairs[pair]
        for number, which, offset in pattern.seeds[pair]:
            diagonals[number, which].update([place - offset for place in places])
    if pattern.single_seeds:
        singles = call.singles()
        for code in pattern.single_seeds.keys() & singles.keys():
            for number, which, _ in pattern.single_seeds[code]:
                diagonals[number, which].update(singles[code])
    found: list[_Candidate] = []
    coarse, at = call.coarse, call.coarse_at
    last = len(at) - 1
    for (number, which), starts in diagonals.items():
        part = pattern.plans[number].parts[which]
        length, slack = len(part.coarse[0]), part.errors
        done = -(1 << 30)
        for start in sorted(starts):
            if start <= done:
                continue
            low, high = max(0, start - slack), start + slack
            window = coarse[low : start + length + slack]
            same = max([_similarity(each, window, score_cutoff=length - slack) for each in part.coarse])
            if same < length - slack:
                continue
            done = high
            begin_low = at[low - 1] + 1 if low else 0
            begin_high = at[min(last, high)]
            found.append(
                _Candidate(
                    length - int(same),
                    number,
                    max(0, begin_low - part.lead - part.before_high),
                    max(0, begin_high - part.before_low),
                )
            )
    return found


def _literal_candidates(pattern: Pattern, call: Transcript) -> list[_Candidate]:
    """Phrases of particles alone (嗯) have no coarse sound; they are looked up as they are written."""
    found: list[_Candidate] = []
    for number in pattern.unanchored:
        plan = pattern.plans[number]
        if not plan.literal:
            found.extend(_Candidate(0, number, place, place) for place in range(len(call.stream)))
            continue
        place = call.stream.find(plan.literal)
        while place >= 0:
            found.append(_Candidate(0, number, place, place))
            place = call.stream.find(plan.literal, place + 1)
    return found


def _best_here(
    pattern: Pattern, call: Transcript, candidates: list[_Candidate], allowed: list[tuple[int, int]] | None
) -> list[tuple[Alignment, Plan]]:
    plans = pattern.plans
    ranked = sorted(candidates, key=lambda each: (each.missing, -plans[each.plan].weight, each.low))
    found: list[tuple[Alignment, Plan]] = []
    tries: dict[int, int] = defaultdict(int)
    for each in ranked:
        if tries[each.low // 4] >= _TRIES:
            continue
        plan = plans[each.plan]
        if any(good.cost == 0 and each.low <= good.start <= each.high for good, _ in found):
            continue
        tries[each.low // 4] += 1
        for low, high in _clipped(each, allowed):
            aligned = _exact(plan, call, low, high) or align(plan, call, low, high)
            if aligned is not None:
                found.append((aligned, plan))
    return found


def _clipped(each: _Candidate, allowed: list[tuple[int, int]] | None) -> list[tuple[int, int]]:
    if allowed is None:
        return [(each.low, each.high)]
    return [
        (max(each.low, begin), min(each.high, end - 1))
        for begin, end in allowed
        if each.low < end and each.high >= begin
    ]


def _exact(plan: Plan, call: Transcript, low: int, high: int) -> Alignment | None:
    if not plan.literal:
        return None
    place = call.stream.find(plan.literal, low, high + len(plan.literal))
    if place < 0:
        return None
    return Alignment(place, place + len(plan.literal), 0, (0,) * len(plan.steps), 0, ())


def _hits(call: Transcript, found: list[tuple[Alignment, Plan]]) -> list[Hit]:
    found.sort(key=lambda each: (each[0].cost / each[1].weight, -each[1].weight, each[0].start))
    kept: list[tuple[int, int]] = []
    hits: list[Hit] = []
    for aligned, plan in found:
        if (
            any(aligned.start < end and begin < aligned.end for begin, end in kept)
            or aligned.end <= aligned.start
        ):
            continue
        kept.append((aligned.start, aligned.end))
        hits.append(_hit(call, aligned, plan))
    hits.sort(key=lambda hit: (hit.start_s, hit.turn, hit.start))
    return hits


def _hit(call: Transcript, aligned: Alignment, plan: Plan) -> Hit:
    turn, start = call.place(aligned.start)
    end_turn, last = call.place(aligned.end - 1)
    end = last + 1
    doubt = _doubt(call, aligned)
    pairs = zip(aligned.step_costs, (*aligned.step_costs[1:], 0), strict=True)
    seen = features(
        cost=aligned.cost / UNIT,
        weight=plan.weight / UNIT,
        worst_pair=max(first + second for first, second in pairs) / UNIT,
        unlike=aligned.unlike,
        syllables=sum(1 for step in plan.steps if step.char and step.char not in call.model.sounds.light),
        word_doubt=doubt,
    )
    role = call.turns[turn].role
    left, right = _around(call, turn, start, end_turn, end)
    guards = call.model.guards
    return Hit(
        turn=turn,
        start=start,
        end=end,
        start_s=call.times(turn)[start][0],
        end_s=call.times(end_turn)[last][1],
        role=role,
        quote=_quote(call, turn, start, end_turn, end),
        score=1.0 - seen.distance,
        confidence=call.model.confidence.of(seen),
        slots=_slot_values(call, aligned.filled),
        negated=guards.negated(left, right),
        quoted=guards.quoted(left, role),
        end_turn=end_turn,
    )


def _doubt(call: Transcript, aligned: Alignment) -> float:
    total = 0.0
    for position in range(aligned.start, aligned.end):
        turn, offset = call.place(position)
        total += call.doubts(turn)[offset]
    return total / (aligned.end - aligned.start)


def _quote(call: Transcript, turn: int, start: int, end_turn: int, end: int) -> str:
    if turn == end_turn:
        where = call.written_at(turn)
        return call.spoken(turn)[where[start] : where[end - 1] + 1]
    first, last = call.written_at(turn), call.written_at(end_turn)
    return call.spoken(turn)[first[start] :] + "…" + call.spoken(end_turn)[: last[end - 1] + 1]


def _around(call: Transcript, turn: int, start: int, end_turn: int, end: int) -> tuple[str, str]:
    """Characters before and after a hit in its sentence, without punctuation."""
    guards = call.model.guards
    where, spoken = call.written_at(turn), call.spoken(turn)
    left = spoken[: where[start]]
    for place in range(len(left) - 1, -1, -1):
        if left[place] in guards.stops:
            left = left[place + 1 :]
            break
    where, spoken = call.written_at(end_turn), call.spoken(end_turn)
    right = spoken[where[end - 1] + 1 :]
    for place, char in enumerate(right):
        if char in guards.stops:
            right = right[:place]
            break
    kept_left = "".join(char for char in left if char.isalnum())[-guards.before :]
    return kept_left, "".join(char for char in right if char.isalnum())[: guards.after]


def _slot_values(call: Transcript, filled: Iterable[tuple[Element, int, int]]) -> Mapping[str, str]:
    values: dict[str, str] = {}
    for element, start, end in filled:
        name = _SLOT_NAMES.get(type(element))
        if name is None:
            continue
        key, number = name, 1
        while key in values:
            number += 1
            key = f"{name}{number}"
        values[key] = slot_value(element, call, start, end)
    return MappingProxyType(values)
