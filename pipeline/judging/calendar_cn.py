"""What kind of day a date is in mainland China: workday, rest day or statutory holiday (法定节假日).

Conventions
-----------
The State Council's yearly notice (国务院办公厅节假日安排) comes with the ``chinesecalendar`` package.
The statutory days themselves (《全国年节及纪念日放假办法》) are banned for outbound calls; days off
that were swapped in (调休) and ordinary weekends inside a long holiday are rest days; weekends that
are worked (调休上班) are workdays. An override file adds to or corrects all of this. A year that
neither knows is None, never a guess.

Table of contents: `DayKind`, `CalendarOverride`, `day_kind`, `CHINA`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

DayKind = Literal["workday", "rest_day", "holiday"]
DAY_KINDS: tuple[DayKind, ...] = ("workday", "rest_day", "holiday")
CHINA = ZoneInfo("Asia/Shanghai")
_SATURDAY = 5


@dataclass(frozen=True, slots=True)
class CalendarOverride:
    """What the file ``holidays.toml`` adds.

    Attributes
    ----------
    days : mapping of date to DayKind
        Single days that are different from, or unknown to, the package.
    statutory : frozenset of date
        The statutory days themselves; they settle which weekend days of a long holiday are banned.
    years : frozenset of int
        Years for which this file is complete, so that every other day follows its weekday.
    """

    days: Mapping[date, DayKind] = field(default_factory=dict)
    statutory: frozenset[date] = frozenset()
    years: frozenset[int] = frozenset()

    def __hash__(self) -> int:
        return hash((tuple(sorted(self.days.items())), self.statutory, self.years))


@lru_cache(maxsize=4096)
def day_kind(day: date, override: CalendarOverride) -> DayKind | None:
    """Kind of a day, or None when nobody knows that year's arrangement.

    Examples
    --------
    >>> day_kind(date(2026, 10, 10), CalendarOverride())    # a Saturday that is worked (调休)
    'workday'
    >>> day_kind(date(2026, 10, 6), CalendarOverride())     # a day off swapped in
    'rest_day'
    >>> day_kind(date(2026, 10, 1), CalendarOverride())
    'holiday'
    >>> day_kind(date(2031, 3, 3), CalendarOverride()) is None
    True
    """
    if day in override.days:
        return override.days[day]
    complete = day.year in override.years
    if not (complete or _known_year(day.year)):
        return None
    if day in override.statutory:
        return "holiday"
    weekend = day.weekday() >= _SATURDAY
    ordinary: DayKind = "rest_day" if weekend else "workday"
    return ordinary if complete else _arranged(day, weekend=weekend) or ordinary


def _arranged(day: date, *, weekend: bool) -> DayKind | None:
    """Return what the yearly notice says about a day; None when it says nothing."""
    from chinese_calendar import constants  # a table of twenty years, needed rarely

    if day in constants.workdays:
        return "workday"
    if day not in constants.holidays:
        return None
    # A weekday off that was not swapped in is the statutory day or its substitute (补假).
    return "rest_day" if weekend or day in constants.in_lieu_days else "holiday"


@lru_cache(maxsize=64)
def _known_year(year: int) -> bool:
    from chinese_calendar import constants

    return bool(min(constants.holidays).year <= year <= max(constants.holidays).year)
