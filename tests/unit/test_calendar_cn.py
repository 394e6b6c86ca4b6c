"""Workdays, rest days and statutory holidays, against the notices of the State Council."""

from __future__ import annotations

from datetime import date, timedelta
from types import MappingProxyType

import pytest

from pipeline.judging.calendar_cn import CalendarOverride, day_kind
from pipeline.judging.conditions_facts import CallTime
from pipeline.judging.rulebook import load_rulebook


@pytest.fixture(scope="module")
def shipped() -> CalendarOverride:
    rule = load_rulebook().rule("outbound.time_window")
    assert isinstance(rule.require, CallTime)
    return rule.require.calendar


@pytest.mark.parametrize(
    ("day", "kind"),
    [
        ("2026-03-10", "workday"),
        ("2026-03-14", "rest_day"),
        ("2026-10-10", "workday"),  # Saturday, worked for the National Day break
        ("2026-02-14", "workday"),  # Saturday, worked for the Spring Festival
        ("2026-10-01", "holiday"),
        ("2026-10-03", "holiday"),  # a Saturday, and statutory
        ("2026-10-04", "rest_day"),  # an ordinary Sunday inside the break
        ("2026-10-06", "rest_day"),  # a Tuesday off, swapped in
        ("2026-02-16", "holiday"),  # New Year's Eve, statutory since 2025
        ("2026-02-15", "rest_day"),
        ("2026-04-05", "holiday"),  # a Sunday, and statutory
        ("2026-04-06", "holiday"),  # its substitute on Monday (补假)
        ("2026-05-02", "holiday"),  # a Saturday, statutory since 2025
        ("2026-09-25", "holiday"),
        ("2026-09-26", "rest_day"),
        ("2025-10-06", "holiday"),  # the Mid-Autumn day inside the National Day break
        ("2025-10-07", "rest_day"),
        ("2024-02-09", "workday"),  # New Year's Eve was no day off in 2024
    ],
)
def test_days(day: str, kind: str, shipped: CalendarOverride) -> None:
    assert day_kind(date.fromisoformat(day), shipped) == kind


def test_a_year_that_nobody_has_announced_is_unknown(shipped: CalendarOverride) -> None:
    assert day_kind(date(2033, 1, 1), shipped) is None
    assert day_kind(date(1999, 1, 1), shipped) is None


def test_an_override_wins_and_a_complete_year_needs_no_package() -> None:
    told = CalendarOverride(
        MappingProxyType({date(2033, 1, 3): "workday", date(2026, 3, 10): "rest_day"}),
        frozenset({date(2033, 1, 1)}),
        frozenset({2033}),
    )
    assert day_kind(date(2033, 1, 1), told) == "holiday"
    assert day_kind(date(2033, 1, 2), told) == "rest_day"
    assert day_kind(date(2033, 1, 3), told) == "workday"
    assert day_kind(date(2033, 1, 4), told) == "workday"
    assert day_kind(date(2026, 3, 10), told) == "rest_day"
    assert day_kind(date(2034, 1, 4), told) is None


def test_statutory_days_that_ship_are_days_off_in_the_package(shipped: CalendarOverride) -> None:
    from chinese_calendar import is_holiday

    assert len(shipped.statutory) > 60
    for day in shipped.statutory:
        assert is_holiday(day), day


def test_every_weekday_off_that_was_not_swapped_in_is_banned(shipped: CalendarOverride) -> None:
    from chinese_calendar import is_holiday, is_in_lieu

    day = date(2022, 1, 1)
    while day.year < 2027:
        if day.weekday() < 5 and is_holiday(day) and not is_in_lieu(day):
            assert day_kind(day, shipped) == "holiday", day
        day += timedelta(days=1)
