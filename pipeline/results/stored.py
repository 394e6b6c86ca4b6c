"""Stored tables back into records, so that any call can be judged again without its audio.

Table of contents: `stored_hearing`, `stored_hearings`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.callrecords import from_json
from pipeline.errors import InputError
from pipeline.records import CallRecord, Event, Hearing, ModelId, Turn, Word
from pipeline.results.store import Store

if TYPE_CHECKING:
    import pyarrow as pa

_HEARING_COLUMNS = (
    "recording_sha256",
    "duration_s",
    "layout",
    "agent_snr_db",
    "customer_snr_db",
    "clipped_share",
    "asr_confidence",
    "role_confidence",
    "roles_from",
    "settings_hash",
)
_TURN_COLUMNS = ("role", "start_s", "end_s", "text", "spoken", "raw", "confidence", "loudness_db", "pitch_hz")
_WORD_COLUMNS = ("text", "start_s", "end_s", "confidence")
_EVENT_COLUMNS = ("kind", "start_s", "end_s", "role", "text", "confidence")


def stored_hearing(store: Store, call_id: str, version: int | None = None) -> tuple[Hearing, CallRecord]:
    """Give back what was heard in a call, and its call detail record, as they were judged.

    Parameters
    ----------
    store : Store
    call_id : str
    version : int, optional
        The highest by default.

    Returns
    -------
    hearing : Hearing
        Equal to the one that was stored (``stage_s`` aside, which is not part of a hearing's value).
    call : CallRecord

    Raises
    ------
    InputError
        If there is no such call or version.
    """
    table = store.read("hearings", call_ids=[call_id], latest=False)
    rows = sorted(table.to_pylist(), key=lambda row: int(row["version"]))
    if not rows:
        raise InputError(f"{store.place}: call {call_id} is not among the results")
    if version is None:
        version = rows[-1]["version"]
    row = next((row for row in rows if row["version"] == version), None)
    if row is None:
        there = ", ".join(str(row["version"]) for row in rows)
        raise InputError(f"{store.place}: call {call_id} has no version {version}; there are: {there}")
    day = row["call_date"]
    dates = [None if day is None else day.isoformat()]
    turns = _turns_by_call(store.read("turns", dates=dates, call_ids=[call_id], latest=False))
    events = _events_by_call(store.read("events", dates=dates, call_ids=[call_id], latest=False))
    key = (call_id, row["version"])
    return _hearing(row, turns.get(key, ()), events.get(key, ())), from_json(row["call_record"])


def stored_hearings(
    store: Store, *, dates: Collection[str | None] | None = None
) -> Iterator[tuple[Hearing, CallRecord]]:
    """Yield the latest version of every stored call, one partition in memory at a time.

    Parameters
    ----------
    store : Store
    dates : collection of str, optional
        Only these partitions.
    """
    for day in store.dates():
        if dates is not None and day not in dates:
            continue
        turns = _turns_by_call(store.read("turns", dates=[day]))
        events = _events_by_call(store.read("events", dates=[day]))
        for row in store.read("hearings", dates=[day]).to_pylist():
            key = (row["call_id"], row["version"])
            yield _hearing(row, turns.get(key, ()), events.get(key, ())), from_json(row["call_record"])


def _turns_by_call(table: pa.Table) -> dict[tuple[str, int], list[tuple[int, Turn]]]:
    # Column by column: a dict for each word would make this five times slower.
    import pyarrow.compute as pc

    words = table["words"].combine_chunks()
    fields = [words.flatten().field(name).to_pylist() for name in _WORD_COLUMNS]
    flat = [Word(*values) for values in zip(*fields, strict=True)]
    lengths = pc.list_value_length(words).to_pylist()
    groups: dict[tuple[str, int], list[tuple[int, Turn]]] = {}
    columns = [table[name].to_pylist() for name in ("call_id", "version", "turn", *_TURN_COLUMNS)]
    position = 0
    for length, call_id, version, index, *values in zip(lengths, *columns, strict=True):
        turn = Turn(
            **dict(zip(_TURN_COLUMNS, values, strict=True)), words=tuple(flat[position : position + length])
        )
        position += length
        groups.setdefault((call_id, version), []).append((index, turn))
    return groups


def _events_by_call(table: pa.Table) -> dict[tuple[str, int], list[tuple[int, Event]]]:
    import pyarrow.compute as pc

    heard = table.filter(pc.equal(table["source"], "hearing"))
    groups: dict[tuple[str, int], list[tuple[int, Event]]] = {}
    columns = [heard[name].to_pylist() for name in ("call_id", "version", "event", *_EVENT_COLUMNS)]
    for call_id, version, index, *values in zip(*columns, strict=True):
        event = Event(**dict(zip(_EVENT_COLUMNS, values, strict=True)))
        groups.setdefault((call_id, version), []).append((index, event))
    return groups


def _hearing(
    row: Mapping[str, Any], turns: Sequence[tuple[int, Turn]], events: Sequence[tuple[int, Event]]
) -> Hearing:
    return Hearing(
        **{name: row[name] for name in _HEARING_COLUMNS},
        models=tuple(ModelId(**model) for model in json.loads(row["models"])),
        turns=tuple(turn for _, turn in sorted(turns, key=_index)),
        events=tuple(event for _, event in sorted(events, key=_index)),
    )


def _index(pair: tuple[int, Any]) -> int:
    return pair[0]
