"""Nights that are killed at random instants, again and again, and in the end equal an undisturbed one.

``python -m tests.faults.killed_nights --kills 1000`` (``make soak``) tells how far it is, prints a summary as
JSON and ends with 1 if a row was lost, doubled or different. Each night is a process of its own on a real
folder: planning, accounting and every commit are real; what would be heard was heard once before. All nights
are forked off one process that has loaded everything, so a kill costs a third of a second and lands in the
work, not in the loading. (Real worker processes are killed in ``test_kills.py``.)
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

ROWS = ("scores", "verdicts", "turns", "events", "hearings", "quarantine")
VOLATILE = {"scored_at", "run_id", "first_seen", "last_seen", "recording_stamp", "receipt_inputs", "attempts"}
CALLS = 10
LIMIT_S = 60.0
TELL_EVERY_S = 20.0


class OneProcess:
    """In the place of worker processes: gives what was heard before, in the process that is to be killed."""

    ears: Any = None
    heard: ClassVar[dict[str, Any]] = {}

    def __init__(self, _setup: Any, **_options: Any) -> None:
        pass

    def score(self, tasks: Sequence[Any]) -> Iterator[Any]:
        for task in tasks:
            call_id = task.call.call_id
            if call_id not in self.heard:
                self.heard[call_id] = self.ears.score(task)
            yield dataclasses.replace(self.heard[call_id], task=task)

    def stop(self) -> None:
        pass


def make_night(root: Path) -> Any:
    """Ten short calls, one that is no audio, one without a recording."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from builders import NightFolder, clip

    from pipeline.vault.keys import new_pair

    new_pair(root / "keys")
    night = NightFolder(root)
    night.recordings.mkdir()
    for number in range(CALLS):
        night.add_call(
            f"c{number}", clip(3.0 + 0.5 * number), started_at=f"2026-03-0{number % 3 + 1}T10:00:00+08:00"
        )
    night.add_call("broken", b"no audio")
    night.add_row("missing")
    night.write_calls()
    return night


def settings_of(night: Any, results: Path) -> Any:
    from pipeline.settings import load_settings

    flags = {
        "recordings": str(night.recordings),
        "calls": str(night.root / "calls.csv"),
        "results": str(results),
        "identity": str(night.key),
        "audit": str(night.root / "audit"),
        "audit_key": str(night.root / "audit.key"),
        "model": "fake",
        "batch_calls": 2,
    }
    return load_settings(flags, env={}, folder=night.root)[0]


def run(settings: Any) -> None:
    """One night, as `zhijian score` runs it."""
    from pipeline.night.run import open_night, run_night

    summary = run_night(open_night(settings))
    assert summary.calls_in == CALLS + 2


def forked(settings: Any) -> int:
    """Start a night in a process of its own; returns its id."""
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            run(settings)
            os._exit(0)
        except BaseException as error:  # noqa: BLE001 - the process ends here, whatever it was
            sys.stderr.write(f"night failed: {type(error).__name__}: {error}\n")
            sys.stderr.flush()
            os._exit(1)
    return pid


def ended(pid: int, within_s: float) -> int | None:
    """Exit status of a process, or None if it is still running after some time."""
    deadline = time.monotonic() + within_s
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= deadline:
            return None
        time.sleep(0.001)


def snapshot(results: Path) -> dict[str, list[str]]:
    """Every row there is, without what differs from run to run."""
    from pipeline.results.store import Store

    found = {}
    for table in ROWS:
        rows = Store.open(results).read(table, latest=False)
        kept = rows.select([name for name in rows.column_names if name not in VOLATILE])
        found[table] = sorted(map(repr, kept.to_pylist()))
    return found


def whole_calls_only(results: Path) -> int:
    """How many calls a reader finds, each of them in every dataset, before anybody has tidied up."""
    from pipeline.results.store import Store

    if not results.is_dir():
        return 0
    store = Store.open(results)
    ids = [
        sorted(set(store.read(table, columns=["call_id"])["call_id"].to_pylist()))
        for table in ("scores", "verdicts", "turns", "hearings")
    ]
    assert all(found == ids[0] for found in ids), ids
    rows = store.read("scores", columns=["call_id"], latest=False)["call_id"].to_pylist()
    assert len(rows) == len(set(rows)), rows
    return len(ids[0])


def leftovers(results: Path) -> str:
    """In which part of a commit the kill fell."""
    if any(results.glob("_journal/*.json")):
        return "while files moved into place"
    if any(results.glob("_staging/*/*")):
        return "while files were staged"
    return "between commits"


def faults(expected: dict[str, list[str]], found: dict[str, list[str]]) -> Counter[str]:
    """How many rows a night lost, doubled or has otherwise than an undisturbed one."""
    wrong: Counter[str] = Counter()
    for table in ROWS:
        want, have = Counter(expected[table]), Counter(found[table])
        wrong["lost"] += (want - have).total()
        for row, count in (have - want).items():
            wrong["doubled" if row in want else "different"] += count
    return wrong


def soak(kills: int, seed: int, root: Path) -> dict[str, Any]:
    """Kill nights until there were enough kills; every night is then finished and compared."""
    import pipeline.night.run as night_run
    from pipeline.audit.keys import new_audit_key
    from pipeline.night.batch import worker_setup
    from pipeline.night.worker import Ears

    random_ = random.Random(seed)
    night = make_night(root)
    new_audit_key(root / "audit.key")
    night_run.HearingPool = OneProcess  # type: ignore[misc, assignment]
    pa.set_cpu_count(1)
    calm = settings_of(night, root / "calm")
    (root / "calm").mkdir()
    OneProcess.ears = Ears(worker_setup(calm, "soak"))
    began_s = time.monotonic()
    run(calm)
    # Read before every night and of no matter here.
    night_run.check_weights = night_run.archive_rulebook = lambda *_, **__: None  # type: ignore[assignment]
    warm_s = time.monotonic()
    assert ended(forked(settings_of(night, root / "warm")), LIMIT_S) == 0
    run_s = time.monotonic() - warm_s
    expected = snapshot(root / "calm")
    fell: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    nights = resumed = most = done = rows = 0
    told_s = began_s
    while done < kills:
        results = root / f"night{nights + resumed}"
        settings = settings_of(night, results)
        killed = 0
        for _ in range(20):
            began = time.monotonic()
            pid = forked(settings)
            status = ended(pid, random_.uniform(0.0, run_s))
            if status is None:
                os.killpg(pid, signal.SIGKILL) if _leads(pid) else os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                done += 1
                killed += 1
                fell[leftovers(results)] += 1
                whole_calls_only(results)
                if done == kills:
                    break
            elif status != 0:
                raise AssertionError(f"a night ended with {status} by itself")
            else:
                if not killed:  # the machine is faster than it was: aim earlier
                    run_s = 0.5 * (run_s + time.monotonic() - began)
                break
        if not killed:
            nights += 1
            shutil.rmtree(results)
            continue
        resumed += 1
        most = max(most, killed)
        pid = forked(settings)
        status = ended(pid, LIMIT_S)
        assert status == 0, f"the last run of night {nights + resumed} ended with {status}"
        found = snapshot(results)
        rows += sum(map(len, found.values()))
        wrong += faults(expected, found)
        shutil.rmtree(results)
        if time.monotonic() - told_s > TELL_EVERY_S:
            told_s = time.monotonic()
            sys.stderr.write(
                f"{done} of {kills} kills, {resumed} nights resumed, {wrong.total()} rows wrong, "
                f"{told_s - began_s:.0f} s\n"
            )
            sys.stderr.flush()
    return {
        "kills": done,
        "nights_resumed": resumed,
        "kills_of_one_night_at_most": most,
        "nights_never_killed": nights,
        "seed": seed,
        "calls_a_night": CALLS + 2,
        "rows_compared": rows,
        **{f"rows_{what}": wrong[what] for what in ("lost", "doubled", "different")},
        "fell": dict(fell),
        "seconds": round(time.monotonic() - began_s, 1),
    }


def _leads(pid: int) -> bool:
    try:
        return os.getpgid(pid) == pid
    except ProcessLookupError:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=20260101)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="zhijian-soak-") as folder:
        report = soak(options.kills, options.seed, Path(folder))
    sys.stdout.write(json.dumps(report, indent=2) + "\n")
    if any(report[f"rows_{what}"] for what in ("lost", "doubled", "different")):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
