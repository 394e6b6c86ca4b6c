"""Foreign transcripts: every call is read whole or named as a problem."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import InputError
from pipeline.night.transcripts import read_transcripts

GOOD = [
    {
        "call_id": "a",
        "role": "customer",
        "start_s": 3.0,
        "end_s": 4.0,
        "text": "我想查保单",
        "confidence": 0.5,
    },
    {"call_id": "a", "role": "agent", "start_s": 0.0, "end_s": 2.0, "text": "您好", "confidence": 1.0},
]


def write(folder: Path, rows) -> str:
    path = folder / "turns.jsonl"
    path.write_text("\n".join(json.dumps(r, ensure_ascii=False) for r in rows), encoding="utf-8")
    return str(path)


def test_turns_come_sorted_and_marked_as_transcript(tmp_path):
    listing, hearings = read_transcripts(write(tmp_path, GOOD))
    hearing = hearings["a"]
    assert [t.role for t in hearing.turns] == ["agent", "customer"]
    assert (hearing.layout, hearing.roles_from, hearing.duration_s) == ("transcript", "transcript", 4.0)
    assert hearing.asr_confidence == pytest.approx((2 * 1.0 + 5 * 0.5) / 7)
    assert [r.call_id for r in listing.refs] == ["a"]


def test_parquet_with_words_reads_like_json_lines(tmp_path):
    words = [{"text": "您好", "start_s": 0.1, "end_s": 0.6, "confidence": 0.9}]
    rows = [{**GOOD[1], "words": words}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    _, from_parquet = read_transcripts(str(tmp_path / "t.parquet"))
    _, from_json = read_transcripts(write(tmp_path, rows))
    assert from_parquet["a"].turns == from_json["a"].turns
    assert from_parquet["a"].turns[0].words[0].confidence == 0.9


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"role": "spk_0"}, "role 'spk_0' is unknown"),
        ({"start_s": 5.0}, "before start_s"),
        ({"start_s": None}, "start_s is missing"),
        ({"end_s": float("inf")}, "end_s is inf"),
        ({"confidence": 2}, "confidence is 2"),
        ({"text": 5}, "text is a int"),
        ({"words": [3]}, "a word is no object"),
    ],
)
def test_one_bad_row_makes_its_call_a_problem_and_no_other(tmp_path, change, said):
    other = {**GOOD[1], "call_id": "b"}
    listing, hearings = read_transcripts(write(tmp_path, [GOOD[0], {**GOOD[1], **change}, other]))
    assert list(hearings) == ["b"]
    assert [p.call_id for p in listing.problems] == ["a"]
    assert said in str(listing.problems[0].error)


def test_rows_without_call_id_and_unreadable_lines_are_problems_too(tmp_path):
    path = tmp_path / "turns.jsonl"
    path.write_text(
        json.dumps(GOOD[1]) + "\n{not json\n" + json.dumps({**GOOD[1], "call_id": ""}), encoding="utf-8"
    )
    listing, hearings = read_transcripts(str(path))
    assert list(hearings) == ["a"]
    assert [p.call_id for p in listing.problems] == [None, None]


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_transcripts(str(tmp_path / "none.jsonl"))


def test_changed_words_change_the_hash(tmp_path):
    (first,) = read_transcripts(write(tmp_path, GOOD))[0].refs
    (second,) = read_transcripts(write(tmp_path, [GOOD[0], {**GOOD[1], "text": "你好"}]))[0].refs
    assert first.stamp != second.stamp
