"""What analysts open: SQL views, labels, columns of the call record, one call, without and with keys."""

import json
import math

import matplotlib as mpl

mpl.use("agg")

import pytest
from unit.results_builders import (
    make_call,
    make_hearing,
    make_judgement,
    make_quarantine,
    make_reviews,
    make_scored,
)

from pipeline.errors import (
    AccessRefusedError,
    InputError,
    KeyMaterialError,
    RecordingMissingError,
    ResultsError,
    WrongKeyError,
)
from pipeline.records import Turn
from pipeline.results import call, connect, describe, in_chinese, labels, load, units
from pipeline.results.api import WithheldWarning
from pipeline.results.store import Store

SECRET_TURNS = (
    Turn("agent", 0.0, 3.0, "请您提供手机号"),
    Turn("customer", 3.5, 8.0, "我的手机号是13812345678"),
)


def fill(folder):
    """Two calls of 5 and 6 January, the first scored twice; a third in quarantine; a review."""
    store = Store.open(folder, write=True)
    one = make_call("c1", extra={"line": "mobile"}, ring_s=4.0, agent_id="7")
    two = make_call("c2", day=6, agent_id="8")
    hearing = make_hearing(turns=SECRET_TURNS)
    store.commit([make_scored(call=one, hearing=hearing), make_scored(call=two)], [make_quarantine("q1")])
    store.commit([make_scored(call=one, hearing=hearing, judgement=make_judgement(score=50.0), supersedes=1)])
    store.append({"2026-01-05": make_reviews("c1")}, "reviews")
    return folder


@pytest.fixture
def results(tmp_path):
    return fill(tmp_path / "r")


@pytest.fixture
def sealed(tmp_path, monkeypatch):
    """The same with what was said encrypted; the key is not at hand, its place is given back."""
    from pipeline.vault.providers import new_secret

    new_secret(tmp_path / "transcript.key")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("ZHIJIAN_TRANSCRIPT_KEY", f"file:{tmp_path / 'transcript.key'}")
    fill(tmp_path / "r")
    monkeypatch.delenv("ZHIJIAN_TRANSCRIPT_KEY")
    return tmp_path / "r", f"file:{tmp_path / 'transcript.key'}"


# SQL ----------------------------------------------------------------------------------------------


def test_views_hold_every_version_and_the_latest(results):
    sql = connect(results)
    assert sql.sql("SELECT count(*) FROM scores").fetchall() == [(3,)]
    latest = sql.sql("SELECT call_id, version, score FROM latest_scores ORDER BY call_id").fetchall()
    assert latest == [("c1", 2, 50.0), ("c2", 1, 97.5)]
    for table in ("verdicts", "turns", "events", "hearings"):
        name = f"latest_{table}"
        rows = sql.sql(f"SELECT DISTINCT call_id, version FROM {name}").fetchall()
        assert sorted(rows) == [("c1", 2), ("c2", 1)]
    assert sql.sql("SELECT person FROM reviews").fetchall() == [("qa1",)]
    assert sql.sql("SELECT call_id FROM latest_quarantine").fetchall() == [("q1",)]
    assert sql.sql("SELECT count(*) FROM runs").fetchall() == [(0,)]


def test_sql_and_pandas_say_the_same(results):
    frame = connect(results).sql("SELECT * FROM latest_verdicts ORDER BY call_id, rule_id").df()
    same = load("verdicts", results).sort_values(["call_id", "rule_id"])
    for name in ("call_id", "version", "rule_id", "verdict", "weight"):
        assert frame[name].tolist() == same[name].tolist()


def test_times_are_chinese_local_times(results):
    sql = connect(results)
    assert sql.sql("SELECT DISTINCT hour(started_at) FROM scores").fetchall() == [(9,)]
    assert sql.sql("SELECT DISTINCT call_date::VARCHAR FROM scores ORDER BY 1").fetchall() == [
        ("2026-01-05",),
        ("2026-01-06",),
    ]


def test_words_are_nested(results):
    sql = connect(results)
    first = sql.sql("SELECT words[1].text FROM latest_turns WHERE call_id = 'c2' AND turn = 0")
    assert first.fetchall() == [("查一下",)]


def test_connecting_to_nothing(tmp_path):
    with pytest.raises(ResultsError, match="no such results folder"):
        connect(tmp_path / "nowhere")
    Store.open(tmp_path / "empty", write=True)
    with pytest.raises(ResultsError, match="zhijian score"):
        connect(tmp_path / "empty")


# Labels and records -------------------------------------------------------------------------------


def test_frames_carry_labels_and_units(results):
    scores = load("scores", results)
    assert scores.attrs["table"] == "scores"
    assert scores.attrs["labels"]["speech_rate"] == labels("scores")["speech_rate"] == "语速"
    assert scores.attrs["units"]["speech_rate"] == units("scores")["speech_rate"] == "characters/min"
    assert scores.attrs["withheld"] == ()
    shown = in_chinese(load("verdicts", results, call_ids="c1"))
    assert shown["判定"].tolist() == ["通过", "不适用"]


@pytest.mark.parametrize("table", ["scores", "verdicts", "turns", "events", "quarantine", "runs", "reviews"])
def test_every_column_has_a_chinese_label(table, results):
    frame = load(table, results)
    assert set(frame.columns) <= set(labels(table))
    assert in_chinese(frame).columns.is_unique
    assert set(describe(table).index) | {"call_date"} == set(labels(table))


def test_columns_of_the_call_record(results):
    found = load("scores", results, record=["line", "ring_s", "tag"]).set_index("call_id")
    assert found.loc["c1", "line"] == "mobile"
    assert found.loc["c1", "ring_s"] == 4
    assert found["tag"].isna().all()
    few = load("turns", results, columns=["call_id", "text"], record="line")
    assert few.columns.tolist() == ["call_id", "text", "line"]
    every = load("scores", results, latest=False, record="line")
    assert len(every) == 3
    with pytest.raises(InputError, match="goes with: scores"):
        load("runs", results, record="line")
    with pytest.raises(InputError, match="direction already"):
        load("scores", results, record="direction")


# Without the transcript key -----------------------------------------------------------------------


def test_words_are_empty_without_the_key_and_all_else_is_there(sealed):
    results, _ = sealed
    turns = load("turns", results)
    assert turns["text"].isna().all()
    assert turns["words"].isna().all()
    assert turns["end_s"].notna().all()
    assert "text" in turns.attrs["withheld"]
    assert load("scores", results)["score"].tolist() == [50.0, 97.5]
    with pytest.raises(AccessRefusedError, match="TRANSCRIPT_KEY"):
        load("turns", results, columns=["text"])
    with pytest.warns(WithheldWarning, match="line: left empty"):
        assert load("scores", results, record="line")["line"].isna().all()


def test_a_call_without_the_key(sealed):
    one = call("c1", sealed[0])
    assert one.withheld
    assert "没有转写密钥" in one.transcript()
    assert "13812345678" not in one.transcript()
    assert one.plot().get_title(loc="left").startswith("通话 c1")
    assert one.findings().empty
    mpl.pyplot.close("all")


def test_sql_without_the_key(sealed):
    sql = connect(sealed[0])
    assert sql.sql("SELECT count(*), count(text), count(words) FROM turns").fetchall() == [(6, 0, 0)]
    assert sql.sql("SELECT DISTINCT typeof(text) FROM turns").fetchall() == [("VARCHAR",)]
    assert sql.sql("SELECT count(*) FROM latest_scores").fetchall() == [(2,)]
    assert sql.sql("SELECT count(*), count(comment) FROM reviews").fetchall() == [(1, 0)]


def test_with_the_key_words_come_back_and_reading_them_is_recorded(sealed, monkeypatch, tmp_path):
    results, key = sealed
    monkeypatch.setenv("ZHIJIAN_TRANSCRIPT_KEY", key)
    monkeypatch.setenv("ZHIJIAN_AUDIT", str(tmp_path / "audit"))
    assert "手机号" in call("c1", results, why="question 3").transcript()
    assert connect(results).sql("SELECT count(text) FROM turns").fetchall() == [(6,)]
    assert load("scores", results, record="line")["line"].tolist()[0] == "mobile"
    log = "".join(path.read_text() for path in (tmp_path / "audit").rglob("*.jsonl"))
    records = [json.loads(line) for line in log.splitlines()]
    opened = [(r.get("call_id"), r.get("call_ids"), r.get("why")) for r in records if r["event"] == "open"]
    assert opened == [
        ("c1", None, "question 3"),
        ("*", None, "SQL over all calls"),
        (None, ["c1", "c2"], "call records"),
    ]


# One call -----------------------------------------------------------------------------------------


def test_a_call_is_masked_unless_asked_otherwise(results, monkeypatch, tmp_path):
    one = call("c1", results)
    assert (one.version, one.masked, one.withheld) == (2, True, False)
    assert one.transcript() == "[00:00.0] 坐席：请您提供手机号\n[00:03.5] 客户：我的手机号是***********"
    assert one.transcript(3.2) == "[00:03.5] 客户：我的手机号是***********"
    assert "50.0 分" in repr(one)
    assert "13812345678" not in "".join(map(str, one.turns.to_numpy().ravel()))
    with pytest.raises(AccessRefusedError, match="dispute key"):
        call("c1", results, unmasked=True)


def test_unmasking_needs_the_dispute_key_and_is_recorded(results, monkeypatch, tmp_path):
    from pipeline.vault.providers import new_secret

    key = tmp_path / "dispute.key"
    new_secret(key)
    monkeypatch.setenv("ZHIJIAN_DISPUTE_KEY", f"file:{key}")
    monkeypatch.setenv("ZHIJIAN_AUDIT", str(tmp_path / "audit"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    one = call("c1", results, unmasked=True, why="dispute 7")
    assert "13812345678" in one.transcript()
    log = "".join(path.read_text() for path in (tmp_path / "audit").rglob("*.jsonl"))
    assert '"unmasked transcript"' in log
    assert "dispute 7" in log
    assert "138123" not in log


def test_versions_and_calls_that_are_not_there(results):
    assert call("c1", results, version=1).score["score"] == 97.5
    with pytest.raises(InputError, match="no version 3; there are: 1, 2"):
        call("c1", results, version=3)
    with pytest.raises(InputError, match="is in quarantine"):
        call("q1", results)
    with pytest.raises(InputError, match="not among the results"):
        call("c9", results)


def test_a_call_without_a_score(tmp_path):
    store = Store.open(tmp_path / "r", write=True)
    store.commit([make_scored("c1", judgement=make_judgement(score=None, verdicts=()))])
    one = call("c1", tmp_path / "r")
    assert math.isnan(one.score["score"])
    assert "—" in repr(one)
    assert "无适用项" in one.plot().get_title(loc="left")
    mpl.pyplot.close("all")


# Hearing it ---------------------------------------------------------------------------------------


@pytest.fixture
def heard(night_folder, monkeypatch, tmp_path):
    path = night_folder.add_call("c1")
    entry = make_scored("c1", recording_uri=str(path), recording_size_bytes=path.stat().st_size)
    Store.open(night_folder.results, write=True).commit([entry])
    monkeypatch.setenv("ZHIJIAN_AUDIT", str(tmp_path / "audit"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("ZHIJIAN_IDENTITY", raising=False)
    return night_folder


def test_playing_needs_the_key_and_is_recorded(heard, tmp_path, monkeypatch):
    import io

    import soundfile

    one = call("c1", heard.results)
    with pytest.raises(KeyMaterialError, match="ZHIJIAN_IDENTITY"):
        one.play(1, 2)
    sound = one.play(1, 2.5, identity=heard.key, why="review")
    data, rate = soundfile.read(io.BytesIO(sound.data))
    assert len(data) == pytest.approx(1.5 * rate, abs=1)
    assert abs(data).max() > 0
    monkeypatch.setenv("ZHIJIAN_IDENTITY", str(heard.key))
    assert len(soundfile.read(io.BytesIO(one.play().data))[0]) == pytest.approx(12 * rate, abs=rate)
    for start_s, end_s in ((2, 1), (-1, 2), (1, 1)):
        with pytest.raises(InputError, match="no stretch"):
            one.play(start_s, end_s)
    with pytest.raises(InputError, match="after its end"):
        one.play(500)
    log = "".join(path.read_text() for path in (tmp_path / "audit").rglob("*.jsonl"))
    assert log.count('"purpose":"notebook"') >= 3
    assert "review" in log


def test_playing_with_another_key_and_without_the_recording(heard, tmp_path, monkeypatch):
    from pipeline.vault.keys import new_pair

    one = call("c1", heard.results)
    new_pair(tmp_path / "other")
    with pytest.raises(WrongKeyError):
        one.play(1, 2, identity=tmp_path / "other" / "recordings.key")
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(RecordingMissingError, match="holds no recording of call c1"):
        one.play(1, 2, identity=heard.key, recordings=tmp_path / "elsewhere")
    log = "".join(path.read_text() for path in (tmp_path / "audit").rglob("*.jsonl"))
    assert '"refused"' in log
