"""Call detail records (随录参数): CSV, JSON Lines or Parquet in, `CallRecord` out.

Conventions
-----------
Every row of the file ends either as a record or as a problem: ``len(records) + len(problems) ==
rows``. A bad row costs that row, never the file. Only what makes the whole file meaningless (missing,
not UTF-8, no ``call_id`` column, a cut Parquet file) is an error. Empty means unknown (``None``).
Line numbers are those of the text file (the header of a CSV is line 1); rows of a Parquet file count
from 1. Messages never show ``customer_ref`` or long digit runs.

Table of contents: `RowProblem`, `CallTable`, `read_call_records`; `call_id_problem`; `as_json`,
`from_json`, `record_hash`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timezone
from typing import Any

from pipeline.errors import CallRecordError, DuplicateCallError
from pipeline.records import CallRecord
from pipeline.tablefiles import read_rows

MAX_CALL_ID_CHARS = 128
REQUIRED_COLUMNS = ("call_id", "direction", "started_at")
_DIRECTIONS = ("inbound", "outbound")
_HANGUP_BY = ("agent", "customer", "system")
_TRUE = frozenset({"true", "1", "yes", "y", "t", "是", "有"})
_FALSE = frozenset({"false", "0", "no", "n", "f", "否", "无"})
_TEXT_COLUMNS = (
    "agent_id",
    "agent_name",
    "company",
    "business",
    "transferred_to",
    "tag",
    "disposition",
    "customer_ref",
)
_NUMBER_COLUMNS = (
    "ring_s",
    "agent_hangup_delay_s",
    "escalated_after_min",
    "disposition_after_min",
    "harassment_complaint_after_min",
)
KNOWN_COLUMNS = tuple(field.name for field in dataclasses.fields(CallRecord) if field.name != "extra")
_FIRST_YEAR, _LAST_YEAR = 2000, 2099
_LONG_NUMBER = re.compile(r"\d{7,}")


@dataclass(frozen=True, slots=True)
class RowProblem:
    """A row that is no usable call record.

    Attributes
    ----------
    line : int
        Line of the text file, or row of the Parquet file, counted from 1.
    call_id : str or None
        As far as the row gives a usable one.
    error : CallRecordError
        Says what was found, what was expected and where.
    """

    line: int
    call_id: str | None
    error: CallRecordError


@dataclass(frozen=True, slots=True)
class CallTable:
    """What a file of call detail records holds.

    Attributes
    ----------
    records : tuple of CallRecord
        In file order, call ids unique.
    problems : tuple of RowProblem
        In file order.
    rows : int
        ``len(records) + len(problems)``.
    """

    records: tuple[CallRecord, ...]
    problems: tuple[RowProblem, ...]
    rows: int


def read_call_records(path: object) -> CallTable:
    r"""Read call detail records from a CSV, JSON Lines or Parquet file.

    Parameters
    ----------
    path : path or str
        Local path or fsspec URI. The kind of file is told by its content where possible, else by
        its extension (``.jsonl``, ``.ndjson``: JSON Lines; otherwise CSV with a header).

    Raises
    ------
    CallRecordError
        If the file as a whole cannot be used; the message is one line.
    StorageError
        If reading failed for a reason that may pass.

    Notes
    -----
    Two identical rows of one call id: the first is the record, the later ones are problems. Rows of
    one call id that differ: all of them are problems, since nobody can say which is true.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "calls.csv")
    ...     _ = file.write_text("call_id,direction,started_at,ring_s\n"
    ...                         "c1,inbound,2026-01-05T09:00:00+08:00,4\n"
    ...                         "c2,sideways,2026-01-05T09:01:00+08:00,\n", encoding="utf-8")
    ...     table = read_call_records(file)
    >>> table.records[0].ring_s, table.problems[0].line, table.problems[0].call_id
    (4.0, 3, 'c2')
    """
    place = str(path)
    outcomes: list[tuple[int, CallRecord | RowProblem]] = []
    for line, row in read_rows(place, required=REQUIRED_COLUMNS, one_line=KNOWN_COLUMNS):
        if isinstance(row, CallRecordError):
            outcomes.append((line, RowProblem(line, None, row)))
        else:
            outcomes.append((line, _parse_row(row, line=line, where=f"{place}:{line}")))
    return _settle_duplicates(outcomes, place=place)


def call_id_problem(call_id: str) -> str | None:
    """Why a call id cannot be used as one; None if it can.

    Call ids become file names and row keys, so nothing that could climb out of a folder, hide in a
    terminal or break a line is let in.

    Examples
    --------
    >>> call_id_problem("20260105-000123") is None
    True
    >>> call_id_problem("../../etc/passwd")
    'call_id holds a path separator'
    """
    checks = (
        (not call_id, "call_id is empty"),
        (len(call_id) > MAX_CALL_ID_CHARS, f"call_id has more than {MAX_CALL_ID_CHARS} characters"),
        ("/" in call_id or "\\" in call_id, "call_id holds a path separator"),
        ('"' in call_id, "call_id holds a quotation mark"),
        (call_id.startswith("."), "call_id starts with a dot"),
        (not call_id.isprintable(), "call_id holds control or invisible characters"),
        (call_id != call_id.strip(), "call_id starts or ends with a space"),
    )
    return next((fault for wrong, fault in checks if wrong), None)


def as_json(call: CallRecord) -> str:
    """Write a call record as one line of canonical JSON; `from_json` gives back an equal record."""
    return _canonical(_plain(call))


def from_json(text: str) -> CallRecord:
    """Read back the call record that `as_json` wrote.

    Examples
    --------
    >>> from datetime import datetime
    >>> call = CallRecord("c1", "inbound", datetime.fromisoformat("2026-01-05T09:00:00+08:00"), ring_s=4.0)
    >>> from_json(as_json(call)) == call
    True
    """
    values: dict[str, Any] = json.loads(text)
    values["started_at"] = datetime.fromisoformat(values["started_at"])
    if values.get("do_not_call_since") is not None:
        values["do_not_call_since"] = date.fromisoformat(values["do_not_call_since"])
    return CallRecord(**values)


def record_hash(call: CallRecord) -> str:
    """sha256 over the columns of a call record that judging can see.

    Unknown columns (``extra``) are left out: an export time or a batch number that changes with every
    export must not make every call look changed.
    """
    plain = _plain(call)
    del plain["extra"]
    return hashlib.sha256(_canonical(plain).encode()).hexdigest()


def _plain(call: CallRecord) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for field in dataclasses.fields(call):
        value = getattr(call, field.name)
        if isinstance(value, date):  # a datetime is one, too
            value = value.isoformat()
        elif isinstance(value, Mapping):
            value = dict(value)
        values[field.name] = value
    return values


def _canonical(values: Mapping[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _parse_row(row: Mapping[str, Any], *, line: int, where: str) -> CallRecord | RowProblem:
    problems: list[str] = []
    values: dict[str, Any] = {}

    def take(column: str, parse: Callable[[Any], Any]) -> None:
        value = row.get(column)
        if _is_empty(value):
            if column in REQUIRED_COLUMNS:
                problems.append(f"{column} is missing")
            return
        try:
            values[column] = parse(value)
        except ValueError as error:
            problems.append(f"{column}: {error}")

    take("call_id", _call_id)
    take("direction", lambda value: _one_of(value, _DIRECTIONS))
    take("started_at", _started_at)
    for column in _NUMBER_COLUMNS:
        take(column, _number)
    for column in _TEXT_COLUMNS:
        take(column, _text)
    take("agent_channel", _channel)
    take("hangup_by", lambda value: _one_of(value, _HANGUP_BY))
    take("do_not_call_since", _day)
    take("sms_followup", _yes_or_no)
    if problems:
        error = CallRecordError(f"{where}: {'; '.join(problems)}")
        return RowProblem(line, values.get("call_id"), error)
    extra = {
        column: _extra_text(value)
        for column, value in row.items()
        if column and column not in KNOWN_COLUMNS and not _is_empty(value)
    }
    return CallRecord(**values, extra=extra)


def _is_empty(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _shown(value: object) -> str:
    """Show a value in a message: short, on one line, long digit runs (phone numbers) and names hidden."""
    if not str(value).isascii():  # columns that slipped may hold anybody's name
        return f"{len(str(value))} characters, not all of them ASCII"
    text = _LONG_NUMBER.sub(lambda match: "#" * len(match.group()), str(value))
    text = text if len(text) <= 40 else text[:40] + "…"
    return repr(text)


def _text(value: object) -> str:
    if isinstance(value, bool):
        raise ValueError(f"expected text, found {value}")  # noqa: TRY004 - becomes a row problem
    if isinstance(value, float):
        # pandas turns a column of whole numbers with gaps into floats: 1027.0 is 工号 1027.
        if not value.is_integer():
            raise ValueError(f"expected text, found the number {_shown(value)}")
        return str(int(value))
    if isinstance(value, str | int):
        return str(value).strip()
    raise ValueError(f"expected text, found {type(value).__name__}")


def _call_id(value: object) -> str:
    call_id = _text(value)
    problem = call_id_problem(call_id)
    if problem:
        raise ValueError(f"{problem}: {_shown(call_id)}")
    return call_id


def _one_of(value: object, allowed: Sequence[str]) -> str:
    text = _text(value)
    if text.lower() not in allowed:
        raise ValueError(f"found {_shown(text)}, expected one of: {', '.join(allowed)}")
    return text.lower()


def _started_at(value: object) -> datetime:
    if isinstance(value, datetime):
        moment = value
    else:
        try:
            moment = datetime.fromisoformat(_text(value))
        except ValueError:
            raise ValueError(
                f"found {_shown(value)}, expected ISO 8601 like 2026-01-05T09:30:00+08:00"
            ) from None
    offset = moment.utcoffset()
    if offset is None:
        raise ValueError(f"{_shown(value)} has no offset from UTC; write it as {moment.isoformat()}+08:00")
    if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        raise ValueError(f"year {moment.year} is not within {_FIRST_YEAR}-{_LAST_YEAR}")
    # A fixed offset instead of a named zone: it survives being written down and read again.
    return moment.replace(tzinfo=timezone(offset))


def _number(value: object) -> float:
    if isinstance(value, bool):
        raise ValueError(f"expected a number, found {value}")  # noqa: TRY004 - becomes a row problem
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"found {_shown(value)}, expected a number") from None
    if not math.isfinite(number) or number < 0:
        raise ValueError(f"found {_shown(value)}, expected a finite number of at least 0")
    return number + 0.0  # no negative zero


def _channel(value: object) -> int:
    number = _number(value)
    if number not in (0.0, 1.0):
        raise ValueError(f"found {_shown(value)}, expected 0, 1 or empty")
    return int(number)


def _day(value: object) -> date:
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    text = _text(value)
    try:
        return datetime.fromisoformat(text).date()
    except ValueError:
        raise ValueError(f"found {_shown(text)}, expected a date like 2026-01-05") from None


def _yes_or_no(value: object) -> bool:
    if isinstance(value, bool):
        return value
    text = _text(value).lower()
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError(f"found {_shown(text)}, expected true or false")


def _extra_text(value: object) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, date):
        return value.isoformat()
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)


def _line_list(lines: Sequence[int]) -> str:
    shown = ", ".join(str(line) for line in lines[:5]) + (", …" if len(lines) > 5 else "")
    return f"line {shown}" if len(lines) == 1 else f"lines {shown}"


def _settle_duplicates(outcomes: Sequence[tuple[int, CallRecord | RowProblem]], *, place: str) -> CallTable:
    lines_of: dict[str, list[int]] = {}
    first: dict[str, CallRecord] = {}
    conflicting: set[str] = set()
    for line, outcome in outcomes:
        if outcome.call_id is None:
            continue
        lines_of.setdefault(outcome.call_id, []).append(line)
        # A malformed row of the same call might have been the true one.
        if isinstance(outcome, RowProblem) or outcome != first.setdefault(outcome.call_id, outcome):
            conflicting.add(outcome.call_id)
    records: list[CallRecord] = []
    problems: list[RowProblem] = []
    for line, outcome in outcomes:
        if isinstance(outcome, RowProblem):
            problems.append(outcome)
            continue
        call_id = outcome.call_id
        lines = lines_of[call_id]
        if call_id in conflicting:
            others = _line_list([other for other in lines if other != line])
            fault = f"call_id {call_id} stands also in {others} with other values; keep the row that is true"
        elif line != lines[0]:
            fault = f"call_id {call_id} repeats {_line_list(lines[:1])} exactly; remove this row"
        else:
            records.append(outcome)
            continue
        problems.append(RowProblem(line, call_id, DuplicateCallError(f"{place}:{line}: {fault}")))
    return CallTable(tuple(records), tuple(problems), rows=len(outcomes))
