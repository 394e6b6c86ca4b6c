"""One stored version of a call's score, whole: what was heard, what was decided, by which rules.

Table of contents: `Version`, `load_versions`, `load_version`, `version_numbers`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pipeline.disputes.archive import rulebook_by_hash
from pipeline.errors import InputError, ResultsError
from pipeline.judging.rulebook import Rulebook
from pipeline.records import CallRecord, Event, Evidence, Hearing, Judgement, Measures, Verdict
from pipeline.results.store import Store
from pipeline.results.stored import stored_hearing

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
        name: _by_version(store, name, call_id) for name in ("scores", "verdicts", "events", "hearings")
    }
    books: dict[str, Rulebook | None] = {}
    found: list[Version] = []
    for number in wanted if numbers is not None else there:
        scores, heard = tables["scores"].get(number, []), tables["hearings"].get(number, [])
        if not scores or not heard:
            raise ResultsError(f"{store.place}: version {number} of call {call_id} is incomplete; restore it")
        score = scores[-1]
        key = score["rulebook_hash"]
        if key not in books:
            books[key] = rulebook_by_hash(store, key, current=current)
        hearing, call = stored_hearing(store, call_id, number)
        found.append(
            Version(
                number=number,
                call=call,
                hearing=hearing,
                judgement=_judgement(
                    score, tables["verdicts"].get(number, []), tables["events"].get(number, [])
                ),
                rulebook=books[key],
                receipt=score["receipt"],
                receipt_inputs=score["receipt_inputs"],
                scored_at=score["scored_at"],
                scored_by=score["scored_by"],
                reason=score["reason"],
                recording_uri=heard[-1]["recording_uri"],
                recording_size_bytes=heard[-1]["recording_size_bytes"],
                recording_stamp=heard[-1]["recording_stamp"],
            )
        )
    return found


def _by_version(store: Store, table: str, call_id: str) -> dict[int, list[dict[str, Any]]]:
    grouped: dict[int, list[dict[str, Any]]] = {}
    for row in store.read(table, call_ids=[call_id], latest=False).to_pylist():
        grouped.setdefault(int(row["version"]), []).append(row)
    return grouped


def _judgement(
    score: Mapping[str, Any], verdicts: list[dict[str, Any]], events: list[dict[str, Any]]
) -> Judgement:
    judged = sorted((row for row in events if row["source"] == "judging"), key=lambda row: int(row["event"]))
    return Judgement(
        verdicts=tuple(
            Verdict(
                **{name: row[name] for name in _VERDICT_COLUMNS},
                evidence=tuple(Evidence(**span) for span in row["evidence"]),
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
