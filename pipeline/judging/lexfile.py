"""Reading TOML lexicons so that every problem is named at once, with file and line.

Table of contents: `LexiconFile`, `lexicon_folder`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import RulebookError
from pipeline.judging.tomlpos import line_index, line_of

Key = tuple[str | int, ...]


def lexicon_folder() -> Path:
    """Folder of the lexicons that ship with zhijian."""
    return Path(__file__).resolve().parents[2] / "lexicons"


class LexiconFile:
    """One TOML lexicon, its values checked as they are taken, problems collected.

    Parameters
    ----------
    path : Path
        The file; it must exist and be TOML, else `RulebookError` at once.

    Notes
    -----
    Take values with `number`, `texts`, `pairs`, …; call `finish` at the end: it raises one
    `RulebookError` with all problems. A value that is wrong is replaced by a harmless one so that
    reading can go on and find the next problem.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            source = path.read_text(encoding="utf-8-sig")
            self.data: dict[str, Any] = tomllib.loads(source)
        except FileNotFoundError as error:
            raise RulebookError(f"{path}: file is missing; restore it from the distribution") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise RulebookError(f"{path}: not valid TOML in UTF-8: {error}") from error
        self.lines = line_index(source)
        self.problems: list[str] = []
        if self.data.get("schema") != 1:
            self.problem(("schema",), f"schema {self.data.get('schema')!r} is unknown; expected 1")

    def problem(self, key: Key, message: str) -> None:
        """Note a problem at the line of ``key``."""
        self.problems.append(f"{self.path.name}:{line_of(self.lines, key)}: {message}")

    def finish(self) -> None:
        """Raise `RulebookError` with all problems noted so far, if any."""
        if self.problems:
            raise RulebookError("\n".join(self.problems))

    def raw(self, key: Key) -> Any:
        """Value at ``key`` or None; Any, because TOML decides the type and the caller checks it."""
        value: Any = self.data
        for part in key:
            if isinstance(part, int):
                if not isinstance(value, list) or part >= len(value):
                    return None
                value = value[part]
            else:
                if not isinstance(value, Mapping):
                    return None
                value = value.get(part)
        return value

    def number(self, key: Key, low: float, high: float) -> float:
        """Take a number in [low, high]."""
        value = self.raw(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            self.problem(key, f"{_name(key)} is {value!r}; expected a number from {low:g} to {high:g}")
            return low
        return float(value)

    def text(self, key: Key) -> str:
        """Take a string that is not empty."""
        value = self.raw(key)
        if not isinstance(value, str) or not value:
            self.problem(key, f"{_name(key)} is {value!r}; expected a text")
            return ""
        return value

    def texts(self, key: Key) -> tuple[str, ...]:
        """Take a list of strings that are not empty."""
        value = self.raw(key)
        if not isinstance(value, list):
            self.problem(key, f"{_name(key)} is {value!r}; expected a list of texts")
            return ()
        for index, item in enumerate(value):
            if not isinstance(item, str) or not item:
                self.problem((*key, index), f"{item!r} in {_name(key)}; expected a text")
        return tuple(item for item in value if isinstance(item, str) and item)

    def pairs(self, key: Key) -> tuple[tuple[str, str], ...]:
        """Take a list of two-string lists."""
        value = self.raw(key)
        if not isinstance(value, list):
            self.problem(key, f"{_name(key)} is {value!r}; expected a list of pairs of texts")
            return ()
        found: list[tuple[str, str]] = []
        for index, item in enumerate(value):
            match item:
                case [str() as first, str() as second] if first != second:
                    found.append((first, second))
                case _:
                    self.problem(
                        (*key, index), f"{item!r} in {_name(key)}; expected a pair of texts that differ"
                    )
        return tuple(found)

    def tables(self, name: str) -> Iterator[Key]:
        """Keys of the elements of the array of tables ``name``."""
        value = self.data.get(name, [])
        if not isinstance(value, list):
            self.problem((name,), f"{name} must be an array of tables: write [[{name}]]")
            return
        for index in range(len(value)):
            yield (name, index)


def _name(key: Key) -> str:
    return ".".join(str(part) for part in key)
