"""What the night stands on fails: workers, disks, folders, networks, result files; then it works again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import fsspec
import pytest
from builders import ROOT, clip, zhijian
from object_server import Line, s3_server

VOLATILE = {"scored_at", "run_id", "recording_stamp", "receipt_inputs", "first_seen", "last_seen", "attempts"}


def rows(place, name):
    from pipeline.results import load

    frame = load(name, place)
    kept = frame.drop(columns=[column for column in VOLATILE if column in frame])
    return sorted(map(repr, kept.to_dict("records")))


def balanced(place, calls_in):
    from pipeline.results import load

    for run in load("runs", place).itertuples():
        assert run.calls_in == run.scored + run.quarantined + run.skipped == calls_in


def script(folder: Path, faults: dict[float, str]) -> str:
    """A fake model that fails on recordings of these lengths."""
    calls = [
        {"duration_s": length, "turns": [{"start_s": 0.5, "end_s": 2.5, "text": "您好", "fault": fault}]}
        for length, fault in faults.items()
    ]
    path = folder / f"script{len(faults)}.json"
    path.write_text(json.dumps({"calls": calls}, ensure_ascii=False))
    return f"fake:{path}"


def test_workers_that_die_or_hang_cost_their_call_and_no_other(night_folder, tmp_path):
    night = night_folder
    for number in range(4):
        night.add_call(f"good{number}", clip(5.0 + number))
    night.add_call("deadly", clip(4.0))
    night.add_call("endless", clip(4.5))
    began_s = time.monotonic()
    done = night.score(
        "--workers",
        "2",
        model=script(tmp_path, {4.0: "exit", 4.5: "hang"}),
        env={"ZHIJIAN_CALL_TIMEOUT_S": "15"},
    )
    assert done.returncode == 3, done.stderr
    assert time.monotonic() - began_s < 180
    kinds = {row.call_id: row.kind for row in night.table("quarantine").itertuples()}
    assert kinds == {"deadly": "worker_died", "endless": "worker_timeout"}
    assert sorted(night.table("scores").call_id) == [f"good{number}" for number in range(4)]

    # A worker that died is tried again next time by itself; what took too long, on request.
    again = night.score(model=script(tmp_path, {4.5: "hang"}), env={"ZHIJIAN_CALL_TIMEOUT_S": "15"})
    assert again.returncode == 3, again.stderr
    assert list(night.table("quarantine").call_id) == ["endless"]
    assert night.score("--retry-quarantined").returncode == 0
    assert night.table("quarantine").empty
    assert len(night.table("scores")) == 6
    balanced(night.results, 6)


def test_late_recordings_are_picked_up_and_a_changed_one_is_tried_again(night_folder):
    night = night_folder
    night.add_call("a")
    night.add_row("late")
    broken = night.add_call("b", b"no audio")
    assert night.score().returncode == 3
    assert set(night.table("quarantine").call_id) == {"late", "b"}
    night.add_recording("late", clip(5.0))
    broken.unlink()
    night.add_recording("b", clip(6.0))
    assert night.score().returncode == 0
    assert night.table("quarantine").empty
    balanced(night.results, 3)


# A small disk of its own that really fills up, and then really has space again.
SMALL_DISK = """
set -e
mount -t tmpfs -o size=1056k none "$RESULTS"
"$PYTHON" -m pipeline.cli "$@" 2> "$LOG" && exit 10 || status=$?
test "$status" = 1 || exit 11
df --output=avail "$RESULTS" | tail -1 > "$LOG.left"
mount -o remount,size=64m "$RESULTS"
"$PYTHON" -m pipeline.cli "$@" || exit 12
cp -r "$RESULTS" "$RESULTS.after"
"""


def may_mount() -> bool:
    probe = ["unshare", "--mount", "--map-root-user", "sh", "-c", "mount -t tmpfs none /mnt"]
    try:
        return subprocess.run(probe, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not may_mount(), reason="2026-11-22: this user may not mount a small disk of its own")
def test_a_disk_that_fills_up_stops_the_night_and_the_next_one_goes_on(night_folder):
    night = night_folder
    for number in range(24):
        night.add_call(f"c{number}", clip(4.0 + 0.25 * number))
    night.results.mkdir()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ZHIJIAN_")} | {
        "PYTHON": sys.executable,
        "RESULTS": str(night.results),
        "LOG": str(night.root / "full.log"),
        "ZHIJIAN_BATCH_CALLS": "1",
        "ZHIJIAN_AUDIT": str(night.root / "audit"),
    }
    done = subprocess.run(
        [
            "unshare", "--mount", "--map-root-user", "sh", "-c", SMALL_DISK, "sh",
            "score", str(night.recordings), "--calls", str(night.write_calls()), "--out", str(night.results),
            "--identity", str(night.key), "--model", "fake", "--workers", "1",
        ],
        capture_output=True, text=True, timeout=180, env=environment, cwd=ROOT, check=False,
    )  # fmt: skip
    said = (night.root / "full.log").read_text()
    assert done.returncode == 0, (done.returncode, done.stderr, said)
    assert "no space left for results" in said
    assert "Traceback" not in said
    after = Path(f"{night.results}.after")
    from pipeline.results import load

    assert sorted(load("scores", after, latest=False).call_id) == sorted(f"c{n}" for n in range(24))
    (run,) = load("runs", after).itertuples()  # the first could not be recorded: there was no space for it
    assert run.calls_in == run.scored + run.skipped == 24
    assert run.skipped > 0
    assert not list(after.glob("_staging/*")) + list(after.glob("_journal/*"))


def test_a_folder_that_is_read_only_stops_the_night_before_the_first_call(night_folder):
    night = night_folder
    night.add_call("a")
    # /proc takes no new files, not even from root, to whom a mode would mean nothing.
    done = zhijian(
        "score", str(night.recordings), "--calls", str(night.write_calls()), "--out", "/proc/self/results",
        "--identity", str(night.key), "--model", "fake",
        env={"XDG_STATE_HOME": str(night.root / "state")},
    )  # fmt: skip
    assert done.returncode == 1
    assert "choose a folder that can be written" in done.stderr
    assert "Traceback" not in done.stderr


def test_damaged_results_are_named_set_aside_and_heard_again(night_folder):
    night = night_folder
    for number in range(4):
        night.add_call(f"c{number}", clip(4.0 + number))
    assert night.score(env={"ZHIJIAN_BATCH_CALLS": "2"}).returncode == 0
    before = {name: rows(night.results, name) for name in ("scores", "verdicts", "turns", "events")}
    victim = sorted(night.results.glob("turns/*/*.parquet"))[0]
    content = victim.read_bytes()
    victim.write_bytes(content[: len(content) // 2])

    reading = zhijian("show", "c0", "--results", str(night.results))
    if reading.returncode:  # c0 may lie in the other file
        assert victim.name in reading.stderr
        assert "Traceback" not in reading.stderr
    done = night.score()
    assert done.returncode == 0, done.stderr
    assert f"{victim.name} was damaged and is set aside, its 2 calls are heard again" in done.stderr
    assert {name: rows(night.results, name) for name in before} == before
    assert (night.results / "_damaged" / victim.relative_to(night.results)).read_bytes() != content
    assert night.table("quarantine").empty
    settled = night.table("quarantine", latest=False)
    assert set(settled.kind) == {"damaged_results"}
    assert len(settled) == 2
    balanced(night.results, 4)


@pytest.fixture(scope="module")
def server():
    with s3_server() as running:
        yield running
    fsspec.filesystem("s3").clear_instance_cache()


def test_a_storage_that_fails_and_recovers_loses_nothing(server, night_folder, monkeypatch):
    night = night_folder
    for number in range(4):
        night.add_call(f"c{number}", clip(4.0 + number))
    night.write_calls()
    bucket = server.bucket()
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    remote = fsspec.filesystem("s3")
    for path in night.recordings.iterdir():
        remote.pipe_file(f"{bucket}/recordings/{path.name}", path.read_bytes())
    results = f"s3://{bucket}/results"
    line = Line(server.url)

    def score(calls: Path) -> subprocess.Popen[str]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("ZHIJIAN_")}
        environment |= server.environment(line.url) | {
            "ZHIJIAN_BATCH_CALLS": "1",
            "XDG_STATE_HOME": str(night.root / "state"),
        }
        return subprocess.Popen(
            [
                sys.executable, "-m", "pipeline.cli", "score", f"s3://{bucket}/recordings",
                "--calls", str(calls), "--out", results,
                "--identity", str(night.key), "--model", "fake", "--workers", "1",
            ],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=ROOT,
        )  # fmt: skip

    line.cut()
    down = score(night.root / "calls.csv")
    _, err = down.communicate(timeout=180)
    assert down.returncode == 1
    assert "try again" in err
    assert "Traceback" not in err
    line.mend()

    half = score(night.root / "calls.csv")
    deadline = time.monotonic() + 120
    while not remote.exists(f"{bucket}/results/scores") and time.monotonic() < deadline:
        remote.invalidate_cache()
        time.sleep(0.05)
    line.cut()
    _, err = half.communicate(timeout=180)
    assert half.returncode in (0, 1, 3), err
    # The S3 driver's event loop logs connections that it lost by itself; the last line is ours.
    assert err.strip().splitlines()[-1].startswith(("zhijian:", "run ")), err
    assert "pipeline/cli" not in err, err
    line.mend()

    last = score(night.root / "calls.csv")
    _, err = last.communicate(timeout=180)
    assert last.returncode == 0, err
    line.close()
    from pipeline.results import load

    assert sorted(load("scores", results, latest=False).call_id) == [f"c{number}" for number in range(4)]
    assert load("quarantine", results).empty
    balanced(results, 4)
