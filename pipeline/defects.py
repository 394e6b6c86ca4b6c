"""Unexpected errors, told without their own words: an exception's text may quote what a customer said.

Table of contents: `DefectError`, `frames_only`, `without_words`.
"""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from pipeline.errors import TerminalError, ZhijianError

P = ParamSpec("P")
R = TypeVar("R")


class DefectError(TerminalError):
    """Something happened that the code did not expect; the message names types and places only."""

    kind = "internal_error"


def frames_only(error: BaseException) -> str:
    """Write a traceback without the exceptions' texts: files, lines, functions and types.

    Examples
    --------
    >>> try:
    ...     int("what was said")
    ... except ValueError as error:
    ...     told = frames_only(error)
    >>> "ValueError" in told, "what was said" in told.splitlines()[-1]
    (True, False)
    """
    parts: list[str] = []
    seen: BaseException | None = error
    while seen is not None:
        frames = "".join(traceback.format_tb(seen.__traceback__))
        parts.append(f"{frames}{type(seen).__name__} (its text is left out: it may quote a call)\n")
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return "caused by\n".join(reversed(parts))


def without_words(function: Callable[P, R]) -> Callable[P, R]:
    """Let no exception of a function carry words outside, as into a scheduler's log or database.

    Errors of the project's own kinds pass with their message, which holds none, and without their causes; any
    other becomes a `DefectError` with types and places.
    """

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except ZhijianError as error:
            raise error from None
        except Exception as error:  # noqa: BLE001 - whatever it is, its text stays here
            told = frames_only(error)
        raise DefectError(f"a defect of zhijian, please report it with these lines:\n{told}")

    return guarded
