"""What a night costs: real time by stage, the share of the models, scaling, memory, storage, Prefect.

``python -m benchmarks.night`` measures and rewrites ``docs/performance.md`` (section "A night") and
``docs/performance.json``; ``--parts`` measures some parts only and keeps the rest as they were, ``--long``
adds a night of 5,000 recordings, ``--quick`` tries every part on next to nothing and writes nothing.

Table of contents: `inside`, `scored_by`, `fake_night`, `parquet_rates`, `parts_of`, `main`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.against import side_by_side
from benchmarks.archive import archive_costs
from benchmarks.document import DOCS, write_section
from benchmarks.nightpage import page
from benchmarks.pinned import as_worker
from benchmarks.samplenight import (
    CALLS,
    ROOT,
    SAMPLES,
    busy_seconds,
    environment,
    key_file,
    sample_night,
    score,
    settings_of,
    write_calls,
)
from benchmarks.scaling import scale_page

MODEL_CALLS = ("transcribe", "phrase_scores", "text_scores", "stretches")
ROWS, QUICK_ROWS = 1_000_000, 50_000
PARTS = ("inside", "workers", "byhand", "prefect", "parquet", "archive")


class _Metered:
    """A model whose CPU seconds are counted."""

    def __init__(self, model: Any, spent: dict[str, float]) -> None:
        self._model = model
        self._spent = spent

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._model, name)
        if name not in MODEL_CALLS:
            return found

        def metered(*args: Any, **options: Any) -> Any:
            began_s = time.process_time()
            try:
                return found(*args, **options)
            finally:
                self._spent[name] = self._spent.get(name, 0.0) + time.process_time() - began_s

        return metered


def inside(folder: Path, calls: Sequence[str] = CALLS) -> dict[str, Any]:
    """One night in one process, from reading the call records to the recorded run.

    Returns
    -------
    dict
        Audio seconds, CPU seconds in all and inside the models, real-time factor by stage, seconds to load.
    """
    import pipeline.night.run as night_run
    from pipeline.night.batch import worker_setup
    from pipeline.night.worker import Ears
    from pipeline.vault.keys import load_identity

    settings = settings_of(sample_night(folder, calls=calls))
    load_identity(settings.identity)
    loading_s = time.monotonic()
    ears = Ears(worker_setup(settings, "bench"))
    spent: dict[str, float] = {}
    ears._recognizer = _Metered(ears._recognizer, spent)
    diarizer = _Metered(ears.diarizer(), spent)
    ears._diarizer = diarizer
    loading_s = time.monotonic() - loading_s

    class Here:
        def __init__(self, _setup: Any, **_options: Any) -> None:
            pass

        def score(self, tasks: Sequence[Any]) -> Iterator[Any]:
            yield from map(ears.score, tasks)

        def stop(self) -> None:
            pass

    night_run.HearingPool = Here  # type: ignore[misc, assignment]
    for task in night_run.open_night(settings).plan.tasks:
        ears.score(task)  # dictionaries, tables and wordings of either direction load on first use
    spent.clear()
    began_s, clock_s, all_s = time.process_time(), time.monotonic(), busy_seconds()
    summary = night_run.run_night(night_run.open_night(settings))
    cpu_s = time.process_time() - began_s
    return {
        "calls": len(calls),
        "others_cores": max(0.0, busy_seconds() - all_s - cpu_s) / (time.monotonic() - clock_s),
        "audio_s": summary.audio_s,
        "cpu_s": cpu_s,
        "models_cpu_s": spent,
        "stage_s": dict(summary.stage_s),
        "load_s": loading_s,
    }


def scored_by(folder: Path, workers: int, calls: Sequence[str] = CALLS) -> dict[str, Any]:
    """`zhijian score` over ten calls with so many workers, as its summary tells."""
    sample_night(folder, copies=2, calls=calls)
    return score(folder, "--workers", str(workers))


class _Watch(threading.Thread):
    """Memory of the main process and of its children while a night runs, in MB, once a second."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid = pid
        self.main: list[float] = []
        self.children: list[float] = []

    def run(self) -> None:
        import psutil

        try:
            process = psutil.Process(self.pid)
            while True:
                self.main.append(process.memory_info().rss / 2**20)
                sizes = []
                for child in process.children(recursive=True):
                    try:
                        sizes.append(child.memory_info().rss / 2**20)
                    except psutil.NoSuchProcess:
                        continue
                self.children.append(max(sizes, default=0.0))
                time.sleep(1.0)
        except psutil.NoSuchProcess:
            return


def fake_night(folder: Path, calls: int, *, flow: bool = False) -> dict[str, Any]:
    """A night of many short recordings with the fake recogniser, with or without Prefect.

    Returns
    -------
    dict
        Wall seconds, and the memory of main process and largest worker at a third and at the end.
    """
    import io

    import numpy as np
    import soundfile

    from pipeline.vault.envelope import encrypt
    from pipeline.vault.keys import new_pair

    pair = new_pair(folder)
    recipient = pair.recipient
    recordings = folder / "recordings"
    recordings.mkdir()
    tone = np.random.default_rng(1)
    (source,) = (SAMPLES / "recordings").glob("in01.*")
    from pipeline.hearing.audio import decode
    from pipeline.vault.envelope import decrypt
    from pipeline.vault.keys import load_identity

    audio = decode(decrypt(source.read_bytes(), load_identity(key_file(folder.parent))))
    rows = []
    for number in range(calls):
        start = int(tone.integers(0, audio.samples.shape[1] - 4 * audio.sample_rate_hz))
        piece = audio.samples[:, start : start + 3 * audio.sample_rate_hz]
        out = io.BytesIO()
        soundfile.write(out, piece.T, audio.sample_rate_hz, format="WAV", subtype="ULAW")
        call_id = f"n{number:05d}"
        (recordings / f"{call_id}.wav.age").write_bytes(encrypt(out.getvalue(), [recipient]))
        rows.append(
            {
                "call_id": call_id,
                "direction": "inbound",
                "started_at": "2026-03-02T10:00:00+08:00",
                "agent_channel": "0",
            }
        )
    write_calls(folder / "calls.csv", rows)
    arguments = [str(recordings), str(folder / "calls.csv"), str(folder / "results")]
    own = environment() | {
        "ZHIJIAN_MODEL": "fake",
        "ZHIJIAN_IDENTITY": str(pair.identity_path),
        "ZHIJIAN_WORKERS": "2",
        "PREFECT_HOME": str(folder / "prefect"),
    }
    command = [sys.executable, "-m", "pipeline.cli", "score", arguments[0], "--calls", arguments[1], "--out"]
    command += [arguments[2], "--json"]
    if flow:
        program = "import sys, flows; print(flows.nightly(*sys.argv[1:4]))"
        command = [sys.executable, "-c", program, *arguments]
    began_s = time.monotonic()
    process = subprocess.Popen(  # noqa: S603 - our own programs
        command, env=own, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    watch = _Watch(process.pid)
    watch.start()
    _, err = process.communicate()
    wall_s = time.monotonic() - began_s
    from pipeline.results import load

    runs = load("runs", folder / "results")
    counted = int(runs.iloc[-1].scored + runs.iloc[-1].quarantined + runs.iloc[-1].skipped)
    if counted != calls:
        raise RuntimeError(err[-2000:])
    third = len(watch.main) // 3
    return {
        "calls": calls,
        "scored": int(runs.iloc[-1].scored),
        "wall_s": wall_s,
        "run_wall_s": float(runs.iloc[-1].wall_s),
        "main_mb": [max(watch.main[: third + 1]), max(watch.main)],
        "worker_mb": [max(watch.children[: third + 1]), max(watch.children)],
    }


def parquet_rates(rows: int = ROWS) -> dict[str, Any]:
    """Rows a second into and out of result files of so many rows."""
    import pyarrow as pa

    from benchmarks.judging import five_minute_calls
    from pipeline.judging.engine import judge
    from pipeline.judging.rulebook import load_rulebook
    from pipeline.records import Word
    from pipeline.results.entries import ScoredCall
    from pipeline.results.parquet import encode, open_files
    from pipeline.results.rows import BY_CALL
    from pipeline.results.schemas import schema_of, with_partition

    rulebook = load_rulebook()
    from datetime import UTC, datetime

    now = datetime(2026, 3, 2, tzinfo=UTC)
    numbered = []
    for hearing, call in five_minute_calls(100):
        turns = tuple(
            replace(turn, words=tuple(Word(w, turn.start_s, turn.end_s, 0.9) for w in turn.text[::2]))
            for turn in hearing.turns
        )
        heard = replace(hearing, turns=turns)
        numbered.append((ScoredCall(call, heard, judge(heard, call, rulebook), "/r", now), 1))
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="zhijian-bench-") as folder:
        for name in ("verdicts", "turns"):
            part = BY_CALL[name](numbered)
            table = pa.concat_tables([part] * -(-rows // part.num_rows)).slice(0, rows).combine_chunks()
            began_s = time.monotonic()
            content = encode(table)
            written_s = time.monotonic() - began_s
            path = Path(folder) / name / "call_date=2026-03-02" / "part.parquet"
            path.parent.mkdir(parents=True)
            path.write_bytes(content)
            began_s = time.monotonic()
            read = open_files([str(path)], with_partition(schema_of(name)), None).to_table()
            found[name] = {
                "write_s": written_s,
                "read_s": time.monotonic() - began_s,
                "bytes_a_row": len(content) / rows,
                "rows": read.num_rows,
            }
            del table, read, content
    return found


def parts_of(quick: bool, whisperx: str | None) -> dict[str, Callable[[], Any]]:
    """What is measured under which name, in this order."""

    def fresh(measure: Callable[..., Any], *args: Any, **more: Any) -> Any:
        with tempfile.TemporaryDirectory(prefix="zhijian-bench-") as name:
            folder = Path(name) / "night"
            folder.mkdir()
            return measure(folder, *args, **more)

    few = {"calls": CALLS[:1]} if quick else {}
    return {
        "inside": lambda: fresh(inside, **few),
        "workers": lambda: {str(count): fresh(scored_by, count, **few) for count in (1, 2)},
        "byhand": lambda: fresh(side_by_side, whisperx=whisperx, **few),
        "prefect": lambda: {
            name: fresh(fake_night, 8 if quick else 320, flow=flow)
            for name, flow in (("score", False), ("flow", True))
        },
        "parquet": lambda: parquet_rates(QUICK_ROWS if quick else ROWS),
        "archive": lambda: fresh(archive_costs, 64 if quick else 1_600),
        "long": lambda: fresh(fake_night, 5_000),
    }


def main() -> None:
    """Measure and write the document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="*", default=list(PARTS), choices=[*PARTS, "long"])
    parser.add_argument("--long", action="store_true", help="with a night of 5,000 recordings")
    parser.add_argument("--quick", action="store_true", help="one call, few rows; print, write nothing")
    parser.add_argument("--whisperx", metavar="PYTHON", help="interpreter of an environment with WhisperX")
    options = parser.parse_args()
    asked = [*options.parts, *(["long"] if options.long else [])]
    path = DOCS / "performance.json"
    everything = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    figures = {} if options.quick else everything.get("night", {})
    figures["cores"] = len(os.sched_getaffinity(0))
    for part, measure in parts_of(options.quick, options.whisperx).items():
        if part not in asked:
            continue
        began_s = time.monotonic()
        figures[part] = measure()
        print(f"{part}: {time.monotonic() - began_s:.0f} s", file=sys.stderr, flush=True)
        if not options.quick:  # what was measured stays, whatever happens to the next part
            path.write_text(json.dumps({**everything, "night": figures}, indent=2) + "\n", encoding="utf-8")
    text = page(figures)
    if not options.quick:
        write_section("performance.md", "night", text)
        if {"archive", "workers"} <= set(figures):
            write_section("scaling.md", "model", scale_page(figures))
    print(text)


if __name__ == "__main__":
    as_worker()
    main()
