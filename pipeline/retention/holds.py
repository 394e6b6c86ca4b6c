"""Legal holds: calls that must not be deleted while something is pending.

Conventions
-----------
Each hold and each release is a small file of its own under ``_retention/holds`` beside the results (folder
or object storage), never changed afterwards, so that several people may place them at once.

Table of contents: `Hold`, `place_hold`, `release_hold`, `holds`.
"""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from pipeline.audit import audit_place, record_event
from pipeline.callrecords import call_id_problem
from pipeline.errors import InputError, ResultsError
from pipeline.judging.calendar_cn import CHINA
from pipeline.privacy import mask
from pipeline.retention.state import list_names, read_json, write_json
from pipeline.settings import load_settings


@dataclass(frozen=True, slots=True)
class Hold:
    """A call that is kept whatever its age; ``until`` None = until released."""

    call_id: str
    why: str
    who: str
    placed_at: datetime
    until: date | None = None


def place_hold(
    results: str | os.PathLike[str], call_id: str, *, why: str, who: str, until: date | None = None
) -> Hold:
    """Keep a call from being deleted.

    Parameters
    ----------
    results : path or URI
    call_id : str
    why, who : str
        Both needed; they stand in the audit log.
    until : date, optional
        Last day of the hold; without it the hold lasts until `release_hold`.

    Raises
    ------
    InputError
        If the call id cannot be one, or reason or person is missing.
    """
    _checked(call_id, why, who)
    hold = Hold(call_id, mask(why.strip()).text, who.strip(), datetime.now(UTC), until)
    day = until.isoformat() if until else None
    _write(
        results,
        {"hold": call_id, "why": hold.why, "who": hold.who, "at": hold.placed_at.isoformat(), "until": day},
    )
    place = audit_place(load_settings()[0], results=results)
    record_event("hold", at=place, call_id=call_id, who=hold.who, why=hold.why, until=day)
    return hold


def release_hold(results: str | os.PathLike[str], call_id: str, *, why: str, who: str) -> None:
    """Lift every hold on a call.

    Raises
    ------
    InputError
        If the call is not on hold.
    """
    _checked(call_id, why, who)
    if call_id not in holds(results):
        raise InputError(f"call {call_id} is not on hold; nothing was released")
    why = mask(why).text
    _write(results, {"release": call_id, "why": why, "who": who, "at": datetime.now(UTC).isoformat()})
    place = audit_place(load_settings()[0], results=results)
    record_event("release", at=place, call_id=call_id, who=who, why=why)


def holds(results: str | os.PathLike[str], *, today: date | None = None) -> dict[str, Hold]:
    """Give the holds in force, by call id; of several on one call, the one that lasts longest.

    Raises
    ------
    ResultsError
        If a hold cannot be read: then nothing may be deleted.
    """
    place = os.fspath(results)
    day = today or datetime.now(UTC).astimezone(CHINA).date()
    entries = sorted((read_json(place, name) for name in list_names(place, "holds")), key=_when)
    found: dict[str, Hold] = {}
    for entry in entries:
        if "release" in entry:
            found.pop(entry["release"], None)
            continue
        try:
            until = date.fromisoformat(entry["until"]) if entry.get("until") else None
            hold = Hold(entry["hold"], entry["why"], entry["who"], datetime.fromisoformat(entry["at"]), until)
        except (KeyError, ValueError, TypeError):
            raise ResultsError(
                f"{place}: a hold cannot be read; nothing is deleted until it is mended"
            ) from None
        known = found.get(hold.call_id)
        if known is None or (known.until is not None and (until is None or until > known.until)):
            found[hold.call_id] = hold
    return {name: hold for name, hold in found.items() if hold.until is None or hold.until >= day}


def _when(entry: dict[str, Any]) -> str:
    return str(entry.get("at", ""))


def _write(results: str | os.PathLike[str], entry: dict[str, Any]) -> None:
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
    write_json(os.fspath(results), f"holds/{stamp}-{uuid.uuid4().hex[:8]}.json", entry)


def _checked(call_id: str, why: str, who: str) -> None:
    fault = call_id_problem(call_id)
    if fault:
        raise InputError(fault)
    if not why.strip() or not who.strip():
        raise InputError("a hold needs a reason and a person; give both")
