"""The Prefect flow does what `zhijian score` does, and leaves no words in Prefect's own storage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from builders import ROOT

from pipeline.results.store import Store
from pipeline.results.stored import stored_hearing

pytestmark = pytest.mark.flow

SECRET = "保单尾号七七四九二一"

# A temporary server on the database of PREFECT_HOME, as on a machine without a Prefect server.
RUN = """
import json, sys
import flows
from prefect.client.orchestration import get_client

counts = flows.nightly(*sys.argv[1:4], workers=1)
flows.retention(sys.argv[3], sys.argv[1])
rescored = flows.rescore("a", "listened again", "li.lei", results=sys.argv[3])
with get_client(sync_client=True) as client:
    tasks = client.read_task_runs()
    artifacts = client.read_artifacts()
names = sorted(task.name for task in tasks)
summaries = [artifact.data for artifact in artifacts if artifact.key == "night-summary"]
kept = [artifact.data for artifact in artifacts if artifact.key == "retention-report"]
result = {"counts": counts, "tasks": names, "summaries": summaries, "retention": kept, "rescored": rescored}
print("RESULT" + json.dumps(result))
"""


def run_flow(night, home: Path, model: str) -> dict:
    night.write_calls()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ZHIJIAN_")} | {
        "PREFECT_HOME": str(home),
        "ZHIJIAN_MODEL": model,
        "ZHIJIAN_IDENTITY": str(night.key),
        "PREFECT_LOGGING_LEVEL": "DEBUG",
    }
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(night.recordings), str(night.root / "calls.csv"), str(night.results)],
        capture_output=True, text=True, timeout=300, env=environment, cwd=ROOT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert SECRET not in done.stdout + done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT"))
    return json.loads(line.removeprefix("RESULT"))


def test_the_flow_scores_a_night_and_keeps_words_out_of_prefect(night_folder, tmp_path):
    import io

    import soundfile
    from builders import clip

    night = night_folder
    night.add_call("a")
    night.add_call("b", direction="outbound")
    night.add_row("missing")
    data, rate = soundfile.read(io.BytesIO(clip()))
    turn = {"start_s": 1.0, "end_s": 5.0, "text": "您好请问有什么可以帮您" + SECRET}
    script = tmp_path / "script.json"
    script.write_text(
        json.dumps({"calls": [{"duration_s": len(data) / rate, "turns": [turn]}]}, ensure_ascii=False)
    )
    home = tmp_path / "prefect"

    result = run_flow(night, home, f"fake:{script}")

    assert result["counts"] == {"calls_in": 3, "scored": 2, "quarantined": 1, "skipped": 0}
    names = [name.rsplit("-", 1)[0] for name in result["tasks"]]
    assert names == [
        "account for every call",
        "apply retention",
        "batch 0 (2 calls)",
        "plan the night",
        "put small files together",
        "score one call again",
    ]
    assert len(result["retention"]) == 1
    assert (result["rescored"]["call_id"], result["rescored"]["version"]) == ("a", 2)
    (summary,) = result["summaries"]
    assert "| 3 | 2 | 1 | 0 |" in summary
    assert "recording_missing" in summary
    heard = [stored_hearing(Store.open(str(night.results)), call_id)[0] for call_id in "ab"]
    assert all(SECRET in hearing.turns[0].text for hearing in heard)
    files = [path for path in home.rglob("*") if path.is_file()]
    assert any(path.name == "prefect.db" for path in files)
    for path in files:
        content = path.read_bytes()
        assert SECRET.encode() not in content, path
        assert json.dumps(SECRET).strip('"').encode() not in content, path


def test_a_wrong_key_is_not_retried_and_a_full_disk_is():
    import asyncio

    from prefect.states import Failed, exception_to_failed_state

    import flows
    from pipeline.errors import StorageError, WrongKeyError

    async def heals(error: Exception) -> bool:
        return await flows.heals(None, None, await exception_to_failed_state(error))

    assert asyncio.run(heals(StorageError("disk full")))
    assert not asyncio.run(heals(WrongKeyError("no recipient")))
    assert not asyncio.run(heals(ValueError("a defect")))
    assert Failed().type.value == "FAILED"


def test_the_deployments_and_their_hours_in_shanghai():
    import yaml

    import flows

    served = {d.name: d for d in flows.deployments()}
    schedules = {name: [s.schedule for s in d.schedules] for name, d in served.items()}
    assert {name: [s.cron for s in found] for name, found in schedules.items()} == {
        "nightly": ["30 1 * * *"],
        "health": ["0 7 * * *"],
        "retention": ["0 4 * * 0"],
        "rescore": [],
    }
    assert {s.timezone for found in schedules.values() for s in found} == {"Asia/Shanghai"}
    assert {d.concurrency_limit for d in served.values()} == {1}

    # prefect.yaml says the same.
    described = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
    assert {d["name"] for d in described} == set(served)
    for deployment in described:
        name = deployment["name"]
        assert deployment["entrypoint"] == f"flows.py:{name}"
        assert hasattr(flows, name)
        found = [(s["cron"], s["timezone"]) for s in deployment.get("schedules", [])]
        assert found == [(s.cron, s.timezone) for s in schedules[name]]
        assert deployment["concurrency_limit"] == 1


HEALTH = """
import json, sys
import flows
from pipeline.errors import RecordingError
from prefect.client.orchestration import get_client

sound = flows.health(sys.argv[1], sys.argv[2])
try:
    flows.health(sys.argv[1], sys.argv[3])
except RecordingError as error:
    said = str(error)
with get_client(sync_client=True) as client:
    pages = [artifact.data for artifact in client.read_artifacts() if artifact.key == "health-report"]
print("RESULT" + json.dumps({"sound": sound, "said": said, "pages": pages}))
"""


def test_the_health_flow_fails_when_a_recording_is_missing(night_folder, tmp_path):
    from builders import clip

    night = night_folder
    night.add_call("a", clip(30.0))
    sound = night.write_calls().rename(tmp_path / "sound.csv")
    night.add_row("gone")
    missing = night.write_calls()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ZHIJIAN_")} | {
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "ZHIJIAN_IDENTITY": str(night.key),
        "ZHIJIAN_WORKERS": "1",
        "ZHIJIAN_AUDIT": str(tmp_path / "audit"),
    }
    done = subprocess.run(
        [sys.executable, "-c", HEALTH, str(night.recordings), str(sound), str(missing)],
        capture_output=True, text=True, timeout=300, env=environment, cwd=ROOT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(
        next(x for x in done.stdout.splitlines() if x.startswith("RESULT")).removeprefix("RESULT")
    )
    assert result["sound"] == {"calls": 1, "recordings": 1, "opened": 1, "sound": 1}
    assert "1 missing" in result["said"]
    assert any("缺录音" in page and "gone" in page for page in result["pages"])
