"""A batch that is sent again, because its machine was thought dead, is not heard again."""

from dataclasses import replace

import pytest
from builders import clip

from pipeline.night.remote import release, score_batch_here
from pipeline.night.run import open_night
from pipeline.settings import load_settings


@pytest.fixture(autouse=True)
def no_workers_left():
    yield
    release()


def test_a_batch_that_is_sent_again_is_not_heard_again(night_folder, monkeypatch):
    night = night_folder
    for number in range(3):
        night.add_call(f"c{number}", clip(4.0 + number))
    night.add_call("broken", b"no audio")
    flags = {
        "recordings": str(night.recordings),
        "calls": str(night.write_calls()),
        "results": str(night.results),
        "identity": night.key,
        "audit": night.root / "audit",
        "audit_key": night.root / "audit.key",
        "model": "fake",
        "workers": 1,
    }
    from pipeline.audit.keys import new_audit_key

    new_audit_key(night.root / "audit.key")
    settings, _ = load_settings(flags, env={}, folder=night.root)
    planned = open_night(settings)
    (batch,) = planned.batches
    first = score_batch_here(settings, batch, planned.context)
    assert {entry.unit: entry.end for entry in first} == {
        "c0": "scored", "c1": "scored", "c2": "scored", "broken": "quarantined",
    }  # fmt: skip
    assert all(entry.worker and entry.peak_mb > 50 for entry in first)

    heard_again = []
    monkeypatch.setattr(
        "pipeline.night.batch.Desk.work",
        lambda _desk, _pool, tasks, **_: heard_again.extend(task.call.call_id for task in tasks),
    )
    again = score_batch_here(settings, batch, planned.context)
    assert heard_again == ["broken"]
    scores = {entry.unit: entry.score for entry in first if entry.end == "scored"}
    assert {entry.unit: entry.score for entry in again} == scores
    assert {entry.end for entry in again} == {"scored"}

    other = score_batch_here(settings, batch, replace(planned.context, run_id="another run"))
    assert {entry.end for entry in other} == {"skipped"}

    planned.book(batch, first)
    planned.book(batch, again)  # what is said twice counts once
    assert planned.close().counts() == {"calls_in": 4, "scored": 3, "quarantined": 1, "skipped": 0}
