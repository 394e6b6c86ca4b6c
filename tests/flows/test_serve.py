"""`python flows.py serve` for real: its server schedules the night, and a run asked for is done."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from builders import ROOT

pytestmark = pytest.mark.flow

PATIENCE_S = 180.0


def wait_for(question: Callable[[], Any], process: subprocess.Popen, log: Path) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        answer = question()
        if answer:
            return answer
        assert process.poll() is None, log.read_text()
        time.sleep(0.5)
    raise AssertionError(f"nothing came in {PATIENCE_S:g} s; the log says:\n{log.read_text()[-3000:]}")


@pytest.fixture
def served(night_folder, tmp_path) -> Iterator[tuple[str, subprocess.Popen, Path]]:
    night = night_folder
    night.add_call("a")
    night.write_calls()
    log = tmp_path / "serve.log"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("ZHIJIAN_", "PREFECT_"))} | {
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_RUNNER_POLL_FREQUENCY": "2",
        "ZHIJIAN_MODEL": "fake",
        "ZHIJIAN_IDENTITY": str(night.key),
        "ZHIJIAN_WORKERS": "1",
        "PYTHONUNBUFFERED": "1",
    }
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "flows.py", "serve"], stdout=out, stderr=out, env=environment, cwd=ROOT
        )
    try:
        address = wait_for(lambda: re.search(r"Prefect API (\S+/api)", log.read_text()), process, log)
        yield address.group(1), process, log
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def test_serve_schedules_the_night_and_does_a_run_asked_for(served, night_folder):
    api, process, log = served
    night = night_folder

    def post(path: str, body: dict[str, Any]) -> Any:
        return httpx.post(f"{api}{path}", json=body, timeout=30).raise_for_status().json()

    def deployment() -> dict[str, Any] | None:
        found = [d for d in post("/deployments/filter", {}) if d["name"] == "nightly"]
        return found[0] if found else None

    nightly = wait_for(deployment, process, log)
    in_its_name = {"flow_runs": {"deployment_id": {"any_": [nightly["id"]]}}}
    runs = wait_for(lambda: post("/flow_runs/filter", in_its_name), process, log)
    shanghai = [
        datetime.fromisoformat(run["expected_start_time"]).astimezone(ZoneInfo("Asia/Shanghai"))
        for run in runs
    ]
    assert {(start.hour, start.minute) for start in shanghai} == {(1, 30)}
    assert len({start.date() for start in shanghai}) == len(runs)

    asked = post(
        f"/deployments/{nightly['id']}/create_flow_run",
        {
            "state": {"type": "SCHEDULED"},
            "parameters": {
                "recordings": str(night.recordings),
                "calls": str(night.root / "calls.csv"),
                "results": str(night.results),
            },
        },
    )

    def ended() -> str | None:
        state = httpx.get(f"{api}/flow_runs/{asked['id']}", timeout=30).json()["state"]["type"]
        return state if state in {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"} else None

    assert wait_for(ended, process, log) == "COMPLETED", log.read_text()[-3000:]
    assert list(night.table("scores").call_id) == ["a"]

    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=PATIENCE_S) == 0
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"{api}/health", timeout=5)
