"""Moments that rules wait for (时刻): from events, and from what is said in context.

Table of contents: `moments_of`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.judging.lexicon import MomentKind, MomentSource
from pipeline.judging.places import Mark, Moment, Window
from pipeline.records import Role

if TYPE_CHECKING:
    from pipeline.judging.case import Case


def moments_of(case: Case, kind: MomentKind) -> tuple[Moment, ...]:
    """Find the moments of one kind in a call, in the order of time, close ones merged."""
    found = [moment for source in kind.sources for moment in _from(case, source, kind)]
    return tuple(_merged(found, kind.merge_s))


def _from(case: Case, source: MomentSource, kind: MomentKind) -> list[Moment]:
    found: list[Moment] = []
    for event in case.events if source.events else ():
        fits = event.kind in source.events and event.role == source.by
        if fits and event.confidence >= source.min_confidence:
            turn = _turn_at(case, event.start_s)
            found.append(
                Moment(
                    kind.name_zh,
                    event.role,
                    turn,
                    event.start_s,
                    event.end_s,
                    event.text,
                    event.confidence,
                    True,
                )
            )
    roles: tuple[Role, ...] = (source.by,) if source.by else ("agent", "customer")
    for role in roles:
        window = Window(case.turns_by_role[role])
        marks = [mark for name in source.say for mark in case.marks(name, window)]
        if len({mark.hit.start_s for mark in marks}) < source.at_least:
            continue
        found.extend(_moment(mark, kind) for mark in marks if _in_context(case, mark, source))
    return found


def _moment(mark: Mark, kind: MomentKind) -> Moment:
    hit = mark.hit
    return Moment(
        kind.name_zh, hit.role, hit.turn, hit.start_s, hit.end_s, hit.quote, hit.confidence, mark.is_sure
    )


def _in_context(case: Case, mark: Mark, source: MomentSource) -> bool:
    hit = mark.hit
    other: Role = "customer" if hit.role == "agent" else "agent"
    if source.answering or source.not_answering:
        asked = case.floor_before(hit.turn, other)
        window = Window(asked.turns if asked else ())
        if source.answering and not case.any_sure(source.answering, window):
            return False
        if case.any_sure(source.not_answering, window):
            return False
    if source.together_with or source.not_together_with:
        window = Window(case.floor_of(hit.turn))
        if source.together_with and not case.any_sure(source.together_with, window):
            return False
        return not case.any_sure(source.not_together_with, window)
    return True


def _turn_at(case: Case, time_s: float) -> int:
    begun = [place for place, turn in enumerate(case.turns) if turn.start_s <= time_s]
    return begun[-1] if begun else 0


def _merged(found: Sequence[Moment], merge_s: float) -> list[Moment]:
    """One moment for those close together: the first that is sure, or else the first."""
    groups: list[list[Moment]] = []
    end_s = 0.0
    for moment in sorted(found, key=lambda moment: moment.start_s):
        if groups and moment.start_s - end_s <= merge_s:
            groups[-1].append(moment)
            end_s = max(end_s, moment.end_s)
        else:
            groups.append([moment])
            end_s = moment.end_s
    return [next((moment for moment in group if moment.is_sure), group[0]) for group in groups]
