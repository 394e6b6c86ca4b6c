"""Builders and strategies of hearings and judgements for the tests of `pipeline.results`."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import strategies as st

from pipeline.records import (
    CallRecord,
    Event,
    Evidence,
    Hearing,
    Judgement,
    Measures,
    ModelId,
    PhraseEvidence,
    Turn,
    Verdict,
    Word,
)
from pipeline.results import QuarantineRow, ScoredCall

CHINA = timezone(timedelta(hours=8))
NOW = datetime(2026, 1, 6, 2, 0, tzinfo=UTC)


def make_call(call_id="c1", *, day=5, **values):
    started_at = values.pop("started_at", datetime(2026, 1, day, 9, 30, tzinfo=CHINA))
    return CallRecord(
        call_id, values.pop("direction", "inbound"), started_at, **{"agent_id": "1027", **values}
    )


def make_hearing(sha256="ab" * 32, **values):
    turns = (
        Turn(
            "customer",
            0.5,
            2.0,
            "查一下保单",
            words=(Word("查一下", 0.5, 1.0, 0.9), Word("保单", 1.1, 2.0, 0.8)),
        ),
        Turn(
            "agent",
            2.5,
            4.0,
            "您好",
            spoken="您好",
            raw="您 好",
            confidence=0.7,
            loudness_db=-20.5,
            pitch_hz=180.0,
        ),
    )
    events = (Event("dead_air", 2.0, 2.5), Event("filler", 2.6, 2.8, "agent", "嗯", 0.6))
    defaults = {
        "duration_s": 5.0,
        "layout": "stereo",
        "turns": turns,
        "events": events,
        "models": (ModelId("whisper-base", "asr", "cd" * 32),),
        "notes": ("crosstalk",),
        "phrases": (PhraseEvidence("hello", "agent", 2.5, 3.1, "您好", -0.25, -1.5, 0.875),),
    }
    return Hearing(sha256, **{**defaults, **values})


def make_judgement(**values):
    verdicts = (
        Verdict(
            "language.greeting",
            "二(一)1",
            "问候",
            "pass",
            1,
            1,
            5.0,
            5.0,
            "major",
            0.9,
            "已问候",
            (Evidence(2.5, 4.0, "agent", "您好"),),
        ),
        Verdict(
            "inbound.empathy", "二(一)3", "共情", "not_applicable", 0, 0, 0.0, 0.0, "minor", 1.0, "客户未激动"
        ),
    )
    measures = Measures(130.0, None, 2, None, None, 1.5, 1.5, 0.5, 0.0, 0)
    defaults = {
        "verdicts": verdicts,
        "events": (Event("paraphrase", 2.5, 4.0, "agent", "您好"),),
        "measures": measures,
        "score": 97.5,
        "grade": "A",
        "fatal": False,
        "rulebook_version": "2026.1",
        "rulebook_hash": "ef" * 32,
    }
    return Judgement(**{**defaults, **values})


def make_scored(call_id="c1", *, day=5, hearing=None, judgement=None, **values):
    call = values.pop("call", None) or make_call(call_id, day=day)
    defaults = {
        "recording_uri": f"/night/{call.call_id}.wav.age",
        "scored_at": NOW,
        "recording_stamp": "mtime:1",
    }
    return ScoredCall(
        call, hearing or make_hearing(), judgement or make_judgement(), **{**defaults, **values}
    )


def make_quarantine(call_id="q1", path="/night/q1.wav.age", *, at=NOW, **values):
    defaults = {
        "stage": "decrypt",
        "kind": "wrong_key",
        "message": "no",
        "fingerprint": "1:a",
        "key_id": "k1",
    }
    return QuarantineRow(call_id, path, first_seen=at, last_seen=at, **{**defaults, **values})


def make_reviews(call_id="c1"):
    """One row of ``reviews`` as an Arrow table."""
    import pyarrow as pa

    from pipeline.results.schemas import schema_of

    row = {
        "review_id": "r1",
        "call_id": call_id,
        "version": 1,
        "rule_id": "language.greeting",
        "kind": "confirm",
        "verdict": "pass",
        "machine_verdict": "pass",
        "person": "qa1",
        "person_role": "reviewer",
        "comment": "",
        "reviewed_at": NOW,
        "sample_id": None,
        "source": "python",
    }
    return pa.Table.from_pylist([row], schema=schema_of("reviews"))


texts = st.text(st.characters(codec="utf-8"), max_size=12)
floats = st.floats(allow_nan=False, allow_infinity=False, width=64)
seconds = st.floats(0, 1e5, allow_nan=False)
shares = st.floats(0, 1)
roles = st.sampled_from(["agent", "customer"])
words = st.builds(Word, texts, seconds, seconds, shares)
turns = st.builds(
    Turn,
    role=roles,
    start_s=seconds,
    end_s=seconds,
    text=texts,
    spoken=texts,
    raw=texts,
    confidence=shares,
    words=st.lists(words, max_size=4).map(tuple),
    loudness_db=st.none() | floats,
    pitch_hz=st.none() | floats,
)
events = st.builds(Event, texts, seconds, seconds, st.none() | roles, texts, shares)
hearings = st.builds(
    Hearing,
    recording_sha256=texts,
    duration_s=seconds,
    layout=st.sampled_from(["stereo", "mono", "transcript"]),
    turns=st.lists(turns, max_size=5).map(tuple),
    events=st.lists(events, max_size=4).map(tuple),
    agent_snr_db=st.none() | floats,
    customer_snr_db=st.none() | floats,
    clipped_share=shares,
    asr_confidence=shares,
    role_confidence=shares,
    roles_from=st.sampled_from(["call_record", "content", "transcript"]),
    models=st.lists(st.builds(ModelId, texts, texts, texts), max_size=3).map(tuple),
    settings_hash=texts,
    notes=st.lists(texts, max_size=2).map(tuple),
)
calls = st.builds(
    CallRecord,
    call_id=st.just("c1"),
    direction=st.sampled_from(["inbound", "outbound"]),
    started_at=st.datetimes(
        datetime(2000, 1, 2),
        datetime(2099, 12, 30),
        timezones=st.sampled_from([UTC, CHINA, timezone(timedelta(minutes=-90))]),
    ),
    ring_s=st.none() | seconds,
    agent_name=st.none() | texts,
    do_not_call_since=st.none() | st.dates(),
    sms_followup=st.none() | st.booleans(),
    extra=st.dictionaries(texts, texts, max_size=2),
)
evidence = st.builds(Evidence, seconds, seconds, st.none() | roles, texts)
verdicts = st.builds(
    Verdict,
    rule_id=texts,
    clause=texts,
    name_zh=texts,
    verdict=st.sampled_from(["pass", "fail", "not_applicable", "uncertain"]),
    due=st.integers(0, 99),
    met=st.integers(0, 99),
    weight=seconds,
    points=seconds,
    severity=st.sampled_from(["fatal", "major", "minor"]),
    confidence=shares,
    reason=texts,
    evidence=st.lists(evidence, max_size=3).map(tuple),
)
measures = st.builds(
    Measures,
    st.none() | seconds,
    st.none() | seconds,
    st.integers(0, 9999),
    st.none() | st.integers(0, 99),
    st.none() | seconds,
    seconds,
    seconds,
    seconds,
    seconds,
    st.integers(0, 99),
)
judgements = st.builds(
    Judgement,
    verdicts=st.lists(verdicts, max_size=4).map(tuple),
    events=st.lists(events, max_size=3).map(tuple),
    measures=measures,
    score=st.none() | st.floats(0, 100),
    grade=texts,
    fatal=st.booleans(),
    rulebook_version=texts,
    rulebook_hash=texts,
)
