"""The columns that others rely on, and what each file says of itself."""

from dataclasses import fields

import pyarrow.parquet as pq
import pytest

from pipeline.disputes.archive import archive_rulebook
from pipeline.disputes.sampling import draw, store_sample
from pipeline.errors import InputError
from pipeline.records import Event, Evidence, Hearing, Measures, Turn, Verdict, Word
from pipeline.results import RunRow
from pipeline.results.schemas import EVIDENCE_TYPE, PARTITION, TABLES, WORDS_TYPE, schema_of
from pipeline.results.store import Store
from tests.unit.results_builders import NOW, make_quarantine, make_reviews, make_scored

PROMISED = {
    "scores": """call_id version scored_at direction agent_id started_at duration_s score grade fatal
        speech_rate
        articulation_rate filler_count filler_rate agent_talk_s customer_talk_s silence_s overlap_s
        interruptions agent_snr_db asr_confidence role_confidence rulebook_version rulebook_hash asr_model
        receipt""",
    "verdicts": """call_id version rule_id clause name_zh verdict due met weight points severity confidence
        reason
        evidence""",
    "turns": "call_id version turn role start_s end_s text confidence words",
    "events": "call_id version kind role start_s end_s text confidence",
    "quarantine": "call_id path stage kind message attempts first_seen last_seen",
    "runs": "run_id started_at ended_at calls_in scored quarantined skipped audio_s wall_s versions",
}


def names(kind):
    return {field.name for field in fields(kind)}


@pytest.mark.parametrize("table", PROMISED)
def test_promised_columns_exist(table):
    assert set(PROMISED[table].split()) <= set(schema_of(table).names)


@pytest.mark.parametrize("table", TABLES)
def test_no_column_twice_and_none_named_like_the_partition(table):
    columns = schema_of(table).names
    assert len(columns) == len(set(columns))
    assert PARTITION.name not in columns


def test_every_column_of_every_written_file_explains_itself(tmp_path):
    store = Store.open(tmp_path, write=True)
    store.commit([make_scored()], [make_quarantine()])
    store.commit([make_scored(day=6, supersedes=1)])  # moves the call to another date
    store.record_run(RunRow("r1", NOW, NOW, 1, 1, 0, 0, 5.0, 1.0, {"zhijian": "0"}))
    store.append({"2026-01-05": make_reviews()}, "reviews")
    archive_rulebook(store)
    store_sample(store, draw(store, seed=1))
    written = {path.parent.parent.name for path in tmp_path.rglob("*.parquet")}
    assert written == set(TABLES)
    for path in tmp_path.rglob("*.parquet"):
        for field in pq.read_schema(path):
            metadata = {key.decode(): value.decode() for key, value in field.metadata.items()}
            assert metadata["description"].strip(), (path, field.name)
            assert metadata["unit"].strip(), (path, field.name)
            assert any("\u4e00" <= character <= "\u9fff" for character in metadata["zh"]), (path, field.name)
            assert metadata["access"] in ("open", "transcript"), (path, field.name)
        compressions = {
            pq.ParquetFile(path).metadata.row_group(0).column(i).compression
            for i in range(pq.ParquetFile(path).metadata.num_columns)
        }
        assert compressions == {"ZSTD"}


def test_what_was_said_is_marked_as_such():
    said = {
        (table, column.name) for table in TABLES for column in TABLES[table] if column.access == "transcript"
    }
    assert {("turns", "text"), ("turns", "words"), ("verdicts", "evidence"), ("events", "text")} <= said
    assert not any(table == "scores" for table, _ in said)


def test_no_field_of_a_record_is_left_out():
    """A field added to a record and not stored would silently change what is judged again."""
    assert names(Turn) <= set(schema_of("turns").names)
    assert names(Event) <= set(schema_of("events").names)
    assert names(Verdict) <= set(schema_of("verdicts").names)
    assert names(Word) == {field.name for field in WORDS_TYPE.value_type}
    assert names(Evidence) == {field.name for field in EVIDENCE_TYPE.value_type}
    elsewhere = {"turns", "events"}
    not_stored = {"stage_s"}  # how long it took is not part of what was heard
    assert names(Hearing) - elsewhere - not_stored <= set(schema_of("hearings").names)
    renamed = {
        "speech_rate_per_min": "speech_rate",
        "articulation_rate_per_min": "articulation_rate",
        "filler_per_100": "filler_rate",
    }
    assert {renamed.get(name, name) for name in names(Measures)} <= set(schema_of("scores").names)


def test_unknown_table_lists_the_known_ones():
    with pytest.raises(InputError, match="no result table 'score'; expected one of: scores, verdicts, turns"):
        schema_of("score")
