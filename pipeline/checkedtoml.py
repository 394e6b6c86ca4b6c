"""A small data file of the project, read and checked: every problem at once."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import ConfigError


def read_checked(path: Path, problems: Callable[[Mapping[str, Any]], Sequence[str]]) -> dict[str, Any]:
    """Read a TOML file that `problems` finds nothing wrong with.

    Parameters
    ----------
    path : Path
    problems : callable
        Takes what the file holds; returns a line for each problem.

    Returns
    -------
    dict of str to any

    Raises
    ------
    ConfigError
        Listing every problem, each with the file's name.

    Examples
    --------
    >>> read_checked(Path("/nowhere.toml"), lambda data: [])
    Traceback (most recent call last):
    ...
    pipeline.errors.ConfigError: /nowhere.toml: cannot be read as TOML: [Errno 2] No such file or directory:
    '/nowhere.toml'
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as TOML: {error}") from None
    found = problems(data)
    if found:
        raise ConfigError("\n".join(f"{path}: {problem}" for problem in found))
    return data
