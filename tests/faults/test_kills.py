"""A night that is killed and started again ends like one that was not."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from builders import ROOT, SEED, clip

ROWS = ("scores", "verdicts", "turns", "events", "quarantine")
VOLATILE = {"scored_at", "run_id", "first_seen", "last_seen", "recording_stamp", "receipt_inputs"}


def start(night) -> subprocess.Popen[str]:
    command = [
        sys.executable, "-m", "pipeline.cli", "score", str(night.recordings), "--calls",
        str(night.root / "calls.csv"), "--out", str(night.results), "--identity", str(night.key),
        "--workers", "2", "--model", "fake",
    ]  # fmt: skip
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ZHIJIAN_")}
    environment["ZHIJIAN_BATCH_CALLS"] = "2"
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=ROOT
    )


def snapshot(night) -> dict[str, list[str]]:
    found = {}
    for name in ROWS:
        frame = night.table(name)
        kept = frame.drop(columns=[column for column in VOLATILE if column in frame])
        found[name] = sorted(map(repr, kept.to_dict("records")))
    return found


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def read(children: Path) -> list[str]:
    try:
        return children.read_text().split()
    except OSError:  # the thread has ended meanwhile
        return []


def alive(pids) -> list[str]:
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


@pytest.fixture
def night(night_folder):
    for number in range(8):
        night_folder.add_call(f"c{number}", clip(4.0 + number))
    night_folder.add_call("broken", b"no audio")
    night_folder.write_calls()
    return night_folder


def test_killed_at_random_points_and_started_again(night, tmp_path):
    random_ = random.Random(SEED)
    for delay_s in sorted(random_.uniform(0.8, 6.0) for _ in range(4)):
        process = start(night)
        time.sleep(delay_s)
        kill(process)
    final = start(night)
    _, err = final.communicate(timeout=300)
    assert final.returncode == 3, err
    killed = snapshot(night)
    run = night.table("runs").sort_values("started_at").iloc[-1]
    assert run.calls_in == run.scored + run.skipped + run.quarantined == 9
    assert len(killed["scores"]) == 8
    assert len(killed["quarantine"]) == 1

    night.results.rename(tmp_path / "killed")
    undisturbed = start(night)
    undisturbed.communicate(timeout=300)
    calm = snapshot(night)
    for name in ("scores", "verdicts", "turns", "events"):
        assert killed[name] == calm[name], name


def test_fifty_seeded_kills_lose_nothing_and_double_nothing():
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.killed_nights", "--kills", "50", "--seed", str(SEED)],
        capture_output=True, text=True, timeout=600, cwd=ROOT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(done.stdout)
    assert report["kills"] == 50
    assert set(report["fell"]) > {"between commits"}  # some fell into the middle of a commit


def test_ctrl_c_keeps_what_was_finished_and_says_how_to_go_on(night):
    process = start(night)
    time.sleep(3.0)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode in (130, 3), err
    assert "Traceback" not in err
    if process.returncode == 130:
        assert "run the same command again" in err
    again = start(night)
    _, err = again.communicate(timeout=300)
    assert again.returncode == 3, err
    assert len(night.table("scores")) == 8


def test_no_worker_outlives_a_killed_night(night):
    process = start(night)
    children: list[str] = []
    while not children and process.poll() is None:
        children = [
            pid for task in Path(f"/proc/{process.pid}/task").glob("*/children") for pid in read(task)
        ]
        time.sleep(0.02)
    time.sleep(0.5)
    kill(process)
    assert children
    deadline = time.monotonic() + 60
    while alive(children) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not alive(children)


def test_two_runs_at_once_store_every_call_once(night):
    both = [start(night), start(night)]
    for process in both:
        _, err = process.communicate(timeout=300)
        assert process.returncode == 3, err
    scores = night.table("scores", latest=False)
    assert sorted(scores.call_id) == [f"c{n}" for n in range(8)]
    assert set(scores.version) == {1}
    for run in night.table("runs").itertuples():
        assert run.calls_in == run.scored + run.skipped + run.quarantined == 9
