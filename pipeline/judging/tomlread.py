"""Reading rulebook files so that every problem is found at once, with file and line.

Table of contents: `Problem`, `Source`, `Fields`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from math import isfinite
from pathlib import Path
from typing import Any

from pipeline.judging.tomlpos import Path as KeyPath
from pipeline.judging.tomlpos import line_index, line_of

_LINE_IN_MESSAGE = "(at line "


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong with a rulebook: where, and what is accepted there."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


@dataclass(slots=True)
class Source:
    """A parsed TOML file that knows its lines and collects its problems."""

    file: str
    data: dict[str, Any] = field(default_factory=dict)
    lines: dict[KeyPath, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    broken: bool = False

    @classmethod
    def read(cls, path: Path, *, name: str) -> Source:
        """Parse one file; a syntax error or unreadable file becomes a problem, not an exception."""
        source = cls(name)
        try:
            text = path.read_text(encoding="utf-8-sig")
            source.data = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            line = _line_in(str(error)) or text.rstrip().count("\n") + 1
            source.problems.append(Problem(name, line, f"not valid TOML: {error}"))
            source.broken = True
        except (OSError, UnicodeDecodeError, RecursionError) as error:
            what = f"cannot be read as UTF-8 TOML: {type(error).__name__}; save it as UTF-8 text"
            source.problems.append(Problem(name, 1, what))
            source.broken = True
        else:
            source.lines = line_index(text)
        return source

    def line(self, path: KeyPath) -> int:
        """Line of a key, or of the nearest table that holds it."""
        return line_of(self.lines, path)

    def complain(self, path: KeyPath, message: str) -> None:
        """Note a problem at the line of ``path``; of a file that was not parsed, nothing more is said."""
        if self.broken:
            return
        self.problems.append(Problem(self.file, self.line(path), message))

    def top(self) -> Fields:
        """Return the whole document as fields."""
        return Fields(self, (), self.data)


def _line_in(message: str) -> int:
    if _LINE_IN_MESSAGE not in message:
        return 0
    digits = message.split(_LINE_IN_MESSAGE)[1].split(",", maxsplit=1)[0].rstrip(")")
    return int(digits) if digits.isdigit() else 0


def listed(values: Iterable[str]) -> str:
    """Accepted values for a message, sorted, separated by commas."""
    return ", ".join(sorted(values))


class Fields:
    """One table of a file; remembers which keys were asked for, so that the rest can be refused."""

    def __init__(self, source: Source, path: KeyPath, data: Mapping[str, Any]) -> None:
        self.source = source
        self.path = path
        self.data = data
        self.used: set[str] = set()

    def complain(self, key: str | None, message: str) -> None:
        """Note a problem at a key of this table, or at the table itself."""
        self.source.complain((*self.path, key) if key else self.path, message)

    def has(self, key: str) -> bool:
        """Whether the key stands here."""
        return key in self.data

    def value(self, key: str) -> Any:
        """Return the raw value, counted as used."""
        self.used.add(key)
        return self.data.get(key)

    def text(self, key: str, default: str | None = None) -> str:
        """Return a non-empty string; a missing one is a problem unless there is a default."""
        value = self.value(key)
        if value is None and default is not None:
            return default
        if not isinstance(value, str) or (not value.strip() and default is None):
            found = "nothing" if value is None else repr(value)[:60]
            self.complain(key, f"{key}: expected text in quotes, found {found}")
            return default or ""
        return value

    def choice(self, key: str, accepted: Sequence[str], default: str | None = None) -> str:
        """Return one of the accepted words."""
        value = self.value(key)
        if value is None and default is not None:
            return default
        if value not in accepted:
            found = "missing" if value is None else f"{value!r} is unknown"
            self.complain(key, f"{key} {found}; expected one of: {listed(accepted)}")
            return default or accepted[0]
        return str(value)

    def texts(self, key: str, *, needed: bool = False) -> tuple[str, ...]:
        """Return a string or a list of strings."""
        value = self.value(key)
        if value is None:
            if needed:
                self.complain(None, f"{key} is missing; expected text or a list of texts")
            return ()
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list) or not all(isinstance(item, str) and item for item in items):
            self.complain(key, f"{key}: expected text or a list of texts, found {repr(value)[:60]}")
            return ()
        if needed and not items:
            self.complain(key, f"{key} is empty; expected at least one text")
        return tuple(items)

    def number(
        self,
        key: str,
        default: float | None = None,
        *,
        named: Mapping[str, float] | None = None,
        low: float | None = None,
        high: float | None = None,
    ) -> float:
        """Return a number, or the value of a named threshold of the rule."""
        value = self.value(key)
        if value is None and default is not None:
            return default
        if isinstance(value, str) and named is not None:
            if value in named:
                return named[value]
            known = listed(named) or "none in this rule"
            self.complain(key, f"{key}: threshold {value!r} is not defined; defined are: {known}")
            return default or 0.0
        if not isinstance(value, int | float) or isinstance(value, bool) or not isfinite(value):
            found = "nothing" if value is None else repr(value)[:60]
            what = "a number or the name of a threshold" if named is not None else "a number"
            self.complain(key, f"{key}: expected {what}, found {found}")
            return default or 0.0
        if (low is not None and value < low) or (high is not None and value > high):
            bounds = [f"at least {low:g}"] if low is not None else []
            bounds += [f"at most {high:g}"] if high is not None else []
            self.complain(key, f"{key}: {value:g} is out of range; expected {' and '.join(bounds)}")
            return default if default is not None else (low or 0.0)
        return float(value)

    def maybe_number(self, key: str, *, named: Mapping[str, float] | None = None) -> float | None:
        """Return a number or None when the key is absent."""
        return self.number(key, named=named) if self.has(key) else None

    def flag(self, key: str, *, default: bool = False) -> bool:
        """Return true or false."""
        value = self.value(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.complain(key, f"{key}: expected true or false, found {repr(value)[:60]}")
            return default
        return value

    def day(self, key: str) -> date | None:
        """Return a date (2026-01-31, without quotes) or None when absent."""
        value = self.value(key)
        if value is None or (isinstance(value, date) and not hasattr(value, "hour")):
            return value
        self.complain(key, f"{key}: expected a date like 2026-01-31 without quotes, found {repr(value)[:60]}")
        return None

    def table(self, key: str) -> Fields:
        """Return a nested table; an absent one is empty."""
        value = self.value(key)
        if value is not None and not isinstance(value, dict):
            self.complain(key, f"{key}: expected a table, found {repr(value)[:60]}")
            value = None
        return Fields(self.source, (*self.path, key), value or {})

    def tables(self, key: str, *, needed: bool = False) -> list[Fields]:
        """Return a list of tables."""
        value = self.value(key)
        if value is None and not needed:
            return []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            found = "nothing" if value is None else repr(value)[:60]
            self.complain(key, f"{key}: expected a list of tables, found {found}")
            return []
        return [Fields(self.source, (*self.path, key, place), item) for place, item in enumerate(value)]

    def finish(self) -> None:
        """Refuse every key that nobody asked for."""
        for key in self.data:
            if key not in self.used:
                self.complain(key, f"key {key!r} is unknown here; expected one of: {listed(self.used)}")
