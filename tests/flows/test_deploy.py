"""`prefect.yaml` on a real server: a work pool, its deployments, a worker that does a night, automations."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from builders import ROOT

from pipeline.night.server import prefect_server

pytestmark = pytest.mark.flow

PATIENCE_S = 180.0
BUSY = 503  # its database is locked; Prefect's own client asks again, too
ENDS = {"Completed", "Failed", "Crashed", "Cancelled"}


def prefect(*arguments: str, environment: dict[str, str], log: Path) -> subprocess.Popen:
    with log.open("ab") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "prefect", *arguments], stdout=out, stderr=out, env=environment, cwd=ROOT
        )


def wait_for(question: Callable[[], Any], log: Path) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if answer := question():
            return answer
        time.sleep(0.3)
    raise AssertionError(f"nothing came in {PATIENCE_S:g} s; the log says:\n{log.read_text()[-3000:]}")


@pytest.fixture
def environment(night_folder, tmp_path, monkeypatch) -> dict[str, str]:
    """Settings as the machine has them that runs the flows; nothing is said in the deployments."""
    night = night_folder
    night.add_call("a")
    night.write_calls()
    for name in os.environ:
        if name.startswith(("ZHIJIAN_", "PREFECT_")):
            monkeypatch.delenv(name)
    for name, value in {
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "ZHIJIAN_MODEL": "fake",
        "ZHIJIAN_IDENTITY": str(night.key),
        "ZHIJIAN_RECORDINGS": str(night.recordings),
        "ZHIJIAN_CALLS": str(night.root / "calls.csv"),
        "ZHIJIAN_RESULTS": str(night.results),
        "ZHIJIAN_AUDIT": str(tmp_path / "audit"),
        "ZHIJIAN_WORKERS": "1",
    }.items():
        monkeypatch.setenv(name, value)
    return dict(os.environ)


@pytest.fixture
def pool(environment, tmp_path) -> Iterator[tuple[Callable[..., Any], Callable[..., Any], Path]]:
    """A server with the work pool, on which everything is deployed while a worker starts."""
    log = tmp_path / "prefect.log"
    with prefect_server(None, tmp_path / "prefect") as url:

        def asked(method: str, path: str, **content: Any) -> Any:
            def answer() -> httpx.Response | None:
                found = httpx.request(method, f"{url}{path}", timeout=30, **content)
                return None if found.status_code == BUSY else found.raise_for_status()

            return wait_for(answer, log).json()

        def post(path: str, body: Any) -> Any:
            return asked("POST", path, json=body)

        def get(path: str, query: dict[str, str]) -> Any:
            return asked("GET", path, params=query)

        environment |= {"PREFECT_API_URL": url}
        post("/work_pools/", {"name": "zhijian", "type": "process"})
        deploying = prefect("--no-prompt", "deploy", "--all", environment=environment, log=log)
        worker = prefect("worker", "start", "--pool", "zhijian", environment=environment, log=log)
        try:
            assert deploying.wait(timeout=PATIENCE_S) == 0, log.read_text()[-3000:]
            yield post, get, log
        finally:
            for process in (deploying, worker):
                process.terminate()
                process.wait(timeout=PATIENCE_S)


def test_a_worker_of_the_pool_does_the_night_once_at_a_time_and_tells(pool, night_folder):
    post, get, log = pool
    automations = yaml.safe_load((ROOT / "automations.yaml").read_text(encoding="utf-8"))["automations"]
    assert {post("/automations/", automation)["name"] for automation in automations} == {
        "zhijian-run-failed",
        "zhijian-nothing-completed",
    }
    # The same trigger for the run that will succeed: that it is heard shows that the failing one would be.
    (failed,) = (a for a in automations if a["name"] == "zhijian-run-failed")
    trigger = {**failed["trigger"], "expect": ["prefect.flow-run.Completed"]}
    post("/automations/", {"name": "probe", "trigger": trigger, "actions": [{"type": "do-nothing"}]})

    deployed = {found["name"]: found for found in post("/deployments/filter", {})}
    assert set(deployed) == {"nightly", "health", "retention", "rescore"}
    for found in deployed.values():
        assert found["work_pool_name"] == "zhijian"
        assert found["global_concurrency_limit"]["limit"] == 1
    assert {
        name: [(one["schedule"]["cron"], one["schedule"]["timezone"]) for one in found["schedules"]]
        for name, found in deployed.items()
    } == {
        "nightly": [("30 1 * * *", "Asia/Shanghai")],
        "health": [("0 7 * * *", "Asia/Shanghai")],
        "retention": [("0 4 * * 0", "Asia/Shanghai")],
        "rescore": [],
    }

    nightly = deployed["nightly"]["id"]
    asked = [post(f"/deployments/{nightly}/create_flow_run", {})["id"] for _ in range(2)]

    def ended() -> dict[str, str]:
        runs = post("/flow_runs/filter", {"flow_runs": {"id": {"any_": asked}}})
        names = {run["id"]: run["state"]["name"] for run in runs}
        return {run: name for run, name in names.items() if name in ENDS}

    done = wait_for(ended, log)
    assert set(done.values()) == {"Completed"}, log.read_text()[-3000:]
    # Of the two one was sent to wait, whatever became of it since.
    seen = {run: [state["name"] for state in get("/flow_run_states/", {"flow_run_id": run})] for run in asked}
    assert sum("AwaitingConcurrencySlot" in names for names in seen.values()) == 1, seen
    assert list(night_folder.table("scores").call_id) == ["a"]
    (page,) = post("/artifacts/filter", {"artifacts": {"key": {"any_": ["night-summary"]}}})
    assert "| 1 | 1 | 0 | 0 |" in page["data"]
    heard = {"filter": {"event": {"name": ["prefect.automation.triggered"]}}}
    assert wait_for(lambda: post("/events/filter", heard)["events"], log)
