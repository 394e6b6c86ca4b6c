"""Retention: nothing before its time, nothing on hold, everything in two steps, and safe to stop anywhere."""

from __future__ import annotations

import json
import shlex
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from builders import zhijian

from pipeline.audit.keys import new_audit_key
from pipeline.audit.verify import verify_audit
from pipeline.errors import ConfigError, InputError, ResultsError
from pipeline.records import CallRecord
from pipeline.results import load
from pipeline.results.store import Store
from pipeline.retention import holds, markdown_retention, place_hold, release_hold, run_retention
from pipeline.retention.policy import load_policy
from pipeline.settings import Settings
from tests.unit.results_builders import CHINA, make_call, make_quarantine, make_scored

TODAY = date(2029, 6, 1)


def scored(call_id: str, year: int, **values):
    from dataclasses import replace

    entry = make_scored(call_id)
    call = make_call(call_id, started_at=datetime(year, 1, 5, 9, 30, tzinfo=CHINA), **values)
    return replace(entry, call=call)


@pytest.fixture
def archive(tmp_path, monkeypatch) -> Settings:
    """Calls of 2025 and 2028, a complaint of 2025, a call of 2025 on hold; recordings of all."""
    new_audit_key(tmp_path / "audit.key")
    results, recordings = tmp_path / "results", tmp_path / "recordings"
    recordings.mkdir()
    store = Store.open(results, write=True)
    store.commit([scored("old", 2025), scored("new", 2028)], [make_quarantine("old")])
    store.commit([scored("complaint", 2025, business="complaint"), scored("held", 2025)])
    for name in ("old", "new", "complaint", "held", "stranger"):
        (recordings / f"{name}.wav.age").write_bytes(b"age-encryption.org/v1\n" + name.encode())
    settings = Settings(
        results=str(results),
        recordings=str(recordings),
        audit_key=tmp_path / "audit.key",
        audit=tmp_path / "log",
    )
    monkeypatch.setenv("ZHIJIAN_AUDIT_KEY", str(tmp_path / "audit.key"))
    monkeypatch.setenv("ZHIJIAN_AUDIT", str(tmp_path / "log"))
    place_hold(results, "held", why="lawsuit 12", who="li.lei")
    return settings


def events(settings: Settings) -> list[dict]:
    return [
        json.loads(line) for p in settings.audit.glob("audit-*.jsonl") for line in p.read_text().splitlines()
    ]


def names(settings: Settings) -> set[str]:
    from pathlib import Path

    return {path.name.split(".")[0] for path in Path(settings.recordings).iterdir() if path.is_file()}


def test_a_dry_run_deletes_nothing_and_says_what_is_due(archive):
    report = run_retention(archive, apply=False, today=TODAY)
    assert [item.call_id for item in report.plan.items] == ["old"]
    assert (report.plan.kept, report.plan.held) == (2, ("held",))
    assert len(report.plan.strangers) == 1
    assert names(archive) == {"old", "new", "complaint", "held", "stranger"}
    assert set(load("scores", archive.results).call_id) == {"old", "new", "complaint", "held"}
    page = markdown_retention(report)
    assert report.plan.hash in page
    assert "| 一般通话 | 1 |" in page


def test_the_second_step_deletes_what_the_first_said(archive):
    plan = run_retention(archive, apply=False, today=TODAY).plan
    report = run_retention(archive, apply=True, plan_hash=plan.hash, who="韩梅梅", today=TODAY)
    assert report.applied
    assert (report.deleted.calls, report.deleted.recordings) == (1, 1)
    assert report.deleted.rows["scores"] == 1
    assert report.deleted.rows["turns"] == 2
    assert names(archive) == {"new", "complaint", "held", "stranger"}
    for table in ("scores", "verdicts", "turns", "events", "hearings"):
        assert "old" not in set(load(table, archive.results, latest=False).call_id)
        assert set(load(table, archive.results).call_id) == {"new", "complaint", "held"}
    assert "old" not in set(load("quarantine", archive.results, latest=False).call_id)
    assert report.plan.items == ()
    tombstones = [r for r in events(archive) if r["event"] == "delete"]
    assert [
        (r["call_id"], r["retention_class"], r["kept_until"], r["who"], r["recording"]) for r in tombstones
    ] == [("old", "ordinary", "2028-01-05", "韩梅梅", "old.wav.age")]
    assert "checkpoint" in {r["event"] for r in events(archive)}


def test_nothing_is_deleted_without_an_earlier_plan_or_with_another(archive):
    report = run_retention(archive, apply=True, today=TODAY)
    assert not report.applied
    assert "old" in names(archive)
    with pytest.raises(InputError, match="is not the one of the last dry run"):
        run_retention(archive, apply=True, plan_hash="0" * 12, today=TODAY)


def test_a_hold_placed_between_the_steps_spares_the_call(archive):
    run_retention(archive, apply=False, today=TODAY)
    place_hold(archive.results, "old", why="complaint 9", who="li.lei", until=date(2030, 1, 1))
    report = run_retention(archive, apply=True, today=TODAY)
    assert report.spared == ("old",)
    assert "old" in names(archive)
    late = date(2030, 1, 2)
    assert "old" in {i.call_id for i in run_retention(archive, apply=False, today=late).plan.items}


def test_an_altered_plan_is_refused(archive, tmp_path):
    run_retention(archive, apply=False, today=TODAY)
    path = tmp_path / "results" / "_retention" / "plan.json"
    path.write_text(path.read_text().replace('"old"', '"new"'))
    with pytest.raises(ResultsError, match="was altered"):
        run_retention(archive, apply=True, today=TODAY)
    assert "new" in names(archive)


KILLER = """
import os, shutil, signal, sys
from datetime import date
from pathlib import Path
from pipeline.results.store import Store
from pipeline.retention import run_retention
from pipeline.settings import Settings

saved, root = Path(sys.argv[1]), Path(sys.argv[2])

def delete(place, stop):
    steps = iter(range(1, stop + 1))

    def step(name):
        if next(steps) == stop:
            os.kill(os.getpid(), signal.SIGKILL)

    settings = Settings(results=str(place / "results"), recordings=str(place / "recordings"),
                        audit_key=saved / "audit.key", audit=place / "log")
    run_retention(settings, apply=False, today=date(2029, 6, 1))
    run_retention(settings, apply=True, today=date(2029, 6, 1), step=step)

for stop in range(1, 1000):
    place = root / f"killed{stop}"
    shutil.copytree(saved, place, ignore=shutil.ignore_patterns("audit.key"))
    child = os.fork()  # before any thread is started here
    if not child:
        delete(place, stop)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if not os.WIFSIGNALED(status):
        print(stop - 1, os.waitstatus_to_exitcode(status))
        break
"""


def test_killed_at_any_step_it_goes_on_and_ends_the_same(archive, tmp_path):
    """A real SIGKILL at every step: nothing is tidied up that an exception would still tidy."""
    import shutil
    import subprocess
    import sys

    from pipeline.audit.keys import load_audit_key

    saved = tmp_path / "saved"
    for part in ("results", "recordings", "log"):
        shutil.copytree(tmp_path / part, saved / part)
    shutil.copy(tmp_path / "audit.key", saved / "audit.key")
    command = [sys.executable, "-c", KILLER, str(saved), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    steps, ended = map(int, done.stdout.split())
    assert ended == 0, done.stderr
    assert steps > 10
    for stop in range(1, steps + 1):
        place = tmp_path / f"killed{stop}"
        settings = archive.model_copy(
            update={
                "results": str(place / "results"),
                "recordings": str(place / "recordings"),
                "audit": place / "log",
            }
        )
        assert set(load("scores", settings.results).call_id) >= {"new", "complaint", "held"}, stop
        run_retention(settings, apply=True, today=TODAY)
        assert names(settings) == {"new", "complaint", "held", "stranger"}, stop
        assert set(load("scores", settings.results).call_id) == {"new", "complaint", "held"}, stop
        assert "old" in [r.get("call_id") for r in events(settings) if r["event"] == "delete"]
        key = load_audit_key(tmp_path / "audit.key")
        assert verify_audit(place / "log", [key]).problem is None, stop


def test_holds_are_placed_lasting_and_lifted(archive, tmp_path):
    results = tmp_path / "results"
    place_hold(results, "c", why="a", who="x", until=date(2026, 1, 1))
    place_hold(results, "c", why="b", who="x", until=date(2031, 1, 1))
    assert holds(results, today=TODAY)["c"].until == date(2031, 1, 1)
    release_hold(results, "c", why="settled", who="x")
    assert "c" not in holds(results, today=TODAY)
    with pytest.raises(InputError, match="is not on hold"):
        release_hold(results, "c", why="settled", who="x")
    with pytest.raises(InputError, match="a reason and a person"):
        place_hold(results, "c", why=" ", who="x")
    with pytest.raises(InputError, match="path separator"):
        place_hold(results, "../c", why="a", who="x")
    (tmp_path / "results" / "_retention" / "holds" / "z.json").write_text('{"hold": 1}')
    with pytest.raises(ResultsError, match="nothing is deleted until it is mended"):
        run_retention(archive, apply=False, today=TODAY)


@pytest.mark.parametrize(
    ("columns", "class_id", "until"),
    [
        ({}, "ordinary", date(2028, 1, 5)),
        ({"business": "complaint"}, "complaint", date(2030, 1, 5)),
        ({"tag": "紧急"}, "complaint", date(2030, 1, 5)),
        ({"extra": {"case_closed_on": "2026-03-01"}}, "complaint_closed", date(2031, 3, 1)),
        (
            {"extra": {"product_class": "long_term", "policy_ended_on": "2040-01-01"}},
            "sale_long",
            date(2050, 1, 1),
        ),
        ({"extra": {"product_class": "long_term"}}, "sale_long", None),
        ({"extra": {"product_class": "short_term", "policy_ended_on": "soon"}}, "sale_short", None),
    ],
)
def test_how_long_a_call_is_kept(columns, class_id, until):
    call = CallRecord("c", "inbound", datetime(2025, 1, 5, tzinfo=CHINA), **columns)
    keeping = load_policy().keeping(call)
    assert (keeping.class_id, keeping.until) == (class_id, until)


def test_a_policy_shorter_than_the_standard_is_refused(tmp_path):
    path = tmp_path / "retention.toml"
    path.write_text('schema = 1\nversion = "x"\n[[class]]\nid = "a"\nyears = 2\nanchor = "started_at"\n')
    with pytest.raises(ConfigError, match="expected 3 to 100") as caught:
        load_policy(path)
    assert "prefect.days" in str(caught.value)


def test_days_are_chinas(archive, monkeypatch):
    """At one in the morning in Shanghai it is yesterday in London."""
    from pipeline.retention import plan as planning

    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(2026, 3, 9, 17, 0, tzinfo=UTC).astimezone(tz)

    monkeypatch.setattr(planning, "datetime", Clock)
    assert planning.make_plan(archive).made_on == "2026-03-10"


def test_recordings_alone_need_call_records(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    (recordings / "a.wav.age").write_bytes(b"age-encryption.org/v1\n")
    calls = tmp_path / "calls.csv"
    calls.write_text("call_id,direction,started_at\na,inbound,2020-01-05T10:00:00+08:00\n")
    env = {"XDG_STATE_HOME": str(tmp_path / "state")}
    done = zhijian("retention", str(recordings), env=env)
    assert done.returncode == 1
    assert "give --calls" in done.stderr
    done = zhijian("retention", str(recordings), "--calls", str(calls), "--json", env=env)
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert [item["call_id"] for item in plan["plan"]["items"]] == ["a"]
    page = zhijian("retention", str(recordings), "--calls", str(calls), env=env)
    assert "一般通话" in page.stdout
    assert "2023-01-05" in page.stdout
    assert "|" not in page.stdout
    command = page.stdout.splitlines()[-1]  # to be copied as it stands
    assert command.startswith("zhijian retention ")
    done = zhijian(*shlex.split(command)[1:], env=env)
    assert done.returncode == 0, done.stderr
    assert "已删除：1 通通话，1 个录音文件" in done.stdout
    assert "--apply" not in done.stdout
    assert not list(recordings.glob("*.age"))


def test_old_runs_go_from_prefects_store():
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    from pipeline.retention.prefectstore import expire_flow_runs

    asked = []
    left = [f"run-{n}" for n in range(203)]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.answer(json.dumps([{"id": name} for name in left[:200]]).encode())

        def do_DELETE(self):
            left.remove(self.path.rpartition("/")[2])
            self.answer(b"")

        def answer(self, content):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        api = f"http://127.0.0.1:{server.server_port}/api"
        assert expire_flow_runs(api, TODAY, 180) == 203
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert left == []
    assert asked[0]["flow_runs"]["end_time"]["before_"].startswith("2028-12-03")
    with pytest.raises(ConfigError):
        expire_flow_runs("file:///etc", TODAY, 1)


def test_results_and_recordings_in_object_storage(tmp_path, monkeypatch):
    import uuid

    import fsspec

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    new_audit_key(tmp_path / "audit.key")
    root = f"memory://{uuid.uuid4().hex}"
    results, recordings = f"{root}/results", f"{root}/recordings"
    store = Store.open(results, write=True)
    store.commit([scored("old", 2025), scored("new", 2028), scored("held", 2025)])
    memory = fsspec.filesystem("memory")
    for name in ("old", "new", "held"):
        memory.pipe_file(f"{recordings}/{name}.wav.age", b"age-encryption.org/v1\n")
    settings = Settings(
        results=results, recordings=recordings, audit=tmp_path / "log", audit_key=tmp_path / "audit.key"
    )
    monkeypatch.setenv("ZHIJIAN_AUDIT", str(tmp_path / "log"))
    monkeypatch.setenv("ZHIJIAN_AUDIT_KEY", str(tmp_path / "audit.key"))
    place_hold(results, "held", why="lawsuit", who="li.lei")
    plan = run_retention(settings, apply=False, today=TODAY).plan
    assert [item.call_id for item in plan.items] == ["old"]
    assert run_retention(settings, apply=True, today=TODAY).deleted.recordings == 1
    assert set(load("scores", results).call_id) == {"new", "held"}
    assert sorted(p.rpartition("/")[2] for p in memory.ls(recordings, detail=False)) == [
        "held.wav.age",
        "new.wav.age",
    ]


def test_the_request_to_prefect_is_one_that_prefect_knows(monkeypatch):
    from prefect.server.schemas.filters import FlowRunFilter

    from pipeline.retention import prefectstore

    asked = []
    monkeypatch.setattr(prefectstore, "_ask", lambda _api, _method, _path, body: asked.append(body) or [])
    prefectstore.expire_flow_runs("http://127.0.0.1/api", TODAY, 180)
    known = FlowRunFilter.model_validate(asked[0]["flow_runs"])
    assert known.end_time.before_.isoformat().startswith("2028-12-03")
    assert [kind.value for kind in known.state.type.any_] == ["COMPLETED", "FAILED", "CRASHED", "CANCELLED"]


def test_a_reason_for_a_hold_is_kept_without_numbers(archive):
    place_hold(archive.results, "new", why="客户13800138000申诉", who="li.lei")
    release_hold(archive.results, "new", why="客户13800138000撤诉", who="li.lei")
    kept = [path.read_bytes() for path in Path(archive.results).rglob("*.json")]
    kept += [path.read_bytes() for path in archive.audit.iterdir()]
    assert not any(b"13800138000" in content for content in kept)
