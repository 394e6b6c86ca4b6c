"""Small changes of a rule that its examples must notice: thresholds, phrases, operators, places.

A mutant is the rule, or the lexicon it reads, with exactly one thing changed. Whoever maintains a
rule writes examples until every mutant makes at least one of them come out differently.

Table of contents: `Mutant`, `mutants`, `shared_mutants`, `notices`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import date, datetime, time, timedelta
from types import MappingProxyType
from typing import Any

from pipeline.judging import conditions as do
from pipeline.judging import conditions_facts as facts
from pipeline.judging.case import Case
from pipeline.judging.engine import judge_rule
from pipeline.judging.ledger import Ledger
from pipeline.judging.lexicon import Lexicon, MomentKind, PhraseSet
from pipeline.judging.places import Place
from pipeline.judging.rulebook import Rule, Rulebook

_NUMBERS = ("at_least", "at_most", "within_s", "min_s", "min_confidence", "n", "every_s", "min_chars")
_CONDITIONS = (do.__name__, facts.__name__, Ledger.__module__)
_OTHER_ROLE = {"agent": "customer", "customer": "agent", None: "agent"}


@dataclass(frozen=True)
class Mutant:
    """What was changed, and the rule and lexicon that came of it."""

    label: str
    rule: Rule
    lexicon: Lexicon


def example_call(rule: Rule, example: Any) -> Any:
    """The example's call record; an example that names no direction has the rule's."""
    if example.has_direction or rule.direction == "both":
        return example.call
    return replace(example.call, direction=rule.direction)


def notices(mutant: Mutant, book: Rulebook, cases: Mapping[int, Case]) -> bool:
    """Whether an example comes out differently; ``cases`` are kept for the unchanged lexicon."""
    for place, example in enumerate(mutant.rule.examples):
        if mutant.lexicon is book.lexicon:
            case = cases[place]
        else:
            case = Case(example.hearing, example_call(mutant.rule, example), mutant.lexicon)
        if judge_rule(mutant.rule, case, book).verdict != example.verdict:
            return True
    return False


def mutants(rule: Rule, lexicon: Lexicon) -> Iterator[Mutant]:
    """All changes of a rule's own conditions, thresholds and places."""
    for name in ("require", "due"):
        node = getattr(rule, name)
        if name == "due" and not isinstance(node, do.Always):
            yield Mutant("due: always", replace(rule, due=do.Always()), lexicon)
        for label, changed in _nodes(node, name):
            yield Mutant(label, replace(rule, **{name: changed}), lexicon)
    for label, change in _number_changes(rule):
        new = replace(rule, require=_everywhere(rule.require, change), due=_everywhere(rule.due, change))
        yield Mutant(label, new, lexicon)


def shared_mutants(book: Rulebook) -> Iterator[tuple[str, Lexicon, tuple[Rule, ...]]]:
    """All changes of phrase sets and moments, and the rules that read them."""
    lexicon = book.lexicon
    readers: dict[str, list[Rule]] = {}
    for rule in book.rules:
        moments = _moments(rule.require) | _moments(rule.due) | ({rule.each} if rule.each else set())
        sets = _used(rule.require) | _used(rule.due)
        for name in moments:
            for source in lexicon.moments[name].sources:
                sets |= {*source.say, *source.answering, *source.not_answering}
                sets |= {*source.together_with, *source.not_together_with}
        for name in moments:
            readers.setdefault(f"moment {name}", []).append(rule)
        for name in sets:
            readers.setdefault(f"phrases {name}", []).append(rule)
    for name, kind in sorted(lexicon.moments.items()):
        for label, changed in _moment_changes(kind):
            other = replace(lexicon, moments=MappingProxyType({**lexicon.moments, name: changed}))
            yield f"moment {name}: {label}", other, tuple(readers.get(f"moment {name}", ()))
    for name, phrase in sorted(lexicon.phrases.items()):
        for label, changed in _phrase_changes(phrase):
            other = replace(lexicon, phrases=MappingProxyType({**lexicon.phrases, name: changed}))
            yield f"phrases {name}: {label}", other, tuple(readers.get(f"phrases {name}", ()))


def _number_changes(rule: Rule) -> Iterator[tuple[str, Any]]:
    """A threshold is changed wherever the rule uses it; a place likewise."""
    seen: dict[tuple[str, Any], None] = {}
    places: dict[Place, None] = {}
    for node in (*_values(rule.require), *_values(rule.due)):
        for name in _NUMBERS:
            value = getattr(node, name, None)
            once = isinstance(node, do.Say) and name == "at_least" and value == 1
            unset = name.startswith("min_") and value == 0
            if isinstance(value, int | float) and not (once or unset):
                seen[name, value] = None
        place = getattr(node, "place", None)
        if isinstance(place, Place) and place != Place():
            places[place] = None
    for name, value in seen:
        for label, number in _around(value, whole=isinstance(value, int)):
            yield f"{name} = {value:g} {label}", _number_change(name, value, number)
    for place in places:
        for label, changed in _place_changes(place):
            yield f"place {_told(place)}: {label}", _place_change(place, changed)


def _told(place: Place) -> str:
    return " ".join(
        f"{entry.name}={getattr(place, entry.name)}" for entry in fields(place) if getattr(place, entry.name)
    )


def _number_change(name: str, value: float, number: float) -> Any:
    return lambda node: replace(node, **{name: number}) if getattr(node, name, None) == value else node


def _place_change(place: Place, changed: Place) -> Any:
    return lambda node: replace(node, place=changed) if getattr(node, "place", None) == place else node


def _everywhere(node: Any, change: Any) -> Any:
    if isinstance(node, tuple):
        return tuple(_everywhere(part, change) for part in node)
    if not is_dataclass(node) or type(node).__module__ not in _CONDITIONS:
        return node
    parts = {entry.name: _everywhere(getattr(node, entry.name), change) for entry in fields(node)}
    return change(replace(node, **parts))


def _phrase_changes(phrase: PhraseSet) -> Iterator[tuple[str, PhraseSet]]:
    yield "none", replace(phrase, like=(), say=())
    if phrase.unless:
        yield "no exceptions", replace(phrase, unless=())


def _moment_changes(kind: MomentKind) -> Iterator[tuple[str, MomentKind]]:
    for place, source in enumerate(kind.sources):
        rest = (*kind.sources[:place], *kind.sources[place + 1 :])
        yield f"without source {place}", replace(kind, sources=rest)
        changes: dict[str, Any] = {
            key: ()
            for key in ("answering", "not_answering", "together_with", "not_together_with")
            if getattr(source, key)
        }
        if source.events:
            changes["min_confidence"] = 0.0
        if source.by:
            changes["by"] = _OTHER_ROLE[source.by]
        for key, value in changes.items():
            new = replace(source, **{key: value})
            sources = (*kind.sources[:place], new, *kind.sources[place + 1 :])
            yield f"source {place}: {key} = {value!r}", replace(kind, sources=sources)


def _used(node: Any) -> set[str]:
    found: set[str] = set()
    for value in _values(node):
        for key in ("sets", "beside", "not_beside", "confirmed_by", "not_a_need", "not_answering"):
            found |= set(getattr(value, key, ()))
    return found


def _moments(node: Any) -> set[str]:
    found: set[str] = set()
    for value in _values(node):
        if isinstance(value, do.Happened):
            found.add(value.moment)
        place = getattr(value, "place", None)
        if isinstance(place, Place):
            names = {place.after, place.before, place.around, place.until} - {None, "this"}
            found |= {name for name in names if name}
    return found


def _values(node: Any) -> Iterator[Any]:
    if isinstance(node, tuple):
        for part in node:
            yield from _values(part)
    elif is_dataclass(node) and type(node).__module__ in _CONDITIONS:
        yield node
        for entry in fields(node):
            yield from _values(getattr(node, entry.name))


def _nodes(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Changes of a condition or of any condition inside it."""
    here = f"{path}/{type(node).__name__}"
    yield from _own_changes(node, here)
    if isinstance(node, do.All | do.AnyOf | do.SeveralOf | do.InOrder):
        for place, part in enumerate(node.parts):
            for label, changed in _nodes(part, f"{here}[{place}]"):
                parts = (*node.parts[:place], changed, *node.parts[place + 1 :])
                yield label, replace(node, parts=parts)
    elif isinstance(node, do.Not | do.ForAPerson):
        for label, changed in _nodes(node.part, here):
            yield label, replace(node, part=changed)
    elif isinstance(node, do.Cases):
        for place, (when, then) in enumerate(node.cases):
            for label, changed in _nodes(when, f"{here}[{place}].when"):
                yield label, replace(node, cases=_swapped(node.cases, place, (changed, then)))
            for label, changed in _nodes(then, f"{here}[{place}].then"):
                yield label, replace(node, cases=_swapped(node.cases, place, (when, changed)))


def _swapped(items: tuple[Any, ...], place: int, new: Any) -> tuple[Any, ...]:
    return (*items[:place], new, *items[place + 1 :])


def _own_changes(node: Any, here: str) -> Iterator[tuple[str, Any]]:
    yield from _operator_changes(node, here)
    if getattr(node, "by", None) in ("agent", "customer"):
        yield f"{here}.by", replace(node, by=_OTHER_ROLE[node.by])
    for name in ("sets", "one_of", "none_of", "confirmed_by", "not_a_need", "not_answering"):
        items = getattr(node, name, ())
        if len(items) > 1:
            for place, item in enumerate(items):
                yield (
                    f"{here}.{name} without {item}",
                    replace(node, **{name: (*items[:place], *items[place + 1 :])}),
                )
        elif items and name in ("not_a_need", "not_answering"):
            yield f"{here}.{name} empty", replace(node, **{name: ()})
    for name in ("beside", "not_beside"):
        if getattr(node, name, ()):
            yield f"{here}.{name} empty", replace(node, **{name: ()})


def _operator_changes(node: Any, here: str) -> Iterator[tuple[str, Any]]:
    if isinstance(node, do.All | do.AnyOf | do.InOrder) and len(node.parts) > 1:
        for place in range(len(node.parts)):
            yield (
                f"{here} without part {place}",
                replace(node, parts=(*node.parts[:place], *node.parts[place + 1 :])),
            )
        other = do.AnyOf if not isinstance(node, do.AnyOf) else do.All
        yield f"{here} as {other.__name__}", other(node.parts)
        if isinstance(node, do.InOrder):
            yield f"{here} as All", do.All(node.parts)
    elif isinstance(node, do.Not | do.ForAPerson):
        yield f"{here} dropped", node.part
    elif isinstance(node, do.Cases):
        for place in range(len(node.cases)):
            yield (
                f"{here} without case {place}",
                replace(node, cases=(*node.cases[:place], *node.cases[place + 1 :])),
            )
    elif isinstance(node, do.Counted):
        yield f"{here}.distinct", replace(node, distinct=not node.distinct)
    elif isinstance(node, facts.RecordIs):
        for name in ("is_true", "present"):
            if getattr(node, name) is not None:
                yield f"{here}.{name}", replace(node, **{name: not getattr(node, name)})
    elif isinstance(node, do.DirectionIs):
        yield f"{here}.direction", do.DirectionIs("inbound" if node.direction == "outbound" else "outbound")
    elif isinstance(node, facts.CallTime):
        yield from _hour_changes(node, here)
    elif isinstance(node, do.Absent):
        yield f"{here} as Say", do.Say(node.sets, node.by, node.place)


def _hour_changes(node: facts.CallTime, here: str) -> Iterator[tuple[str, Any]]:
    for name in ("workday", "rest_day", "holiday"):
        hours = getattr(node, name)
        if hours is None:
            yield f"{here}.{name} allowed", replace(node, **{name: (time(8, 30), time(17, 30))})
            continue
        yield f"{here}.{name} banned", replace(node, **{name: None})
        for place, minutes in ((0, -1), (0, 1), (1, -1), (1, 1)):
            moved = datetime.combine(date(2026, 1, 1), hours[place]) + timedelta(minutes=minutes)
            new = (moved.time(), hours[1]) if place == 0 else (hours[0], moved.time())
            yield f"{here}.{name}[{place}] {minutes:+d} min", replace(node, **{name: new})


def _place_changes(place: Place) -> Iterator[tuple[str, Place]]:
    yield "anywhere", Place()
    for name in ("opening_turns", "closing_turns", "turns", "opening_s", "closing_s", "within_s"):
        value = getattr(place, name)
        if value is not None:
            for label, number in _around(value, whole=name.endswith("turns")):
                yield f"{name} {label}", replace(place, **{name: number})
    if place.until:
        yield "until dropped", replace(place, until=None)
    for name, other in (("after", "before"), ("before", "after"), ("around", "after")):
        if getattr(place, name):
            yield f"{other} for {name}", replace(place, **{name: None, other: getattr(place, name)})


def _around(value: float, *, whole: bool) -> Iterator[tuple[str, Any]]:
    if whole or (value == int(value) and value <= 5):
        yield "+1", value + 1
        yield "-1", value - 1
    else:
        yield "x1.25", value * 1.25
        yield "x0.8", value * 0.8
