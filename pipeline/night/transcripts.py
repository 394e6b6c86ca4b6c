"""Transcripts that another recogniser made: read, judged without audio, stored like a night.

The words of one call are its "recording": they get a hash, a call whose words have not changed is
not judged again, and what cannot be read is quarantined.

Table of contents: `read_transcripts`, `judge_night`.
"""

from __future__ import annotations

import hashlib
import json
import math
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any

from pipeline.callrecords import call_id_problem, read_call_records
from pipeline.disputes.archive import archive_rulebook
from pipeline.errors import CallRecordError, ConfigError, RecordingError, ZhijianError
from pipeline.judging.calendar_cn import CHINA
from pipeline.night.account import Account
from pipeline.night.batch import Desk, RunContext
from pipeline.night.plan import plan_night
from pipeline.night.summary import NightSummary
from pipeline.night.worker import Failed, Scored, describe_defect
from pipeline.records import ROLES, Hearing, Turn, Word
from pipeline.results.store import Store
from pipeline.settings import Settings
from pipeline.tablefiles import read_rows
from pipeline.vault.recordings import RecordingList, RecordingProblem, RecordingRef

REQUIRED_COLUMNS = ("call_id", "role", "start_s", "end_s", "text")
COMMIT_CALLS = 500


@dataclass(slots=True)
class _Draft:
    turns: list[Turn] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    digest: Any = field(default_factory=hashlib.sha256)
    rows: int = 0


def read_transcripts(path: str) -> tuple[RecordingList, dict[str, Hearing]]:
    """Read turns of many calls from JSON Lines, CSV or Parquet.

    Parameters
    ----------
    path : str
        Columns ``call_id, role, start_s, end_s, text``, optional ``confidence`` and ``words`` (a list
        of ``text, start_s, end_s`` and optional ``confidence``). Rows need no order.

    Returns
    -------
    RecordingList
        One reference per call whose rows are all usable, one problem per call (or nameless row) that is not.
    dict of str to Hearing
        ``layout="transcript"``.

    Raises
    ------
    InputError
        The file as a whole cannot be read.
    """
    drafts: dict[str, _Draft] = {}
    problems: list[RecordingProblem] = []
    name = PurePath(path).name
    for line, row in read_rows(path, required=REQUIRED_COLUMNS):
        where = f"{name}:{line}"
        call_id = "" if isinstance(row, CallRecordError) else str(row.get("call_id") or "")
        fault = str(row) if isinstance(row, CallRecordError) else call_id_problem(call_id)
        if fault or isinstance(row, CallRecordError):
            problems.append(
                RecordingProblem(None, f"{path}:{line}", RecordingError(f"{where}: {fault}"), str(fault))
            )
            continue
        draft = drafts.setdefault(call_id, _Draft())
        draft.rows += 1
        draft.digest.update(json.dumps(dict(row), ensure_ascii=False, sort_keys=True, default=str).encode())
        try:
            draft.turns.append(_turn(row))
        except (ValueError, TypeError, KeyError) as error:
            draft.problems.append(f"{where}: {error}")
    refs: list[RecordingRef] = []
    hearings: dict[str, Hearing] = {}
    for call_id, draft in sorted(drafts.items()):
        uri, stamp = f"{path}#{call_id}", draft.digest.hexdigest()
        if draft.problems:
            shown = "; ".join(draft.problems[:5]) + ("; …" if len(draft.problems) > 5 else "")
            problems.append(RecordingProblem(call_id, uri, RecordingError(f"call {call_id}: {shown}"), stamp))
            continue
        turns = tuple(sorted(draft.turns, key=lambda t: (t.start_s, t.end_s, t.role)))
        refs.append(RecordingRef(call_id, uri, draft.rows, f"sha256:{stamp}"))
        hearings[call_id] = Hearing(
            recording_sha256=stamp,
            duration_s=max(turn.end_s for turn in turns),
            layout="transcript",
            turns=turns,
            asr_confidence=_mean_confidence(turns),
            roles_from="transcript",
        )
    return RecordingList(tuple(refs), tuple(sorted(problems, key=lambda p: p.uri))), hearings


def judge_night(settings: Settings, turns_path: str) -> NightSummary:
    """Judge every call of a transcript file by the rulebook and store the verdicts.

    Parameters
    ----------
    settings : Settings
        With ``calls`` and ``results``; ``rulebook`` if another one is to be used.
    turns_path : str

    Returns
    -------
    NightSummary
        The same account as a night: calls in = scored + quarantined + skipped.
    """
    from pipeline.judging.engine import judge
    from pipeline.judging.rulebook import load_rulebook

    if settings.calls is None or settings.results is None:
        raise ConfigError("settings calls and results are needed; give --calls and --out")
    rulebook = load_rulebook(settings.rulebook)
    table = read_call_records(settings.calls)
    transcripts, hearings = read_transcripts(turns_path)
    store = Store.open(settings.results, write=True)
    now = datetime.now(UTC)
    archive_rulebook(store, settings.rulebook, in_force_from=now.astimezone(CHINA).date())
    run_id = f"{now:%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}"
    plan = plan_night(
        table,
        transcripts,
        calls_path=settings.calls,
        recordings_path=turns_path,
        missing="turns",
        scored=store.scored_fingerprints(call.call_id for call in table.records),
        quarantined=store.quarantined(),
        seen=store.quarantined(include_resolved=True),
        key_id=None,
        hashes=lambda ref: (hearings[ref.call_id].recording_sha256, ""),
        scored_by=store.scored_by,
        now=now,
        run_id=run_id,
    )
    account = Account(run_id, plan, now)
    desk = Desk(store, RunContext(run_id, None))
    for start in range(0, len(plan.tasks), COMMIT_CALLS):
        outcomes: list[Scored | Failed] = []
        for task in plan.tasks[start : start + COMMIT_CALLS]:
            hearing = hearings[task.call.call_id]
            try:
                outcomes.append(Scored(task, hearing, judge(hearing, task.call, rulebook)))
            except ZhijianError as error:
                outcomes.append(Failed(task, "judge", error.kind, str(error), error.transient))
            except Exception as error:  # noqa: BLE001 - one call's surprise must not end the run
                outcomes.append(Failed(task, "judge", "internal_error", describe_defect(error), False))
        desk.commit(outcomes, account.book)
    return account.close(store, model="transcript")


def _turn(row: Mapping[str, Any]) -> Turn:
    role = row.get("role")
    if role not in ROLES:
        raise ValueError(f"role {role!r} is unknown; expected agent or customer")
    start_s, end_s = _seconds(row, "start_s"), _seconds(row, "end_s")
    if end_s < start_s:
        raise ValueError(f"end_s {end_s:g} is before start_s {start_s:g}")
    words = row.get("words")
    if isinstance(words, str):
        words = json.loads(words) if words.strip() else None
    return Turn(
        role=role,
        start_s=start_s,
        end_s=end_s,
        text=_text(row.get("text")),
        confidence=_share(row.get("confidence")),
        words=tuple(_word(word) for word in ([] if words is None else words)),
    )


def _word(word: Mapping[str, Any]) -> Word:
    if not isinstance(word, Mapping):
        raise TypeError("a word is no object with text, start_s, end_s")
    return Word(
        _text(word.get("text", word.get("word"))),
        _seconds(word, "start_s"),
        _seconds(word, "end_s"),
        _share(word.get("confidence")),
    )


def _text(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError(f"text is a {type(value).__name__}, expected a string")
    return value


def _seconds(row: Mapping[str, Any], name: str) -> float:
    value = row.get(name)
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise ValueError(f"{name} is missing or no number") from None
    if not math.isfinite(number) or number < 0:
        raise ValueError(f"{name} is {number:g}, expected seconds from the start of the call, 0 or more")
    return number


def _share(value: object) -> float:
    if value is None or value == "":
        return 1.0
    number = float(value)  # type: ignore[arg-type]
    if not 0.0 <= number <= 1.0:
        raise ValueError(f"confidence is {number:g}, expected 0 to 1")
    return number


def _mean_confidence(turns: tuple[Turn, ...]) -> float:
    weights = [len(turn.text) for turn in turns]
    total = sum(weights)
    if not total:
        return 1.0
    return sum(t.confidence * w for t, w in zip(turns, weights, strict=True)) / total
