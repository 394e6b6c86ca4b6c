"""Stored scores derived again; changed rows and other audio are named."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.disputes import recheck
from pipeline.disputes.archive import archive_rulebook
from pipeline.disputes.recheck import check_scores, check_version, compare_audio
from pipeline.disputes.versions import load_version
from pipeline.records import ModelId
from pipeline.results.store import Store
from tests.disputes.dispute_builders import make_call, make_hearing, make_store, scored


@pytest.fixture
def store(tmp_path):
    found = make_store(tmp_path / "r", [scored(), scored(make_call("c2"))])
    archive_rulebook(found)
    found.commit([scored(supersedes=1, scored_by="qa", reason="申诉")])
    return found


def tampered(store, table, column, change):
    """The store with one column of one dataset changed in its files."""
    for path in (tmp for tmp in __import__("pathlib").Path(store.place, table).rglob("*.parquet")):
        content = pq.read_table(path, partitioning=None)
        place = content.schema.get_field_index(column)
        values = pa.array([change(v) for v in content[column].to_pylist()], content.schema.field(column).type)
        pq.write_table(
            content.set_column(place, content.schema.field(column), values), path, write_page_checksum=True
        )
    return Store.open(store.place)


def test_every_version_of_every_call_is_derived_again(store):
    found = check_scores(store)
    assert found.problem is None
    assert (found.versions, found.derived) == (3, 3)
    assert check_scores(store, call_ids=["c2"]).versions == 1


CHANGES = {
    ("scores", "score"): (lambda v: 100.0, "score or verdicts"),
    ("scores", "receipt"): (lambda v: "0" * 64, "not the hash of its inputs"),
    ("scores", "receipt_inputs"): (lambda v: v.replace("whisper", "whisker"), "not the hash of its inputs"),
    ("scores", "filler_count"): (lambda v: 0, "score or verdicts"),
    ("verdicts", "verdict"): (lambda v: "pass", "score or verdicts"),
    ("verdicts", "reason"): (lambda v: v + "。", "score or verdicts"),
    ("turns", "text"): (lambda v: v.replace("您", "你"), "what was heard"),
    ("turns", "start_s"): (lambda v: v + 0.001, "what was heard"),
    ("hearings", "recording_sha256"): (lambda v: "00" * 32, "the recording's hash"),
    ("hearings", "call_record"): (lambda v: v.replace("3025", "3026"), "the call record"),
}


@pytest.mark.parametrize(("table", "column"), CHANGES)
def test_any_changed_row_is_named(store, table, column):
    change, message = CHANGES[table, column]
    problem = check_scores(tampered(store, table, column, change)).problem
    assert problem is not None
    assert problem.startswith("call c")
    assert message in problem


def test_a_damaged_file_is_a_problem_not_a_crash(store, tmp_path):
    path = next((tmp_path / "r" / "turns").rglob("*.parquet"))
    path.write_bytes(path.read_bytes()[:-40])
    assert "turns" in check_scores(Store.open(store.place)).problem


def test_other_code_is_counted_and_what_it_decides_otherwise_is_named(store, monkeypatch):
    monkeypatch.setattr(recheck, "code_version", lambda: "9.9+other")
    found = check_scores(store)
    assert (found.derived, found.by_other_code, found.problem) == (0, 3, None)

    real = recheck.judge

    def stricter(hearing, call, rulebook):
        judged = real(hearing, call, rulebook)
        first = replace(judged.verdicts[0], verdict="uncertain")
        return replace(judged, verdicts=(first, *judged.verdicts[1:]))

    monkeypatch.setattr(recheck, "judge", stricter)
    found = check_scores(store)
    assert (found.diverging_count, found.problem) == (3, None)
    assert "version 1: rule inbound." in found.diverging[0]


def test_a_reason_worded_otherwise_by_other_code_is_no_other_decision(store, monkeypatch):
    real = recheck.judge

    def reworded(hearing, call, rulebook):
        judged = real(hearing, call, rulebook)
        return replace(judged, verdicts=tuple(replace(v, reason=v.reason + "。") for v in judged.verdicts))

    monkeypatch.setattr(recheck, "judge", reworded)
    assert "differs" in check_scores(store).problem  # the same code does not change its mind
    monkeypatch.setattr(recheck, "code_version", lambda: "9.9+other")
    found = check_scores(store)
    assert (found.by_other_code, found.diverging_count, found.problem) == (3, 0, None)


def test_the_same_code_that_decides_otherwise_is_a_problem(store, monkeypatch):
    monkeypatch.setattr(recheck, "judge", lambda *_: replace(scored().judgement, score=1.0))
    assert "by the same code and rules, the score differs" in check_scores(store).problem


def test_without_its_rulebook_only_the_hashes_are_checked(store):
    version = replace(load_version(store, "c1"), rulebook=None)
    assert check_version(version) == ("no rulebook", None)


def test_audio_heard_again(store):
    stored = load_version(store, "c1")
    assert compare_audio(stored, stored.hearing).identical
    close = replace(
        stored.hearing, turns=tuple(replace(t, end_s=t.end_s + 0.05) for t in stored.hearing.turns)
    )
    found = compare_audio(stored, close)
    assert (found.identical, found.problem) == (False, None)
    late = replace(stored.hearing, turns=tuple(replace(t, end_s=t.end_s + 0.5) for t in stored.hearing.turns))
    assert "turn 0 lies more than 0.2 s elsewhere" in compare_audio(stored, late).problem
    fewer = replace(stored.hearing, turns=stored.hearing.turns[:4])
    assert "verdicts flip" in compare_audio(stored, fewer).problem
    model = replace(stored.hearing, models=(ModelId("other", "asr", "00"),))
    assert "other weights" in compare_audio(stored, model).problem
    assert "another one" in compare_audio(stored, replace(stored.hearing, recording_sha256="00")).problem


def test_the_stored_record_survives_the_way_through_the_tables(store):
    stored = load_version(store, "c1", 1)
    assert stored.hearing == make_hearing()
    assert stored.call == make_call()
    assert stored.judgement == scored().judgement


def test_reviews_are_as_they_were_entered_and_complete(store, tmp_path):
    from pathlib import Path

    from pipeline.disputes.recheck import check_reviews
    from pipeline.disputes.reviews import confirm, overturn

    confirm(store, "c1", "language.courtesy", person="qa1")
    overturn(store, "c1", "inbound.answered_in_time", "pass", person="qa1", comment="已核实")
    log = Path(store.place) / "_audit"
    assert check_reviews(store, [log]) == (2, 2, None)
    changed = tampered(store, "reviews", "comment", lambda text: text + "。")
    assert "was changed after it was entered" in check_reviews(changed, [log])[2]
    for path in (tmp_path / "r" / "reviews").rglob("*.parquet"):
        path.unlink()
        break
    tampered(store, "reviews", "comment", lambda text: text.removesuffix("。"))
    assert "not in reviews/" in check_reviews(Store.open(store.place), [log])[2]
