"""The account of a run: every call once, whoever says it how often, and the sum that must be right."""

import json
from datetime import UTC, datetime

import pytest

from pipeline.errors import AccountingError
from pipeline.night.account import Account
from pipeline.night.batch import Entry
from pipeline.night.plan import NightPlan
from pipeline.night.summary import markdown_summary
from pipeline.results import load
from pipeline.results.store import Store

NOW = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)


def account(calls_in, **more):
    return Account("r1", NightPlan(calls_in, (), 0, (), 0, 0), NOW, **more)


ENTRIES = (
    Entry("a", "scored", score=61.5, grade="C", audio_s=60.0, stage_s={"recognise": 3.0}, cpu_s=4.0,
          worker="m:1", peak_mb=800.0),
    Entry("b", "quarantined", "worker_died", worker="m:2", peak_mb=900.0),
    Entry("c", "skipped"),
)  # fmt: skip


def test_entries_that_come_twice_count_once(tmp_path):
    store = Store.open(tmp_path, write=True)
    run = account(3, damaged=("/r/turns/x.parquet",))
    run.book(ENTRIES)
    run.book(ENTRIES[:2])
    run.book((Entry("a", "skipped", worker="m:1", peak_mb=850.0),))
    summary = run.close(store, model="fake")
    assert summary.counts() == {"calls_in": 3, "scored": 1, "quarantined": 1, "skipped": 1}
    assert (summary.audio_s, summary.stage_s, summary.reasons) == (
        60.0,
        {"recognise": 3.0},
        {"worker_died": 1},
    )
    assert summary.workers == 2
    assert summary.peak_mb > 850.0 + 900.0
    page = markdown_summary(summary)
    assert "`a` | 61.5 | C" in page
    assert "/r/turns/x.parquet" in page
    assert "worker_died" in page
    details = json.loads(load("runs", tmp_path).details[0])
    assert (details["peak_worker_mb"], details["damaged_files"], details["cpu_workers_s"]) == (900.0, 1, 4.0)


def test_a_call_that_nobody_answered_for_is_an_error(tmp_path):
    run = account(4)
    run.book(ENTRIES)
    with pytest.raises(AccountingError, match="4 calls in, but 1 scored"):
        run.close(Store.open(tmp_path, write=True), model="fake")
