"""A whole night, traced: no word, no audio, no key is written to any file, nor left in any."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import soundfile
from builders import ROOT, clip

from pipeline.vault.providers import new_secret

WORDS = "云雀在第七朵蒲公英上"
RUN = """
import sys
import flows
print(flows.nightly(*sys.argv[1:4], workers=1))
"""
# write(5</tmp/x>, "..."...) of strace -y -xx; a pipe or socket stays in memory and is no file
_WRITE = re.compile(r"(?:write|pwrite64|writev|pwritev2?)\((\d+)<([^>]*)>, (.*)")
_HEX = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


def forms(text: str) -> list[bytes]:
    """How a text may stand in bytes."""
    return [
        text.encode("utf-8"),
        text.encode("utf-16-le"),
        text.encode("utf-16-be"),
        text.encode("gb18030"),
        json.dumps(text)[1:-1].encode(),
        json.dumps(text)[1:-1].encode("utf-16-le"),
    ]


def audio_forms(data: bytes) -> list[bytes]:
    """Stretches of the recording as it is stored, and as samples; taken where somebody speaks."""
    import io

    samples, rate = soundfile.read(io.BytesIO(data), always_2d=True, dtype="float32")
    loud = int(np.argmax(np.convolve(np.abs(samples[:, 0]), np.ones(rate // 10), "valid")))
    piece = samples[loud : loud + 64]
    found = [
        piece.tobytes(),
        piece[:, 0].astype(np.float32).tobytes(),
        (piece[:, 0] * 32767).astype(np.int16).tobytes(),
        np.round(piece[:, 0] * 32768).astype(np.int16).tobytes(),
    ]
    head = data.index(b"data") + 8
    return [*found, data[head + loud * samples.shape[1] : head + loud * samples.shape[1] + 96]]


@pytest.fixture
def night(night_folder, tmp_path):
    folder = night_folder
    for name in ("a", "b"):
        folder.add_call(name)
    folder.add_call("broken", b"RIFF" + WORDS.encode() * 20)  # an error that might quote what it read
    script = tmp_path / "elsewhere.json"
    turn = {"start_s": 1.0, "end_s": 5.0, "text": "您好" + WORDS}
    script.write_text(json.dumps({"calls": [{"duration_s": 12.0, "turns": [turn]}]}, ensure_ascii=False))
    folder.write_calls()
    new_secret(tmp_path / "transcript.key")
    return folder


def environment(night, home: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("ZHIJIAN_", "PREFECT_", "XDG_"))}
    places = {
        "HOME": home,
        "TMPDIR": home / "tmp",
        "PREFECT_HOME": home / "prefect",
        "XDG_STATE_HOME": home / "state",
        "XDG_CACHE_HOME": home / "cache",
        "XDG_CONFIG_HOME": home / "config",
    }
    (home / "tmp").mkdir(parents=True)
    return {
        **kept,
        **{name: str(place) for name, place in places.items()},
        "ZHIJIAN_MODEL": f"fake:{night.root / 'elsewhere.json'}",
        "ZHIJIAN_IDENTITY": str(night.key),
        "ZHIJIAN_TRANSCRIPT_KEY": f"file:{night.root / 'transcript.key'}",
        "PREFECT_LOGGING_LEVEL": "DEBUG",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def unpacked(path: Path) -> bytes:
    """A file's bytes, and behind them what is compressed inside."""
    content = path.read_bytes()
    found = [content]
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        from pipeline.results.schemas import schema_of

        file = pq.ParquetFile(path)
        names = [f.name for f in file.schema_arrow if (f.metadata or {}).get(b"access") != b"transcript"]
        assert set(names) <= set(schema_of(path.parts[-3]).names)
        found.append(
            json.dumps(file.read(columns=names).to_pylist(), default=str, ensure_ascii=False).encode()
        )
    if content[:2] == b"\x1f\x8b":
        found.append(gzip.decompress(content))
    if content[:1] == b"\x78":
        with contextlib.suppress(zlib.error):
            found.append(zlib.decompress(content))
    return b"\n".join(found)


def leaks(places: list[Path], needles: list[bytes], allowed: set[Path]) -> list[str]:
    return [
        str(path)
        for place in places
        for path in place.rglob("*")
        if path.is_file() and path not in allowed and any(needle in unpacked(path) for needle in needles)
    ]


def secrets_of(night) -> list[bytes]:
    lines = [*night.key.read_text().splitlines(), *(night.root / "transcript.key").read_text().splitlines()]
    return [line.rpartition(":")[2].encode() for line in lines if line and not line.startswith("#")]


@pytest.mark.flow
def test_a_traced_night_writes_nothing_plain(night, tmp_path):
    home, trace = tmp_path / "home", tmp_path / "trace"
    command = [
        sys.executable,
        "-c",
        RUN,
        str(night.recordings),
        str(night.root / "calls.csv"),
        str(night.results),
    ]
    strace = shutil.which("strace")
    traced = strace is not None and subprocess.run(
        [strace, "-f", "--seccomp-bpf", "-o", os.devnull, "true"], capture_output=True, check=False
    ).returncode == 0  # fmt: skip
    if traced:
        calls = "trace=write,pwrite64,writev,pwritev,pwritev2"
        command = [
            strace,
            "-f",
            "--seccomp-bpf",
            "-y",
            "-xx",
            "-s",
            "4000000",
            "-e",
            calls,
            "-o",
            str(trace),
            *command,
        ]

    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=280,
        env=environment(night, home),
        cwd=ROOT,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-3000:]
    assert "'scored': 2" in done.stdout
    needles = [*forms(WORDS), *audio_forms(clip()), *secrets_of(night)]
    assert not any(needle in (done.stdout + done.stderr).encode() for needle in needles)
    if traced:
        written, piped = 0, False
        with trace.open(encoding="ascii", errors="replace") as lines:
            for line in lines:
                call = _WRITE.search(line)
                if call is None:
                    continue
                where = bytes.fromhex(call[2].replace("\\x", "")).decode() if "\\x" in call[2] else call[2]
                data = bytes.fromhex("".join(_HEX.findall(call[3])).replace("\\x", ""))
                plain = any(needle in data for needle in needles)
                if where.startswith(("pipe:", "socket:", "UNIX", "TCP", "anon_inode:", "/dev/pts")):
                    piped = piped or plain
                    continue
                written += 1
                assert not plain, f"{where}: plain text was written"
        assert piped, (
            "the words pass from the worker to its parent, so the trace would have seen them in a file"
        )
        assert written > 50
        trace.unlink()
    inputs = {night.root / "elsewhere.json", night.root / "transcript.key", night.key}
    assert leaks([tmp_path], needles, inputs) == []
    assert list((home / "prefect").rglob("*.db")), "Prefect's database was among the files"


def test_the_search_finds_what_it_looks_for(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 100 + WORDS.encode("utf-16-le"))
    (tmp_path / "b.gz").write_bytes(gzip.compress(WORDS.encode()))
    (tmp_path / "c").write_bytes(json.dumps({"t": WORDS}).encode())
    (tmp_path / "d").write_bytes(zlib.compress(WORDS.encode()))
    data = clip()
    (tmp_path / "e").write_bytes(data)
    (tmp_path / "harmless").write_bytes(b"words")
    assert len(leaks([tmp_path], [*forms(WORDS), *audio_forms(data)], set())) == 5


def test_processes_that_hear_leave_no_core_dump():
    program = (
        "from pipeline.vault.hardening import no_core_dumps; no_core_dumps()\n"
        "import ctypes, resource\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.stdout.strip() == "(0, 0) 0"


def test_a_worker_asks_for_it(monkeypatch):
    import pipeline.vault.hardening
    from pipeline.night import worker

    asked = []
    monkeypatch.setattr(pipeline.vault.hardening, "no_core_dumps", lambda: asked.append(True))
    monkeypatch.setattr(worker.sys, "platform", "test")
    monkeypatch.setattr(worker.signal, "signal", lambda *_: None)
    worker.attach_to_parent()
    assert asked


def test_a_surprise_tells_its_place_and_not_its_words():
    from pipeline.night.worker import describe_defect

    try:
        int(WORDS)
    except ValueError as error:
        assert WORDS in str(error)
        told = describe_defect(error)
    assert WORDS not in told
    assert "ValueError" in told


def test_defects_are_told_without_their_words(monkeypatch, capsys):
    import traceback

    from pipeline.cli import main
    from pipeline.defects import DefectError, without_words
    from pipeline.errors import InputError

    @without_words
    def fail(kind):
        try:
            int(WORDS)
        except ValueError as error:
            if kind == "own":
                raise InputError("call c1 is not usable") from error
            raise KeyError(WORDS) from error

    for kind, expected in (("own", InputError), ("other", DefectError)):
        with pytest.raises(expected) as caught:
            fail(kind)
        shown = "".join(traceback.format_exception(caught.value))
        assert WORDS not in shown
    assert "KeyError" in shown
    assert "ValueError" in shown

    def broken(**_):
        raise RuntimeError(WORDS)

    monkeypatch.setattr(main, "app", broken)
    monkeypatch.setattr(main, "no_core_dumps", lambda: None)
    with pytest.raises(SystemExit) as ended:
        main.run()
    assert ended.value.code == 1
    told = capsys.readouterr().err
    assert WORDS not in told
    assert "RuntimeError" in told
    assert "test_nothing_plain.py" in told


@pytest.mark.flow
def test_every_task_of_the_flows_is_guarded():
    import flows

    tasks = [value for value in vars(flows).values() if type(value).__name__ == "Task"]
    assert len(tasks) >= 6
    for task in tasks:
        assert task.fn.__wrapped__, task.name
