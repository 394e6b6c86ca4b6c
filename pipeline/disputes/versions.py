"""One stored version of a call's score, whole: what was heard, what was decided, by which rules.

Table of contents: `Version`, `load_versions`, `load_version`, `latest_versions`, `version_numbers`,
`judgement_of`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.disputes.archive import rulebook_by_hash
from pipeline.errors import InputError, ResultsError
from pipeline.judging.rulebook import Rulebook
from pipeline.records import CallRecord, Event, Evidence, Hearing, Judgement, Measures, Verdict
from pipeline.results.store import Store
from pipeline.results.stored import stored_hearing, stored_hearings

if TYPE_CHECKING:
    import pyarrow as pa

_Key = tuple[str, int]
Books = dict[str, Rulebook | None]
_CALLS_AT_ONCE = 500

_VERDICT_COLUMNS = (
    "rule_id", "clause", "name_zh", "verdict", "due", "met", "weight", "points", "severity", "confidence",
    "reason",
)  # fmt: skip
_EVENT_COLUMNS = ("kind", "start_s", "end_s", "role", "text", "confidence")


@dataclass(frozen=True, slots=True)
class Version:
    """One version of one call's score.

    Attributes
    ----------
    call : CallRecord
        The call record as it was judged then.
    rulebook : Rulebook or None
        None if its files are neither archived nor in use any more.
    receipt, receipt_inputs : str
    scored_by, reason : str or None
        Who asked for it and why; None for the nightly job.
    """

    number: int
    call: CallRecord
    hearing: Hearing
    judgement: Judgement
    rulebook: Rulebook | None
    receipt: str
    receipt_inputs: str
    scored_at: datetime
    scored_by: str | None
    reason: str | None
    recording_uri: str
    recording_size_bytes: int
    recording_stamp: str

    @property
    def inputs(self) -> Mapping[str, Any]:
        """What the receipt is the hash of, as a mapping."""
        found = json.loads(self.receipt_inputs)
        return found if isinstance(found, dict) else {}


def version_numbers(store: Store, call_id: str) -> list[int]:
    """Numbers of all versions of a call, ascending.

    Raises
    ------
    InputError
        If the call is not among the results.
    """
    rows = store.read("scores", columns=("version",), call_ids=[call_id], latest=False)["version"].to_pylist()
    if not rows:
        held = [row for row in store.quarantined().values() if row.call_id == call_id]
        if held:
            raise InputError(f"call {call_id} is in quarantine ({held[-1].kind}): {held[-1].message}")
        raise InputError(
            f"{store.place}: call {call_id} is not among the results; `zhijian show --results …` lists all"
        )
    return sorted(rows)


def load_version(
    store: Store, call_id: str, number: int | None = None, *, current: Path | None = None
) -> Version:
    """One version of a call, the latest by default.

    Parameters
    ----------
    store : Store
    call_id : str
    number : int, optional
    current : Path, optional
        Folder of the rulebook in use, tried when the archive does not hold the version's own.

    Raises
    ------
    InputError
        If there is no such call or version.
    """
    return load_versions(store, call_id, [number] if number else None, current=current)[-1]


def load_versions(
    store: Store, call_id: str, numbers: list[int] | None = None, *, current: Path | None = None
) -> list[Version]:
    """Several versions of a call in ascending order, all by default."""
    there = version_numbers(store, call_id)
    wanted = there if numbers is None else sorted(numbers)
    missing = [number for number in wanted if number not in there]
    if missing:
        raise InputError(
            f"{store.place}: call {call_id} has no version {missing[0]}; there are: "
            + ", ".join(map(str, there))
        )
    tables = {
        name: _by_version(store.read(name, call_ids=[call_id], latest=False))
        for name in ("scores", "verdicts", "events", "hearings")
    }
    books: Books = {}
    return [
        _version(
            store,
            tables,
            (call_id, number),
            stored_hearing(store, call_id, number),
            books=books,
            current=current,
        )
        for number in wanted
    ]


def latest_versions(store: Store, day: str | None, *, current: Path | None = None) -> Iterator[Version]:
    """The latest version of every call of one day, some hundred calls in memory at a time.

    Parameters
    ----------
    store : Store
    day : str or None
        A partition (``2026-03-10``).
    current : Path, optional
    """
    books: Books = {}
    heard = stored_hearings(store, dates=[day])
    while batch := list(islice(heard, _CALLS_AT_ONCE)):
        ids = [call.call_id for _, call in batch]
        tables = {
            name: _by_version(store.read(name, dates=[day], call_ids=ids))
            for name in ("scores", "verdicts", "events", "hearings")
        }
        numbers = dict(tables["hearings"].keys())
        for hearing, call in batch:
            key = (call.call_id, numbers[call.call_id])
            yield _version(store, tables, key, (hearing, call), books=books, current=current)


def _version(
    store: Store,
    tables: Mapping[str, Mapping[_Key, list[dict[str, Any]]]],
    key: _Key,
    heard: tuple[Hearing, CallRecord],
    *,
    books: Books,
    current: Path | None,
) -> Version:
    scores, hearings = tables["scores"].get(key, []), tables["hearings"].get(key, [])
    if not scores or not hearings:
        raise ResultsError(f"{store.place}: version {key[1]} of call {key[0]} is incomplete; restore it")
    score, row = scores[-1], hearings[-1]
    book = score["rulebook_hash"]
    if book not in books:
        books[book] = rulebook_by_hash(store, book, current=current)
    hearing, call = heard
    return Version(
        number=key[1],
        call=call,
        hearing=hearing,
        judgement=judgement_of(score, tables["verdicts"].get(key, []), tables["events"].get(key, [])),
        rulebook=books[book],
        receipt=score["receipt"],
        receipt_inputs=score["receipt_inputs"],
        scored_at=score["scored_at"],
        scored_by=score["scored_by"],
        reason=score["reason"],
        recording_uri=row["recording_uri"],
        recording_size_bytes=row["recording_size_bytes"],
        recording_stamp=row["recording_stamp"],
    )


def _by_version(table: pa.Table) -> dict[_Key, list[dict[str, Any]]]:
    grouped: dict[_Key, list[dict[str, Any]]] = {}
    for row in table.to_pylist():
        grouped.setdefault((row["call_id"], int(row["version"])), []).append(row)
    return grouped


def judgement_of(
    score: Mapping[str, Any], verdicts: Iterable[Mapping[str, Any]], events: Iterable[Mapping[str, Any]] = ()
) -> Judgement:
    """Make a judgement of its stored rows; rows of ``verdicts`` may lack what was said."""
    judged = sorted((row for row in events if row["source"] == "judging"), key=lambda row: int(row["event"]))
    return Judgement(
        verdicts=tuple(
            Verdict(
                **{"reason": "", **{name: row[name] for name in _VERDICT_COLUMNS if name in row}},
                evidence=tuple(Evidence(**span) for span in row.get("evidence") or ()),
            )
            for row in verdicts
        ),
        events=tuple(Event(**{name: row[name] for name in _EVENT_COLUMNS}) for row in judged),
        measures=Measures(
            speech_rate_per_min=score["speech_rate"],
            articulation_rate_per_min=score["articulation_rate"],
            agent_chars=score["agent_chars"],
            filler_count=score["filler_count"],
            filler_per_100=score["filler_rate"],
            agent_talk_s=score["agent_talk_s"],
            customer_talk_s=score["customer_talk_s"],
            silence_s=score["silence_s"],
            overlap_s=score["overlap_s"],
            interruptions=score["interruptions"],
        ),
        score=score["score"],
        grade=score["grade"],
        fatal=score["fatal"],
        rulebook_version=score["rulebook_version"],
        rulebook_hash=score["rulebook_hash"],
    )
