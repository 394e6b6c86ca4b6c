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

Table of contents: `compile_pattern`, `Pattern`, `Hit`, `find`, `sighted`; `Transcript` and `PatternError` are
re-exported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from types import MappingProxyType

from pipeline.judging.calibration import Features, features
from pipeline.judging.matching import Alignment
from pipeline.judging.patterns import Company, Digits, Duration, Element, Name, PatternError, parse_pattern
from pipeline.judging.phonetics import UNIT
from pipeline.judging.search import Branch, make_branch, occurrences
from pipeline.judging.slots import slot_ends, slot_value
from pipeline.judging.transcript import MatchModel, Transcript, load_model
from pipeline.records import Role

__all__ = ["Hit", "Pattern", "PatternError", "Transcript", "compile_pattern", "find", "sighted"]

_SLOT_NAMES: dict[type, str] = {Digits: "digits", Name: "name", Company: "company", Duration: "duration"}
_NO_SLOTS: Mapping[str, str] = MappingProxyType({})


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
    ways : int
        How many ways there are to say it.
    """

    source: str
    ways: int
    branches: tuple[Branch, ...]
    model: MatchModel


@lru_cache(maxsize=8192)
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
    branches = parse_pattern(source, max_expansions=search.max_expansions, group_gap=search.group_gap)
    return Pattern(
        source,
        sum(map(len, branches)),
        tuple(make_branch(branch, model.sounds, search) for branch in branches),
        model,
    )


def find(pattern: Pattern, transcript: Transcript, *, turns: Sequence[int] | None = None) -> list[Hit]:
    """Places where a phrase was said, or nearly; none overlap.

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
    sightings = sighted(pattern, transcript, turns=turns)
    if not sightings:
        return []
    confidence = pattern.model.confidence
    told = [confidence.of(seen) for _, seen in sightings]
    # Where two overlap, the surer one; of two that are about as sure, the one that says more.
    ranked = sorted(
        (-round(sure, 1), -sightings[number][0].weight, number) for number, sure in enumerate(told)
    )
    kept: list[tuple[int, int]] = []
    hits: list[Hit] = []
    for _, _, number in ranked:
        aligned, seen = sightings[number]
        if not any(aligned.start < end and start < aligned.end for start, end in kept):
            kept.append((aligned.start, aligned.end))
            hits.append(_hit(transcript, aligned, 1.0 - seen.distance, told[number]))
    hits.sort(key=lambda hit: (hit.start_s, hit.turn, hit.start))
    return hits


def sighted(
    pattern: Pattern, transcript: Transcript, *, turns: Sequence[int] | None = None
) -> list[tuple[Alignment, Features]]:
    """All alignments of a pattern, overlapping ones too, with what their confidence is judged by.

    Of two that are equally good the longer comes first: a number is read to its end.
    """
    allowed = _allowed(transcript, turns)
    if allowed is not None and not allowed:
        return []
    found: list[Alignment] = []
    for branch in pattern.branches:
        found.extend(occurrences(branch, transcript, allowed, partial(slot_ends, transcript)))
    found.sort(key=lambda aligned: (aligned.start - aligned.end, aligned.start))
    return [(aligned, _seen(transcript, aligned)) for aligned in found]


def _seen(call: Transcript, aligned: Alignment) -> Features:
    return features(
        cost=aligned.cost / UNIT,
        weight=aligned.weight / UNIT,
        worst=aligned.worst / UNIT,
        unlike=aligned.unlike,
        syllables=aligned.heavy,
        word_doubt=_doubt(call, aligned),
        strange=aligned.strange / UNIT,
    )


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


def _hit(call: Transcript, aligned: Alignment, score: float, confidence: float) -> Hit:
    turn, start = call.place(aligned.start)
    end_turn, last = call.place(aligned.end - 1)
    role = call.turns[turn].role
    guards = call.model.guards
    left = call.texts[turn][max(call.sentence(turn, start)[0], start - guards.before) : start]
    right = call.texts[end_turn][last + 1 : min(call.sentence(end_turn, last)[1], last + 1 + guards.after)]
    if turn == end_turn:
        quote = call.spoken(turn, start, last + 1)
    else:
        quote = f"{call.spoken(turn, start, len(call.texts[turn]))}…{call.spoken(end_turn, 0, last + 1)}"
    return Hit(
        turn=turn,
        start=start,
        end=last + 1,
        start_s=call.begin_s(turn, start),
        end_s=call.end_s(end_turn, last),
        role=role,
        quote=quote,
        score=score,
        confidence=confidence,
        slots=_slot_values(call, aligned.filled) if aligned.filled else _NO_SLOTS,
        negated=guards.negated(left, right),
        quoted=guards.quoted(left, role, right),
        end_turn=end_turn,
    )


def _doubt(call: Transcript, aligned: Alignment) -> float:
    turn, start = call.place(aligned.start)
    end_turn, last = call.place(aligned.end - 1)
    if turn == end_turn:
        return call.doubt(turn, start, last + 1)
    here = len(call.texts[turn]) - start
    total = here * call.doubt(turn, start, start + here) + (last + 1) * call.doubt(end_turn, 0, last + 1)
    return total / (here + last + 1)


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
