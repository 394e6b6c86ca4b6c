"""Builders shared by tests: a small night of synthetic speech under a key of its own."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import soundfile

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT / "data_samples"
SEED = 20260101


@cache
def sample_identity():
    """The throwaway key of data_samples, read whatever the mode of its file is."""
    from pipeline.vault.keys import identity_from_environment

    text = (SAMPLES / "keys" / "THROWAWAY-recordings.key").read_text()
    return identity_from_environment({"ZHIJIAN_IDENTITY_TEXT": text})


def sample_audio(name: str) -> tuple[np.ndarray, int]:
    """One of the sample calls as ``(samples (n, channels), rate)``."""
    from pipeline.vault.envelope import decrypt

    (path,) = SAMPLES.glob(f"recordings/{name}.*")
    data, rate = soundfile.read(io.BytesIO(decrypt(path.read_bytes(), sample_identity())), always_2d=True)
    return data, rate


@cache
def clip(seconds: float = 12.0, *, channels: int = 2) -> bytes:
    """The first seconds of a sample call as a µ-law WAV."""
    data, rate = sample_audio("in01")
    data = data[: int(seconds * rate), :channels]
    out = io.BytesIO()
    soundfile.write(out, data, rate, format="WAV", subtype="ULAW")
    return out.getvalue()


@dataclass
class NightFolder:
    """A folder with keys, recordings and call records, and the command that scores it."""

    root: Path
    rows: list[dict[str, str]] = field(default_factory=list)

    @property
    def recordings(self) -> Path:
        return self.root / "recordings"

    @property
    def results(self) -> Path:
        return self.root / "results"

    @property
    def key(self) -> Path:
        return self.root / "keys" / "recordings.key"

    def recipient(self) -> str:
        return (self.root / "keys" / "recordings.pub").read_text().strip()

    def add_row(self, call_id: str, **columns: str) -> None:
        row = {"call_id": call_id, "direction": "inbound", "started_at": "2026-03-02T10:00:00+08:00"}
        self.rows.append({**row, "agent_channel": "0", **columns})

    def add_recording(self, call_id: str, plain: bytes, extension: str = "wav") -> Path:
        from pipeline.vault.envelope import encrypt

        path = self.recordings / f"{call_id}.{extension}.age"
        path.write_bytes(encrypt(plain, [self.recipient()]))
        return path

    def add_call(self, call_id: str, plain: bytes | None = None, **columns: str) -> Path:
        self.add_row(call_id, **columns)
        return self.add_recording(call_id, clip() if plain is None else plain)

    def write_calls(self, extra_lines: Sequence[str] = ()) -> Path:
        path = self.root / "calls.csv"
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, names, restval="")
            writer.writeheader()
            writer.writerows(self.rows)
            file.writelines(line + "\n" for line in extra_lines)
        return path

    def score(self, *more: str, model: str = "fake", env: dict[str, str] | None = None):
        calls = self.root / "calls.csv"
        if not calls.exists():
            self.write_calls()
        arguments = ["score", str(self.recordings), "--calls", str(calls), "--out", str(self.results)]
        arguments += ["--workers", "1", "--model", model]
        if "--identity" not in more:
            arguments += ["--identity", str(self.key)]
        return zhijian(*arguments, *more, env=env)

    def table(self, name: str, **options):
        from pipeline.results import load

        return load(name, self.results, **options)


def zhijian(*arguments: str, env: dict[str, str] | None = None, timeout_s: float = 300):
    """Run the real command in its own process."""
    command = [sys.executable, "-m", "pipeline.cli", *arguments]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ZHIJIAN_")} | (env or {})
    return subprocess.run(
        command, capture_output=True, text=True, timeout=timeout_s, env=environment, cwd=ROOT, check=False
    )
