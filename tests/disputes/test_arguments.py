"""What a user may get wrong on the command line, and is told; nothing is entered or written."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from pipeline.cli.main import app
from pipeline.disputes.reviews import confirm, read_reviews
from pipeline.errors import InputError
from tests.disputes.dispute_builders import make_store, scored

LATE = "inbound.answered_in_time"


@pytest.fixture
def store(tmp_path):
    return make_store(tmp_path / "results", [scored(scored_at=datetime.now(UTC))])


def run(store, *arguments):
    return CliRunner().invoke(app, [*arguments, "--results", store.place])


@pytest.mark.parametrize("day", ["20260310", "2026/03/10", "2026-13-01", "昨天"])
def test_a_day_is_written_in_one_way(store, tmp_path, day):
    for command in (
        ("review", "export", "--out", str(tmp_path / "a.xlsx")),
        ("rules", "preview", "lexicons"),
    ):
        done = run(store, *command, "--date", day)
        assert done.exit_code == 2
        assert "expected one like 2026-03-10" in " ".join(done.output.split())
    assert not (tmp_path / "a.xlsx").exists()


def test_verdicts_may_be_named_in_chinese(store, tmp_path):
    confirm(store, "c1", LATE, person="qa1")
    sheet = tmp_path / "a.xlsx"
    assert run(store, "review", "export", "--out", str(sheet), "--verdict", "不通过").exit_code == 0
    assert sheet.exists()
    done = run(store, "review", "rule", "c1", LATE, "--verdict", "通过", "--by", "lead", "--reason", "查证")
    assert done.exit_code == 0, done.output
    assert [review.verdict for review in read_reviews(store)] == ["fail", "pass"]


def test_what_is_no_verdict_is_wrong_usage(store):
    done = run(store, "review", "rule", "c1", LATE, "--verdict", "好", "--by", "lead", "--reason", "查证")
    assert done.exit_code == 2
    assert "不通过" in done.output
    assert read_reviews(store) == []


def test_an_unknown_call_is_named(store, tmp_path):
    done = run(store, "review", "export", "--out", str(tmp_path / "a.xlsx"), "--call", "c9")
    assert isinstance(done.exception, InputError)
    assert "no call c9 here" in str(done.exception)


def test_a_preview_of_no_calls_is_no_answer(store, tmp_path):
    done = run(store, "rules", "preview", "lexicons", "--date", "1999-01-01")
    assert isinstance(done.exception, InputError)
    assert "holds no scored call of these days" in str(done.exception)


def test_a_hold_on_an_unknown_call_is_placed_and_doubted(store):
    command = ["retention", store.place, "--by", "li", "--reason", "诉讼", "--hold"]
    assert "no call c9 yet" in CliRunner().invoke(app, [*command, "c9"]).output
    assert "no call" not in CliRunner().invoke(app, [*command, "c1"]).output
