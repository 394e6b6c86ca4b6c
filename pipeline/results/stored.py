"""Stored tables back into records, so that any call can be judged again without its audio.

Table of contents: `stored_hearing`, `stored_hearings`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING, Any, cast, overload

from pipeline.callrecords import from_json
from pipeline.errors import InputError
from pipeline.records import CallRecord, Event, Hearing, ModelId, PhraseEvidence, Turn, Word
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
    turns = _ByCall(store.read("turns", dates=dates, call_ids=[call_id], latest=False))
    events = _ByCall(store.read("events", dates=dates, call_ids=[call_id], latest=False))
    return _plain(_hearing(row, turns, events)), from_json(row["call_record"])


def stored_hearings(
    store: Store,
    *,
    dates: Collection[str | None] | None = None,
    share: tuple[int, int] = (0, 1),
    lazily: bool = False,
) -> Iterator[tuple[Hearing, CallRecord]]:
    """Yield the latest version of every stored call, one partition's columns in memory at a time.

    Parameters
    ----------
    store : Store
    dates : collection of str, optional
        Only these partitions.
    share : (int, int)
        ``(k, n)``: only every n-th call, from the k-th on, so that n processes can share an archive.
    lazily : bool
        Leave each turn's words as columns until somebody looks at them: a sequence that equals the tuple.
    """
    first, step = share
    for day in store.dates():
        if dates is not None and day not in dates:
            continue
        turns = _ByCall(store.read("turns", dates=[day]))
        events = _ByCall(store.read("events", dates=[day]))
        for row in store.read("hearings", dates=[day]).to_pylist()[first::step]:
            hearing = _hearing(row, turns, events)
            yield hearing if lazily else _plain(hearing), from_json(row["call_record"])


def _plain(hearing: Hearing) -> Hearing:
    """The same with words as the tuples that records hold."""
    return replace(hearing, turns=tuple(replace(turn, words=tuple(turn.words)) for turn in hearing.turns))


class _ByCall:
    """Rows of a table by call and version; they become records only when a call is asked for.

    A night's words are compact as Arrow columns and enormous as Python objects.
    """

    def __init__(self, table: pa.Table) -> None:
        self._spans: dict[tuple[str, int], list[tuple[pa.RecordBatch, int, int]]] = {}
        for batch in table.to_batches():
            keys = zip(batch["call_id"].to_pylist(), batch["version"].to_pylist(), strict=True)
            start = 0
            for key, rows in groupby(keys):  # a call's rows were written together
                length = sum(1 for _ in rows)
                self._spans.setdefault(key, []).append((batch, start, length))
                start += length

    def of(self, call_id: str, version: int) -> list[pa.RecordBatch]:
        spans = self._spans.get((call_id, version), ())
        return [batch.slice(start, length) for batch, start, length in spans]


class _Words(Sequence[Word]):
    """A turn's words, read when somebody first looks at them; equal to the tuple of them.

    Most questions to an archive need what was said, and few when each word was: a night has millions.
    """

    __slots__ = ("_from", "_source", "_to")

    def __init__(self, source: _CallWords, start: int, end: int) -> None:
        self._source, self._from, self._to = source, start, end

    def _all(self) -> tuple[Word, ...]:
        return self._source.words[self._from : self._to]

    def __len__(self) -> int:
        return self._to - self._from

    @overload
    def __getitem__(self, place: int) -> Word: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Word, ...]: ...
    def __getitem__(self, place: int | slice) -> Word | tuple[Word, ...]:
        return self._all()[place]

    def __iter__(self) -> Iterator[Word]:
        return iter(self._all())

    def __eq__(self, other: object) -> bool:
        return self._all() == (other._all() if isinstance(other, _Words) else other)

    def __hash__(self) -> int:
        return hash(self._all())

    def __repr__(self) -> str:
        return repr(self._all())


class _CallWords:
    """The words of a call's turns, still as Arrow columns."""

    def __init__(self, column: pa.ListArray) -> None:
        self._column = column

    @cached_property
    def words(self) -> tuple[Word, ...]:
        flat = self._column.flatten()
        columns = [flat.field(name).to_pylist() for name in _WORD_COLUMNS]
        return tuple(Word(*values) for values in zip(*columns, strict=True))


def _turns(parts: Sequence[pa.RecordBatch]) -> tuple[Turn, ...]:
    found: list[tuple[int, Turn]] = []
    for part in parts:
        words = part["words"]
        source = _CallWords(words)
        end = 0
        columns = [part[name].to_pylist() for name in ("turn", *_TURN_COLUMNS)]
        for count, index, *values in zip(words.value_lengths().to_pylist(), *columns, strict=True):
            start, end = end, end + count
            said = cast("tuple[Word, ...]", _Words(source, start, end) if count else ())
            found.append((index, _turn(values, said)))
    return tuple(turn for _, turn in sorted(found, key=_index))


def _turn(values: Sequence[Any], words: tuple[Word, ...]) -> Turn:
    role, start_s, end_s, text, spoken, raw, confidence, loudness_db, pitch_hz = values
    return Turn(role, start_s, end_s, text, spoken, raw, confidence, words, loudness_db, pitch_hz)


def _events(parts: Sequence[pa.RecordBatch]) -> tuple[Event, ...]:
    found = [
        (row["event"], Event(**{name: row[name] for name in _EVENT_COLUMNS}))
        for part in parts
        for row in part.to_pylist()
        if row["source"] == "hearing"
    ]
    return tuple(event for _, event in sorted(found, key=_index))


def _index(pair: tuple[int, Any]) -> int:
    return pair[0]


def _hearing(row: Mapping[str, Any], turns: _ByCall, events: _ByCall) -> Hearing:
    key = (row["call_id"], row["version"])
    return Hearing(
        **{name: row[name] for name in _HEARING_COLUMNS},
        recording_payload_sha256=row["recording_payload_sha256"] or "",  # null in earlier releases' files
        notes=tuple(row["notes"] or ()),
        models=tuple(ModelId(**model) for model in json.loads(row["models"])),
        turns=_turns(turns.of(*key)),
        events=_events(events.of(*key)),
        phrases=tuple(PhraseEvidence(**one) for one in row["phrases"] or ()),
    )
