"""What this night has to do: a pure decision over what is there and what is known.

Every row of the call records and every recording without a row is one *unit*; each unit ends in
exactly one of: to be heard, skipped (scored already), or quarantined. `NightPlan.calls_in` is their sum.

Table of contents: `NightPlan`, `plan_night`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import partial
from pathlib import PurePath

from pipeline.callrecords import CallTable, record_hash
from pipeline.errors import (
    RecordingMissingError,
    RescoredCallChangedError,
    UnexpectedRecordingError,
    ZhijianError,
)
from pipeline.night.worker import CallTask
from pipeline.records import CallRecord
from pipeline.results.entries import Fingerprint, QuarantineRow, needs_scoring, should_retry
from pipeline.vault.recordings import RecordingList, RecordingProblem, RecordingRef

Quarantined = Mapping[tuple[str | None, str], QuarantineRow]


@dataclass(frozen=True, slots=True)
class NightPlan:
    """What is left to do.

    Attributes
    ----------
    calls_in : int
        Rows of the call records plus recordings without a row.
    tasks : tuple of CallTask
        Calls to hear.
    skipped : int
        Calls that are scored already and unchanged.
    refused : tuple of QuarantineRow
        New rows for units that cannot be heard.
    refused_units, waiting : int
        Units behind ``refused``; units that were quarantined before and have not changed since.
    """

    calls_in: int
    tasks: tuple[CallTask, ...]
    skipped: int
    refused: tuple[QuarantineRow, ...]
    refused_units: int
    waiting: int


def _nobody(_call_ids: Sequence[str]) -> Mapping[str, str]:
    """Where nobody rescores."""
    return {}


_Refusal = tuple[ZhijianError, str | None, str, str, date | None]


@dataclass(slots=True)
class _Draft:
    """The plan while it is made."""

    seen: Quarantined
    now: datetime
    run_id: str
    tasks: list[CallTask] = field(default_factory=list)
    refused: list[QuarantineRow] = field(default_factory=list)
    skipped: int = 0
    refused_units: int = 0
    waiting: int = 0

    def refuse(self, entries: Sequence[_Refusal], stage: str) -> None:
        """Quarantine one unit; rows that are stored already are not written again."""
        fresh = False
        for error, call_id, path, mark, day in entries:
            previous = self.seen.get((call_id, path))
            if previous is not None and previous.fingerprint == mark:
                continue
            fresh = True
            row = QuarantineRow.of(
                error, call_id=call_id, path=path, stage=stage, at=self.now, fingerprint=mark,
                call_date=day, run_id=self.run_id, previous=previous,
            )  # fmt: skip
            self.refused.append(row)
        if fresh:
            self.refused_units += 1
        else:
            self.waiting += 1


def plan_night(
    table: CallTable,
    recordings: RecordingList,
    *,
    calls_path: str,
    recordings_path: str,
    scored: Mapping[str, Fingerprint],
    quarantined: Quarantined,
    seen: Quarantined,
    key_id: str | None,
    hashes: Callable[[RecordingRef], tuple[str, str]],
    scored_by: Callable[[Sequence[str]], Mapping[str, str]] = _nobody,
    now: datetime,
    run_id: str,
    retry_quarantined: bool = False,
    missing: str = "recording <call_id>.<audio>.<container>",
) -> NightPlan:
    """Decide for every unit whether it is heard, skipped or quarantined.

    Parameters
    ----------
    table : CallTable
    recordings : RecordingList
    calls_path, recordings_path : str
        For the ``path`` column of the quarantine.
    scored, quarantined : mapping
        What the store knows of finished calls and of open matters.
    seen : mapping
        Every quarantine row that was ever written, also of calls that were scored later: what has been
        said once is not said again every night.
    key_id : str or None
        Of the identity of this run; a changed key is a reason to try again.
    hashes : callable
        Reads a recording and hashes it: the file, and its payload (empty where there is none of its own).
        Called only where size or stamp changed.
    scored_by : callable
        Tells for some calls whose latest version a person asked for, and who; called at most once, with
        the calls that changed. Such a version is not superseded: a dispute may rest on it.
    now : datetime
    run_id : str
    retry_quarantined : bool
        Try quarantined recordings again though nothing changed; also those whose version a person asked for.
    missing : str
        What a call without it lacks, for the message.

    Returns
    -------
    NightPlan
        ``calls_in == len(tasks) + skipped + refused_units + waiting``.
    """
    draft = _Draft(seen, now, run_id)
    refs = {ref.call_id: ref for ref in recordings.refs}
    faulty: dict[str | None, list[RecordingProblem]] = {}
    for problem in recordings.problems:
        faulty.setdefault(problem.call_id, []).append(problem)

    file_name = PurePath(calls_path).name
    for row_problem in table.problems:
        path = f"{file_name}:{row_problem.line}"
        draft.refuse(
            [(row_problem.error, row_problem.call_id, path, str(row_problem.error), None)], "call_record"
        )

    changed = {
        call.call_id: what
        for call in table.records
        if (known := scored.get(call.call_id)) is not None
        and (held := refs.get(call.call_id)) is not None
        and call.call_id not in faulty
        and (what := _change(known, call, held, hashes))
    }
    persons = scored_by(sorted(changed)) if changed and not retry_quarantined else {}

    for call in table.records:
        day = call.started_at.date()
        if call.call_id in faulty:
            problems = faulty[call.call_id]
            draft.refuse([(p.error, call.call_id, p.uri, p.stamp, day) for p in problems], "recording")
        elif call.call_id in scored and call.call_id not in changed:
            # Also a recording that was moved away after it had been scored: nothing is lost by that.
            draft.skipped += 1
        elif call.call_id in persons:
            ref, version = refs[call.call_id], scored[call.call_id].version
            kept = _kept(call.call_id, version, persons[call.call_id], changed[call.call_id])
            mark = f"{recording_mark(ref)}:{record_hash(call)[:16]}:v{version}"
            draft.refuse([(kept, call.call_id, ref.uri, mark, day)], "recording")
        elif call.call_id in refs:
            ref = refs[call.call_id]
            known = scored.get(call.call_id)
            previous = quarantined.get((call.call_id, ref.uri))
            if (
                previous is None
                or retry_quarantined
                or should_retry(previous, fingerprint=recording_mark(ref), key_id=key_id)
            ):
                draft.tasks.append(CallTask(call, ref, known.version if known else 0))
            else:
                draft.waiting += 1
        else:
            absent = RecordingMissingError(
                f"call {call.call_id}: no {missing} in {recordings_path}; picked up when it arrives"
            )
            draft.refuse([(absent, call.call_id, recordings_path, "missing", day)], "recording")

    strays = _refuse_strays(draft, table, recordings.refs, faulty, file_name)
    # Counted from the input, not from the decisions, so that the two can be held against each other.
    return NightPlan(
        calls_in=table.rows + strays,
        tasks=tuple(draft.tasks),
        skipped=draft.skipped,
        refused=tuple(draft.refused),
        refused_units=draft.refused_units,
        waiting=draft.waiting,
    )


def _change(
    known: Fingerprint,
    call: CallRecord,
    ref: RecordingRef,
    hashes: Callable[[RecordingRef], tuple[str, str]],
) -> str:
    """What of a scored call changed since, in words; empty if nothing did."""
    if not needs_scoring(
        known, call, size_bytes=ref.size_bytes, stamp=ref.stamp, hashes=partial(hashes, ref)
    ):
        return ""
    return "call record" if known.call_record_sha256 != record_hash(call) else "recording"


def _kept(call_id: str, version: int, who: str, what: str) -> RescoredCallChangedError:
    again = f"`zhijian rescore {call_id} --from-audio` makes a new one; " if what == "recording" else ""
    return RescoredCallChangedError(
        f"call {call_id}: its {what} changed after {who} had version {version} made, which stays in force; "
        f"{again}`zhijian score --retry-quarantined` lets the night score all such calls anew"
    )


def _refuse_strays(
    draft: _Draft,
    table: CallTable,
    refs: Sequence[RecordingRef],
    faulty: Mapping[str | None, Sequence[RecordingProblem]],
    file_name: str,
) -> int:
    """Quarantine recordings that no row of the call records speaks of; returns how many units they are."""
    rows = {call.call_id for call in table.records} | {p.call_id for p in table.problems if p.call_id}
    strays = [ref for ref in refs if ref.call_id not in rows]
    for ref in strays:
        error = UnexpectedRecordingError(
            f"call {ref.call_id}: the recording has no row in {file_name}; add the row and run again"
        )
        draft.refuse([(error, ref.call_id, ref.uri, recording_mark(ref), None)], "call_record")
    units = len(strays)
    for call_id, group in faulty.items():
        if call_id is None:
            for problem in group:
                draft.refuse([(problem.error, None, problem.uri, problem.stamp, None)], "recording")
            units += len(group)
        elif call_id not in rows:
            draft.refuse([(p.error, call_id, p.uri, p.stamp, None) for p in group], "recording")
            units += 1
    return units


def recording_mark(ref: RecordingRef) -> str:
    """State of a recording file, as the quarantine remembers it; needs no reading."""
    return f"{ref.size_bytes}:{ref.stamp}"
