"""Every recording a night opens has its audit record, refused ones too."""

from __future__ import annotations

import json

from builders import zhijian


def audit_records(folder) -> list[dict]:
    return [
        json.loads(line)
        for path in sorted(folder.glob("audit-*.jsonl"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]


def test_a_night_records_every_opening_and_verify_holds(night_folder, tmp_path):
    from pipeline.vault.envelope import encrypt
    from pipeline.vault.keys import load_recipients, new_pair

    night = night_folder
    night.add_call("good")
    night.add_row("sealed_to_another")
    stranger = new_pair(tmp_path / "stranger")
    (night.recordings / "sealed_to_another.wav.age").write_bytes(
        encrypt(b"RIFF", load_recipients(stranger.public_path))
    )
    env = {"XDG_STATE_HOME": str(tmp_path / "state")}

    done = night.score(env=env)

    assert done.returncode == 3, done.stderr
    found = audit_records(night.results / "_audit")
    by_call = {}
    for record in found:
        by_call.setdefault(record.get("call_id"), []).append(record)
    assert [r["event"] for r in by_call["good"]] == ["open"]
    assert [(r["event"], r.get("kind")) for r in by_call["sealed_to_another"]] == [
        ("open", None), ("refused", "wrong_key"),
    ]  # fmt: skip
    assert {r["why"] for r in by_call["good"]} == {night.table("runs").iloc[-1].run_id}
    assert found[-1]["event"] == "checkpoint"
    checked = zhijian("verify", str(night.results), env=env)
    assert checked.returncode == 0, checked.stderr
    assert "records hold" in checked.stdout
    assert "1 recordings heard, each with its record" in checked.stdout

    import shutil

    shutil.copytree(night.results, tmp_path / "without")
    shutil.rmtree(tmp_path / "without" / "_audit")
    checked = zhijian("verify", str(tmp_path / "without"), env=env)
    assert checked.returncode == 1
    assert "call good version 1 was heard from its recording, and no log says who" in checked.stderr
    log = next((night.results / "_audit").glob("audit-*.jsonl"))
    log.write_bytes(log.read_bytes().replace(b'"good"', b'"evil"'))
    checked = zhijian("verify", str(night.results), "--json", env=env)
    assert checked.returncode == 1
    assert "was changed" in checked.stderr
    assert "Traceback" not in checked.stderr


def test_an_identity_that_others_can_read_is_refused_and_recorded(night_folder, tmp_path):
    night = night_folder
    night.add_call("good")
    night.key.chmod(0o644)
    night.results.mkdir()
    done = night.score(env={"XDG_STATE_HOME": str(tmp_path / "state")})
    assert done.returncode == 1
    assert "chmod 600" in done.stderr
    (refused,) = [r for r in audit_records(night.results / "_audit") if r["event"] == "refused"]
    assert (refused["kind"], refused["purpose"]) == ("bad_key", "night")


# Where recordings are decrypted, and where the opening is recorded before.
OPENED = {
    "night/worker.py": "night/worker.py",
    "night/health.py": "night/health.py",
    "report/clips.py": "report/calls.py",
    "results/callview.py": "results/callview.py",
    "disputes/bundle.py": None,  # opens a bundle that was made for its reader, no recording of the archive
}


def test_whoever_decrypts_a_recording_records_it():
    """A new place that decrypts must be added here, with the place that records it."""
    import re

    from builders import ROOT

    package = ROOT / "pipeline"
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if re.search(r"(?<![\w.])decrypt\(", path.read_text(encoding="utf-8").replace("def decrypt(", ""))
        and path.parent.name not in {"vault", "audit"}
    }
    assert found == set(OPENED)
    for place in filter(None, OPENED.values()):
        assert re.search(r"(?<!\w)opening\(", (package / place).read_text(encoding="utf-8")), place
