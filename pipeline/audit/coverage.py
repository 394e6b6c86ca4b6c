"""Whether every recording that was heard was recorded as opened.

A chain shows what was changed in it; this shows what never got in, or went with the whole log.

Table of contents: `Openings`, `read_openings`, `unrecorded`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.audit.log import log_files

if TYPE_CHECKING:
    from pipeline.results.store import Store


@dataclass(frozen=True, slots=True)
class Openings:
    """Recordings that logs say were opened: the calls, and the calls with the run that opened them."""

    calls: frozenset[str]
    by_run: frozenset[tuple[str, str]]


def read_openings(folders: Iterable[Path]) -> Openings:
    """Gather openings of recordings from several logs; broken lines are the matter of `verify_audit`."""
    calls: set[str] = set()
    by_run: set[tuple[str, str]] = set()
    for path in (path for folder in folders for path in log_files(folder)):
        with path.open("rb") as lines:
            for line in lines:
                try:
                    record = json.loads(line)
                    if record["event"] != "open" or record["what"] != "recording":
                        continue
                except (ValueError, KeyError, TypeError, RecursionError):
                    continue
                ids = [record["call_id"]] if "call_id" in record else record.get("call_ids", [])
                calls.update(ids)
                by_run.update((call_id, record.get("why", "")) for call_id in ids)
    return Openings(frozenset(calls), frozenset(by_run))


def unrecorded(store: Store, openings: Openings) -> tuple[int, Sequence[tuple[str, int]]]:
    """Find stored scores that were heard from a recording of which no log says that it was opened.

    Parameters
    ----------
    store : Store
    openings : Openings

    Returns
    -------
    heard : int
        Versions heard from audio by a recorded run.
    missing : sequence of (str, int)
        Call and version, sorted.
    """
    runs = set(store.read("runs", columns=("run_id",))["run_id"].to_pylist())
    rows = store.read("scores", columns=("call_id", "version", "layout", "run_id"), latest=False).to_pylist()
    heard = [row for row in rows if row["layout"] != "transcript" and row["run_id"] in runs]
    missing = [
        (row["call_id"], row["version"])
        for row in heard
        if (row["call_id"], row["run_id"]) not in openings.by_run
    ]
    return len(heard), sorted(missing)
