"""Reviews, appeals, rulings, the effective score; the Excel sheet there and back."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from openpyxl import load_workbook

from pipeline.disputes.archive import archive_rulebook
from pipeline.disputes.effective import effective_score, effective_scores
from pipeline.disputes.policy import load_policy
from pipeline.disputes.recheck import check_reviews
from pipeline.disputes.reviews import (
    Decision,
    ReviewError,
    add_reviews,
    appeal,
    confirm,
    overturn,
    read_reviews,
    rule_finally,
)
from pipeline.disputes.sampling import draw, store_sample
from pipeline.disputes.sheet import COLUMNS, sheet_rows, write_sheet
from pipeline.disputes.sheetimport import import_sheet
from pipeline.errors import InputError, ResultsError
from pipeline.records import Evidence, Turn
from pipeline.results import load
from pipeline.results.store import Store
from pipeline.retention import holds
from tests.disputes.dispute_builders import make_call, make_hearing, make_store, scored

LATE = "inbound.answered_in_time"
COURTESY = "language.courtesy"
NAMES = [name for name, _, _ in COLUMNS]


@pytest.fixture
def store(tmp_path):
    found = make_store(tmp_path / "results", [scored(scored_at=datetime.now(UTC) - timedelta(days=2))])
    archive_rulebook(found)
    return found


def effective(store):
    (found,) = effective_scores(store, ["c1"])
    return found


def held(store, rule_id):
    return next(each for each in effective(store).verdicts if each.rule_id == rule_id)


def test_a_confirmation_changes_nothing(store):
    confirm(store, "c1", LATE, person="qa1")
    found = effective(store)
    assert (found.score, found.grade, found.fatal) == (found.machine_score, found.machine_grade, False)
    assert found.reviewed == 1
    assert not found.changed
    assert held(store, LATE).decided_by == "review"


def test_an_overturn_gives_the_points_back_and_keeps_the_machines_score(store):
    overturn(store, "c1", LATE, "pass", person="qa1", comment="交换机时钟错误")
    found = effective(store)
    weights = {v.rule_id: v.weight for v in scored().judgement.verdicts}
    possible, earned = sum(weights.values()), sum(v.points for v in scored().judgement.verdicts)
    assert found.machine_score == scored().judgement.score
    assert found.score == pytest.approx(100 * (earned + weights[LATE]) / possible, abs=0.01)
    assert list(load("scores", store.place).score) == [found.machine_score]


def test_a_fatal_overturn_caps_the_score(store):
    overturn(store, "c1", COURTESY, "fail", person="qa1", comment="0:27 语气不耐烦，说了禁语")
    found = effective(store)
    assert found.fatal
    assert found.score <= 59
    assert found.grade == "D"


def test_a_rule_that_did_not_apply_gets_its_weight_from_the_rulebook(store):
    overturn(store, "c1", "inbound.empathy", "fail", person="qa1", comment="客户激动")
    assert held(store, "inbound.empathy").weight == 6.0
    version = replace(scored().judgement, rulebook_hash="00" * 32)
    with pytest.raises(ResultsError, match="rulebook"):
        effective_score("c1", 1, version, read_reviews(store), None)


def test_what_a_person_takes_out_does_not_count(store):
    overturn(store, "c1", LATE, "not_applicable", person="qa1", comment="测试电话")
    assert held(store, LATE).weight == 0.0
    assert effective(store).score > effective(store).machine_score


def test_appeal_ruling_and_then_nothing(store):
    confirm(store, "c1", LATE, person="qa1")
    appeal(store, "c1", LATE, agent="3025", reason="系统故障")
    assert held(store, LATE).appealed
    assert holds(store.place)["c1"].who == "3025"
    rule_finally(store, "c1", LATE, "pass", arbiter="lead", reason="查证属实")
    decided = held(store, LATE)
    assert (decided.verdict, decided.decided_by, decided.person, decided.appealed) == (
        "pass", "ruling", "lead", False,
    )  # fmt: skip
    for more in (
        lambda: confirm(store, "c1", LATE, person="qa2"),
        lambda: appeal(store, "c1", LATE, agent="3025", reason="再次"),
        lambda: rule_finally(store, "c1", LATE, "fail", arbiter="boss", reason="改"),
    ):
        with pytest.raises(ReviewError, match=r"lead 已于 .* 终裁为“通过”"):
            more()
    assert len(read_reviews(store)) == 3


def test_reviewers_who_disagree_are_disputed_until_a_ruling(store):
    confirm(store, "c1", LATE, person="qa1")
    overturn(store, "c1", LATE, "pass", person="qa2", comment="不同意")
    assert held(store, LATE).disputed
    assert held(store, LATE).verdict == "pass"
    rule_finally(store, "c1", LATE, "fail", arbiter="lead", reason="维持")
    assert not held(store, LATE).disputed


def test_a_decision_outlives_a_new_version(store):
    overturn(store, "c1", LATE, "pass", person="qa1", comment="已核实")
    store.commit([scored(supersedes=1, scored_by="qa", reason="复评")])
    found = effective(store)
    assert found.version == 2
    assert next(v for v in found.verdicts if v.rule_id == LATE).verdict == "pass"


REFUSED = {
    "unknown call": (Decision("nope", LATE, "pass", "qa1", comment="x"), "结果里没有通话"),
    "unknown version": (Decision("c1", LATE, "pass", "qa1", comment="x", version=7), "没有第 7 版"),
    "unknown rule": (Decision("c1", "no.rule", "pass", "qa1", comment="x"), "没有规则“no.rule”的判定"),
    "unknown verdict": (Decision("c1", LATE, "好", "qa1", comment="x"), "判定“好”不认识"),
    "unknown kind": (Decision("c1", LATE, "pass", "qa1", "vote", "x"), "类型“vote”"),
    "nobody": (Decision("c1", LATE, "fail", " "), "缺人员"),
    "no reason": (Decision("c1", LATE, "pass", "qa1"), "缺说明"),
    "long comment": (Decision("c1", LATE, "pass", "qa1", comment="长" * 2001), "2001 个字符"),
    "no offset": (Decision("c1", LATE, "fail", "qa1", at=datetime(2026, 3, 12)), "没有时区"),
    "false confirmation": (Decision("c1", LATE, "pass", "qa1", "confirm"), "机器判的是“不通过”"),
    "false overturn": (Decision("c1", LATE, "fail", "qa1", "overturn", "x"), "请用维持"),
    "own review": (Decision("c1", LATE, "pass", "3025", comment="x"), "自己的通话"),
    "stranger's appeal": (Decision("c1", LATE, "pass", "9", "appeal", "x"), "只有坐席 3025 本人"),
    "appeal for a fail": (Decision("c1", LATE, "fail", "3025", "appeal", "x"), "只能要求“通过”"),
    "ruling on nothing": (Decision("c1", LATE, "pass", "lead", "ruling", "x"), "没有可终裁的"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_is_refused_and_nothing_is_stored(store, name):
    decision, message = REFUSED[name]
    good = Decision("c1", COURTESY, "pass", "qa1")
    with pytest.raises(ReviewError, match=message) as caught:
        add_reviews(store, [good, decision])
    assert len(caught.value.problems) == 1
    assert read_reviews(store) == []


def test_an_appeal_has_its_window(tmp_path):
    days = load_policy().appeal_days
    for age, fits in ((days - 0.1, True), (days + 0.1, False)):
        place = tmp_path / str(age)
        store = make_store(place, [scored(scored_at=datetime.now(UTC) - timedelta(days=age))])
        if fits:
            assert len(appeal(store, "c1", LATE, agent="3025", reason="系统故障")) == 1
        else:
            with pytest.raises(ReviewError, match=f"申诉期（{days} 天）已于"):
                appeal(store, "c1", LATE, agent="3025", reason="系统故障")


def test_a_reviewer_cannot_rule_on_the_own_review(store):
    confirm(store, "c1", LATE, person="qa1")
    with pytest.raises(ReviewError, match="由另一人"):
        rule_finally(store, "c1", LATE, "pass", arbiter="qa1", reason="x")


def test_the_same_again_is_passed_over_a_change_of_mind_is_not(store):
    assert len(confirm(store, "c1", LATE, person="qa1")) == 1
    assert confirm(store, "c1", LATE, person="qa1") == []
    assert len(overturn(store, "c1", LATE, "pass", person="qa1", comment="再听")) == 1
    assert len(confirm(store, "c1", LATE, person="qa1")) == 1
    assert [review.kind for review in read_reviews(store)] == ["confirm", "overturn", "confirm"]


def test_without_an_agent_id_nobody_can_appeal(tmp_path):
    store = make_store(tmp_path / "r", [scored(make_call(agent_id=None), scored_at=datetime.now(UTC))])
    with pytest.raises(ReviewError, match=r"没有 agent_id.*补全随录参数.*复核表"):
        appeal(store, "c1", LATE, agent="3025", reason="系统故障")
    assert read_reviews(store) == []
    assert not holds(store.place)
    confirm(store, "c1", LATE, person="qa1")  # reviewers still decide


def test_an_appeal_asks_for_something_else_than_what_holds(store):
    with pytest.raises(ReviewError, match="现在就是“通过”"):
        appeal(store, "c1", COURTESY, agent="3025", reason="想确认")
    overturn(store, "c1", COURTESY, "fail", person="qa1", comment="语气不耐烦")
    assert len(appeal(store, "c1", COURTESY, agent="3025", reason="并无此语")) == 1


RULES_FINALLY = """
import sys
from pathlib import Path
from pipeline.disputes.reviews import rule_finally
from pipeline.errors import InputError
from pipeline.results.store import Store

place, who, verdict = sys.argv[1:]
store = Store.open(place, write=True)
transact = store._transact

def said(work):
    Path(place, f"{who}.checked").touch()  # what stands there was looked at; the commit waits for its turn
    return transact(work)

store._transact = said
print("opened", flush=True)
sys.stdin.readline()
try:
    rule_finally(store, "c1", "inbound.answered_in_time", verdict, arbiter=who, reason="查证")
except InputError as error:
    print(error)
    sys.exit(1)
"""


def test_of_two_rulings_at_once_one_is_refused_and_names_the_other(store):
    confirm(store, "c1", LATE, person="qa1")
    started = []
    for who, verdict in (("lead", "pass"), ("boss", "fail")):
        command = [sys.executable, "-c", RULES_FINALLY, store.place, who, verdict]
        started.append(
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        )
    assert [process.stdout.readline() for process in started] == ["opened\n"] * 2
    with store._storage.exclusive():  # nobody commits until both have looked
        for process in started:
            process.stdin.write("\n")
        until = time.monotonic() + 60
        while not all((Path(store.place) / f"{who}.checked").exists() for who in ("lead", "boss")):
            assert time.monotonic() < until
            time.sleep(0.02)
    told = [process.communicate(timeout=60)[0] for process in started]
    assert sorted(process.returncode for process in started) == [0, 1]
    (ruling,) = [review for review in read_reviews(store) if review.kind == "ruling"]
    assert f"{ruling.person} 已于" in "".join(told)
    assert check_reviews(store, [Path(store.place) / "_audit"])[2] is None


def test_an_entry_that_another_overtook_is_withdrawn_from_the_audit_log(store, monkeypatch):
    """In object storage a commit may find that somebody was faster, after it was announced."""
    confirm(store, "c1", LATE, person="qa1")
    append = store.append

    def overtaken(rows, table):
        rows()  # announced; then the commit conflicts with this one:
        rule_finally(Store.open(store.place, write=True), "c1", LATE, "fail", arbiter="boss", reason="查")
        append(rows, table)

    monkeypatch.setattr(store, "append", overtaken)
    with pytest.raises(ReviewError, match="boss 已于"):
        rule_finally(store, "c1", LATE, "pass", arbiter="lead", reason="查证")
    count, announced, problem = check_reviews(store, [Path(store.place) / "_audit"])
    assert (count, announced, problem) == (2, 2, None)


# The sheet ------------------------------------------------------------------------------------------


def filled(store, fill, **options):
    """The exported workbook with ``fill(row number, values by column name)`` for each row."""
    book = load_workbook(io.BytesIO(write_sheet(sheet_rows(store, **options), reviewer="qa1")))
    page = book["复核"]
    for number, cells in enumerate(page.iter_rows(min_row=2), start=2):
        row = dict(zip(NAMES, cells, strict=True))
        for name, value in fill(number, {n: c.value for n, c in row.items()}).items():
            row[name].value = value
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def test_the_sheet_has_drop_downs_frozen_headers_and_time_codes(store):
    book = load_workbook(io.BytesIO(write_sheet(sheet_rows(store), reviewer="qa1")))
    page = book["复核"]
    assert [cell.value for cell in page[1]] == NAMES
    assert page.freeze_panes == "B2"
    (rule,) = page.data_validations.dataValidation
    assert rule.type == "list"
    assert rule.formula1 == "'选项'!$A$1:$A$4"  # no "=": Excel calls such a file damaged
    assert page.protection.sheet
    assert page["A2"].protection.locked
    assert not page["M2"].protection.locked
    assert str(rule.sqref).startswith("M2:M")
    assert [cell.value for cell in book["选项"]["A"]] == ["通过", "不通过", "不适用", "待人工"]
    assert book["选项"].sheet_state == "hidden"
    listen = [row[NAMES.index("在哪里听")].value for row in page.iter_rows(min_row=2)]
    assert any(value and value.startswith("0:44.0–") for value in listen)
    assert page.max_row == 1 + len(scored().judgement.verdicts)


def test_round_trip_changes_the_effective_score(store):
    def fill(_number, values):
        if values["规则编号"] == LATE:
            return {"人工判定": "通过", "说明": "交换机时钟错误"}
        return {"人工判定": values["机器判定"]}

    rows, entered = import_sheet(store, filled(store, fill))
    assert rows == len(entered) == len(scored().judgement.verdicts)
    assert {review.source for review in entered} == {"excel"}
    assert effective(store).score > effective(store).machine_score
    assert import_sheet(store, filled(store, fill))[1] == []  # the same sheet once more


def test_rows_left_empty_are_not_imported(store):
    assert import_sheet(store, filled(store, lambda *_: {})) == (0, [])


def test_a_bad_sheet_is_refused_row_by_row(store):
    changes = {
        2: {"人工判定": "好"},
        3: {"人工判定": "通过", "通话编号": "nope"},
        4: {"人工判定": "通过", "评分版本": "二"},
        5: {"人工判定": "通过", "说明": "=1+1"},
        6: {"人工判定": "不适用", "复核人": ""},
        7: {"人工判定": "通过", "机器判定": "待人工"},
    }
    data = filled(store, lambda number, values: changes.get(number, {"人工判定": values["机器判定"]}))
    with pytest.raises(ReviewError) as caught:
        import_sheet(store, data)
    assert sorted({int(line.split(" 行")[0].removeprefix("第 ")) for line in caught.value.problems}) == [
        2, 3, 4, 5, 6, 7,
    ]  # fmt: skip
    assert read_reviews(store) == []


def test_a_rule_decided_twice_in_one_sheet_is_refused(store):
    rows = sheet_rows(store, rules=[LATE])
    book = load_workbook(io.BytesIO(write_sheet([*rows, *rows], reviewer="qa1")))
    for number, verdict in ((2, "不通过"), (3, "通过")):
        book["复核"].cell(number, NAMES.index("人工判定") + 1, verdict)
        book["复核"].cell(number, NAMES.index("说明") + 1, "x")
    out = io.BytesIO()
    book.save(out)
    with pytest.raises(ReviewError, match="在第 2 行已判过"):
        import_sheet(store, out.getvalue())


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 no", b"not a workbook"])
def test_what_is_no_workbook_is_said_so(store, data):
    with pytest.raises(InputError, match="不是可读的"):
        import_sheet(store, data)


def test_a_workbook_without_its_columns_is_said_so(store):
    from openpyxl import Workbook

    for title, message in (("复核", "缺少列"), ("x", "没有名为“复核”")):
        book = Workbook()
        book.active.title = title
        out = io.BytesIO()
        book.save(out)
        with pytest.raises(InputError, match=message):
            import_sheet(store, out.getvalue())


@pytest.mark.parametrize("evil", ["=HYPERLINK(1)", "+cmd|1", "@SUM(1)", "-cmd|calc", "＝1", "\t=1"])
def test_no_cell_is_a_formula(tmp_path, evil):
    made = scored(make_call(agent_id=evil))
    verdicts = tuple(
        replace(v, reason=evil, name_zh=evil, evidence=(Evidence(1, 2, "agent", evil),))
        for v in made.judgement.verdicts
    )
    made = replace(made, judgement=replace(made.judgement, verdicts=verdicts))
    store = make_store(tmp_path / "r", [made])
    book = load_workbook(io.BytesIO(write_sheet(sheet_rows(store))))
    for row in book["复核"].iter_rows():
        for cell in row:
            assert cell.data_type != "f"
            assert not str(cell.value or "").startswith(("=", "+", "@"))


def test_personal_numbers_are_masked_in_the_sheet(tmp_path):
    made = scored(hearing=make_hearing())
    verdicts = tuple(
        replace(v, evidence=(Evidence(1, 2, "agent", "手机号13812345678"),)) for v in made.judgement.verdicts
    )
    store = make_store(tmp_path / "r", [replace(made, judgement=replace(made.judgement, verdicts=verdicts))])
    assert all("13812345678" not in row.quotes for row in sheet_rows(store))


def test_a_quoted_piece_of_a_number_is_masked_in_the_sheet(tmp_path):
    turns = tuple(
        Turn(role, n * 3.0, n * 3.0 + 2, text)
        for n, (role, text) in enumerate(
            [("agent", "请报一下您的手机号"), ("customer", "138"), ("agent", "嗯"), ("customer", "1234"),
             ("agent", "好的"), ("customer", "5678")]
        )
    )  # fmt: skip
    made = scored(hearing=replace(make_hearing(), turns=turns))
    quoted = (Evidence(3, 5, "customer", "138"),)
    verdicts = tuple(replace(v, evidence=quoted) for v in made.judgement.verdicts)
    store = make_store(tmp_path / "r", [replace(made, judgement=replace(made.judgement, verdicts=verdicts))])
    assert all("138" not in row.quotes for row in sheet_rows(store))


def test_a_sample_is_exported_as_it_was_drawn(store):
    sample = draw(store, seed=4)
    store_sample(store, sample)
    rows = sheet_rows(store, sample=sample)
    assert {(row.call_id, row.rule_id) for row in rows} == {(u.call_id, u.rule_id) for u in sample.units}
    assert {row.sample_id for row in rows} == {sample.sample_id}
