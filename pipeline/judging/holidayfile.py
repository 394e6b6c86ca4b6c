"""Reading a rulebook's ``holidays.toml``: what it adds to `pipeline.judging.calendar_cn`.

Table of contents: `read_holidays`.
"""

from __future__ import annotations

from datetime import date
from types import MappingProxyType

from pipeline.judging.calendar_cn import DAY_KINDS, CalendarOverride, DayKind
from pipeline.judging.lexicon import check_schema
from pipeline.judging.tomlread import Fields, Source


def read_holidays(source: Source) -> CalendarOverride:
    """Read ``holidays.toml``; what is wrong goes to the source's problems."""
    fields = source.top()
    check_schema(fields)
    kinds: dict[date, DayKind] = {}
    for kind in DAY_KINDS:
        for place, day in enumerate(_days(fields, kind)):
            if day in kinds:
                fields.source.complain((kind, place), f"{day} is listed twice")
            kinds[day] = kind
    statutory = _days(fields, "statutory")
    years = fields.value("complete_years") or []
    if not isinstance(years, list) or not all(isinstance(year, int) for year in years):
        fields.complain("complete_years", "complete_years: expected a list of years like [2027]")
        years = []
    fields.text("source", "")
    fields.used.add("schema")
    fields.finish()
    return CalendarOverride(MappingProxyType(kinds), frozenset(statutory), frozenset(years))


def _days(fields: Fields, key: str) -> list[date]:
    value = fields.value(key) or []
    if not isinstance(value, list) or not all(isinstance(day, date) for day in value):
        fields.complain(key, f"{key}: expected a list of dates like [2027-01-01]")
        return []
    return list(value)
