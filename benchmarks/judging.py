"""How many five-minute calls one core judges in a second, and whether the archive's size matters.

``python -m benchmarks.judging`` prints the figures and rewrites ``docs/performance.md`` (section
"Judging") and ``docs/performance.json``. Calls are stitched from the labelled dialogues, so the text is
varied; every call is a different one, so no cache of whole calls can help.

Table of contents: `five_minute_calls`, `with_words`, `calls_per_s`, `preview_rates`, `main`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.document import DOCS, write_section
from pipeline.judging.engine import judge
from pipeline.judging.preview import preview
from pipeline.judging.rulebook import load_rulebook, shipped_folder
from pipeline.mandarin import spoken_form
from pipeline.night.worker import peak_memory_mb
from pipeline.records import CallRecord, Hearing, Turn, Word
from pipeline.results.entries import ScoredCall
from pipeline.results.store import Store
from pipeline.results.stored import stored_hearing, stored_hearings
from tests.dialogues.loader import load

SEED = 20260301
_TOLD = {"threshold": "one threshold of a rule", "phrases": "one sentence of a shared phrase file"}
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


def with_words(hearing: Hearing) -> Hearing:
    """The same with a word for every character, as a recogniser gives them."""
    turns = []
    for turn in hearing.turns:
        step = turn.duration_s / max(1, len(turn.text))
        words = tuple(
            Word(char, round(turn.start_s + at * step, 2), round(turn.start_s + (at + 1) * step, 2), 0.8)
            for at, char in enumerate(turn.text)
        )
        turns.append(replace(turn, words=words, spoken=spoken_form(turn.text)))
    return replace(hearing, turns=tuple(turns))


def _changed(folder: Path, kind: str) -> Path:
    """A copy of the rulebook with one threshold changed, or one sentence of a shared phrase file gone."""
    made = folder / kind
    shutil.copytree(shipped_folder(), made)
    if kind == "threshold":
        path = made / "rules" / "inbound_opening.toml"
        path.write_text(path.read_text("utf-8").replace("max_ring_s = 15", "max_ring_s = 14"), "utf-8")
    else:
        path = made / "phrases" / "opening.toml"
        path.write_text(path.read_text("utf-8").replace('"很高兴为您服务", ', ""), "utf-8")
    return made


def preview_rates(store: Store, calls: int) -> dict[str, dict[str, float]]:
    """What a preview over an archive costs, for a changed threshold and a changed phrase file."""
    found: dict[str, dict[str, float]] = {}
    before = load_rulebook()
    with tempfile.TemporaryDirectory(prefix="zhijian-bench-") as folder:
        for kind in ("threshold", "phrases"):
            after = load_rulebook(_changed(Path(folder), kind))
            began, began_wall = time.process_time(), time.perf_counter()
            seen = preview(stored_hearings(store, lazily=True), before, after)
            cpu_s = time.process_time() - began
            if seen.calls != calls or not seen.rules:
                raise RuntimeError(f"{seen.calls} calls and {len(seen.rules)} rules were compared")
            found[kind] = {
                "rules": len(seen.rules),
                "flips": len(seen.flips),
                "cpu_s": cpu_s,
                "wall_s": time.perf_counter() - began_wall,
                "calls_per_s": calls / cpu_s,
            }
    return found


def _archive_rates(
    sizes: Sequence[int], calls: Sequence[Call], probe: int
) -> tuple[dict[int, float], dict[str, dict[str, float]]]:
    """Calls judged again a second, for archives of several sizes; and previews over the largest."""
    rulebook = load_rulebook()
    worded = [(with_words(h), c) for h, c in calls]
    judged = [(h, c, judge(h, c, rulebook)) for h, c in worded]
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
        previews = preview_rates(store, sizes[-1])
    return rates, previews


def main() -> None:
    """Measure and write the document; with ``--quick`` on next to nothing, and write nothing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.judging", description="Measure judging.")
    parser.add_argument("--quick", action="store_true", help="on next to nothing, and write nothing")
    quick = parser.parse_args().quick
    calls = five_minute_calls(40 if quick else 400)
    chars = statistics.mean(sum(len(t.text) for t in h.turns) for h, _ in calls)
    turns = statistics.mean(len(h.turns) for h, _ in calls)
    calls_per_s(calls[:20])
    rates = sorted(calls_per_s(calls) for _ in range(5))
    median = statistics.median(rates)
    archive, previews = _archive_rates((100, 200) if quick else (500, 2000, 8000), calls[:100], 60)
    peak_mb = peak_memory_mb()
    figures = {
        "calls_per_s": {"min": rates[0], "median": statistics.median(rates), "max": rates[-1]},
        "mean_chars": chars,
        "mean_turns": turns,
        "rules": len(load_rulebook().rules),
        "archive_calls_per_s": archive,
        "preview_of_8000": previews,
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
        f"`zhijian rules preview` over an archive of {max(archive):,} five-minute calls, in one process:",
        "",
        "| change | rules | verdicts that flip | CPU seconds | calls a second |",
        "|---|---:|---:|---:|---:|",
        *(
            f"| {_TOLD[kind]} | {one['rules']:.0f} | {one['flips']:.0f} | {one['cpu_s']:.1f} "
            f"| {one['calls_per_s']:.0f} |"
            for kind, one in previews.items()
        ),
        "",
        f"Peak memory of the benchmark: {peak_mb:.0f} MB. Calls from the archive have a time for every word, "
        "the others none. The archive does not enter judging; the spread between its sizes is the noise of "
        "the machine.",
    ]
    if not quick:
        write_section("performance.md", "judging", "\n".join(lines))
        path = DOCS / "performance.json"
        others = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        path.write_text(json.dumps({**others, "judging": figures}, indent=2) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
