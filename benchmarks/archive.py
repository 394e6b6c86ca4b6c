"""What stored calls weigh, how fast they are committed and compacted, and how long a night takes to plan.

Table of contents: `archive_costs`, `fingerprint_rate`.
"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.judging import five_minute_calls
from pipeline.judging.calendar_cn import CHINA
from pipeline.judging.engine import judge
from pipeline.judging.rulebook import load_rulebook
from pipeline.records import Word
from pipeline.results.entries import ScoredCall
from pipeline.results.store import Store

BATCH = 32


def archive_costs(folder: Path, calls: int = 1_600) -> dict[str, Any]:
    """Commit different five-minute calls in batches, plan over them, compact them.

    Parameters
    ----------
    folder : Path
        Empty.
    calls : int

    Returns
    -------
    dict
        Stored bytes and files a call before and after compaction, seconds of each step.
    """
    rulebook = load_rulebook()
    now = datetime(2026, 3, 2, tzinfo=UTC)
    day = datetime(2026, 3, 1, 10, 0, tzinfo=CHINA)
    made = []
    for hearing, call in five_minute_calls(calls):
        turns = tuple(
            replace(turn, words=tuple(_words(turn.text, turn.start_s, turn.end_s))) for turn in hearing.turns
        )
        heard = replace(hearing, turns=turns)
        made.append((heard, call, judge(heard, call, rulebook)))
    store = Store.open(folder / "results", write=True)
    commit_s = commit_cpu_s = 0.0
    for start in range(0, calls, BATCH):
        batch = []
        for number in range(start, min(start + BATCH, calls)):
            hearing, call, judgement = made[number]
            named = replace(call, call_id=f"{number:08d}", started_at=day)
            batch.append(
                ScoredCall(named, hearing, judgement, f"/r/{number}", now, recording_size_bytes=4_800_000)
            )
        began_s, began_cpu_s = time.monotonic(), time.process_time()
        store.commit(batch)
        commit_s += time.monotonic() - began_s
        commit_cpu_s += time.process_time() - began_cpu_s
    before = _size(folder)
    fresh = Store.open(folder / "results", write=True)
    began_s = time.monotonic()
    known = fresh.scored_fingerprints(f"{number:08d}" for number in range(calls))
    plan_small_s = time.monotonic() - began_s
    began_s = time.monotonic()
    fresh.set_aside_damaged({day.date().isoformat()})
    check_s = time.monotonic() - began_s
    began_s = time.monotonic()
    list(fresh.compact())
    compact_s = time.monotonic() - began_s
    after = _size(folder)
    fresh = Store.open(folder / "results", write=True)
    began_s = time.monotonic()
    fresh.scored_fingerprints(f"{number:08d}" for number in range(calls))
    plan_compacted_s = time.monotonic() - began_s
    return {
        "fingerprints_a_s": fingerprint_rate(folder / "fingerprints"),
        "calls": len(known),
        "commit_s": commit_s,
        "commit_cpu_s": commit_cpu_s,
        "bytes_a_call": [before[0] / calls, after[0] / calls],
        "files": [before[1], after[1]],
        "compact_s": compact_s,
        "check_s": check_s,
        "plan_s": [plan_small_s, plan_compacted_s],
    }


def fingerprint_rate(folder: Path, rows: int = 1_000_000, wanted: int = 20_000) -> float:
    """Stored calls looked through a second when a night asks which of its calls are scored already.

    Parameters
    ----------
    folder : Path
        Empty.
    rows, wanted : int
        Stored calls, all different; calls of the night, none of them stored.
    """
    import hashlib

    import pyarrow as pa

    from pipeline.results.known import fingerprints
    from pipeline.results.parquet import encode
    from pipeline.results.schemas import schema_of
    from pipeline.results.storage import DataFile

    digests = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(rows)]
    values = {
        "call_id": [f"20260301-{number:08d}" for number in range(rows)],
        "version": [1] * rows,
        "recording_sha256": digests,
        "recording_size_bytes": list(range(rows)),
        "recording_stamp": [f"mtime:{number}" for number in range(rows)],
        "call_record_sha256": digests[::-1],
    }
    schema = schema_of("hearings")
    table = pa.table(
        [
            pa.array(values[field.name], field.type) if field.name in values else pa.nulls(rows, field.type)
            for field in schema
        ],
        schema=schema,
    )
    files = []
    for number, day in enumerate(("2026-02-28", "2026-03-01")):
        path = folder / "hearings" / f"call_date={day}" / "part.parquet"
        path.parent.mkdir(parents=True)
        part = table.slice(number * rows // 2, rows // 2)
        path.write_bytes(encode(part, row_group_rows=20_000))
        files.append(DataFile(day, str(path)))
    ids = {f"20260302-{number:08d}" for number in range(wanted)}
    began_s = time.monotonic()
    fingerprints(files, ids, None)
    return rows / (time.monotonic() - began_s)


def _words(text: str, start_s: float, end_s: float) -> list[Word]:
    """A time for every two characters, spread evenly."""
    step_s = (end_s - start_s) / max(1, len(text))
    return [
        Word(text[at : at + 2], round(start_s + at * step_s, 2), round(start_s + (at + 2) * step_s, 2), 0.9)
        for at in range(0, len(text), 2)
    ]


def _size(folder: Path) -> tuple[int, int]:
    sizes = [path.stat().st_size for path in folder.rglob("*.parquet")]
    return sum(sizes), len(sizes)
