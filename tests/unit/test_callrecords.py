"""Call detail records: every row becomes a record or a problem."""

import json
import pickle
from dataclasses import fields
from datetime import UTC, date, datetime, timedelta, timezone

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.callrecords import (
    KNOWN_COLUMNS,
    as_json,
    call_id_problem,
    from_json,
    read_call_records,
    record_hash,
)
from pipeline.errors import CallRecordError, DuplicateCallError
from pipeline.records import CallRecord

CHINA = timezone(timedelta(hours=8))
START = "2026-01-05T09:30:00+08:00"
FULL = {
    "call_id": "c1",
    "direction": "inbound",
    "started_at": START,
    "ring_s": "4.5",
    "agent_id": "1027",
    "agent_name": "李明",
    "company": "平安保险",
    "agent_channel": "1",
    "business": "query",
    "hangup_by": "customer",
    "agent_hangup_delay_s": "1",
    "transferred_to": "理赔",
    "tag": "紧急",
    "escalated_after_min": "8",
    "disposition": "有效",
    "disposition_after_min": "3",
    "do_not_call_since": "2025-12-01",
    "sms_followup": "true",
    "harassment_complaint_after_min": "50",
    "customer_ref": "r-77",
    "skill_group": "华东",
}
RECORD = CallRecord(
    call_id="c1",
    direction="inbound",
    started_at=datetime(2026, 1, 5, 9, 30, tzinfo=CHINA),
    ring_s=4.5,
    agent_id="1027",
    agent_name="李明",
    company="平安保险",
    agent_channel=1,
    business="query",
    hangup_by="customer",
    agent_hangup_delay_s=1.0,
    transferred_to="理赔",
    tag="紧急",
    escalated_after_min=8.0,
    disposition="有效",
    disposition_after_min=3.0,
    do_not_call_since=date(2025, 12, 1),
    sms_followup=True,
    harassment_complaint_after_min=50.0,
    customer_ref="r-77",
    extra={"skill_group": "华东"},
)


@pytest.fixture
def read(tmp_path):
    def _read(content, name="calls.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        table = read_call_records(path)
        assert table.rows == len(table.records) + len(table.problems)
        return table

    return _read


def rows(*lines, header="call_id,direction,started_at,ring_s"):
    return "\n".join([header, *lines]) + "\n"


def the_problem(table):
    (problem,) = table.problems
    return problem.line, problem.call_id, str(problem.error).split(": ", 1)[1]


def test_every_column_of_the_record_is_covered_here():
    assert (
        set(KNOWN_COLUMNS)
        == {field.name for field in fields(CallRecord)} - {"extra"}
        == set(FULL) - {"skill_group"}
    )


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_csv(read, bom, end):
    text = end.join([",".join(FULL), ",".join(FULL.values())])
    assert read(bom + text.encode()).records == (RECORD,)


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_json_lines(read, bom):
    native = FULL | {"ring_s": 4.5, "agent_channel": 1, "agent_id": 1027, "sms_followup": True}
    text = json.dumps(FULL) + "\n\n" + json.dumps(native | {"call_id": 2}, ensure_ascii=False)
    table = read(bom + text.encode(), "calls.jsonl")
    assert table.records[0] == RECORD
    assert table.records[1].call_id == "2"
    assert table.records[1].agent_id == "1027"


def test_parquet_of_text_and_of_native_types(read, tmp_path):
    pq.write_table(
        pa.table(
            {name: [value, None] if name != "call_id" else ["c1", None] for name, value in FULL.items()}
        ),
        tmp_path / "a.parquet",
    )
    table = read((tmp_path / "a.parquet").read_bytes(), "b.parquet")
    assert table.records == (RECORD,)
    assert table.problems[0].line == 2
    native = {
        **{name: [value] for name, value in FULL.items()},
        "started_at": pa.array(
            [datetime(2026, 1, 5, 1, 30, tzinfo=UTC)], pa.timestamp("ns", "Asia/Shanghai")
        ),
        "ring_s": [4.5],
        "agent_channel": [1.0],
        "agent_id": [1027.0],
        "do_not_call_since": [date(2025, 12, 1)],
        "sms_followup": [True],
        "escalated_after_min": pa.array([8], pa.int8()),
    }
    pq.write_table(pa.table(native), tmp_path / "c.parquet")
    assert read((tmp_path / "c.parquet").read_bytes(), "d.parquet").records == (RECORD,)


def test_empty_means_unknown(read):
    table = read(rows(f" c1 , inbound ,{START}, "))
    assert table.records == (CallRecord("c1", "inbound", datetime(2026, 1, 5, 9, 30, tzinfo=CHINA)),)


@pytest.mark.parametrize(
    ("line", "call_id", "message"),
    [
        (f",inbound,{START},", None, "call_id is missing"),
        (f"  ,inbound,{START},", None, "call_id is missing"),
        (f"../x,inbound,{START},", None, "path separator"),
        (f"a\\b,inbound,{START},", None, "path separator"),
        (f".x,inbound,{START},", None, "starts with a dot"),
        (f"a\x00b,inbound,{START},", None, "control or invisible"),
        (f"a\u202eb,inbound,{START},", None, "control or invisible"),
        (f"{'a' * 129},inbound,{START},", None, "more than 128"),
        (f"c1,sideways,{START},", "c1", "found 'sideways', expected one of: inbound, outbound"),
        (f"c1,,{START},", "c1", "direction is missing"),
        ("c1,inbound,,", "c1", "started_at is missing"),
        ("c1,inbound,yesterday,", "c1", "expected ISO 8601"),
        ("c1,inbound,2026-01-05T09:30:00,", "c1", "has no offset"),
        ("c1,inbound,2026-02-30T09:30:00+08:00,", "c1", "expected ISO 8601"),
        ("c1,inbound,0001-01-01T00:00:00+08:00,", "c1", "year 1"),
        (f"c1,inbound,{START},-1", "c1", "'-1', expected a finite number"),
        (f"c1,inbound,{START},nan", "c1", "finite"),
        (f"c1,inbound,{START},inf", "c1", "finite"),
        (f"c1,inbound,{START},soon", "c1", "expected a number"),
        (f"c1,inbound,{START},1,2", None, "expected 4 columns, found 5"),
        ("c1,inbound", None, "expected 4 columns, found 2"),
        (f'"c1"x,inbound,{START},', None, "no valid CSV row"),
    ],
)
def test_bad_rows_cost_one_row(read, line, call_id, message):
    table = read(rows(f"c0,inbound,{START},1", line, f"c9,outbound,{START},2"))
    assert [record.call_id for record in table.records] == ["c0", "c9"]
    found = the_problem(table)
    assert found[:2] == (3, call_id)
    assert message in found[2]
    assert "\n" not in found[2]


def test_all_faults_of_a_row_are_told_at_once(read):
    text = the_problem(read(rows("c1,up,noon,-3")))[2]
    assert "direction" in text
    assert "started_at" in text
    assert "ring_s" in text


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("agent_channel", "2", "expected 0, 1 or empty"),
        ("agent_channel", "0.5", "expected 0, 1 or empty"),
        ("hangup_by", "ghost", "expected one of: agent, customer, system"),
        ("do_not_call_since", "sometime", "expected a date"),
        ("sms_followup", "maybe", "expected true or false"),
        ("escalated_after_min", "1e999", "finite"),
    ],
)
def test_other_columns_are_checked(read, column, value, message):
    header = f"call_id,direction,started_at,{column}"
    assert message in the_problem(read(rows(f"c1,inbound,{START},{value}", header=header)))[2]


@pytest.mark.parametrize(
    ("value", "expected"),
    [("TRUE", True), ("1", True), ("是", True), ("no", False), ("0", False), ("否", False), ("", None)],
)
def test_yes_and_no(read, value, expected):
    header = "call_id,direction,started_at,sms_followup"
    assert read(rows(f"c1,inbound,{START},{value}", header=header)).records[0].sms_followup is expected


def test_messages_hide_long_numbers_and_customer_refs(read):
    header = "call_id,direction,started_at,ring_s,customer_ref"
    text = the_problem(read(rows(f"c1,inbound,{START},13812345678x,r-secret", header=header)))[2]
    assert "13812345678" not in text
    assert "r-secret" not in text


def test_a_quote_never_closed_costs_its_own_line_only(read):
    table = read(rows(f'c1,inbound,"{START},1', f"c2,inbound,{START},1", f'c3,inbound,{START},"2"'))
    assert [record.call_id for record in table.records] == ["c2", "c3"]
    assert the_problem(table)[0] == 2


def test_two_stray_quotes_do_not_swallow_what_lies_between(read):
    table = read(
        rows(
            f'"c1,inbound,{START},1',
            f"c2,inbound,{START},1",
            f'c3",inbound,{START},1',
            f"c4,inbound,{START},1",
        )
    )
    assert [record.call_id for record in table.records] == ["c2", "c4"]
    assert [problem.line for problem in table.problems] == [2, 4]


def test_quoted_fields_may_span_lines_and_numbers_stay_physical(read):
    header = "call_id,direction,started_at,note"
    table = read(rows(f'c1,inbound,{START},"one\ntwo, three"', "", f"c2,bad,{START},", header=header))
    assert table.records[0].extra == {"note": "one\ntwo, three"}
    assert table.problems[0].line == 5


def test_identical_rows(read):
    row = f"c1,inbound,{START},1"
    table = read(rows(row, f"c2,inbound,{START},", row, row))
    assert [record.call_id for record in table.records] == ["c1", "c2"]
    assert [(problem.line, problem.call_id) for problem in table.problems] == [(4, "c1"), (5, "c1")]
    assert all(isinstance(problem.error, DuplicateCallError) for problem in table.problems)
    assert "repeats line 2 exactly" in str(table.problems[0].error)


def test_conflicting_rows_are_all_problems(read):
    table = read(rows(f"c1,inbound,{START},1", f"c2,inbound,{START},", f"c1,inbound,{START},2"))
    assert [record.call_id for record in table.records] == ["c2"]
    assert [(problem.line, type(problem.error)) for problem in table.problems] == [
        (2, DuplicateCallError),
        (4, DuplicateCallError),
    ]
    assert "stands also in line 4" in str(table.problems[0].error)


def test_a_malformed_twin_makes_the_good_row_doubtful(read):
    table = read(rows(f"c1,inbound,{START},1", f"c1,inbound,{START},-2"))
    assert table.records == ()
    assert len(table.problems) == 2


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        ("", "calls.csv", "the file is empty|found none"),
        ("\n\n", "calls.csv", "found none"),
        ("call_id,direction\nc1,inbound\n", "calls.csv", "required columns are missing: started_at"),
        ("call_id;direction;started_at\n", "calls.csv", "missing: call_id, direction, started_at"),
        ("call_id,call_id,direction,started_at\n", "calls.csv", "stand there twice: call_id"),
        ("call_id,direction,started_at\nc1,入,x\n".encode("gbk"), "calls.csv", r"calls\.csv:2: .*GBK.*iconv"),
        ("call_id,direction,started_at\n".encode("utf-16"), "calls.csv", "UTF-16"),
        (b"call_id,\xff\xff\xff\n", "calls.csv", "some other encoding"),
        (b"PAR1 and not much more", "calls.parquet", "no whole Parquet file"),
        (b"", "calls.parquet", "no whole Parquet file"),
    ],
)
def test_files_that_cannot_be_used(read, content, name, message):
    with pytest.raises(CallRecordError, match=message) as caught:
        read(content, name)
    assert "\n" not in str(caught.value)


def test_parquet_cut_anywhere(read, tmp_path):
    pq.write_table(pa.table({name: [value] * 50 for name, value in FULL.items()}), tmp_path / "whole.parquet")
    whole = (tmp_path / "whole.parquet").read_bytes()
    for length in range(0, len(whole), 997):
        with pytest.raises(CallRecordError):
            read(whole[:length], "cut.parquet")


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(CallRecordError, match="no such file"):
        read_call_records(tmp_path / "none.csv")
    with pytest.raises(CallRecordError, match="is a folder"):
        read_call_records(tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "no valid JSON"),
        ("[1]", "expected a JSON object, found list"),
        ('{"call_id": null}', "call_id is missing"),
        ('{"call_id": ["c1"]}', "expected text, found list"),
        ('{"call_id": true}', "expected text"),
        ('{"call_id": 1.5}', "expected text, found the number"),
        (
            json.dumps({"call_id": "c1", "direction": "inbound", "started_at": START, "ring_s": True}),
            "ring_s: expected a number",
        ),
        (f'{{"call_id": "c1", "direction": "inbound", "started_at": "{START}", "ring_s": NaN}}', "finite"),
        ('{"a":' * 100_000, "no valid JSON"),
    ],
)
def test_bad_json_rows(read, line, message):
    table = read(
        json.dumps({"call_id": "c0", "direction": "inbound", "started_at": START}) + "\n" + line,
        "calls.jsonl",
    )
    assert [record.call_id for record in table.records] == ["c0"]
    assert message in the_problem(table)[2]
    assert table.problems[0].line == 2


def test_nested_values_of_unknown_columns_are_kept_as_text(read):
    row = {"call_id": "c1", "direction": "inbound", "started_at": START, "queue": {"n": [1, 2]}, "none": None}
    assert read(json.dumps(row), "calls.jsonl").records[0].extra == {"queue": '{"n": [1, 2]}'}


def test_behind_a_uri():
    import fsspec

    fsspec.filesystem("memory").pipe("/cdr-test/calls.csv", rows(f"c1,inbound,{START},1").encode())
    assert read_call_records("memory://cdr-test/calls.csv").rows == 1


def test_record_hash_sees_known_columns_only(read):
    header = "call_id,direction,started_at,ring_s,exported"
    one, two, three = (
        read(rows(f"c1,inbound,{START},{ring},{exported}", header=header)).records[0]
        for ring, exported in [("1", "mon"), ("1.0", "tue"), ("2", "mon")]
    )
    assert record_hash(one) == record_hash(two) != record_hash(three)


def test_records_travel_between_processes(read):
    record = read(rows(f"c1,inbound,{START},1")).records[0]
    assert pickle.loads(pickle.dumps(record)) == record


texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
numbers = st.floats(0, 1e9, allow_nan=False)
call_records = st.builds(
    CallRecord,
    call_id=texts,
    direction=st.sampled_from(["inbound", "outbound"]),
    started_at=st.datetimes(
        datetime(2000, 1, 2),
        datetime(2099, 12, 30),
        timezones=st.integers(-840, 840).map(lambda minutes: timezone(timedelta(minutes=minutes))),
    ),
    ring_s=st.none() | numbers,
    agent_name=st.none() | texts,
    agent_channel=st.sampled_from([None, 0, 1]),
    do_not_call_since=st.none() | st.dates(),
    sms_followup=st.none() | st.booleans(),
    extra=st.dictionaries(texts, texts, max_size=3),
)


@given(call_records)
def test_json_round_trip(record):
    back = from_json(as_json(record))
    assert back == record
    assert back.started_at.utcoffset() == record.started_at.utcoffset()
    assert record_hash(back) == record_hash(record)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("fuzz")
    header = b"call_id,direction,started_at\n"
    for name, content in [
        ("a.csv", data),
        ("b.csv", header + data),
        ("c.jsonl", data),
        ("d.parquet", b"PAR1" + data),
    ]:
        (folder / name).write_bytes(content)
        try:
            table = read_call_records(folder / name)
        except CallRecordError as error:
            assert "\n" not in str(error)
        else:
            assert table.rows == len(table.records) + len(table.problems)


csv_noise = st.text(st.sampled_from('c1,"\n\r inbound' + START), max_size=200)


@settings(max_examples=300, deadline=None)
@given(csv_noise, csv_noise)
def test_good_rows_on_their_own_lines_survive_any_unquoted_noise(tmp_path_factory, before, after):
    path = tmp_path_factory.mktemp("noise") / "calls.csv"
    good = f"good,outbound,{START}"
    before = before.replace('"', "")
    path.write_text(
        f"call_id,direction,started_at\n{before}\n{good}\n{after}\n", encoding="utf-8", newline=""
    )
    assert "good" in [record.call_id for record in read_call_records(path).records]


@given(st.text(max_size=140))
def test_usable_call_ids_are_safe_file_names(call_id):
    if call_id_problem(call_id) is None:
        assert call_id == call_id.strip()
        assert 0 < len(call_id) <= 128
        assert not set(call_id) & set("/\\\0\n\r")
        assert call_id not in (".", "..")
