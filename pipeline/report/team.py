"""A team over some days: pass rates with intervals, trends, worst rules, coverage. No words of calls.

Conventions
-----------
A *pass rate* is passes over passes and fails; what does not apply and what is left to a person is
outside of it and stands beside it. Intervals are Wilson's at 95 %. Days are the calls' local dates.

Table of contents: `Rate`, `Group`, `RuleRow`, `DayRow`, `CallRow`, `TeamFacts`, `gather_days`,
`page_of_days`.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pipeline.disputes.agreement import wilson
from pipeline.disputes.effective import effective_scores
from pipeline.errors import AccessRefusedError, ConfigError, InputError
from pipeline.judging.calendar_cn import CHINA
from pipeline.results.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.settings import Settings

TEAM_COLUMNS = ("team", "班组", "team_id")
"""Columns of the call records, beside the known ones, that name an agent's team."""
SHOWN_CALLS = 20
_SCORES = ("call_id", "agent_id", "agent_name", "score", "grade", "fatal", "duration_s", "direction")
_VERDICTS = ("call_id", "rule_id", "name_zh", "clause", "severity", "verdict")


@dataclass(slots=True)
class Rate:
    """Counts of verdicts."""

    counts: Counter[str] = field(default_factory=Counter)

    @property
    def due(self) -> int:
        """Verdicts that were settled by the machine: passes and fails."""
        return self.counts["pass"] + self.counts["fail"]

    @property
    def share(self) -> float | None:
        """Pass rate in [0, 1]; None when nothing was settled."""
        return self.counts["pass"] / self.due if self.due else None

    @property
    def band(self) -> tuple[float, float] | None:
        """Wilson's interval of the pass rate."""
        return wilson(self.counts["pass"], self.due)

    @property
    def uncertain_share(self) -> float | None:
        """Share of what was due that is left to a person."""
        asked = self.due + self.counts["uncertain"]
        return self.counts["uncertain"] / asked if asked else None


@dataclass(slots=True)
class Group:
    """Calls of one agent, team or kind."""

    name: str
    calls: int = 0
    scores: list[float] = field(default_factory=list)
    fatal: int = 0
    rate: Rate = field(default_factory=Rate)
    fails: Counter[str] = field(default_factory=Counter)

    @property
    def mean(self) -> float | None:
        """Mean score."""
        return sum(self.scores) / len(self.scores) if self.scores else None

    @property
    def worst(self) -> list[tuple[str, int]]:
        """Rules that failed most often."""
        return sorted(self.fails.items(), key=lambda item: (-item[1], item[0]))[:3]


@dataclass(slots=True)
class RuleRow:
    """One rule over the days, and over as many days before them."""

    rule_id: str
    name_zh: str
    clause: str
    severity: str
    rate: Rate = field(default_factory=Rate)
    before: Rate = field(default_factory=Rate)
    failed_calls: list[str] = field(default_factory=list)

    @property
    def change(self) -> float | None:
        """Change of the pass rate against the days before, in percentage points."""
        if self.rate.share is None or self.before.share is None:
            return None
        return 100 * (self.rate.share - self.before.share)


@dataclass(frozen=True, slots=True)
class DayRow:
    """One day."""

    day: str
    calls: int
    mean: float | None
    fatal: int
    share: float | None
    quarantined: int


@dataclass(frozen=True, slots=True)
class CallRow:
    """One call, for the list of the worst."""

    call_id: str
    agent: str
    day: str
    score: float
    grade: str
    fatal: bool
    fails: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TeamFacts:
    """All that the page tells."""

    first: date
    last: date
    everyone: Group
    agents: tuple[Group, ...]
    teams: tuple[Group, ...]
    rules: tuple[RuleRow, ...]
    days: tuple[DayRow, ...]
    worst_calls: tuple[CallRow, ...]
    quarantine: tuple[tuple[str, int], ...]
    quarantined: int
    grades: tuple[tuple[str, int], ...]
    reviewed: int
    changed: int | None
    hours: float
    names: dict[str, str]

    @property
    def coverage(self) -> float | None:
        """Scored calls over scored calls and those that wait in quarantine."""
        total = self.everyone.calls + self.quarantined
        return self.everyone.calls / total if total else None


def page_of_days(settings: Settings, first: str, last: str) -> str:
    """Make the page about the calls of some days.

    Parameters
    ----------
    settings : Settings
        With ``results``.
    first, last : str
        Local dates like ``2026-03-01``, both included.

    Raises
    ------
    InputError
        A date is none, they stand in the wrong order, or no call was scored in them.
    """
    from pipeline.report.page import render

    if settings.results is None:
        raise ConfigError("setting results is empty; give --results, or set it in zhijian.toml")
    start, end = _day(first), _day(last)
    if end < start:
        raise InputError(f"{first}..{last}: the last day is before the first; write them the other way round")
    facts = gather_days(Store.open(settings.results), start, end, current=settings.rulebook)
    title = f"团队质检报告 {first}" + (f" 至 {last}" if last != first else "")
    return render(
        "team.html.j2",
        title=title,
        facts=facts,
        trend=_trend(facts.days),
        made_at=f"{datetime.now(UTC).astimezone(CHINA):%Y-%m-%d %H:%M}",
    )


def gather_days(store: Store, first: date, last: date, *, current: Path | None = None) -> TeamFacts:
    """Count the calls of some days, one day in memory at a time.

    Parameters
    ----------
    store : Store
    first, last : date
    current : Path, optional
        Folder of the rulebook in use, for effective scores.
    """
    stored = [day for day in store.dates() if day is not None]
    days = [day for day in stored if first.isoformat() <= day <= last.isoformat()]
    length = (last - first).days + 1
    earlier = [
        day for day in stored if (first - timedelta(days=length)).isoformat() <= day < first.isoformat()
    ]
    held = [
        row
        for row in store.quarantined().values()
        if row.call_date is not None and first <= row.call_date <= last
    ]
    if not days and not held:
        raise InputError(f"{store.place}: no call of {first} to {last}; `zhijian show --results …` lists all")
    everyone = Group("全部")
    agents: dict[str, Group] = {}
    teams: dict[str, Group] = {}
    rules: dict[str, RuleRow] = {}
    rows: list[DayRow] = []
    calls: list[CallRow] = []
    grades: Counter[str] = Counter()
    hours = 0.0
    for day in days:
        scores = store.read("scores", columns=_SCORES, dates=[day]).to_pylist()
        named = _teams(store, day)
        verdicts = store.read("verdicts", columns=_VERDICTS, dates=[day])
        settled, failed = _count(verdicts, rules)
        today = Group(day)
        for row in scores:
            call_id = row["call_id"]
            agent = str(row["agent_id"] or "（未知）")
            name = f"{row['agent_name']}（{agent}）" if row["agent_name"] else agent
            groups = [everyone, today, agents.setdefault(agent, Group(name))]
            if call_id in named:
                groups.append(teams.setdefault(named[call_id], Group(named[call_id])))
            for group in groups:
                group.calls += 1
                group.fatal += bool(row["fatal"])
                group.rate.counts.update(settled.get(call_id, {}))
                group.fails.update(failed.get(call_id, ()))
                if row["score"] is not None:
                    group.scores.append(row["score"])
            hours += row["duration_s"] / 3600
            grades[row["grade"]] += 1
            if row["score"] is not None:
                calls.append(
                    CallRow(
                        call_id, name, day, row["score"], row["grade"], bool(row["fatal"]),
                        tuple(failed.get(call_id, ())),
                    )
                )  # fmt: skip
        calls = sorted(calls, key=lambda call: (call.score, call.call_id))[:SHOWN_CALLS]
        waiting = sum(row.call_date is not None and row.call_date.isoformat() == day for row in held)
        rows.append(DayRow(day, today.calls, today.mean, today.fatal, today.rate.share, waiting))
    for day in earlier:
        before = store.read("verdicts", columns=("rule_id", "verdict"), dates=[day])
        for rule_id, verdict, count in _grouped(before, ("rule_id", "verdict")):
            if rule_id in rules:
                rules[rule_id].before.counts[verdict] += count
    reviewed = _reviewed(store, first, last, current)
    return TeamFacts(
        first=first,
        last=last,
        everyone=everyone,
        agents=_worst_first(agents.values()),
        teams=_worst_first(teams.values()),
        rules=tuple(sorted(rules.values(), key=_rule_order)),
        days=tuple(rows),
        worst_calls=tuple(calls),
        quarantine=tuple(Counter(row.kind for row in held).most_common()),
        quarantined=len(held),
        grades=tuple(sorted(grades.items())),
        reviewed=reviewed[0],
        changed=reviewed[1],
        hours=hours,
        names={rule.rule_id: rule.name_zh for rule in rules.values()},
    )


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InputError(f"{text!r} is no date; expected one like 2026-03-10") from None


def _count(verdicts: Any, rules: dict[str, RuleRow]) -> tuple[dict[str, Counter[str]], dict[str, list[str]]]:
    """Add a day's verdicts to the rules; give each call's counts, and the rules it failed."""
    settled: dict[str, Counter[str]] = defaultdict(Counter)
    failed: dict[str, list[str]] = defaultdict(list)
    columns = [verdicts[name].to_pylist() for name in _VERDICTS]
    for call_id, rule_id, name_zh, clause, severity, verdict in zip(*columns, strict=True):
        rule = rules.get(rule_id)
        if rule is None:
            rule = rules[rule_id] = RuleRow(rule_id, name_zh, clause, severity)
        rule.rate.counts[verdict] += 1
        if verdict != "not_applicable":
            settled[call_id][verdict] += 1
        if verdict == "fail":
            failed[call_id].append(rule_id)
            if len(rule.failed_calls) < 3:
                rule.failed_calls.append(call_id)
    return settled, failed


def _grouped(table: Any, by: Sequence[str]) -> Iterable[tuple[Any, ...]]:
    counted = table.group_by(list(by)).aggregate([([], "count_all")])
    return zip(*(counted[name].to_pylist() for name in (*by, "count_all")), strict=True)


def _teams(store: Store, day: str) -> dict[str, str]:
    """Team of each call of a day, where the call records name one."""
    try:
        table = store.read("hearings", columns=("call_id", "call_record"), dates=[day])
    except AccessRefusedError:  # sealed, and the key is not here: the page does without teams
        return {}
    found: dict[str, str] = {}
    for call_id, text in zip(table["call_id"].to_pylist(), table["call_record"].to_pylist(), strict=True):
        extra = json.loads(text).get("extra") or {}
        team = next((extra[name] for name in TEAM_COLUMNS if extra.get(name)), None)
        if team:
            found[call_id] = str(team)
    return found


def _reviewed(store: Store, first: date, last: date, current: Path | None) -> tuple[int, int | None]:
    """Calls of the days that people reviewed, and those of them whose verdicts they changed."""
    days = {(first + timedelta(days=n)).isoformat() for n in range((last - first).days + 1)}
    table = store.read("reviews", columns=("call_id",), dates=days, latest=False)
    ids = sorted(set(table["call_id"].to_pylist()))
    try:
        return len(ids), sum(each.changed for each in effective_scores(store, ids, current=current))
    except AccessRefusedError:  # what was decided is sealed with the words, that somebody did is not
        return len(ids), None


def _worst_first(groups: Iterable[Group]) -> tuple[Group, ...]:
    return tuple(
        sorted(groups, key=lambda group: (group.mean if group.mean is not None else 101.0, group.name))
    )


def _rule_order(rule: RuleRow) -> tuple[float, str]:
    return (rule.rate.share if rule.rate.share is not None else 2.0, rule.rule_id)


@dataclass(frozen=True, slots=True)
class Trend:
    """Points of two lines over the days: mean score, and pass rate in percent."""

    width: int
    scores: str
    shares: str
    dots: tuple[tuple[float, float, str], ...]
    ticks: tuple[tuple[float, str], ...]


def _trend(days: Sequence[DayRow]) -> Trend | None:
    """Lay out the days; None for a single one, which is no trend."""
    if len(days) < 2:
        return None
    width, left, right = 1000, 48, 20
    dates = [date.fromisoformat(row.day) for row in days]
    per_day = (width - left - right) / (dates[-1] - dates[0]).days

    def place(index: int, value: float) -> tuple[float, float]:
        return round(left + (dates[index] - dates[0]).days * per_day, 1), round(170 - 1.5 * value, 1)

    scores = [(i, row.mean) for i, row in enumerate(days) if row.mean is not None]
    shares = [(i, 100 * row.share) for i, row in enumerate(days) if row.share is not None]
    ticks: list[tuple[float, str]] = []
    for index, row in enumerate(days):
        x = place(index, 0.0)[0]
        if not ticks or x - ticks[-1][0] >= 60:
            ticks.append((x, row.day[5:]))
    return Trend(
        width=width,
        scores=" ".join("{},{}".format(*place(i, value)) for i, value in scores),
        shares=" ".join("{},{}".format(*place(i, value)) for i, value in shares),
        dots=tuple(
            (*place(i, value), f"{days[i].day}：均分 {value:.1f}，{days[i].calls} 通") for i, value in scores
        ),
        ticks=tuple(ticks),
    )
