"""``load``: what notebooks see."""

import os
from datetime import date, datetime, timedelta

import pandas as pd
import pytest

from pipeline.errors import InputError, ResultsError
from pipeline.records import Measures
from pipeline.results import RunRow, load
from pipeline.results.schemas import PUBLIC
from pipeline.results.store import Store
from tests.unit.results_builders import (
    NOW,
    make_call,
    make_judgement,
    make_quarantine,
    make_reviews,
    make_scored,
)


@pytest.fixture(autouse=True, scope="module")
def quick_disk():
    """Waiting for the disk proves nothing in one process and takes most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture
def results(tmp_path):
    store = Store.open(tmp_path, write=True)
    store.commit(
        [
            make_scored("c2"),
            make_scored("c1"),
            make_scored(call=make_call("c3", day=6, agent_id="2048")),
        ],
        [
            make_quarantine("q1", call_date=date(2026, 1, 5)),
            make_quarantine("c3", "/x", at=NOW - timedelta(1)),
        ],
    )
    fillers = Measures(130.0, 140.0, 100, 2, 2.0, 1.0, 1.0, 1.0, 1.0, 0)
    store.commit([make_scored("c1", supersedes=1, judgement=make_judgement(score=50.0, measures=fillers))])
    store.record_run(RunRow("r1", NOW, NOW, 5, 4, 1, 0, 15.0, 1.0))
    store.append({"2026-01-05": make_reviews()}, "reviews")
    return tmp_path


def test_every_table_loads_with_its_columns(results):
    for table in PUBLIC:
        found = load(table, results)
        assert len(found) > 0
        assert "call_date" in found.columns


def test_latest_and_all(results):
    found = load("scores", results)
    assert list(zip(found.call_id, found.version, found.score, strict=True)) == [
        ("c1", 2, 50.0),
        ("c2", 1, 97.5),
        ("c3", 1, 97.5),
    ]
    assert list(load("scores", results, latest=False).version) == [1, 2, 1, 1]
    assert len(load("turns", results)) == 6
    assert len(load("turns", results, latest=False)) == 8
    assert set(load("verdicts", results).query("call_id == 'c1'").version) == {2}


def test_types(results):
    found = load("scores", results)
    assert isinstance(found.started_at.dtype, pd.DatetimeTZDtype)
    assert found.started_at.iloc[0] == pd.Timestamp("2026-01-05 09:30", tz="Asia/Shanghai")
    assert found.started_at.dt.hour.tolist() == [9, 9, 9]
    assert found.call_date.iloc[0] == pd.Timestamp("2026-01-05")
    assert pd.api.types.is_datetime64_dtype(found.call_date)
    assert found.version.dtype == "int64"
    assert found.filler_count.dtype == "Int64"
    assert found.filler_count.tolist()[0] == 2
    assert found.filler_count.isna().tolist() == [False, True, True]
    assert found.fatal.dtype == bool
    assert found.score.dtype == "float64"
    assert pd.api.types.is_string_dtype(found.grade)
    words = load("turns", results).words.iloc[0]
    assert words == [
        {"text": "查一下", "start_s": 0.5, "end_s": 1.0, "confidence": 0.9},
        {"text": "保单", "start_s": 1.1, "end_s": 2.0, "confidence": 0.8},
    ]
    assert load("verdicts", results).evidence.iloc[0][0]["quote"] == "您好"


def test_types_do_not_depend_on_the_data(results, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    full = make_judgement(measures=Measures(1.0, 1.0, 1, 1, 1.0, 1.0, 1.0, 1.0, 1.0, 1))
    Store.open(other, write=True).commit([make_scored(judgement=full)])
    for table in ("scores", "verdicts", "turns", "events"):
        assert load(table, other).dtypes.to_dict() == load(table, results).dtypes.to_dict()
    empty = load("scores", results, dates="2031-01-01")
    assert len(empty) == 0
    assert list(empty.columns) == list(load("scores", results).columns)


@pytest.mark.parametrize(
    "dates",
    [
        "2026-01-06",
        date(2026, 1, 6),
        datetime(2026, 1, 6, 3),
        pd.Timestamp("2026-01-06"),
        ["2026-01-06", "2025-01-01"],
    ],
)
def test_dates(results, dates):
    assert set(load("scores", results, dates=dates).call_id) == {"c3"}
    assert set(load("turns", results, dates=dates).call_id) == {"c3"}


def test_agents_calls_and_columns(results):
    assert set(load("verdicts", results, agents="2048").call_id) == {"c3"}
    assert set(load("scores", results, agents=["1027", "2048"]).call_id) == {"c1", "c2", "c3"}
    assert set(load("scores", results, agents="2048", call_ids=["c1", "c3"]).call_id) == {"c3"}
    assert set(load("turns", results, call_ids="c1").call_id) == {"c1"}
    found = load("turns", results, columns=["call_id", "text"])
    assert list(found.columns) == ["call_id", "text"]
    assert len(found) == 6
    assert list(load("quarantine", results, columns=["call_id", "kind"]).columns) == ["call_id", "kind"]


def test_order_within_a_call(results):
    found = load("turns", results)
    assert found.call_id.tolist() == ["c1", "c1", "c2", "c2", "c3", "c3"]
    assert found.turn.tolist() == [0, 1] * 3


def test_quarantine_leaves_out_what_is_settled(results):
    assert load("quarantine", results).call_id.tolist() == ["q1"]
    assert load("quarantine", results, latest=False).call_id.tolist() == ["c3", "q1"]
    assert len(load("quarantine", results, dates="2026-01-05")) == 1
    assert len(load("quarantine", results, dates="2026-01-06")) == 0


def test_friendly_errors(tmp_path, results):
    with pytest.raises(InputError, match="no result table 'score'; expected one of: scores, verdicts"):
        load("score", results)
    with pytest.raises(InputError, match="has no column points"):
        load("scores", results, columns=["points"])
    with pytest.raises(InputError, match="'yesterday' is no date; expected one like 2026-01-05"):
        load("scores", results, dates="yesterday")
    with pytest.raises(InputError, match="expected one value or several, found int"):
        load("scores", results, agents=1027)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ResultsError, match="holds no results yet"):
        load("scores", tmp_path / "empty")
    with pytest.raises(ResultsError, match="no such results folder"):
        load("scores", tmp_path / "none")


def test_a_night_with_nothing_but_quarantine(tmp_path):
    Store.open(tmp_path, write=True).commit(quarantined=[make_quarantine()])
    assert len(load("scores", tmp_path)) == 0
    assert len(load("quarantine", tmp_path)) == 1
