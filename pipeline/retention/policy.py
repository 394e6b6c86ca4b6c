"""How long a call is kept: classes of calls, read from ``lexicons/retention.toml``.

Table of contents: `RetentionClass`, `Policy`, `Keeping`, `load_policy`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from pipeline.checkedtoml import read_checked
from pipeline.records import CallRecord

_SHIPPED = Path(__file__).resolve().parents[2] / "lexicons" / "retention.toml"
MIN_YEARS = 3


@dataclass(frozen=True, slots=True)
class RetentionClass:
    """Calls that are kept for ``years`` from their ``anchor``.

    Attributes
    ----------
    when : mapping of str to tuple of str
        Columns of the call record and values of which one must match; ``*`` is any value. Empty: every call.
    """

    id: str
    name_zh: str
    years: int
    anchor: str
    when: Mapping[str, tuple[str, ...]]

    def holds_for(self, call: CallRecord) -> bool:
        """Whether the call is of this class; one matching column is enough."""
        if not self.when:
            return True
        return any(
            (value := _value(call, name)) and ("*" in wanted or value in wanted)
            for name, wanted in self.when.items()
        )


@dataclass(frozen=True, slots=True)
class Keeping:
    """How long one call is kept, and why; ``until`` is None when an anchor date is unknown."""

    class_id: str
    until: date | None


@dataclass(frozen=True, slots=True)
class Policy:
    """All classes, and how long Prefect's own records are kept."""

    version: str
    classes: tuple[RetentionClass, ...]
    prefect_days: int

    def keeping(self, call: CallRecord) -> Keeping:
        """Give the longest period that a class asks for.

        Examples
        --------
        >>> from datetime import datetime
        >>> call = CallRecord("c", "inbound", datetime.fromisoformat("2024-02-29T10:00:00+08:00"))
        >>> load_policy().keeping(call)
        Keeping(class_id='ordinary', until=datetime.date(2027, 3, 1))
        """
        longest: Keeping | None = None
        for kind in self.classes:
            if not kind.holds_for(call):
                continue
            anchor = _date(call, kind.anchor)
            if anchor is None:
                return Keeping(kind.id, None)
            until = _later(anchor, kind.years)
            if longest is None or longest.until is None or until > longest.until:
                longest = Keeping(kind.id, until)
        return longest or Keeping("none", None)


def load_policy(path: Path | None = None) -> Policy:
    """Read and check the file.

    Raises
    ------
    ConfigError
        Listing every problem.
    """
    place = path or _SHIPPED
    data = read_checked(place, _problems)
    classes = tuple(
        RetentionClass(
            entry["id"],
            entry["name_zh"],
            entry["years"],
            entry["anchor"],
            {name: tuple(values) for name, values in entry.get("when", {}).items()},
        )
        for entry in data["class"]
    )
    return Policy(data["version"], classes, data["prefect"]["days"])


def _problems(data: Mapping[str, Any]) -> list[str]:
    found = [] if data.get("schema") == 1 else [f"schema is {data.get('schema')!r}, expected 1"]
    if not isinstance(data.get("version"), str):
        found.append("version is missing, expected a text")
    classes = data.get("class", [])
    for number, entry in enumerate(classes, 1):
        where = f"class {number} ({entry.get('id', '?')})"
        found += [
            f"{where}: {n} is missing" for n in ("id", "name_zh", "anchor", "source") if not entry.get(n)
        ]
        years = entry.get("years")
        if not isinstance(years, int) or not MIN_YEARS <= years <= 100:
            found.append(f"{where}: years is {years!r}, expected {MIN_YEARS} to 100 (clause 一(二)2)")
    if not any(not entry.get("when") for entry in classes):
        found.append("no class holds for every call; one without `when` is needed")
    days = data.get("prefect", {}).get("days")
    if not isinstance(days, int) or days < 1:
        found.append(f"prefect.days is {days!r}, expected a whole number from 1")
    return found


def _value(call: CallRecord, name: str) -> str:
    if name in CallRecord.__dataclass_fields__ and name != "extra":
        value = getattr(call, name)
        return "" if value is None else str(value)
    return call.extra.get(name, "").strip()


def _date(call: CallRecord, name: str) -> date | None:
    if name == "started_at":
        return call.started_at.date()
    try:
        return datetime.fromisoformat(_value(call, name)).date()
    except ValueError:
        return None


def _later(day: date, years: int) -> date:
    try:
        return day.replace(year=day.year + years)
    except ValueError:  # 29 February
        return date(day.year + years, 3, 1)
