"""Nights made of the sample calls, and programs that are run on them and clocked.

Table of contents: `key_file`, `sample_night`, `write_calls`, `settings_of`; `environment`, `busy_seconds`,
`clocked`, `score`.
"""

from __future__ import annotations

import csv
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT / "data_samples"
CALLS = ("in02", "in03", "in05", "out02", "out03")
_NOT_PASSED_ON = ("ZHIJIAN_", "OMP_", "MKL_", "OPENBLAS_", "NUMEXPR_", "GLIBC_")
EVERY_CALL = tuple(sorted(path.name.split(".")[0] for path in (SAMPLES / "recordings").iterdir()))


def key_file(folder: Path) -> Path:
    """The throwaway key of the samples, readable by nobody else."""
    path = folder / "recordings.key"
    path.write_bytes((SAMPLES / "keys" / "THROWAWAY-recordings.key").read_bytes())
    path.chmod(0o600)
    return path


def sample_night(folder: Path, *, copies: int = 1, calls: Sequence[str] = CALLS) -> Path:
    """Some of the sample calls, two channels and one, each under ``copies`` call ids."""
    recordings = folder / "recordings"
    recordings.mkdir(parents=True)
    with (SAMPLES / "calls.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["call_id"] in calls]
    written = []
    for row in rows:
        (source,) = (SAMPLES / "recordings").glob(f"{row['call_id']}.*")
        for copy in range(copies):
            call_id = f"{row['call_id']}-{copy}"
            name = source.name.replace(row["call_id"], call_id, 1)
            (recordings / name).write_bytes(source.read_bytes())
            written.append({**row, "call_id": call_id})
    write_calls(folder / "calls.csv", written)
    key_file(folder)
    return folder


def write_calls(path: Path, rows: Sequence[dict[str, str]]) -> None:
    """Call records as a CSV file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def settings_of(folder: Path, **more: Any) -> Any:
    """Settings of a night in a folder, from nowhere else."""
    from pipeline.settings import load_settings

    flags = {
        "recordings": str(folder / "recordings"),
        "calls": str(folder / "calls.csv"),
        "results": str(folder / "results"),
        "identity": folder / "recordings.key",
        **more,
    }
    return load_settings(flags, env={}, folder=folder)[0]


def environment() -> dict[str, str]:
    """Environment of a program that is clocked: nobody's settings, no spinning threads."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(_NOT_PASSED_ON)}
    return {**kept, "OMP_WAIT_POLICY": "PASSIVE"}


def busy_seconds() -> float:
    """CPU seconds that all programs on this machine have used."""
    import psutil

    now = psutil.cpu_times()
    return float(now.user + now.system + now.nice)


def clocked(command: Sequence[str], env: Mapping[str, str] | None = None) -> tuple[str, dict[str, float]]:
    """Run a program to its end.

    Returns
    -------
    str, dict of str to float
        What it printed; ``process_wall_s`` and ``process_cpu_s`` of it and its children, from start to end,
        and ``others_cores``: how many cores other programs kept busy meanwhile, on average.

    Raises
    ------
    RuntimeError
        It ended with an error; holds what it said.
    """

    def used_s() -> float:
        spent = resource.getrusage(resource.RUSAGE_CHILDREN)
        return spent.ru_utime + spent.ru_stime

    began_s, own_s, all_s = time.monotonic(), used_s(), busy_seconds()
    done = subprocess.run(  # noqa: S603 - our own programs
        command, capture_output=True, text=True, check=False, env=env or environment(), cwd=ROOT
    )
    wall_s, own_s, all_s = time.monotonic() - began_s, used_s() - own_s, busy_seconds() - all_s
    if done.returncode:
        raise RuntimeError(done.stderr)
    others = max(0.0, all_s - own_s) / wall_s
    return done.stdout, {"process_wall_s": wall_s, "process_cpu_s": own_s, "others_cores": others}


def score(folder: Path, *more: str, model: str = "whisper-base") -> dict[str, Any]:
    """`zhijian score` on a night in a folder: its own summary, and what the process took."""
    command = [
        sys.executable, "-m", "pipeline.cli", "score", str(folder / "recordings"), "--calls",
        str(folder / "calls.csv"), "--out", str(folder / "results"), "--identity",
        str(folder / "recordings.key"), "--model", model, "--json", *more,
    ]  # fmt: skip
    said, spent = clocked(command)
    return {**json.loads(said), **spent}
