"""A changed rulebook over a whole archive, shared among processes.

Table of contents: `preview_archive`.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from pipeline.judging.preview import Preview, combined, preview
from pipeline.judging.rulebook import load_rulebook
from pipeline.results.store import Store
from pipeline.results.stored import stored_hearings

_WORTH_A_PROCESS = 200


def preview_archive(
    results: str,
    after: Path,
    *,
    before: Path | None = None,
    dates: Sequence[str] | None = None,
    workers: int = 1,
) -> Preview:
    """Judge the stored calls by two rulebooks and compare; nothing is written.

    Parameters
    ----------
    results : str
    after, before : Path
        Folders of the changed rulebook and of the one to compare with (None: the one that ships).
    dates : sequence of str, optional
        Only calls of these days.
    workers : int
        Processes at most; a small archive is not worth a second one.

    Raises
    ------
    RulebookError
        A rulebook has problems.
    ResultsError
        There is no such results folder.
    """
    books = load_rulebook(before), load_rulebook(after)
    calls = Store.open(results).read("scores", columns=("call_id",), dates=dates).num_rows
    shares = max(1, min(workers, calls // _WORTH_A_PROCESS))
    if shares == 1:
        return preview(stored_hearings(Store.open(results), dates=dates, lazily=True), *books)
    part = partial(_part, results, after=after, before=before, dates=dates, shares=shares)
    with ProcessPoolExecutor(shares, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(part, number=number) for number in range(shares)]
        return combined(future.result() for future in futures)


def _part(
    results: str, *, after: Path, before: Path | None, dates: Sequence[str] | None, shares: int, number: int
) -> Preview:
    calls = stored_hearings(Store.open(results), dates=dates, share=(number, shares), lazily=True)
    return preview(calls, load_rulebook(before), load_rulebook(after))
