"""The plan of a night: every unit gets exactly one fate, and the count comes from the input."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.callrecords import CallTable, RowProblem, record_hash
from pipeline.errors import CallRecordError, RecordingError
from pipeline.night.plan import plan_night, recording_mark
from pipeline.records import CallRecord
from pipeline.results.entries import Fingerprint, QuarantineRow
from pipeline.vault.recordings import RecordingList, RecordingProblem, RecordingRef

NOW = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)


def call(call_id: str, **more) -> CallRecord:
    return CallRecord(call_id, "inbound", datetime(2026, 3, 1, 9, 0, tzinfo=UTC), **more)


def ref(call_id: str, size: int = 100, stamp: str = "mtime:1") -> RecordingRef:
    return RecordingRef(call_id, f"/rec/{call_id}.wav.age", size, stamp)


def scored(of: CallRecord, size: int = 100, stamp: str = "mtime:1", version: int = 1) -> Fingerprint:
    return Fingerprint(version, "same", size, stamp, record_hash(of))


def held(of: RecordingRef, kind: str = "wrong_key", key_id: str = "k1") -> QuarantineRow:
    return QuarantineRow(
        of.call_id, of.uri, "decrypt", kind, "…", NOW, NOW, fingerprint=recording_mark(of), key_id=key_id
    )


def plan(
    records=(), refs=(), *, problems=(), faults=(), done=None, rows=(), key_id="k1", sha="same", retry=False
):
    quarantined = {row.key: row for row in rows}
    return plan_night(
        CallTable(tuple(records), tuple(problems), len(records) + len(problems)),
        RecordingList(tuple(refs), tuple(faults)),
        calls_path="/in/calls.csv",
        recordings_path="/rec",
        scored=done or {},
        quarantined=quarantined,
        seen=quarantined,
        key_id=key_id,
        hashes=lambda _ref: (sha, ""),
        now=NOW,
        run_id="r1",
        retry_quarantined=retry,
    )


def balance(p) -> bool:
    return p.calls_in == len(p.tasks) + p.skipped + p.refused_units + p.waiting


def test_a_new_call_is_heard():
    p = plan([call("a")], [ref("a")])
    assert [t.call.call_id for t in p.tasks] == ["a"]
    assert p.tasks[0].supersedes == 0
    assert balance(p)


def test_a_scored_call_is_skipped_and_a_changed_record_is_heard_again():
    known = {"a": scored(call("a"), version=3)}
    assert plan([call("a")], [ref("a")], done=known).skipped == 1
    again = plan([call("a", ring_s=4.0)], [ref("a")], done=known)
    assert again.tasks[0].supersedes == 3


def test_a_touched_but_equal_recording_is_skipped_a_changed_one_is_not():
    known = {"a": scored(call("a"))}
    assert plan([call("a")], [ref("a", stamp="mtime:2")], done=known, sha="same").skipped == 1
    assert len(plan([call("a")], [ref("a", stamp="mtime:2")], done=known, sha="other").tasks) == 1


def test_a_scored_call_whose_recording_went_away_is_not_lost():
    p = plan([call("a")], done={"a": scored(call("a"))})
    assert (p.skipped, p.refused) == (1, ())


def test_a_row_without_recording_and_a_recording_without_row_are_both_named():
    p = plan([call("a")], [ref("b")])
    assert {(r.call_id, r.kind) for r in p.refused} == {
        ("a", "recording_missing"),
        ("b", "call_record_missing"),
    }
    assert p.calls_in == 2
    assert balance(p)


def test_a_bad_row_is_one_unit_and_its_recording_is_not_counted_twice():
    bad = RowProblem(3, "b", CallRecordError("calls.csv:3: direction 'sideways'"))
    p = plan([call("a")], [ref("a"), ref("b")], problems=[bad])
    assert p.calls_in == 2
    assert [r.path for r in p.refused] == ["calls.csv:3"]
    assert balance(p)


def test_several_recordings_of_one_call_are_one_unit_with_a_row_each():
    faults = [
        RecordingProblem("a", f"/rec/a.{x}.age", RecordingError("two files"), "s") for x in ("wav", "mp3")
    ]
    p = plan([call("a")], faults=faults)
    assert (p.calls_in, p.refused_units, len(p.refused)) == (1, 1, 2)


def test_quarantine_waits_until_file_or_key_changes():
    r = ref("a")
    assert plan([call("a")], [r], rows=[held(r)]).waiting == 1
    assert len(plan([call("a")], [r], rows=[held(r)], key_id="k2").tasks) == 1
    assert len(plan([call("a")], [ref("a", size=7)], rows=[held(r)]).tasks) == 1
    assert len(plan([call("a")], [r], rows=[held(r, kind="worker_died")]).tasks) == 1
    assert len(plan([call("a")], [r], rows=[held(r)], retry=True).tasks) == 1


def test_what_was_refused_is_not_written_again():
    first = plan([call("a")], [ref("b")])
    second = plan([call("a")], [ref("b")], rows=first.refused)
    assert (second.refused, second.waiting, second.calls_in) == ((), 2, 2)


ids = st.lists(st.sampled_from("abcdefgh"), unique=True)


@given(rows=ids, files=ids, done=ids, bad=ids, faulty=ids)
def test_every_unit_has_exactly_one_fate(rows, files, done, bad, faulty):
    bad = [c for c in bad if c not in rows]
    files = [c for c in files if c not in faulty]
    p = plan(
        [call(c) for c in rows],
        [ref(c) for c in files],
        problems=[RowProblem(i + 2, c, CallRecordError(f"row {c}")) for i, c in enumerate(bad)],
        faults=[RecordingProblem(c, f"/rec/{c}.wav", RecordingError("plain"), "s") for c in faulty],
        done={c: scored(call(c)) for c in done},
    )
    assert p.calls_in == len(rows) + len(bad) + len((set(files) | set(faulty)) - set(rows) - set(bad))
    assert balance(p)
    assert {t.call.call_id for t in p.tasks} == (set(rows) & set(files)) - set(done)


def rewrapped(known, **values):
    """Plan a night over a call whose file changed, its payload not."""
    found = plan_night(
        CallTable((call("a"),), (), 1),
        RecordingList((ref("a", stamp="mtime:2"),), ()),
        calls_path="/in/calls.csv", recordings_path="/rec", scored={"a": known}, quarantined={}, seen={},
        key_id="k1", hashes=lambda _ref: ("other", "payload"), now=NOW,
        run_id="r1", **values,
    )  # fmt: skip
    assert balance(found)
    return found


def test_a_recording_with_other_recipients_is_not_heard_again():
    known = scored(call("a"))
    assert rewrapped(replace(known, recording_payload_sha256="payload")).skipped == 1
    assert len(rewrapped(replace(known, recording_payload_sha256="another")).tasks) == 1
    assert len(rewrapped(known).tasks) == 1, "a result of an earlier release knows the whole file alone"


@pytest.mark.parametrize("retry", [False, True])
def test_a_version_that_a_person_asked_for_stays_in_force(retry):
    asked = []

    def scored_by(ids):
        asked.extend(ids)
        return {"a": "li.lei"}

    found = rewrapped(scored(call("a"), version=3), scored_by=scored_by, retry_quarantined=retry)
    if retry:
        assert [task.supersedes for task in found.tasks] == [3], "asked for"
        return
    (row,) = found.refused
    assert (found.tasks, row.kind, asked) == ((), "changed_after_rescore", ["a"])
    assert "li.lei had version 3 made" in row.message
    assert "its recording changed" in row.message
