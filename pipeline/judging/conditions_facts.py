"""Operators about numbers of a call, its record and its time: what no word decides.

Table of contents: `MeasureWithin`, `RecordIs`, `DaysSince`, `CallTime`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import time

from pipeline.judging.calendar_cn import CHINA, CalendarOverride, day_kind
from pipeline.judging.case import Case
from pipeline.judging.facts import MEASURE_FACTS, RECORD_FACTS, value_zh
from pipeline.judging.outcome import Outcome
from pipeline.judging.places import Moment
from pipeline.judging.wording import NO_AUDIO, NO_DATA, limit_note
from pipeline.records import Evidence


@dataclass(frozen=True, slots=True)
class MeasureWithin:
    """A number of the call lies between two limits."""

    name: str
    at_least: float | None = None
    at_most: float | None = None

    def evaluate(self, case: Case, anchor: Moment | None) -> Outcome:
        """Compare; unknown when there is no such number."""
        fact = MEASURE_FACTS[self.name]
        if fact.needs_audio and case.hearing.layout == "transcript":
            return Outcome("unknown", notes=(NO_AUDIO,))
        value = case.measure(self.name)
        if value is None:
            return Outcome("unknown", notes=(f"{NO_DATA}：{fact.name_zh}",))
        note = limit_note(fact.name_zh, value, fact.unit_zh, self.at_least, self.at_most, digits=fact.digits)
        fits = (self.at_least is None or value >= self.at_least) and (
            self.at_most is None or value <= self.at_most
        )
        evidence = _measure_evidence(self.name, case)
        return Outcome("yes" if fits else "no", 1.0, (note,), evidence, met=int(fits))


def _measure_evidence(name: str, case: Case) -> tuple[Evidence, ...]:
    if name.startswith("filler"):
        fillers = [event for event in case.events if event.kind == "filler" and event.role == "agent"]
        return tuple(Evidence(e.start_s, e.end_s, e.role, e.text) for e in fillers[:5])
    if name.startswith("agent") or "rate_per_min" in name:
        longest = sorted(case.turns_by_role["agent"], key=lambda turn: -case.turns[turn].duration_s)
        return case.quotes(sorted(longest[:2]))
    return ()


@dataclass(frozen=True, slots=True)
class RecordIs:
    """A column of the call record fits: within limits, one of some values, present or not."""

    name: str
    at_least: float | None = None
    at_most: float | None = None
    one_of: tuple[str, ...] = ()
    none_of: tuple[str, ...] = ()
    is_true: bool | None = None
    present: bool | None = None

    def evaluate(self, case: Case, anchor: Moment | None) -> Outcome:
        """Compare; an empty column is unknown, except when asked whether it is present."""
        fact = RECORD_FACTS[self.name]
        value = getattr(case.call, self.name)
        if self.present is not None:
            fits = (value is not None) == self.present
            note = f"随录参数中{'有' if value is not None else '没有'}{fact.name_zh}"
        elif value is None:
            return Outcome("unknown", notes=(f"{NO_DATA}：{fact.name_zh}",))
        elif self.at_least is not None or self.at_most is not None:
            fits = (self.at_least is None or value >= self.at_least) and (
                self.at_most is None or value <= self.at_most
            )
            note = limit_note(fact.name_zh, float(value), fact.unit_zh, self.at_least, self.at_most)
        elif self.is_true is not None:
            fits = bool(value) is self.is_true
            note = f"{fact.name_zh}：{'是' if value else '否'}"
        else:
            fits = (not self.one_of or value in self.one_of) and value not in self.none_of
            wanted = "、".join(value_zh(self.name, each) for each in self.one_of)
            accepted = f"（规则值：{wanted}）" if wanted else ""
            note = f"{fact.name_zh}：{value_zh(self.name, value)}{accepted}"
        return Outcome("yes" if fits else "no", 1.0, (note,), met=int(fits))


@dataclass(frozen=True, slots=True)
class DaysSince:
    """At least so many days lie between a date of the record and the call."""

    name: str
    at_least: float

    def evaluate(self, case: Case, anchor: Moment | None) -> Outcome:
        """Count calendar days in China's time zone; a date after the call does not bind it."""
        day = getattr(case.call, self.name)
        fact = RECORD_FACTS[self.name]
        if day is None:
            return Outcome("unknown", notes=(f"{NO_DATA}：{fact.name_zh}",))
        days = (case.call.started_at.astimezone(CHINA).date() - day).days
        if days < 0:
            return Outcome("yes", 1.0, (f"{fact.name_zh}在本次通话之后",), met=1)
        note = limit_note(f"距{fact.name_zh}", days, "天", self.at_least, None)
        fits = days >= self.at_least
        return Outcome("yes" if fits else "no", 1.0, (note,), met=int(fits))


_DAY_ZH = {"workday": "工作日", "rest_day": "非工作日", "holiday": "法定节假日"}


@dataclass(frozen=True, slots=True)
class CallTime:
    """The call began in the hours allowed on that kind of day; a kind without hours is banned."""

    workday: tuple[time, time] | None
    rest_day: tuple[time, time] | None
    holiday: tuple[time, time] | None
    calendar: CalendarOverride

    def evaluate(self, case: Case, anchor: Moment | None) -> Outcome:
        """Judge the local time in China."""
        local = case.call.started_at.astimezone(CHINA)
        kind = day_kind(local.date(), self.calendar)
        when = f"{local:%Y-%m-%d %H:%M}"
        if kind is None:
            return Outcome("unknown", notes=(f"{NO_DATA}：{local.year} 年的节假日安排未知，无法判断{when}",))
        hours = {"workday": self.workday, "rest_day": self.rest_day, "holiday": self.holiday}[kind]
        if hours is None:
            return Outcome("no", 1.0, (f"呼出时间 {when} 为{_DAY_ZH[kind]}，禁止呼出",))
        fits = hours[0] <= local.time().replace(microsecond=0) <= hours[1]
        allowed = f"规则值 {hours[0]:%H:%M}–{hours[1]:%H:%M}"
        note = f"呼出时间 {when}（{_DAY_ZH[kind]}），{'在' if fits else '不在'}允许时段内（{allowed}）"
        return Outcome("yes" if fits else "no", 1.0, (note,), met=int(fits))
