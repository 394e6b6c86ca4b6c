"""Records into Arrow tables: one function a dataset.

Table of contents: `scores`, `verdicts`, `turns`, `events`, `hearings`, `moves`, `quarantine`, `runs`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa

from pipeline.callrecords import as_json, record_hash
from pipeline.errors import InputError
from pipeline.privacy import mask
from pipeline.records import Event, Hearing
from pipeline.results.entries import QuarantineRow, RunRow, ScoredCall
from pipeline.results.receipts import receipt
from pipeline.results.schemas import EVIDENCE_TYPE, PHRASES_TYPE, WORDS_TYPE, schema_of

Numbered = Sequence[tuple[ScoredCall, int]]
"""Calls to be stored, each with the version it gets."""


def scores(calls: Numbered) -> pa.Table:
    """One row a call."""
    return pa.Table.from_pylist(
        [_score_row(entry, version) for entry, version in calls], schema=schema_of("scores")
    )


def _score_row(entry: ScoredCall, version: int) -> dict[str, Any]:
    call, hearing, judgement = entry.call, entry.hearing, entry.judgement
    measures = judgement.measures
    return {
        "call_id": call.call_id,
        "version": version,
        "scored_at": entry.scored_at,
        "direction": call.direction,
        "agent_id": call.agent_id,
        "agent_name": call.agent_name,
        "company": call.company,
        "business": call.business,
        "customer_ref": call.customer_ref,
        "started_at": call.started_at,
        "duration_s": hearing.duration_s,
        "score": judgement.score,
        "grade": judgement.grade,
        "fatal": judgement.fatal,
        "speech_rate": measures.speech_rate_per_min,
        "articulation_rate": measures.articulation_rate_per_min,
        "agent_chars": measures.agent_chars,
        "filler_count": measures.filler_count,
        "filler_rate": measures.filler_per_100,
        "agent_talk_s": measures.agent_talk_s,
        "customer_talk_s": measures.customer_talk_s,
        "silence_s": measures.silence_s,
        "overlap_s": measures.overlap_s,
        "interruptions": measures.interruptions,
        "agent_snr_db": hearing.agent_snr_db,
        "customer_snr_db": hearing.customer_snr_db,
        "clipped_share": hearing.clipped_share,
        "asr_confidence": hearing.asr_confidence,
        "role_confidence": hearing.role_confidence,
        "layout": hearing.layout,
        "roles_from": hearing.roles_from,
        "notes": list(hearing.notes),
        "rulebook_version": judgement.rulebook_version,
        "rulebook_hash": judgement.rulebook_hash,
        "asr_model": asr_model(hearing),
        "run_id": entry.run_id,
        "scored_by": entry.scored_by,
        # an open column: whatever a person typed, no number in it is readable without a key
        "reason": None if entry.reason is None else mask(entry.reason).text,
        "receipt": receipt(entry.receipt_inputs),
        "receipt_inputs": entry.receipt_inputs,
    }


def asr_model(hearing: Hearing) -> str:
    """Name of the model that recognised the words; empty for transcripts made elsewhere."""
    return next((model.name for model in hearing.models if model.task == "asr"), "")


def verdicts(calls: Numbered) -> pa.Table:
    """One row a call and rule."""
    rows = [
        (entry.call.call_id, version, verdict)
        for entry, version in calls
        for verdict in entry.judgement.verdicts
    ]
    columns = _key_columns(rows)
    for name in (
        "rule_id",
        "clause",
        "name_zh",
        "verdict",
        "due",
        "met",
        "weight",
        "points",
        "severity",
        "confidence",
        "reason",
    ):
        columns[name] = [getattr(verdict, name) for _, _, verdict in rows]
    columns["evidence"] = _lists([verdict.evidence for _, _, verdict in rows], EVIDENCE_TYPE)
    return _table("verdicts", columns)


def turns(calls: Numbered) -> pa.Table:
    """One row a turn, in the order of the hearing."""
    rows = [
        (entry.call.call_id, version, (index, turn))
        for entry, version in calls
        for index, turn in enumerate(entry.hearing.turns)
    ]
    columns = _key_columns(rows)
    columns["turn"] = [index for _, _, (index, _) in rows]
    for name in (
        "role",
        "start_s",
        "end_s",
        "text",
        "spoken",
        "raw",
        "confidence",
        "loudness_db",
        "pitch_hz",
    ):
        columns[name] = [getattr(turn, name) for _, _, (_, turn) in rows]
    columns["words"] = _lists([turn.words for _, _, (_, turn) in rows], WORDS_TYPE)
    return _table("turns", columns)


def events(calls: Numbered) -> pa.Table:
    """One row an event, those heard and those found while judging."""
    rows: list[tuple[str, int, tuple[int, str, Event]]] = []
    for entry, version in calls:
        for source, found in (("hearing", entry.hearing.events), ("judging", entry.judgement.events)):
            rows += [
                (entry.call.call_id, version, (index, source, event)) for index, event in enumerate(found)
            ]
    columns = _key_columns(rows)
    columns["event"] = [index for _, _, (index, _, _) in rows]
    columns["source"] = [source for _, _, (_, source, _) in rows]
    for name in ("kind", "role", "start_s", "end_s", "text", "confidence"):
        columns[name] = [getattr(event, name) for _, _, (_, _, event) in rows]
    return _table("events", columns)


def hearings(calls: Numbered) -> pa.Table:
    """One row a call: with ``turns`` and ``events``, all that judging it again needs."""
    columns: dict[str, list[Any]] = {
        "call_id": [entry.call.call_id for entry, _ in calls],
        "version": [version for _, version in calls],
        "recording_uri": [entry.recording_uri for entry, _ in calls],
        "recording_size_bytes": [entry.recording_size_bytes for entry, _ in calls],
        "recording_stamp": [entry.recording_stamp for entry, _ in calls],
        "call_record_sha256": [record_hash(entry.call) for entry, _ in calls],
        "call_record": [as_json(entry.call) for entry, _ in calls],
        "notes": [list(entry.hearing.notes) for entry, _ in calls],
        "models": [
            _json([dataclasses.asdict(model) for model in entry.hearing.models]) for entry, _ in calls
        ],
    }
    columns["phrases"] = _lists([entry.hearing.phrases for entry, _ in calls], PHRASES_TYPE)
    for name in (
        "recording_sha256",
        "recording_payload_sha256",
        "duration_s",
        "layout",
        "agent_snr_db",
        "customer_snr_db",
        "clipped_share",
        "asr_confidence",
        "role_confidence",
        "roles_from",
        "settings_hash",
    ):
        columns[name] = [getattr(entry.hearing, name) for entry, _ in calls]
    return _table("hearings", columns)


def moves(rows: Sequence[tuple[str, int]]) -> pa.Table:
    """One row a call that left a partition: its id, and the version that lies elsewhere."""
    return _table("moves", {"call_id": [row[0] for row in rows], "version": [row[1] for row in rows]})


def quarantine(rows: Sequence[QuarantineRow]) -> pa.Table:
    """One row a failure."""
    names = schema_of("quarantine").names
    columns = {name: [getattr(row, name) for row in rows] for name in names}
    for name in ("first_seen", "last_seen"):
        columns[name] = [_moment(moment, name) for moment in columns[name]]
    return _table("quarantine", columns)


def runs(rows: Sequence[RunRow]) -> pa.Table:
    """One row a run."""
    names = schema_of("runs").names
    columns: dict[str, list[Any]] = {name: [getattr(row, name) for row in rows] for name in names}
    for name in ("started_at", "ended_at"):
        columns[name] = [_moment(moment, name) for moment in columns[name]]
    for name in ("versions", "details"):
        columns[name] = [_json(dict(mapping)) for mapping in columns[name]]
    return _table("runs", columns)


BY_CALL: Mapping[str, Callable[[Numbered], pa.Table]] = {
    "turns": turns,
    "events": events,
    "verdicts": verdicts,
    "hearings": hearings,
    "scores": scores,
}
"""Datasets keyed by call. Scores come last: a call counts as stored once its score is in place."""


def _table(name: str, columns: Mapping[str, Any]) -> pa.Table:
    schema = schema_of(name)
    return pa.Table.from_arrays(
        [
            column if isinstance(column := columns[field.name], pa.Array) else pa.array(column, field.type)
            for field in schema
        ],
        schema=schema,
    )


def _key_columns(rows: Sequence[tuple[str, int, Any]]) -> dict[str, Any]:
    return {"call_id": [call_id for call_id, _, _ in rows], "version": [version for _, version, _ in rows]}


def _lists(lists: Sequence[Sequence[Any]], kind: pa.ListType) -> pa.ListArray:
    """Turn lists of records into list<struct>, built column by column (a dict for each word is 5x slower)."""
    offsets = [0]
    for items in lists:
        offsets.append(offsets[-1] + len(items))
    struct = kind.value_type
    arrays = [
        pa.array([getattr(item, field.name) for items in lists for item in items], field.type)
        for field in struct
    ]
    values = pa.StructArray.from_arrays(arrays, fields=list(struct))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values, type=kind)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _moment(moment: datetime, name: str) -> datetime:
    if moment.utcoffset() is None:
        raise InputError(f"{name} is {moment.isoformat()}, expected a time with an offset from UTC")
    return moment
