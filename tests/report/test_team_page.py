"""The page about a team: counts, intervals, trends, coverage; and no words of calls."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime

import pytest

from pipeline.disputes.agreement import wilson
from pipeline.disputes.archive import archive_rulebook
from pipeline.disputes.reviews import overturn
from pipeline.errors import InputError
from pipeline.report.team import gather_days, page_of_days
from pipeline.results.store import Store
from pipeline.settings import Settings
from tests.disputes.dispute_builders import CHINA, make_call, make_store, scored
from tests.report import chromium
from tests.report.test_call_page import EVIL, Outline
from tests.unit.results_builders import make_quarantine

LATE = "inbound.answered_in_time"


def call(number, day, **values):
    started = datetime(2026, 3, day, 10, 0, tzinfo=CHINA)
    extra = {"team": "一班" if number % 2 else "二班"}
    return make_call(f"c{number:02d}", started_at=started, extra=extra, **values)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("team") / "results"
    calls = [scored(call(i, 1, ring_s=3.0)) for i in range(4)]
    calls += [
        scored(call(4 + i, 2 + i % 2, ring_s=19.0 if i < 2 else 3.0, agent_id=f"a{i % 3}")) for i in range(6)
    ]
    store = make_store(place, calls)
    store.commit([], [make_quarantine("q1", call_date=date(2026, 3, 2))])
    store.commit([replace(calls[0], supersedes=1)])  # a second version counts once
    archive_rulebook(store)
    overturn(store, "c04", LATE, "pass", person="qa1", comment="已核实")
    return place


def facts(place, first=2, last=3):
    return gather_days(Store.open(place), date(2026, 3, first), date(2026, 3, last))


def test_counts_rates_and_intervals(place):
    found = facts(place)
    assert found.everyone.calls == 6
    (late,) = (rule for rule in found.rules if rule.rule_id == LATE)
    assert (late.rate.counts["pass"], late.rate.counts["fail"]) == (4, 2)
    assert late.rate.share == pytest.approx(4 / 6)
    assert late.rate.band == wilson(4, 6)
    assert late.failed_calls == ["c04", "c05"]
    assert found.coverage == pytest.approx(6 / 7)
    assert found.quarantine == (("wrong_key", 1),)
    assert (found.reviewed, found.changed) == (1, 1)
    assert sum(count for _, count in found.grades) == 6


def test_the_days_before_are_the_measure_of_change(place):
    (late,) = (rule for rule in facts(place).rules if rule.rule_id == LATE)
    assert late.before.share == 1.0
    assert late.change == pytest.approx(-100 / 3)
    (alone,) = (rule for rule in facts(place, 1, 1).rules if rule.rule_id == LATE)
    assert (alone.change, alone.rate.due) == (None, 4)


def test_by_agent_and_team_the_worst_first(place):
    found = facts(place)
    assert {group.name: group.calls for group in found.teams} == {"一班": 3, "二班": 3}
    assert sum(group.calls for group in found.agents) == 6
    means = [group.mean for group in found.agents]
    assert means == sorted(means)
    assert [row.day for row in found.days] == ["2026-03-02", "2026-03-03"]
    assert [row.score for row in found.worst_calls] == sorted(row.score for row in found.worst_calls)


def page(place, first="2026-03-01", last="2026-03-03"):
    return page_of_days(Settings(results=str(place)), first, last)


def test_the_page_says_it_in_chinese_and_holds_no_words_of_calls(place):
    text = "".join(Outline(page(place)).text)
    for wanted in ("团队质检报告", "按规则", "按班组", "按坐席", "隔离与覆盖", "覆盖率", "待人工", "走势"):
        assert wanted in text
    assert "保单什么时候到期" not in text
    assert "内容涉及坐席个人的成绩，请按权限保管" in text and "涉及通话文本" not in text
    assert "走势" not in page(place, "2026-03-01", "2026-03-01").split("<main")[1]


def test_days_without_calls_and_wrong_dates_are_said_so(place):
    with pytest.raises(InputError, match="no call of"):
        page(place, "2020-01-01", "2020-01-02")
    with pytest.raises(InputError, match="is before the first"):
        page(place, "2026-03-03", "2026-03-01")
    with pytest.raises(InputError, match="is no date"):
        page(place, "2026-02-30", "2026-03-01")


def test_names_cannot_run(tmp_path):
    made = make_call(agent_name=EVIL, agent_id=EVIL, extra={"team": EVIL})
    make_store(tmp_path / "r", [scored(made)])
    outline = Outline(page_of_days(Settings(results=str(tmp_path / "r")), "2026-03-10", "2026-03-10"))
    assert [tag for tag, _ in outline.tags].count("script") == 1
    assert "img" not in {tag for tag, _ in outline.tags}


@pytest.mark.skipif(
    chromium.find() is None,
    reason="2026-11-22: no Chromium on this machine; `make browser` installs Debian's package",
)
@pytest.mark.parametrize("width", [360, 1280])
def test_in_chromium(place, tmp_path, width):
    path = tmp_path / "team.html"
    path.write_text(page(place), encoding="utf-8")
    browser = chromium.Browser()
    try:
        browser.open(path, width=width)
        assert browser.run("document.documentElement.scrollWidth") <= width
        browser.click("summary")
        assert browser.run("document.querySelector('details').open")
        assert browser.complaints() == []
    finally:
        browser.close()
