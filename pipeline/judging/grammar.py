"""From TOML tables to conditions: the grammar of rules.

A condition is a table with exactly one operator key (``say``, ``absent``, ``count``, ``events``,
``measure``, ``record``, ``call_time``, ``moment``, ``all``, ``any``, ``some``, ``order``, ``not``,
``for_a_person``, ``cases``, ``ledger``, ``direction``, ``always``) and that operator's own settings.
``lexicons/README.md`` explains each with an example.

Table of contents: `Scope`, `OPERATORS`, `condition`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import time

from pipeline.judging import conditions as do
from pipeline.judging import conditions_facts as facts
from pipeline.judging.calendar_cn import CalendarOverride
from pipeline.judging.facts import MEASURE_FACTS, RECORD_FACTS
from pipeline.judging.ledger import Ledger
from pipeline.judging.lexicon import Lexicon, known_sets
from pipeline.judging.places import Place
from pipeline.judging.tomlread import Fields, listed
from pipeline.records import EVENT_KINDS, ROLES, Role

MAX_DEPTH = 12
_COUNTS = ("opening_turns", "closing_turns", "turns")
_SECONDS = ("opening_s", "closing_s", "within_s")
_ANCHORS = ("after", "before", "around")


@dataclass(frozen=True, slots=True)
class Scope:
    """What names a condition may use."""

    lexicon: Lexicon
    thresholds: Mapping[str, float]
    calendar: CalendarOverride
    per_moment: bool = False
    depth: int = 0


def condition(fields: Fields, scope: Scope) -> do.Condition:
    """Build the condition that a table describes; problems are noted, not raised."""
    if scope.depth > MAX_DEPTH:
        fields.complain(None, f"conditions are nested deeper than {MAX_DEPTH}; split the rule")
        fields.used |= set(fields.data)
        return do.Always()
    named = [key for key in OPERATORS if fields.has(key)]
    if len(named) != 1:
        found = " and ".join(named) if named else "none"
        fields.complain(
            None,
            f"a condition needs exactly one operator, found {found}; expected one of: {listed(OPERATORS)}",
        )
        fields.used |= set(fields.data)
        return do.Always()
    built = OPERATORS[named[0]](fields, scope)
    fields.finish()
    return built


def _inner(scope: Scope) -> Scope:
    return Scope(scope.lexicon, scope.thresholds, scope.calendar, scope.per_moment, scope.depth + 1)


def _parts(fields: Fields, key: str, scope: Scope) -> tuple[do.Condition, ...]:
    tables = fields.tables(key, needed=True)
    if not tables and isinstance(fields.data.get(key), list):
        fields.complain(key, f"{key} is empty; expected at least one condition")
    return tuple(condition(table, _inner(scope)) for table in tables)


def _role(fields: Fields) -> Role:
    return "customer" if fields.choice("by", ROLES, "agent") == "customer" else "agent"


def _limits(fields: Fields, scope: Scope, *, needed: bool = True) -> tuple[float | None, float | None]:
    before = len(fields.source.problems)
    low = fields.maybe_number("at_least", named=scope.thresholds)
    high = fields.maybe_number("at_most", named=scope.thresholds)
    if needed and low is None and high is None:
        fields.complain(None, "expected at_least or at_most, or both")
    usable = len(fields.source.problems) == before
    if usable and low is not None and high is not None and low > high:
        fields.complain("at_least", f"at_least {low:g} is above at_most {high:g}; nothing could fit")
    return low, high


def _moment_name(fields: Fields, key: str, scope: Scope, *, this: bool = True) -> str | None:
    if not fields.has(key):
        return None
    name = fields.text(key)
    if name == "this" and this:
        if not scope.per_moment:
            fields.complain(key, f"{key} = 'this' needs a rule whose due says each = a moment")
        return name
    if name not in scope.lexicon.moments:
        fields.complain(
            key, f"{key}: moment {name!r} is not defined; expected one of: {listed(scope.lexicon.moments)}"
        )
        return None
    return name


def _place(fields: Fields, scope: Scope) -> Place:
    at = fields.table("at")
    counts = {key: at.maybe_number(key, named=scope.thresholds) for key in _COUNTS}
    seconds = {key: at.maybe_number(key, named=scope.thresholds) for key in _SECONDS}
    anchors = {key: _moment_name(at, key, scope) for key in _ANCHORS}
    until = _moment_name(at, "until", scope, this=False)
    for key, value in {**counts, **seconds}.items():
        if value is not None and value <= 0:
            at.complain(key, f"{key}: {value:g} is out of range; expected more than 0")
    kinds = sum(
        (
            any(anchors.values()),
            at.has("opening_turns") or at.has("opening_s"),
            at.has("closing_turns") or at.has("closing_s"),
        )
    )
    if kinds > 1 or sum(at.has(key) for key in _ANCHORS) > 1:
        at.complain(None, "a place is the opening, or the closing, or near one moment; give only one of them")
    near_only = [key for key in ("turns", "within_s", "until") if at.has(key)]
    if near_only and not any(at.has(key) for key in _ANCHORS):
        at.complain(near_only[0], f"{near_only[0]} needs after, before or around = a moment")
    at.finish()
    whole = {key: None if value is None else int(value) for key, value in counts.items()}
    return Place(
        opening_turns=whole["opening_turns"],
        opening_s=seconds["opening_s"],
        closing_turns=whole["closing_turns"],
        closing_s=seconds["closing_s"],
        after=anchors["after"],
        before=anchors["before"],
        around=anchors["around"],
        turns=whole["turns"],
        within_s=seconds["within_s"],
        until=until,
    )


def _company(fields: Fields, scope: Scope) -> dict[str, tuple[str, ...]]:
    """Return what must, or must not, be said while the same side has the floor."""
    return {key: known_sets(fields, key, scope.lexicon.phrases) for key in ("beside", "not_beside")}


def _say(fields: Fields, scope: Scope) -> do.Condition:
    return do.Say(
        sets=known_sets(fields, "say", scope.lexicon.phrases, needed=True),
        by=_role(fields),
        place=_place(fields, scope),
        at_least=int(fields.number("at_least", 1.0, named=scope.thresholds, low=1)),
        **_company(fields, scope),
    )


def _absent(fields: Fields, scope: Scope) -> do.Condition:
    sets = known_sets(fields, "absent", scope.lexicon.phrases, needed=True)
    return do.Absent(sets, _role(fields), _place(fields, scope), **_company(fields, scope))


def _count(fields: Fields, scope: Scope) -> do.Condition:
    sets = known_sets(fields, "count", scope.lexicon.phrases, needed=True)
    low, high = _limits(fields, scope)
    return do.Counted(
        sets=sets,
        by=_role(fields),
        place=_place(fields, scope),
        at_least=low,
        at_most=high,
        distinct=fields.flag("distinct"),
        per_100_chars=fields.flag("per_100_chars"),
        **_company(fields, scope),
    )


def _events(fields: Fields, scope: Scope) -> do.Condition:
    kind = fields.choice("events", EVENT_KINDS)
    by = fields.choice("by", (*ROLES, "either"), "agent")
    role: Role | None = None if by == "either" else "customer" if by == "customer" else "agent"
    low, high = _limits(fields, scope)
    return do.EventCount(
        kind=kind,
        name_zh=fields.text("name_zh"),
        by=role,
        at_least=low,
        at_most=high,
        min_s=fields.number("min_s", 0.0, named=scope.thresholds, low=0.0),
        min_confidence=fields.number("min_confidence", 0.0, named=scope.thresholds, low=0.0, high=1.0),
    )


def _measure(fields: Fields, scope: Scope) -> do.Condition:
    name = fields.choice("measure", tuple(MEASURE_FACTS))
    low, high = _limits(fields, scope)
    return facts.MeasureWithin(name, low, high)


def _record(fields: Fields, scope: Scope) -> do.Condition:
    name = fields.choice("record", tuple(RECORD_FACTS))
    kind = RECORD_FACTS[name].kind
    ways = [
        key
        for key in ("at_least", "one_of", "none_of", "is", "present", "days_ago_at_least")
        if fields.has(key)
    ]
    if fields.has("at_most") and "at_least" not in ways:
        ways.append("at_least")
    accepted = {
        "number": ("at_least", "present"),
        "text": ("one_of", "none_of", "present"),
        "flag": ("is", "present"),
        "day": ("days_ago_at_least", "present"),
    }[kind]
    if len(ways) != 1 or ways[0] not in accepted:
        what = "at_least, at_most or present" if kind == "number" else ", ".join(accepted)
        fields.complain("record", f"record {name!r} holds a {kind}; expected exactly one test out of: {what}")
        fields.used |= set(fields.data)
        return do.Always()
    if ways[0] == "days_ago_at_least":
        return facts.DaysSince(name, fields.number("days_ago_at_least", named=scope.thresholds, low=0))
    low, high = _limits(fields, scope, needed=False)
    return facts.RecordIs(
        name=name,
        at_least=low,
        at_most=high,
        one_of=fields.texts("one_of"),
        none_of=fields.texts("none_of"),
        is_true=fields.flag("is") if fields.has("is") else None,
        present=fields.flag("present") if fields.has("present") else None,
    )


def _hours(fields: Fields, key: str) -> tuple[time, time] | None:
    if fields.has(key) and fields.data[key] == "banned":
        fields.used.add(key)
        return None
    value = fields.texts(key, needed=True)
    try:
        start, end = (time.fromisoformat(text) for text in value)
    except ValueError:
        fields.complain(key, f"{key}: expected two times like ['08:30', '17:30'], or 'banned'")
        return None
    if start >= end:
        fields.complain(key, f"{key}: the first time must come before the second")
    return start, end


def _call_time(fields: Fields, scope: Scope) -> do.Condition:
    table = fields.table("call_time")
    hours = {key: _hours(table, key) for key in ("workday", "rest_day", "holiday")}
    table.finish()
    return facts.CallTime(hours["workday"], hours["rest_day"], hours["holiday"], scope.calendar)


def _happened(fields: Fields, scope: Scope) -> do.Condition:
    name = _moment_name(fields, "moment", scope, this=False)
    return do.Happened(name) if name else do.Always()


def _some(fields: Fields, scope: Scope) -> do.Condition:
    parts = _parts(fields, "some", scope)
    n = int(fields.number("at_least", named=scope.thresholds, low=1))
    if parts and n > len(parts):
        fields.complain("at_least", f"at_least {n} of {len(parts)} conditions can never hold")
    return do.SeveralOf(n, parts)


def _order(fields: Fields, scope: Scope) -> do.Condition:
    return do.InOrder(_parts(fields, "order", scope), fields.maybe_number("within_s", named=scope.thresholds))


def _not(fields: Fields, scope: Scope) -> do.Condition:
    return do.Not(condition(fields.table("not"), _inner(scope)))


def _cases(fields: Fields, scope: Scope) -> do.Condition:
    built = []
    for entry in fields.tables("cases", needed=True):
        when = condition(entry.table("when"), _inner(scope))
        then = condition(entry.table("then"), _inner(scope))
        entry.finish()
        built.append((when, then))
    return do.Cases(tuple(built), fields.text("otherwise_zh", "不属于应检情形"))


def _ledger(fields: Fields, scope: Scope) -> do.Condition:
    table = fields.table("ledger")
    phrases = scope.lexicon.phrases
    every_s = table.number("every_s", named=scope.thresholds, low=0.1)
    built = Ledger(
        every_s=max(every_s, 0.1),
        confirmed_by=known_sets(table, "confirmed_by", phrases, needed=True),
        not_a_need=known_sets(table, "not_a_need", phrases),
        not_answering=known_sets(table, "not_answering", phrases),
        min_chars=int(table.number("min_chars", 5, named=scope.thresholds, low=1)),
    )
    table.finish()
    return built


def _direction(fields: Fields, scope: Scope) -> do.Condition:
    return do.DirectionIs(
        "outbound" if fields.choice("direction", ("inbound", "outbound")) == "outbound" else "inbound"
    )


def _always(fields: Fields, scope: Scope) -> do.Condition:
    if not fields.flag("always"):
        fields.complain("always", "always: expected true")
    return do.Always()


OPERATORS: dict[str, Callable[[Fields, Scope], do.Condition]] = {
    "say": _say,
    "absent": _absent,
    "count": _count,
    "events": _events,
    "measure": _measure,
    "record": _record,
    "call_time": _call_time,
    "moment": _happened,
    "all": lambda fields, scope: do.All(_parts(fields, "all", scope)),
    "any": lambda fields, scope: do.AnyOf(_parts(fields, "any", scope)),
    "some": _some,
    "order": _order,
    "not": _not,
    "for_a_person": lambda fields, scope: do.ForAPerson(
        condition(fields.table("for_a_person"), _inner(scope))
    ),
    "cases": _cases,
    "ledger": _ledger,
    "direction": _direction,
    "always": _always,
}
