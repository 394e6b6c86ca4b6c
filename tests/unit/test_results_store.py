"""The store: versions, quarantine, and calls that can be judged again."""

import os
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.callrecords import record_hash
from pipeline.errors import InputError, ResultsError
from pipeline.judging.engine import judge
from pipeline.judging.rulebook import load_rulebook
from pipeline.records import Measures
from pipeline.results import RunRow, needs_scoring, should_retry
from pipeline.results.receipts import hearing_hash
from pipeline.results.store import Store
from pipeline.results.stored import stored_hearing, stored_hearings
from tests.unit import results_builders as build
from tests.unit.results_builders import (
    NOW,
    make_call,
    make_hearing,
    make_judgement,
    make_quarantine,
    make_scored,
)


@pytest.fixture(autouse=True, scope="module")
def quick_disk():
    """Waiting for the disk proves nothing in one process and takes most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture
def store(tmp_path):
    return Store.open(tmp_path, write=True)


def rows(store, table, **wanted):
    return store.read(table, **wanted).to_pylist()


def test_first_commit(store):
    done = store.commit([make_scored("c1"), make_scored("c2")], [make_quarantine()])
    assert (done.versions, done.dropped, done.quarantined) == ({"c1": 1, "c2": 1}, (), 1)
    found = store.scored_fingerprints()
    assert set(found) == {"c1", "c2"}
    known = found["c1"]
    assert (known.version, known.recording_sha256, known.call_date) == (1, "ab" * 32, "2026-01-05")
    assert known.call_record_sha256 == record_hash(make_call("c1"))
    assert store.scored_fingerprints(["c2", "c9"]).keys() == {"c2"}
    assert store.scored_fingerprints([]) == {}


def test_the_same_night_again_adds_nothing(store, tmp_path):
    store.commit([make_scored("c1")], [make_quarantine()])
    before = sorted(path for path in tmp_path.rglob("*.parquet"))
    again = Store.open(tmp_path, write=True)
    done = again.commit([make_scored("c1")], [make_quarantine()])
    assert (done.versions, done.dropped, done.quarantined) == ({}, ("c1",), 0)
    assert sorted(path for path in tmp_path.rglob("*.parquet")) == before


def test_versions_go_up_one_by_one(store):
    for version in range(3):
        assert store.commit([make_scored("c1", supersedes=version)]).versions == {"c1": version + 1}
    assert [row["version"] for row in rows(store, "scores")] == [3]
    assert sorted(row["version"] for row in rows(store, "scores", latest=False)) == [1, 2, 3]
    assert {row["version"] for row in rows(store, "verdicts")} == {3}


def test_what_another_run_has_finished_is_dropped(store, tmp_path):
    store.scored_fingerprints(["c1", "c2"])
    Store.open(tmp_path, write=True).commit([make_scored("c1")])
    done = store.commit([make_scored("c1"), make_scored("c2")])
    assert (done.versions, done.dropped) == ({"c2": 1}, ("c1",))
    # A rescore that began from version 1 loses against one that was faster, too.
    Store.open(tmp_path, write=True).commit([make_scored("c1", supersedes=1)])
    assert store.commit([make_scored("c1", supersedes=1)]).dropped == ("c1",)


def test_a_call_twice_in_one_commit_is_refused(store):
    with pytest.raises(InputError, match="twice in one commit"):
        store.commit([make_scored("c1"), make_scored("c1")])


def test_empty_commit_does_nothing(store, tmp_path):
    assert store.commit().versions == {}
    assert list(tmp_path.rglob("*.parquet")) == []


def test_partition_is_the_local_date(store, tmp_path):
    late = make_call("c1", started_at=datetime.fromisoformat("2026-01-05T23:50:00+08:00"))
    early = make_call("c2", started_at=datetime.fromisoformat("2026-01-06T00:10:00+08:00"))
    store.commit([make_scored(call=late), make_scored(call=early)])
    assert sorted(path.name for path in (tmp_path / "scores").iterdir()) == [
        "call_date=2026-01-05",
        "call_date=2026-01-06",
    ]
    assert [row["call_date"] for row in rows(store, "scores", call_ids=["c2"])] == [date(2026, 1, 6)]
    assert store.dates() == ["2026-01-05", "2026-01-06"]


def test_corrected_date_moves_a_call(store):
    store.commit([make_scored("c1", day=5), make_scored("c2", day=5)])
    store.commit([make_scored("c1", day=7, supersedes=1)])
    assert store.scored_fingerprints(["c1"])["c1"].version == 2
    for table in ("scores", "turns"):
        assert {row["call_id"] for row in rows(store, table, dates=["2026-01-05"])} == {"c2"}
        assert {row["call_id"] for row in rows(store, table, dates=["2026-01-07"])} == {"c1"}
    store.commit([make_scored("c1", day=5, supersedes=2)])
    assert {row["call_id"] for row in rows(store, "scores", dates=["2026-01-05"])} == {"c1", "c2"}
    assert rows(store, "scores", dates=["2026-01-07"]) == []
    assert stored_hearing(store, "c1", 2)[1].started_at.day == 7


def test_columns_of_a_score(store):
    measures = Measures(130.0, 140.5, 400, 3, 0.75, 60.0, 50.0, 7.0, 2.0, 1)
    call = make_call("c1", business="query", agent_name="李明", customer_ref="r1")
    hearing = make_hearing(agent_snr_db=21.5, clipped_share=0.01, role_confidence=0.8)
    store.commit(
        [make_scored(call=call, hearing=hearing, judgement=make_judgement(measures=measures, fatal=True))]
    )
    row = rows(store, "scores")[0]
    expected = {
        "score": 97.5,
        "grade": "A",
        "fatal": True,
        "speech_rate": 130.0,
        "articulation_rate": 140.5,
        "filler_count": 3,
        "filler_rate": 0.75,
        "agent_talk_s": 60.0,
        "customer_talk_s": 50.0,
        "silence_s": 7.0,
        "overlap_s": 2.0,
        "interruptions": 1,
        "agent_snr_db": 21.5,
        "clipped_share": 0.01,
        "asr_model": "whisper-base",
        "business": "query",
        "agent_name": "李明",
        "duration_s": 5.0,
        "rulebook_version": "2026.1",
        "notes": ["crosstalk"],
    }
    assert {name: row[name] for name in expected} == expected
    assert row["scored_at"] == NOW
    assert row["started_at"] == call.started_at
    assert len(row["receipt"]) == 64


def test_score_of_nothing_is_empty_not_zero(store):
    empty = make_judgement(score=None, measures=Measures(None, None, 0, None, None, 0.0, 0.0, 0.0, 0.0, 0))
    store.commit([make_scored(judgement=empty, hearing=make_hearing(models=(), turns=(), events=()))])
    row = rows(store, "scores")[0]
    assert (row["score"], row["speech_rate"], row["filler_count"], row["asr_model"]) == (None, None, None, "")
    assert rows(store, "turns") == []


def test_verdicts_and_events(store):
    store.commit([make_scored()])
    verdict = rows(store, "verdicts")[0]
    assert verdict["evidence"] == [{"start_s": 2.5, "end_s": 4.0, "role": "agent", "quote": "您好"}]
    assert rows(store, "verdicts")[1]["evidence"] == []
    found = {(row["source"], row["kind"], row["role"]) for row in rows(store, "events")}
    assert found == {
        ("hearing", "dead_air", None),
        ("hearing", "filler", "agent"),
        ("judging", "paraphrase", "agent"),
    }


@settings(max_examples=40, deadline=None)
@given(build.calls, build.hearings, build.judgements)
def test_what_was_stored_comes_back_equal(tmp_path_factory, call, hearing, judgement):
    store = Store.open(tmp_path_factory.mktemp("results"), write=True)
    store.commit([make_scored("other"), make_scored(call=call, hearing=hearing, judgement=judgement)])
    back, call_back = stored_hearing(Store.open(store.place), "c1")
    assert (back, call_back) == (hearing, call)
    assert call_back.started_at.utcoffset() == call.started_at.utcoffset()
    assert hearing_hash(back) == hearing_hash(hearing)
    assert {pair[1].call_id: pair for pair in stored_hearings(store)}["c1"] == (hearing, call)
    stored = [row for row in rows(store, "verdicts") if row["call_id"] == "c1"]
    assert [row["reason"] for row in stored] == [verdict.reason for verdict in judgement.verdicts]
    assert [len(row["evidence"]) for row in stored] == [
        len(verdict.evidence) for verdict in judgement.verdicts
    ]


def test_judging_what_is_stored_gives_the_same_judgement(store):
    rulebook = load_rulebook(None)
    call, hearing = make_call(ring_s=18.0, business="query", extra={"queue": "1"}), make_hearing()
    fresh = judge(hearing, call, rulebook)
    assert fresh.verdicts
    store.commit([make_scored(call=call, hearing=hearing, judgement=fresh)])
    assert judge(*stored_hearing(store, "c1"), rulebook) == fresh


def test_stored_hearing_of_a_version(store):
    store.commit([make_scored(hearing=make_hearing("1" * 64))])
    store.commit([make_scored(hearing=make_hearing("2" * 64, events=()), supersedes=1)])
    assert stored_hearing(store, "c1", 1)[0] == make_hearing("1" * 64)
    assert stored_hearing(store, "c1")[0] == make_hearing("2" * 64, events=())
    assert [hearing for hearing, _ in stored_hearings(store)] == [make_hearing("2" * 64, events=())]
    assert list(stored_hearings(store, dates=["2026-02-01"])) == []
    with pytest.raises(InputError, match="call c1 has no version 3; there are: 1, 2"):
        stored_hearing(store, "c1", 3)
    with pytest.raises(InputError, match="call c9 is not among the results"):
        stored_hearing(store, "c9")


@pytest.mark.parametrize(
    "hearing",
    [make_hearing(duration_s=float("nan")), make_hearing(settings_hash="\ud800"), make_hearing(notes=({1},))],
)
def test_what_cannot_be_stored_fails_for_its_own_call_only(hearing):
    with pytest.raises(
        InputError, match="call c1: its hearing or judgement holds a value that cannot be stored"
    ):
        make_scored(hearing=hearing)
    with pytest.raises(InputError, match="offset from UTC"):
        make_scored(scored_at=datetime(2026, 1, 1))


def test_numpy_numbers_are_stored_as_numbers(store):
    hearing = make_hearing(agent_snr_db=np.float32(20.5), duration_s=np.float64(5.0))
    store.commit([make_scored(hearing=hearing)])
    assert stored_hearing(store, "c1")[0].agent_snr_db == 20.5


def test_quarantine_goes_on_counting(store, tmp_path):
    store.commit(quarantined=[make_quarantine()])
    later = NOW + timedelta(days=1)
    previous = store.quarantined()[("q1", "/night/q1.wav.age")]
    assert (previous.attempts, previous.first_seen, previous.call_date) == (1, NOW, None)
    again = Store.open(tmp_path, write=True)
    again.commit(quarantined=[make_quarantine(at=later, attempts=2, message="still")])
    again.commit(quarantined=[make_quarantine(at=later, fingerprint="2:b")])
    row = again.quarantined()[("q1", "/night/q1.wav.age")]
    assert (row.attempts, row.first_seen, row.last_seen, row.fingerprint) == (3, NOW, later, "2:b")
    assert again.read("quarantine").num_rows == 3


def test_quarantine_keys_and_dates(store, tmp_path):
    store.commit(
        quarantined=[
            make_quarantine(None, "calls.csv:7"),
            make_quarantine("q1", "calls.csv:8"),
            make_quarantine("q1", "/night/q1.wav.age", call_date=date(2026, 1, 5)),
        ]
    )
    assert set(store.quarantined()) == {
        (None, "calls.csv:7"),
        ("q1", "calls.csv:8"),
        ("q1", "/night/q1.wav.age"),
    }
    assert sorted(path.name for path in (tmp_path / "quarantine").iterdir()) == [
        "call_date=2026-01-05",
        "call_date=__HIVE_DEFAULT_PARTITION__",
    ]
    assert store.quarantined()[("q1", "/night/q1.wav.age")].call_date == date(2026, 1, 5)


def test_a_later_score_settles_the_matter(store):
    store.commit(quarantined=[make_quarantine("c1", "/a"), make_quarantine("c2", "/b")])
    store.commit([make_scored("c1", scored_at=NOW + timedelta(hours=1))])
    assert set(store.quarantined()) == {("c2", "/b")}
    assert set(store.quarantined(include_resolved=True)) == {("c1", "/a"), ("c2", "/b")}
    # A recording that is replaced by a broken one after it was scored is a new matter.
    store.commit(quarantined=[make_quarantine("c1", "/a", at=NOW + timedelta(hours=2), fingerprint="9:z")])
    assert set(store.quarantined()) == {("c1", "/a"), ("c2", "/b")}


def test_runs(store):
    run = RunRow(
        "r1", NOW, NOW + timedelta(minutes=3), 3, 1, 1, 1, 60.0, 180.0, {"zhijian": "0.1"}, {"cpu_s": 1.5}
    )
    store.record_run(run)
    row = rows(store, "runs")[0]
    assert (row["calls_in"], row["versions"], row["details"]) == (3, '{"zhijian":"0.1"}', '{"cpu_s":1.5}')
    assert store.commit([make_scored()]).versions == {"c1": 1}


def test_damaged_file_is_named(store, tmp_path):
    store.commit([make_scored("c1")])
    store.commit([make_scored("c2")])
    victim = next(path for path in sorted((tmp_path / "turns").rglob("*.parquet")))
    whole = victim.read_bytes()
    victim.write_bytes(whole[:-20])
    with pytest.raises(ResultsError, match=victim.name):
        store.read("turns")
    assert store.read("scores").num_rows == 2


def test_flipped_bits_are_never_read_as_other_words(store, tmp_path):
    store.commit([make_scored("c1")])
    victim = next((tmp_path / "turns").rglob("*.parquet"))
    whole = victim.read_bytes()
    truth = store.read("turns")
    footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    noticed = 0
    for position in range(0, footer, 13):
        damaged = bytearray(whole)
        damaged[position] ^= 4
        victim.write_bytes(bytes(damaged))
        try:
            assert store.read("turns").equals(truth)  # a bit that nothing depends on
        except ResultsError as error:
            assert victim.name in str(error)
            noticed += 1
    assert noticed > footer / 13 / 2


def test_unknown_columns_and_tables(store):
    with pytest.raises(InputError, match="scores has no column points"):
        store.read("scores", columns=["call_id", "points"])
    with pytest.raises(InputError, match="no result table"):
        store.read("points")


def never():
    raise AssertionError("the recording was read although size and stamp are as stored")


def test_when_a_call_is_scored_again(store):
    call = make_call("c1")
    store.commit([make_scored(call=call, recording_size_bytes=10)])
    known = store.scored_fingerprints(["c1"])["c1"]
    same = {"size_bytes": 10, "stamp": "mtime:1", "hashes": never}
    assert needs_scoring(None, call, **same)
    assert not needs_scoring(known, call, **same)
    assert not needs_scoring(known, replace(call, extra={"exported": "tuesday"}), **same)
    assert needs_scoring(known, replace(call, ring_s=3.0), **same)
    touched = {"size_bytes": 10, "stamp": "mtime:2"}
    assert not needs_scoring(known, call, **touched, hashes=lambda: ("ab" * 32, ""))
    assert needs_scoring(known, call, **touched, hashes=lambda: ("ff" * 32, ""))


def test_when_quarantine_is_tried_again():
    row = make_quarantine()
    assert not should_retry(row, fingerprint="1:a", key_id="k1")
    assert should_retry(row, fingerprint="2:b", key_id="k1")
    assert should_retry(row, fingerprint="1:a", key_id="k2")
    assert should_retry(make_quarantine(kind="storage"), fingerprint="1:a", key_id="k1")
    assert should_retry(make_quarantine(kind="worker_died"), fingerprint="1:a", key_id="k1")


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.lists(
            st.tuples(st.sampled_from("abc"), st.integers(5, 6)), max_size=3, unique_by=lambda pair: pair[0]
        ),
        max_size=6,
    )
)
def test_any_history_of_commits_keeps_versions_straight(tmp_path_factory, history):
    folder = tmp_path_factory.mktemp("results")
    versions: dict[str, int] = {}
    days: dict[str, int] = {}
    stores = [Store.open(folder, write=True) for _ in range(2)]
    for turn, batch in enumerate(history):
        done = stores[turn % 2].commit(
            [make_scored(c, day=day, supersedes=versions.get(c, 0)) for c, day in batch]
        )
        versions.update(done.versions)
        days.update(batch)
        assert done.dropped == ()
    reader = Store.open(folder)
    assert {call_id: found.version for call_id, found in reader.scored_fingerprints().items()} == versions
    for table, each in (("scores", 1), ("turns", 2), ("verdicts", 2)):
        found = rows(reader, table)
        assert sorted((row["call_id"], row["version"]) for row in found) == sorted(
            list(versions.items()) * each
        )
        for day in (5, 6):
            of_day = {row["call_id"] for row in rows(reader, table, dates=[f"2026-01-{day:02}"])}
            assert of_day == {call_id for call_id in days if days[call_id] == day}
    assert list(Path(folder, "_staging").iterdir()) == []
