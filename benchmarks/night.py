"""What a night costs: real time by stage, the share of the models, scaling, memory, storage, Prefect.

``python -m benchmarks.night`` measures and rewrites ``docs/performance.md`` (section "A night") and
``docs/performance.json``; ``--parts`` measures some parts only and keeps the rest as they were, ``--long``
adds a night of 5,000 recordings.

Table of contents: `inside`, `scored_by`, `by_hand`, `fake_night`, `parquet_rates`, `main`.
"""

from __future__ import annotations

import argparse
import csv
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

from benchmarks.archive import archive_costs
from benchmarks.document import DOCS, write_section
from benchmarks.nightpage import page
from benchmarks.scaling import scale_page

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT / "data_samples"
CALLS = ("in02", "in03", "in05", "out02", "out03")
MODEL_CALLS = ("transcribe", "phrase_scores", "stretches")
ROWS = 1_000_000
PARTS = ("inside", "workers", "byhand", "prefect", "parquet", "archive")


def key_file(folder: Path) -> Path:
    """The throwaway key of the samples, readable by nobody else."""
    path = folder / "recordings.key"
    path.write_bytes((SAMPLES / "keys" / "THROWAWAY-recordings.key").read_bytes())
    path.chmod(0o600)
    return path


def sample_night(folder: Path, *, copies: int = 1) -> Path:
    """Five of the sample calls, three of them mixed to one channel, each under ``copies`` call ids."""
    recordings = folder / "recordings"
    recordings.mkdir(parents=True)
    with (SAMPLES / "calls.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["call_id"] in CALLS]
    written = []
    for row in rows:
        (source,) = (SAMPLES / "recordings").glob(f"{row['call_id']}.*")
        for copy in range(copies):
            call_id = f"{row['call_id']}-{copy}"
            name = source.name.replace(row["call_id"], call_id, 1)
            (recordings / name).write_bytes(source.read_bytes())
            written.append({**row, "call_id": call_id})
    _write_calls(folder / "calls.csv", written)
    key_file(folder)
    return folder


def _write_calls(path: Path, rows: Sequence[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _settings(folder: Path, **more: Any) -> Any:
    from pipeline.settings import load_settings

    flags = {
        "recordings": str(folder / "recordings"),
        "calls": str(folder / "calls.csv"),
        "results": str(folder / "results"),
        "identity": folder / "recordings.key",
        **more,
    }
    return load_settings(flags, env={}, folder=folder)[0]


def cer(heard: dict[str, str]) -> float:
    """Share of wrong characters over whole calls, in the order they were said, both speakers together.

    Parameters
    ----------
    heard : dict of str to str
        Sample call to all that was recognised in it.
    """
    from rapidfuzz.distance import Levenshtein

    from pipeline.mandarin import normalised

    truth = json.loads((SAMPLES / "truth.json").read_text(encoding="utf-8"))["calls"]
    wrong = said = 0
    for name, text in heard.items():
        turns = sorted(truth[name]["turns"], key=lambda turn: turn["start_s"])
        reference = normalised("".join(turn["text"] for turn in turns))
        wrong += Levenshtein.distance(reference, normalised(text))
        said += len(reference)
    return wrong / said


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


def inside(folder: Path) -> dict[str, Any]:
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

    settings = _settings(sample_night(folder))
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
    ears.score(night_run.open_night(settings).plan.tasks[0])  # dictionaries and tables load on first use
    spent.clear()
    began_s = time.process_time()
    summary = night_run.run_night(night_run.open_night(settings))
    cpu_s = time.process_time() - began_s
    from pipeline.results import load

    turns = load("turns", folder / "results").sort_values(["call_id", "start_s"])
    texts = turns.groupby("call_id").text.agg("".join)
    return {
        "cer": cer({str(call_id).removesuffix("-0"): text for call_id, text in texts.items()}),
        "audio_s": summary.audio_s,
        "cpu_s": cpu_s,
        "models_cpu_s": spent,
        "stage_s": dict(summary.stage_s),
        "load_s": loading_s,
    }


def scored_by(folder: Path, workers: int) -> dict[str, Any]:
    """`zhijian score` over ten calls with so many workers, as its summary tells."""
    sample_night(folder, copies=2)
    return _score(folder, "--workers", str(workers))


def _score(folder: Path, *more: str, model: str = "whisper-base") -> dict[str, Any]:
    command = [
        sys.executable, "-m", "pipeline.cli", "score", str(folder / "recordings"), "--calls",
        str(folder / "calls.csv"), "--out", str(folder / "results"), "--identity",
        str(folder / "recordings.key"), "--model", model, "--json", *more,
    ]  # fmt: skip
    began_s = time.monotonic()
    done = _run(command)
    return {**json.loads(done.stdout), "process_wall_s": time.monotonic() - began_s}


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(  # noqa: S603 - our own programs
        command, capture_output=True, text=True, check=False, env=_environment(), cwd=ROOT
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done


def _environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("ZHIJIAN_")}
    return {**kept, "OMP_WAIT_POLICY": "PASSIVE"}


def by_hand(folder: Path) -> dict[str, Any]:
    """`benchmarks.byhand` over the same five calls."""
    import numpy as np
    import soundfile

    from pipeline.hearing.audio import decode, to_16k
    from pipeline.vault.envelope import decrypt
    from pipeline.vault.keys import load_identity

    sample_night(folder)
    identity = load_identity(folder / "recordings.key")
    plain = folder / "plain"
    plain.mkdir()
    audio_s = 0.0
    for path in sorted((folder / "recordings").iterdir()):
        audio = decode(decrypt(path.read_bytes(), identity))
        audio_s += audio.duration_s
        soundfile.write(plain / f"{path.name.split('.')[0]}.wav", np.asarray(to_16k(audio)).T, 16_000)
    command = [sys.executable, "-m", "benchmarks.byhand", str(plain)]
    done = _run(command)
    found = json.loads(done.stdout.strip().splitlines()[-1])
    return {
        "audio_s": audio_s,
        "cer": cer({name.removesuffix("-0"): text for name, text in found["words"].items()}),
        **{name: found[name] for name in ("load_s", "wall_s", "cpu_s")},
    }


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
    _write_calls(folder / "calls.csv", rows)
    arguments = [str(recordings), str(folder / "calls.csv"), str(folder / "results")]
    environment = _environment() | {
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
        command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
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


def parquet_rates() -> dict[str, Any]:
    """Rows a second into and out of result files of a million rows."""
    import pyarrow as pa

    from benchmarks.judging import five_minute_calls
    from pipeline.judging.engine import judge
    from pipeline.judging.rulebook import load_rulebook
    from pipeline.records import Word
    from pipeline.results import rows
    from pipeline.results.entries import ScoredCall
    from pipeline.results.parquet import encode, open_files
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
            part = rows.BY_CALL[name](numbered)
            table = pa.concat_tables([part] * -(-ROWS // part.num_rows)).slice(0, ROWS).combine_chunks()
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
                "bytes_a_row": len(content) / ROWS,
                "rows": read.num_rows,
            }
            del table, read, content
    return found


def main() -> None:
    """Measure and write the document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="*", default=list(PARTS))
    parser.add_argument("--long", action="store_true")
    options = parser.parse_args()
    path = DOCS / "performance.json"
    figures: dict[str, Any] = {}

    def measured(measure: Callable[..., Any], *args: Any, **more: Any) -> Any:
        with tempfile.TemporaryDirectory(prefix="zhijian-bench-") as name:
            folder = Path(name) / "night"
            folder.mkdir()
            return measure(folder, *args, **more)

    load_before = os.getloadavg()[0]
    if "inside" in options.parts:
        figures["inside"] = measured(inside)
    if "workers" in options.parts:
        figures["workers"] = {str(count): measured(scored_by, count) for count in (1, 2)}
    if "byhand" in options.parts:
        figures["byhand"] = measured(by_hand)
    if "prefect" in options.parts:
        figures["prefect"] = {
            name: measured(fake_night, 320, flow=flow) for name, flow in (("score", False), ("flow", True))
        }
    if "parquet" in options.parts:
        figures["parquet"] = parquet_rates()
    if "archive" in options.parts:
        figures["archive"] = measured(archive_costs)
    if options.long:
        figures["long"] = measured(fake_night, 5_000)
    figures["cores"] = len(os.sched_getaffinity(0))
    everything = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    before = everything.get("night", {})
    clocked = {part: load_before for part in ("inside", "workers", "byhand") if part in options.parts}
    figures = {**before, **figures, "load_average": {**before.get("load_average", {}), **clocked}}
    if clocked:
        figures["clocked_together"] = {"workers", "byhand"} <= set(clocked)
    everything["night"] = figures
    path.write_text(json.dumps(everything, indent=2) + "\n", encoding="utf-8")
    text = page(figures)
    write_section("performance.md", "night", text)
    if {"inside", "archive", "workers"} <= set(figures):
        write_section("scaling.md", "model", scale_page(figures))
    print(text)


if __name__ == "__main__":
    main()
