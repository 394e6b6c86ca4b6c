"""Hostile input by the hundred thousand: recordings, audio, call records, rulebooks, each mutated.

``make fuzz`` runs 100,000 cases; a case is known by (seed, target, number) and can be run again alone:
``python -m tests.security.fuzz --count 1 --start 4711 --target audio``.

Every case must end with an answer or with an error of the project's own kinds, within `CASE_S` seconds,
without the process dying, and without a word of the content in the message. A mutated container must always
be refused.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import mmap
import os
import random
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import soundfile

SECRET = "云雀在第七朵蒲公英上"
# Address space that one input may ask for.
_ROOM_BYTES = 8 * 1024**3
CASE_S = 20
CHUNK = 500
SHARES = {"container": 0.34, "audio": 0.36, "calls": 0.29, "rulebook": 0.01}
LEXICONS = Path(__file__).resolve().parents[2] / "lexicons"
_NUMBERS = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]


class Wrong(Exception):  # noqa: N818 - what is wrong with the project, not with an input
    """A case that did not end as it must."""


@dataclass(frozen=True)
class Target:
    """Inputs to start from, and what is done with a mutated one; that returns the outcome's name."""

    seeds: tuple[bytes, ...]
    run: Callable[[bytes, bytes], str]


@cache
def targets() -> dict[str, Target]:
    """All targets, with their seeds."""
    return {
        "container": Target(_containers(), _open_container),
        "audio": Target(_audios(), _decode),
        "calls": Target(_call_files(), _read_calls),
        "rulebook": Target(tuple(_rule_files()), _check_rules),
    }


def mutated(data: bytes, others: tuple[bytes, ...], chance: random.Random) -> bytes:
    """One to six changes: bits, bytes, numbers, cuts, repeats, and pieces of other inputs."""
    found = bytearray(data)
    for _ in range(chance.choice([1, 1, 1, 2, 3, 6])):
        place = chance.randrange(len(found) + 1)
        kind = chance.randrange(9)
        if kind == 0 and found:
            found[place % len(found)] ^= 1 << chance.randrange(8)
        elif kind == 1 and found:
            found[place % len(found)] = chance.randrange(256)
        elif kind == 2:
            del found[place:]
        elif kind == 3:
            del found[place : place + chance.choice([1, 2, 4, 16, 1000])]
        elif kind == 4:
            found[place:place] = chance.randbytes(chance.choice([1, 2, 4, 16, 200]))
        elif kind == 5:
            piece = bytes(found[place : place + chance.choice([4, 16, 64, 4096])])
            found[place:place] = piece * chance.choice([1, 2, 20])
        elif kind == 6:
            number = struct.pack(chance.choice(["<I", ">I"]), chance.choice(_NUMBERS))
            found[place : place + 4] = number
        elif kind == 7:
            other = chance.choice(others)
            start = chance.randrange(len(other) + 1)
            found[place:place] = other[start : start + chance.choice([4, 32, 500])]
        else:
            early = chance.randrange(min(64, len(found)) + 1)  # headers are where trouble starts
            found[early : early + 2] = chance.randbytes(2)
        if len(found) > 1 << 19:
            del found[1 << 19 :]
    return bytes(found)


def run_case(name: str, number: int, seed: int) -> str:
    """Run one case and name its outcome.

    Raises
    ------
    Wrong
        If it did not end as it must.
    """
    from pipeline.errors import ZhijianError

    target = targets()[name]
    chance = random.Random(f"{seed}/{name}/{number}")
    original = chance.choice(target.seeds)
    data = mutated(original, target.seeds, chance)
    signal.alarm(CASE_S)
    try:
        return target.run(data, original)
    except ZhijianError as error:
        if SECRET in str(error):
            raise Wrong("the message holds a word of the content") from None
        return error.kind
    except Wrong:
        raise
    except MemoryError:
        raise Wrong("MemoryError: a small input asked for gigabytes") from None
    except BaseException as error:
        raise Wrong(f"{type(error).__name__}: {str(error)[:200]}") from error
    finally:
        signal.alarm(0)


# Targets -------------------------------------------------------------------------------------------


@cache
def _keys():
    from pyrage import x25519

    from pipeline.vault.keys import Identity

    return Identity([x25519.Identity.generate()], source="fuzz")


def _containers() -> tuple[bytes, ...]:
    from pipeline.vault.envelope import encrypt

    payloads = (b"RIFF" + SECRET.encode() * 9, bytes(70_000), b"")
    kinds = ("age", "sm4")
    return tuple(encrypt(data, _keys().recipients, envelope=kind) for data in payloads for kind in kinds)


def _open_container(data: bytes, original: bytes) -> str:
    from pipeline.errors import DecryptError
    from pipeline.vault.envelope import decrypt
    from pipeline.vault.rewrap import rewrap

    if data == original:
        return "unchanged"
    with contextlib.suppress(DecryptError):
        rewrap(data, _keys(), _keys().recipients)
    try:
        decrypt(data, _keys())
    except DecryptError as error:
        return error.kind
    raise Wrong("a changed container was opened")


def _audios() -> tuple[bytes, ...]:
    times = np.arange(4000) / 8000
    wave = 0.3 * np.stack([np.sin(2 * np.pi * 440 * times), np.sin(2 * np.pi * 220 * times)], axis=1)
    wavs = [("WAV", coding) for coding in ("PCM_16", "ALAW", "ULAW", "FLOAT")]
    others = [
        ("WAVEX", "PCM_24"),
        ("FLAC", "PCM_16"),
        ("OGG", "VORBIS"),
        ("OGG", "OPUS"),
        ("MP3", "MPEG_LAYER_III"),
    ]
    kinds = [*wavs, *others]
    found = []
    for container, coding in kinds:
        file = io.BytesIO()
        soundfile.write(file, wave, 8000, format=container, subtype=coding)
        found.append(file.getvalue())
    return tuple(found)


def _decode(data: bytes, _original: bytes) -> str:
    from pipeline.hearing.audio import Limits, decode

    recording = decode(data, limits=Limits(max_duration_s=600))
    if not (1 <= recording.samples.shape[0] <= 2 and recording.duration_s <= 600):
        raise Wrong("a recording beyond the limits was let through")
    if not np.isfinite(recording.samples).all():
        raise Wrong("samples that are no numbers were let through")
    return "decoded"


def _call_files() -> tuple[bytes, ...]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    common = {"started_at": "2026-01-05T09:30:00+08:00", "agent_id": "1027", "agent_name": "李雷"}
    rows = [
        {"call_id": f"c{n}", "direction": ("inbound", "outbound")[n % 2], **common, "ring_s": str(n)}
        | {"customer_ref": SECRET, "business": "query"}
        for n in range(6)
    ]
    text = ",".join(rows[0]) + "\n" + "".join(",".join(row.values()) + "\n" for row in rows)
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return text.encode(), b"\xef\xbb\xbf" + text.encode(), lines.encode(), sink.getvalue()


def _read_calls(data: bytes, original: bytes) -> str:
    from pipeline.callrecords import call_id_problem, read_call_records

    suffix = {b"PAR1": "parquet", b'{"ca': "jsonl"}.get(original[:4], "csv")
    path = _scratch() / f"calls.{suffix}"
    path.write_bytes(data)
    table = read_call_records(str(path))
    if len(table.records) + len(table.problems) != table.rows:
        raise Wrong("rows got lost")
    if any(call_id_problem(record.call_id) for record in table.records):
        raise Wrong("a call id that cannot be one was let through")
    if any(SECRET in str(problem.error) for problem in table.problems):
        raise Wrong("a message holds a customer's reference")
    return "read with problems" if table.problems else "read"


@cache
def _rule_files() -> dict[bytes, Path]:
    """The shipped files, by what they held when this began."""
    return {path.read_bytes(): path.relative_to(LEXICONS) for path in sorted(LEXICONS.rglob("*.toml"))}


def _check_rules(data: bytes, original: bytes) -> str:
    from pipeline.judging.rulebook import check_rulebook

    folder = _scratch() / "lexicons"
    if not folder.exists():
        shutil.copytree(LEXICONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    place = folder / _rule_files()[original]
    place.write_bytes(data)
    try:
        return "problems named" if check_rulebook(folder) else "accepted"
    finally:
        place.write_bytes(original)


@cache
def _scratch() -> Path:
    memory = Path("/dev/shm")  # thousands of small files
    return Path(tempfile.mkdtemp(prefix="zhijian-fuzz-", dir=memory if memory.is_dir() else None))


# Running -------------------------------------------------------------------------------------------


def run_many(
    name: str, start: int, count: int, seed: int, *, limit_s: float = 1e9
) -> tuple[Counter, list[str]]:
    """Run cases in child processes, so that one that dies is a finding and not the end.

    Returns
    -------
    outcomes : Counter
    findings : list of str
    """
    outcomes: Counter = Counter()
    findings: list[str] = []
    began = time.monotonic()
    number, end = start, start + count
    while number < end and time.monotonic() - began < limit_s:
        progress = mmap.mmap(-1, 8)
        reader, writer = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # threads of others, none of which we need
            child = os.fork()
        if child == 0:
            os.close(reader)
            _child(name, number, min(end, number + CHUNK), seed, progress, writer)
        os.close(writer)
        with os.fdopen(reader, "rb") as file:
            answer = file.read()
        _, status = os.waitpid(child, 0)
        reached = struct.unpack("q", progress[:8])[0]
        progress.close()
        if status == 0:
            found = json.loads(answer)
            outcomes.update(found["outcomes"])
            findings += found["findings"]
            number = min(end, number + CHUNK)
        else:
            reason = (
                f"signal {os.WTERMSIG(status)}"
                if os.WIFSIGNALED(status)
                else f"status {os.WEXITSTATUS(status)}"
            )
            findings.append(f"{name} {reached}: the process died ({reason})")
            number = reached + 1
    return outcomes, findings


def _address_space() -> int:
    """Bytes of address space of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _child(name: str, start: int, end: int, seed: int, progress: mmap.mmap, writer: int) -> None:
    # Beside what the parent holds: a child of a test run is born with every model that was loaded before.
    most = _address_space() + _ROOM_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # a hang ends the process, and is reported as such
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 2)  # decoders complain there
    outcomes: Counter = Counter()
    findings: list[str] = []
    for number in range(start, end):
        progress[:8] = struct.pack("q", number)
        try:
            outcomes[run_case(name, number, seed)] += 1
        except Wrong as wrong:
            findings.append(f"{name} {number}: {wrong}")
    shutil.rmtree(_scratch(), ignore_errors=True)
    with os.fdopen(writer, "wb") as file:
        file.write(json.dumps({"outcomes": outcomes, "findings": findings}).encode())
    os._exit(0)


def shares(count: int) -> Iterator[tuple[str, int]]:
    """Divide a number of cases among the targets."""
    for name, share in SHARES.items():
        yield name, max(1, round(count * share))


def main() -> None:
    """Run the cases and print what became of them; exit 1 if any ended as none may."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--target", choices=list(SHARES))
    parser.add_argument("--limit-s", type=float, default=1e9, help="stop after this time, each target")
    options = parser.parse_args()
    plan = [(options.target, options.count)] if options.target else list(shares(options.count))
    bad = 0
    targets()  # imports and seeds once, before the processes fork
    for name, count in plan:
        began = time.monotonic()
        outcomes, findings = run_many(name, options.start, count, options.seed, limit_s=options.limit_s)
        bad += len(findings)
        line = ", ".join(f"{kind} {number}" for kind, number in outcomes.most_common())
        sys.stdout.write(f"{name}: {outcomes.total()} cases in {time.monotonic() - began:.0f} s: {line}\n")
        sys.stdout.write("".join(f"  WRONG {finding}\n" for finding in findings[:20]))
    raise SystemExit(1 if bad else 0)


if __name__ == "__main__":
    main()
