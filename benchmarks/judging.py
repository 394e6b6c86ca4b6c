"""How many five-minute calls one core judges in a second, and whether the archive's size matters.

``python -m benchmarks.judging`` prints the figures and rewrites ``docs/performance.md`` (section
"Judging") and ``docs/performance.json``. Calls are stitched from the labelled dialogues, so the text is
varied; every call is a different one, so no cache of whole calls can help.

Table of contents: `five_minute_calls`, `calls_per_s`, `main`.
"""

from __future__ import annotations

import json
import os
import platform
import random
import resource
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.document import write_section
from pipeline.judging.engine import judge
from pipeline.judging.rulebook import load_rulebook
from pipeline.records import CallRecord, Hearing, Turn
from tests.dialogues.loader import load

SEED = 20260301
CALL_S = 300.0
Call = tuple[Hearing, CallRecord]


def five_minute_calls(count: int, *, seed: int = SEED) -> list[Call]:
    """Stitch dialogues of one direction into calls of five minutes.

    Parameters
    ----------
    count : int
        How many calls.
    seed : int

    Returns
    -------
    list of (Hearing, CallRecord)
        Every call has its own order of dialogues and its own times.
    """
    random_ = random.Random(seed)
    dialogues = load("dev")
    pools = {d: [x for x in dialogues if x.call.direction == d] for d in ("inbound", "outbound")}
    calls: list[Call] = []
    for number in range(count):
        direction = "inbound" if number % 2 == 0 else "outbound"
        turns: list[Turn] = []
        at_s = 0.0
        base = random_.choice(pools[direction])
        while at_s < CALL_S:
            piece = random_.choice(pools[direction]) if turns else base
            turns += [replace(t, start_s=t.start_s + at_s, end_s=t.end_s + at_s) for t in piece.hearing.turns]
            at_s = turns[-1].end_s + random_.uniform(0.5, 2.0)
        kept = tuple(t for t in turns if t.start_s < CALL_S)
        hearing = replace(base.hearing, turns=kept, duration_s=max(t.end_s for t in kept), layout="stereo")
        calls.append((hearing, replace(base.call, call_id=f"bench-{number:05d}")))
    return calls


def calls_per_s(calls: Sequence[Call]) -> float:
    """Judge all calls once on this process's CPU time."""
    rulebook = load_rulebook()
    began = time.process_time()
    for hearing, call in calls:
        judge(hearing, call, rulebook)
    return len(calls) / (time.process_time() - began)


def _archive_rates(sizes: Sequence[int], calls: Sequence[Call], probe: int) -> dict[int, float]:
    """Calls read back from the store and judged again a second, for archives of several sizes."""
    from pipeline.results.entries import ScoredCall
    from pipeline.results.store import Store
    from pipeline.results.stored import stored_hearing

    rulebook = load_rulebook()
    judged = [(h, c, judge(h, c, rulebook)) for h, c in calls]
    now = datetime(2026, 3, 2, tzinfo=UTC)
    rates: dict[int, float] = {}
    with tempfile.TemporaryDirectory(prefix="zhijian-bench-") as folder:
        store = Store.open(folder, write=True)
        stored = 0
        for size in sizes:
            while stored < size:
                batch = [
                    ScoredCall(
                        replace(c, call_id=f"{i:06d}"), h, j, f"/rec/{i:06d}", now, recording_size_bytes=1
                    )
                    for i in range(stored, min(size, stored + 250))
                    for h, c, j in (judged[i % len(judged)],)
                ]
                store.commit(batch)
                stored += len(batch)
            chosen = random.Random(SEED).sample(range(size), min(probe, size))
            pairs = [stored_hearing(store, f"{i:06d}") for i in chosen]
            began = time.process_time()
            for hearing, call in pairs:
                judge(hearing, call, rulebook)
            rates[size] = len(chosen) / (time.process_time() - began)
    return rates


def main() -> None:
    """Measure and write the document."""
    calls = five_minute_calls(400)
    chars = statistics.mean(sum(len(t.text) for t in h.turns) for h, _ in calls)
    turns = statistics.mean(len(h.turns) for h, _ in calls)
    calls_per_s(calls[:20])
    rates = sorted(calls_per_s(calls) for _ in range(5))
    median = statistics.median(rates)
    archive = _archive_rates((500, 2000, 8000), calls[:100], 60)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    figures = {
        "calls_per_s": {"min": rates[0], "median": statistics.median(rates), "max": rates[-1]},
        "mean_chars": chars,
        "mean_turns": turns,
        "rules": len(load_rulebook().rules),
        "archive_calls_per_s": archive,
        "peak_mb": peak_mb,
        "cores_visible": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
    }
    lines = [
        "Command: `make bench`. One core, CPU time, full rulebook "
        f"({figures['rules']} rules), {len(calls)} different five-minute calls "
        f"(mean {chars:.0f} characters, {turns:.0f} turns), five passes.",
        "",
        "| | calls a second |",
        "|---|---:|",
        f"| judging alone: median (range) | {median:.0f} ({rates[0]:.0f}–{rates[-1]:.0f}) |",
        *(
            f"| judged again from an archive of {size:,} calls | {rate:.0f} |"
            for size, rate in archive.items()
        ),
        "",
        f"Peak memory of the benchmark: {peak_mb:.0f} MB. The archive does not enter judging; the "
        "spread between the last rows is the noise of the machine.",
    ]
    write_section("performance.md", "judging", "\n".join(lines))
    Path(__file__).parents[1].joinpath("docs", "performance.json").write_text(
        json.dumps({"judging": figures}, indent=2) + "\n", encoding="utf-8"
    )
    print("\n".join(lines))


if __name__ == "__main__":
    main()
