"""The night on a Dask cluster of separate processes, one of which is killed while it hears."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from builders import ROOT, clip
from object_server import free_port

from pipeline.night.server import prefect_server

pytestmark = pytest.mark.flow

FLOW = """
import json, sys
import flows

counts = flows.nightly(*sys.argv[1:4])
print("RESULT" + json.dumps(counts))
"""


def environment(night, tmp_path, address) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("ZHIJIAN_", "PREFECT_"))}
    return kept | {
        "ZHIJIAN_MODEL": f"fake:{script(tmp_path)}",
        "ZHIJIAN_IDENTITY": str(night.key),
        "ZHIJIAN_WORKERS": "1",
        "ZHIJIAN_BATCH_CALLS": "2",
        "ZHIJIAN_TASK_RUNNER": "dask",
        "ZHIJIAN_DASK_ADDRESS": address,
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "DASK_DISTRIBUTED__WORKER__DAEMON": "False",
        "PYTHONPATH": str(ROOT),
    }


def script(tmp_path: Path) -> Path:
    path = tmp_path / "script.json"
    path.write_text(json.dumps({"calls": []}))
    return path


@contextmanager
def process(*command: str, env: dict[str, str], log: Path):
    with log.open("wb") as out:
        running = subprocess.Popen([sys.executable, *command], stdout=out, stderr=out, env=env, cwd=ROOT)
    try:
        yield running
    finally:
        running.kill()
        running.wait()


def children(pid: int) -> set[int]:
    import psutil

    return {child.pid for child in psutil.Process(pid).children(recursive=True)}


@pytest.fixture(autouse=True)
def own_prefect_home(tmp_path, monkeypatch):
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "server"))


def test_a_night_survives_the_death_of_one_of_its_machines(night_folder, tmp_path):
    night = night_folder
    for number in range(12):
        night.add_call(f"c{number}", clip(4.0 + 0.5 * number))
    night.add_call("broken", b"no audio")
    night.add_row("missing")
    calls = night.write_calls()
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    env = environment(night, tmp_path, address)
    with ExitStack() as stack:
        # As in a real cluster: every machine reports to one Prefect server.
        env["PREFECT_API_URL"] = stack.enter_context(prefect_server(None, tmp_path / "server"))
        stack.enter_context(
            process(
                "-m",
                "distributed.cli.dask_scheduler",
                "--host",
                "127.0.0.1",
                "--port",
                str(port),
                "--no-dashboard",
                env=env,
                log=tmp_path / "scheduler.log",
            )
        )
        machines = [
            stack.enter_context(
                process(
                    "-m",
                    "distributed.cli.dask_worker",
                    address,
                    "--nthreads",
                    "2",
                    "--no-nanny",
                    "--no-dashboard",
                    "--local-directory",
                    str(tmp_path / f"machine{number}"),
                    env=env,
                    log=tmp_path / f"machine{number}.log",
                )
            )
            for number in range(2)
        ]
        flow = stack.enter_context(
            process(
                "-c",
                FLOW,
                str(night.recordings),
                str(calls),
                str(night.results),
                env=env,
                log=tmp_path / "flow.log",
            )
        )
        victim = machines[0]
        deadline = time.monotonic() + 240
        while not (hearing := children(victim.pid)) or not any(night.results.glob("scores/*/*.parquet")):
            assert flow.poll() is None, (tmp_path / "flow.log").read_text()[-3000:]
            assert time.monotonic() < deadline
            time.sleep(0.05)
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        assert flow.wait(timeout=240) == 0, (tmp_path / "flow.log").read_text()[-3000:]
        said = (tmp_path / "flow.log").read_text()
        counts = json.loads(
            next(x for x in said.splitlines() if x.startswith("RESULT")).removeprefix("RESULT")
        )
        assert counts == {"calls_in": 14, "scored": 12, "quarantined": 2, "skipped": 0}
        gone = time.monotonic() + 30
        while any(Path(f"/proc/{pid}").exists() for pid in hearing) and time.monotonic() < gone:
            time.sleep(0.1)
        assert not [pid for pid in hearing if Path(f"/proc/{pid}").exists()]
    scores = night.table("scores", latest=False)
    assert sorted(scores.call_id) == sorted(f"c{number}" for number in range(12))
    assert set(scores.version) == {1}
    run = night.table("runs").iloc[-1]
    assert run.calls_in == run.scored + run.quarantined + run.skipped == 14
    assert set(night.table("quarantine").kind) == {"decode_failed", "recording_missing"}
