"""A progress bar where a person watches, silence where a log does."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def progress_over(items: Iterable[T], *, total: int, label: str) -> Iterator[T]:
    """Pass items through and show how many have come, if standard error is a terminal.

    Parameters
    ----------
    items : iterable
    total : int
        How many are expected.
    label : str
        What is being done.

    Yields
    ------
    object
        The items, unchanged.
    """
    if not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield from bar.track(items, total=total, description=label)
