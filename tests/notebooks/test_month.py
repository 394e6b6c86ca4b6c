"""The generated month is what it says: consistent with the rulebook, and with something to find in it."""

import json

from builders import ROOT

from pipeline.analysis import by_group, standardised
from pipeline.judging.engine import judge
from pipeline.judging.rulebook import load_rulebook
from pipeline.results import connect, load
from pipeline.results.store import Store
from pipeline.results.stored import stored_hearing
from tests.notebooks.conftest import month_module

SEED_CALLS = 90


def test_it_has_the_size_and_the_shape_of_a_month(month_results):
    scores = load("scores", month_results, record=["team", "line"])
    assert abs(len(scores) - 20_000) < 100
    assert scores.call_date.nunique() == 31
    assert scores.agent_id.nunique() == 120
    assert set(scores.line) == {"mobile", "landline"}
    outbound = scores[scores.direction == "outbound"]
    assert (outbound.started_at.dt.day_of_week < 5).all()
    held = load("quarantine", month_results)
    assert 80 < len(held) < 260
    runs = load("runs", month_results)
    assert (runs.calls_in == runs.scored + runs.quarantined + runs.skipped).all()
    assert runs.scored.sum() == len(scores)


def test_its_verdicts_are_those_of_the_rulebook(month_results):
    store, book = Store.open(month_results), load_rulebook()
    verdicts = load("verdicts", month_results, columns=["call_id", "rule_id", "verdict", "due", "met"])
    ids = verdicts.call_id.drop_duplicates().sample(40, random_state=1)
    for call_id in ids:
        hearing, call = stored_hearing(store, call_id)
        mine = {v.rule_id: (v.verdict, v.due, v.met) for v in judge(hearing, call, book).verdicts}
        stored = verdicts[verdicts.call_id == call_id].set_index("rule_id")
        assert {rule: tuple(row) for rule, row in stored[["verdict", "due", "met"]].iterrows()} == mine


def test_what_was_planted_is_found(month_results):
    planted = month_module().PLANTED
    calls = load("scores", month_results, record="line")
    asked = calls[(calls.business == "claims") & (calls.line == "mobile") & (calls.started_at.dt.hour >= 14)]
    fast = by_group(asked.assign(fast=asked.speech_rate > 150), "agent_id", "fast")
    sure = set(fast[fast.low > 0.5].index)
    assert {"2005", "2031", "2012"} <= sure
    assert len(sure) <= 6

    rules = load("verdicts", month_results, columns=["call_id", "rule_id", "verdict"])
    checked = rules[
        (rules.rule_id == "inbound.two_factor_verification") & (rules.verdict != "not_applicable")
    ]
    checked = checked.merge(calls[["call_id", "agent_id"]], on="call_id")
    missing = by_group(checked.assign(fail=checked.verdict == "fail"), "agent_id", "fail")
    assert set(missing.index[:2]) == set(planted["no_verification"])

    fillers = by_group(calls, "agent_id", "filler_rate")
    assert set(fillers.index[:3]) == set(planted["fillers"])
    assert set(planted["rare"]) & set(calls.agent_id)
    assert not set(planted["rare"]) & set(fillers.index)


def test_teams_differ_less_once_their_calls_are_the_same(month_results):
    calls = load("scores", month_results, record="team")
    inbound = calls[calls.direction == "inbound"]
    teams = standardised(inbound, "team", "score").loc[["理赔一组", "综合组"]]
    raw, fair = teams.raw.diff().abs().iloc[-1], teams.value.diff().abs().iloc[-1]
    assert fair < raw


def test_the_question_of_the_brief_takes_five_lines(month_results):
    """Which agents speak too fast in the afternoon, on mobile claims calls, with 95 % intervals?"""
    calls = load("scores", month_results, record="line")
    asked = calls[(calls.business == "claims") & (calls.line == "mobile") & (calls.started_at.dt.hour >= 12)]
    fast = by_group(asked.assign(fast=asked.speech_rate > 150), "agent_id", "fast")
    assert fast.columns.tolist() == ["count", "value", "low", "high"]

    sql = (
        connect(month_results)
        .sql("""
        SELECT s.agent_id, count(*) AS count, avg((speech_rate > 150)::INT) AS value
        FROM latest_scores s JOIN latest_hearings h USING (call_id)
        WHERE business = 'claims' AND hour(s.started_at) >= 12
          AND json_extract_string(call_record, '$.extra.line') = 'mobile'
        GROUP BY ALL""")
        .df()
    )
    same = sql.set_index("agent_id").loc[fast.index]
    assert same["count"].tolist() == fast["count"].tolist()
    assert (same.value - fast.value).abs().max() < 1e-12


def test_the_same_seed_makes_the_same_calls(tmp_path, monkeypatch):
    make_month, book = month_module().make_month, load_rulebook()
    monkeypatch.setattr(month_module(), "DAYS", 7)
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        make_month(tmp_path / name, calls=SEED_CALLS, seed=seed, rulebook=book)
    columns = ["call_id", "agent_id", "started_at", "score", "receipt"]
    one, two, other = (load("scores", tmp_path / name, columns=columns) for name in "abc")
    assert one.equals(two)
    assert not one.equals(other)


def test_stripping_clears_what_a_run_leaves():
    import importlib.util

    spec = importlib.util.spec_from_file_location("strip", ROOT / "notebooks" / "strip.py")
    strip = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(strip)
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        clean = path.read_text(encoding="utf-8")
        dirty = json.loads(clean)
        for cell in dirty["cells"]:
            cell["metadata"] = {"scrolled": True, "collapsed": False}
            if cell["cell_type"] == "code":
                cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["13812345678"]}]
                cell["execution_count"] = 7
        dirty["metadata"]["widgets"] = {"state": "x"}
        assert strip.stripped(json.dumps(dirty)) == clean
        assert strip.stripped(clean) == clean
