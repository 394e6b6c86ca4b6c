"""What people decided, in `zhijian show`: the machine's verdict and the one that holds, side by side."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from pipeline.cli.main import app
from pipeline.disputes.archive import archive_rulebook
from pipeline.disputes.effective import effective_scores
from pipeline.disputes.sheet import sheet_rows
from pipeline.results.store import Store
from tests.disputes.dispute_builders import make_call, make_hearing, make_store, scored

LATE = "inbound.answered_in_time"


@pytest.fixture
def store(tmp_path):
    at = datetime.now(UTC) - timedelta(days=2)
    calls = [scored(make_call("c1"), scored_at=at), scored(make_call("c2", ring_s=None), scored_at=at)]
    found = make_store(tmp_path / "results", calls)
    archive_rulebook(found)
    return found


def zhijian(store, *arguments):
    done = CliRunner().invoke(app, [*arguments, "--results", str(store.place)])
    assert done.exit_code == 0, (done.output, done.exception)
    return done.stdout


def ruled(store):
    zhijian(store, "review", "appeal", "c1", LATE, "--by", "3025", "--reason", "系统故障")
    zhijian(store, "review", "rule", "c1", LATE, "--verdict", "pass", "--by", "lead", "--reason", "已核实")
    (found,) = effective_scores(store, ["c1"])
    return found


def test_without_reviews_nothing_is_said_about_people(store):
    assert "复核后" not in zhijian(store, "show", "c1")
    assert "复核后" not in zhijian(store, "show")
    assert json.loads(zhijian(store, "show", "c1", "--json"))["effective"] is None


def test_an_appeal_waits_and_changes_nothing(store):
    said = zhijian(store, "review", "appeal", "c1", LATE, "--by", "3025", "--reason", "系统故障")
    assert "申诉已登记" in said
    assert "等待终裁" in said
    form = zhijian(store, "show", "c1")
    assert "申诉待终裁 1 项" in form
    assert "有效得分同机器" in form


def test_a_ruling_is_shown_beside_the_machines_verdict(store):
    found = ruled(store)
    assert found.score != found.machine_score
    form = zhijian(store, "show", "c1")
    head = next(line for line in form.splitlines() if "复核后（有效）" in line)
    assert f"机器 {found.machine_score:.1f}（{found.machine_grade}）" in head
    assert f"{found.score:.1f}（{found.grade}）" in head
    lines = form.splitlines()
    place = next(i for i, line in enumerate(lines) if "15 秒内接起" in line)
    assert "不通过" in lines[place]
    assert "→ 通过" in lines[place + 1]
    assert "终裁 lead" in "".join(lines[place : place + 4])
    data = json.loads(zhijian(store, "show", "c1", "--json"))
    assert data["score"]["score"] == found.machine_score
    assert data["effective"]["score"] == found.score


def test_the_table_of_all_calls_has_both_scores(store):
    found = ruled(store)
    lines = zhijian(store, "show").splitlines()
    assert any("复核后" in line for line in lines)
    (mine,) = [line for line in lines if line.split()[:1] == ["c1"]]
    assert f"{found.machine_score:.1f}" in mine
    assert f"{found.score:.1f}（{found.grade}）" in mine
    rows = {row["call_id"]: row["effective"] for row in json.loads(zhijian(store, "show", "--json"))}
    assert rows["c2"] is None
    assert rows["c1"]["score"] == found.score


def test_a_rule_that_a_person_says_applies_is_in_the_table(store):
    from pipeline.disputes.reviews import overturn

    overturn(store, "c1", "inbound.empathy", "fail", person="qa1", comment="客户激动")
    form = zhijian(store, "show", "c1")
    place = next(i for i, line in enumerate(form.splitlines()) if "inbound.empathy" in line)
    assert "→ 不通过" in "".join(form.splitlines()[place - 1 : place + 2])


def test_what_should_be_known_of_the_recording_is_said(tmp_path):
    store = make_store(tmp_path / "r", [scored(hearing=make_hearing(notes=("agent_channel_unused",)))])
    assert "录音提示：随录参数写了坐席声道" in zhijian(store, "show", "c1")
    assert json.loads(zhijian(store, "show", "c1", "--json"))["score"]["notes"] == ["agent_channel_unused"]


def test_codes_for_programs_are_not_shown(store):
    stored = store.read("verdicts", columns=("reason",)).column("reason").to_pylist()
    assert any("（no data）" in reason for reason in stored)
    form = zhijian(store, "show", "c2")
    assert "无数据" in form
    assert "no data" not in form
    assert all("no data" not in row.reason for row in sheet_rows(store))


def test_the_words_need_not_be_open_for_it(store, monkeypatch):
    """Reviews' comments are sealed like transcripts; what holds can be added up without them."""
    ruled(store)
    read = Store.read

    def without_words(self, table, *, columns=None, **kinds):
        assert table != "reviews" or (columns and "comment" not in columns)
        return read(self, table, columns=columns, **kinds)

    monkeypatch.setattr(Store, "read", without_words)
    assert "复核后（有效）" in zhijian(store, "show", "c1")
