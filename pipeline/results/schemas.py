"""The columns of every result dataset: type, unit, meaning in English and Chinese.

Conventions
-----------
Each column's description, unit and Chinese label stand in the Parquet file's own schema metadata
(``description``, ``unit``, ``zh``), so a file explains itself wherever it ends up. ``access`` says who
may read a column: ``open``, or ``transcript`` for what was said in the call.

The partition column ``call_date`` (the call's local date; for ``runs`` the date on which the run
began) is part of the path, not of the file.

Table of contents: `TABLES`, `schema_of`, `PARTITION`, `with_partition`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipeline.errors import InputError

SCHEMA_VERSION = "1"
PARTITION = pa.field(
    "call_date",
    pa.date32(),
    metadata={
        "description": "Local date on which the call began",
        "unit": "date",
        "zh": "通话日期",
        "access": "open",
    },
)

_TEXT, _FLOAT, _BOOL = pa.string(), pa.float64(), pa.bool_()
_INT, _LONG = pa.int32(), pa.int64()
# China has had no daylight saving time since 1991, and a plain offset needs no time zone database.
_TIME = pa.timestamp("us", tz="+08:00")
WORDS_TYPE = pa.list_(
    pa.struct([("text", _TEXT), ("start_s", _FLOAT), ("end_s", _FLOAT), ("confidence", _FLOAT)]),
)
PHRASES_TYPE = pa.list_(
    pa.struct(
        [
            ("phrase", _TEXT),
            ("role", _TEXT),
            ("start_s", _FLOAT),
            ("end_s", _FLOAT),
            ("spelling", _TEXT),
            ("c_rel", _FLOAT),
            ("logprob", _FLOAT),
            ("alike", _FLOAT),
        ]
    ),
)
EVIDENCE_TYPE = pa.list_(
    pa.struct([("start_s", _FLOAT), ("end_s", _FLOAT), ("role", _TEXT), ("quote", _TEXT)]),
)


@dataclass(frozen=True, slots=True)
class Column:
    """One column: name, Arrow type, unit, English description, Chinese label, who may read it."""

    name: str
    type: Any
    unit: str
    description: str
    zh: str
    access: str = "open"


_S, _SHARE, _TEXT_UNIT, _ID, _WHEN, _COUNT = "s", "1 (0 to 1)", "text", "identifier", "timestamp", "count"
_SHA = "sha256, hexadecimal"

_KEY = (
    Column("call_id", _TEXT, _ID, "Call id from the call detail record", "通话编号"),
    Column(
        "version", _INT, _COUNT, "Version of the call's score, from 1; the highest is in force", "评分版本"
    ),
)
_SPAN = (
    Column("start_s", _FLOAT, _S, "Start, from the start of the recording", "开始时间"),
    Column("end_s", _FLOAT, _S, "End, from the start of the recording", "结束时间"),
)

_SCORES = (
    *_KEY,
    Column("scored_at", _TIME, _WHEN, "When this version was scored", "评分时间"),
    Column("direction", _TEXT, "inbound | outbound", "Who called", "呼叫方向"),
    Column("agent_id", _TEXT, _ID, "Agent's number", "工号"),
    Column("agent_name", _TEXT, _TEXT_UNIT, "Agent's name", "坐席"),
    Column("company", _TEXT, _TEXT_UNIT, "Insurer's name as it must be said", "公司"),
    Column("business", _TEXT, _TEXT_UNIT, "Kind of business", "业务类型"),
    Column("customer_ref", _TEXT, _ID, "Opaque customer reference", "客户标识"),
    Column("started_at", _TIME, _WHEN, "When it began to ring", "振铃时间"),
    Column("duration_s", _FLOAT, _S, "Length of the recording", "录音时长"),
    Column(
        "score", _FLOAT, "points (0 to 100)", "Score over the rules that apply; empty if none does", "得分"
    ),
    Column("grade", _TEXT, _TEXT_UNIT, "Grade by the rulebook", "等级"),
    Column("fatal", _BOOL, "true | false", "Whether a fatal rule failed", "一票否决"),
    Column(
        "speech_rate", _FLOAT, "characters/min", "Agent's speech rate, pauses within turns included", "语速"
    ),
    Column("articulation_rate", _FLOAT, "characters/min", "Agent's speech rate without pauses", "发音速率"),
    Column("agent_chars", _INT, _COUNT, "Characters the agent spoke, digits as read aloud", "坐席字数"),
    Column("filler_count", _INT, _COUNT, "Agent's fillers; empty if no audio was heard", "口头禅次数"),
    Column("filler_rate", _FLOAT, "per 100 characters", "Agent's fillers per 100 characters", "口头禅频率"),
    Column("agent_talk_s", _FLOAT, _S, "Time in which the agent speaks", "坐席说话时长"),
    Column("customer_talk_s", _FLOAT, _S, "Time in which the customer speaks", "客户说话时长"),
    Column("silence_s", _FLOAT, _S, "Time in which nobody speaks", "静默时长"),
    Column("overlap_s", _FLOAT, _S, "Time in which both speak", "叠音时长"),
    Column("interruptions", _INT, _COUNT, "Times the agent cut into the customer's speech", "抢话次数"),
    Column(
        "agent_snr_db", _FLOAT, "dB", "Agent's speech level over the level between speech", "坐席侧信噪比"
    ),
    Column(
        "customer_snr_db",
        _FLOAT,
        "dB",
        "Customer's speech level over the level between speech",
        "客户侧信噪比",
    ),
    Column("clipped_share", _FLOAT, _SHARE, "Share of samples at full scale", "削波比例"),
    Column("asr_confidence", _FLOAT, _SHARE, "How sure the recogniser is of the words", "识别置信度"),
    Column("role_confidence", _FLOAT, _SHARE, "How sure it is who is the agent", "角色置信度"),
    Column("layout", _TEXT, "stereo | mono | transcript", "What was heard", "声道"),
    Column(
        "roles_from", _TEXT, "call_record | content | transcript", "What decided who is the agent", "角色依据"
    ),
    Column(
        "notes",
        pa.list_(_TEXT),
        "list of codes",
        "What to know of the recording, such as third_voice",
        "提示",
    ),
    Column("rulebook_version", _TEXT, _TEXT_UNIT, "Version of the rulebook", "规则版本"),
    Column("rulebook_hash", _TEXT, _SHA, "Hash of the rulebook", "规则哈希"),
    Column("asr_model", _TEXT, _TEXT_UNIT, "Recogniser's model", "识别模型"),
    Column("run_id", _TEXT, _ID, "Run that wrote this version", "批次编号"),
    Column("scored_by", _TEXT, _TEXT_UNIT, "Who asked for this version; empty for the nightly job", "复评人"),
    Column("reason", _TEXT, _TEXT_UNIT, "Why this version was asked for", "复评原因"),
    Column("receipt", _TEXT, _SHA, "Hash of everything the score was derived from", "评分凭证"),
    Column("receipt_inputs", _TEXT, "JSON", "What the receipt is the hash of", "凭证内容"),
)

_VERDICTS = (
    *_KEY,
    Column("rule_id", _TEXT, _ID, "Rule", "规则编号"),
    Column("clause", _TEXT, _ID, "Clause of the service standard", "条款"),
    Column("name_zh", _TEXT, _TEXT_UNIT, "Rule's Chinese name", "规则名称"),
    Column("verdict", _TEXT, "pass | fail | not_applicable | uncertain", "Decision", "判定"),
    Column("due", _INT, _COUNT, "Opportunities that arose", "应做次数"),
    Column("met", _INT, _COUNT, "Opportunities that were taken", "已做次数"),
    Column("weight", _FLOAT, "points", "Points possible", "权重"),
    Column("points", _FLOAT, "points", "Points earned", "得分"),
    Column("severity", _TEXT, "fatal | major | minor", "Severity of a failure", "严重程度"),
    Column("confidence", _FLOAT, _SHARE, "How sure the verdict is", "置信度"),
    Column("reason", _TEXT, _TEXT_UNIT, "Reason, in Chinese, for people", "理由", "transcript"),
    Column(
        "evidence",
        EVIDENCE_TYPE,
        "list of spans, s",
        "Where to listen, who speaks there, what is said",
        "证据",
        "transcript",
    ),
)

_TURNS = (
    *_KEY,
    Column("turn", _INT, "index, from 0", "Position of the turn in the call", "话轮序号"),
    Column("role", _TEXT, "agent | customer", "Who speaks", "角色"),
    *_SPAN,
    Column("text", _TEXT, _TEXT_UNIT, "What is said, simplified, digits as recognised", "文本", "transcript"),
    Column(
        "spoken",
        _TEXT,
        _TEXT_UNIT,
        "The same, digits as read aloud; empty means derived",
        "口语形式",
        "transcript",
    ),
    Column("raw", _TEXT, _TEXT_UNIT, "Recogniser's own output; empty if unchanged", "识别原文", "transcript"),
    Column("confidence", _FLOAT, _SHARE, "Mean probability of the words", "置信度"),
    Column("words", WORDS_TYPE, "list of words, s", "Words with their times", "词", "transcript"),
    Column("loudness_db", _FLOAT, "dBFS", "Active speech level", "响度"),
    Column("pitch_hz", _FLOAT, "Hz", "Median fundamental frequency", "基频"),
)

_EVENTS = (
    *_KEY,
    Column("event", _INT, "index, from 0", "Position among the events of its source", "事件序号"),
    Column("source", _TEXT, "hearing | judging", "Heard in the audio, or found while judging", "来源"),
    Column("kind", _TEXT, _TEXT_UNIT, "Kind of event, such as filler or dead_air", "事件类型"),
    Column("role", _TEXT, "agent | customer", "Who does it; empty if nobody", "角色"),
    *_SPAN,
    Column("text", _TEXT, _TEXT_UNIT, "What is said", "文本", "transcript"),
    Column("confidence", _FLOAT, _SHARE, "How sure it is", "置信度"),
)

_HEARINGS = (
    *_KEY,
    Column(
        "recording_sha256", _TEXT, _SHA, "Hash of the encrypted recording; empty for transcripts", "录音哈希"
    ),
    Column(
        "recording_payload_sha256",
        _TEXT,
        _SHA,
        "Hash of the encrypted recording without its header, the same after `zhijian keys rewrap`; empty if "
        "not known",
        "录音密文正文哈希",
    ),
    Column("recording_uri", _TEXT, "path or URI", "Where the recording lay", "录音位置"),
    Column("recording_size_bytes", _LONG, "bytes", "Size of the encrypted recording", "录音大小"),
    Column("recording_stamp", _TEXT, _TEXT_UNIT, "Storage's own mark of the file's state", "录音状态标记"),
    Column(
        "call_record_sha256", _TEXT, _SHA, "Hash of the call detail record's known columns", "随录参数哈希"
    ),
    Column("call_record", _TEXT, "JSON", "Call detail record as it was judged", "随录参数", "transcript"),
    Column("duration_s", _FLOAT, _S, "Length of the recording", "录音时长"),
    Column("layout", _TEXT, "stereo | mono | transcript", "What was heard", "声道"),
    Column(
        "agent_snr_db", _FLOAT, "dB", "Agent's speech level over the level between speech", "坐席侧信噪比"
    ),
    Column(
        "customer_snr_db",
        _FLOAT,
        "dB",
        "Customer's speech level over the level between speech",
        "客户侧信噪比",
    ),
    Column("clipped_share", _FLOAT, _SHARE, "Share of samples at full scale", "削波比例"),
    Column("asr_confidence", _FLOAT, _SHARE, "How sure the recogniser is of the words", "识别置信度"),
    Column("role_confidence", _FLOAT, _SHARE, "How sure it is who is the agent", "角色置信度"),
    Column(
        "roles_from", _TEXT, "call_record | content | transcript", "What decided who is the agent", "角色依据"
    ),
    Column(
        "notes",
        pa.list_(_TEXT),
        "list of codes",
        "What to know of the recording, such as third_voice",
        "提示",
    ),
    Column("models", _TEXT, "JSON", "Models that heard the call: name, task, sha256", "模型"),
    Column("settings_hash", _TEXT, _SHA, "Hash of the hearing settings", "听辨设置哈希"),
    Column(
        "phrases",
        PHRASES_TYPE,
        "list of spans, s and nat",
        "What the audio itself says to doubtful phrases",
        "声学复核",
        "transcript",
    ),
)

_MOVES = (
    Column("call_id", _TEXT, _ID, "Call whose date was corrected and that left this partition", "通话编号"),
    Column("version", _INT, _COUNT, "Version that lies in another partition", "评分版本"),
)

_QUARANTINE = (
    Column("call_id", _TEXT, _ID, "Call id, if it is known", "通话编号"),
    Column("path", _TEXT, "path or URI", "Recording, or call records file and line", "文件"),
    Column("stage", _TEXT, _TEXT_UNIT, "Where it failed", "阶段"),
    Column("kind", _TEXT, _ID, "Kind of error", "错误类型"),
    Column("message", _TEXT, _TEXT_UNIT, "What was found, what was expected, what to do", "说明"),
    Column("attempts", _INT, _COUNT, "How often it was tried", "尝试次数"),
    Column("first_seen", _TIME, _WHEN, "First failure", "首次出现"),
    Column("last_seen", _TIME, _WHEN, "Latest failure", "最近出现"),
    Column(
        "fingerprint",
        _TEXT,
        _TEXT_UNIT,
        "State of the file or row that failed; tried again when it changes",
        "文件状态",
    ),
    Column("key_id", _TEXT, _ID, "Identity that was tried; tried again when it changes", "密钥标识"),
    Column("run_id", _TEXT, _ID, "Run that wrote this row", "批次编号"),
)

_REVIEWS = (
    Column(
        "review_id",
        _TEXT,
        _ID,
        "Review entry; made from its content, so that it cannot stand twice",
        "记录编号",
    ),
    Column("call_id", _TEXT, _ID, "Call id from the call detail record", "通话编号"),
    Column("version", _INT, _COUNT, "Version of the score that was looked at", "评分版本"),
    Column("rule_id", _TEXT, _ID, "Rule", "规则编号"),
    Column("kind", _TEXT, "confirm | overturn | appeal | ruling", "What was done", "类型"),
    Column(
        "verdict",
        _TEXT,
        "pass | fail | not_applicable | uncertain",
        "The person's decision, for an appeal the one that is asked for",
        "人工判定",
    ),
    Column(
        "machine_verdict",
        _TEXT,
        "pass | fail | not_applicable | uncertain",
        "What that version said",
        "机器判定",
    ),
    Column("person", _TEXT, _ID, "Who", "人员"),
    Column("person_role", _TEXT, "reviewer | agent | arbiter", "As what", "身份"),
    Column("comment", _TEXT, _TEXT_UNIT, "Why", "说明", "transcript"),
    Column("reviewed_at", _TIME, _WHEN, "When", "时间"),
    Column("sample_id", _TEXT, _ID, "Sample the call was drawn in; empty outside of samples", "抽样编号"),
    Column("source", _TEXT, "excel | python | cli", "How it was entered", "来源"),
)

_SAMPLES = (
    Column("sample_id", _TEXT, _ID, "Sample", "抽样编号"),
    Column("drawn_at", _TIME, _WHEN, "When it was drawn", "抽样时间"),
    Column("seed", _LONG, _COUNT, "Seed of the draw", "随机种子"),
    *_KEY,
    Column("rule_id", _TEXT, _ID, "Rule to be reviewed", "规则编号"),
    Column(
        "stratum", _TEXT, "pass | fail | not_applicable | uncertain", "Machine's verdict", "层（机器判定）"
    ),
    Column("population", _LONG, _COUNT, "Units of this rule and verdict when it was drawn", "层内总数"),
    Column("drawn", _LONG, _COUNT, "How many of them were drawn", "层内抽取数"),
)

_RULEBOOKS = (
    Column("rulebook_hash", _TEXT, _SHA, "Hash of the rulebook", "规则哈希"),
    Column("rulebook_version", _TEXT, _TEXT_UNIT, "Version of the rulebook", "规则版本"),
    Column("file", _TEXT, "path", "File of the rulebook; empty in a row that only dates it", "文件"),
    Column("content", pa.binary(), "bytes", "The file's bytes", "内容"),
    Column("files_sha256", _TEXT, _SHA, "Hash over names and bytes of all its files", "文件哈希"),
    Column(
        "in_force_from",
        pa.date32(),
        "date",
        "Day of the first night that judged by it; empty in rows of files",
        "生效日",
    ),
)

_RUNS = (
    Column("run_id", _TEXT, _ID, "Run", "批次编号"),
    Column("started_at", _TIME, _WHEN, "Start", "开始时间"),
    Column("ended_at", _TIME, _WHEN, "End", "结束时间"),
    Column("calls_in", _LONG, _COUNT, "Calls the run was asked for", "输入通话数"),
    Column("scored", _LONG, _COUNT, "Calls scored", "已评分"),
    Column("quarantined", _LONG, _COUNT, "Calls that could not be scored", "已隔离"),
    Column("skipped", _LONG, _COUNT, "Calls that were finished before", "已跳过"),
    Column("audio_s", _FLOAT, _S, "Audio heard", "录音总时长"),
    Column("wall_s", _FLOAT, _S, "Time the run took", "耗时"),
    Column("versions", _TEXT, "JSON", "Versions of code, rulebook, models and libraries", "版本"),
    Column("details", _TEXT, "JSON", "Further figures of the run", "明细"),
)

TABLES: dict[str, tuple[Column, ...]] = {
    "scores": _SCORES,
    "verdicts": _VERDICTS,
    "turns": _TURNS,
    "events": _EVENTS,
    "hearings": _HEARINGS,
    "moves": _MOVES,
    "quarantine": _QUARANTINE,
    "runs": _RUNS,
    "reviews": _REVIEWS,
    "rulebooks": _RULEBOOKS,
    "samples": _SAMPLES,
}
BY_CALL: tuple[str, ...] = ("scores", "verdicts", "turns", "events", "hearings")


PUBLIC: tuple[str, ...] = tuple(name for name in TABLES if name not in ("moves", "rulebooks", "samples"))


def check_table(name: str) -> str:
    """Return the name if there is such a dataset.

    Raises
    ------
    InputError
        Listing the datasets there are.
    """
    if name not in TABLES:
        raise InputError(f"no result table {name!r}; expected one of: {', '.join(PUBLIC)}")
    return name


def schema_of(table: str) -> pa.Schema:
    """Build the Arrow schema of a dataset as it stands in its files (without the partition column).

    Examples
    --------
    >>> schema_of("scores").field("speech_rate").metadata[b"unit"].decode()
    'characters/min'
    """
    fields = [
        pa.field(
            column.name,
            column.type,
            metadata={
                "description": column.description,
                "unit": column.unit,
                "zh": column.zh,
                "access": column.access,
            },
        )
        for column in TABLES[check_table(table)]
    ]
    return pa.schema(fields, metadata={"zhijian.table": table, "zhijian.schema": SCHEMA_VERSION})


def with_partition(schema: pa.Schema) -> pa.Schema:
    """Add the partition column, as readers of the whole dataset see it."""
    return schema.append(PARTITION)
