"""What is due to be deleted today: a plan that can be read, kept and compared.

Table of contents: `Item`, `Plan`, `make_plan`, `stored_plan`, `store_plan`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from pipeline.callrecords import from_json, read_call_records
from pipeline.errors import InputError, ResultsError
from pipeline.judging.calendar_cn import CHINA
from pipeline.records import CallRecord
from pipeline.retention.holds import holds
from pipeline.retention.policy import Policy, load_policy
from pipeline.retention.state import read_json, write_json

if TYPE_CHECKING:
    from pipeline.results.store import Store
    from pipeline.settings import Settings
    from pipeline.vault.recordings import RecordingRef

PLAN = "plan.json"


@dataclass(frozen=True, slots=True, order=True)
class Item:
    """One call that is due: until when it had to be kept, and what of it is there."""

    call_id: str
    class_id: str
    kept_until: str
    recording: str | None
    in_results: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """What a dry run found.

    Attributes
    ----------
    items : tuple of Item
        Due; sorted.
    kept : int
        Calls whose time has not come.
    held : tuple of str
        Calls that would be due but are on hold.
    undated : tuple of str
        Calls whose anchor date is unknown; kept.
    strangers : tuple of str
        Recordings without any call record; kept, since nobody can say how old they are.
    """

    made_on: str
    policy: str
    items: tuple[Item, ...]
    kept: int = 0
    held: tuple[str, ...] = ()
    undated: tuple[str, ...] = ()
    strangers: tuple[str, ...] = ()

    @property
    def hash(self) -> str:
        """Twelve digits that stand for exactly these items."""
        text = json.dumps([asdict(item) for item in self.items], sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def make_plan(settings: Settings, *, today: date | None = None) -> Plan:
    """Find what is due.

    Parameters
    ----------
    settings : Settings
        ``results``, ``recordings``, ``calls``: whichever there are; call records come from the results first.
    today : date, optional
        By default the day in China, where the calls were made.

    Raises
    ------
    InputError
        If there is neither results nor recordings with call records.
    """
    day = today or datetime.now(UTC).astimezone(CHINA).date()
    policy = load_policy()
    calls, where = _stored_calls(settings)
    in_results = set(calls)
    if settings.calls is not None:
        calls = {**{c.call_id: c for c in read_call_records(settings.calls).records}, **calls}
    refs = _recordings(settings)
    if settings.results is None and settings.calls is None:
        raise InputError(
            "nothing says how old the recordings are; give --calls, or the results of their calls"
        )
    on_hold = holds(home(settings), today=day)
    items: list[Item] = []
    held, undated, kept = [], [], 0
    for call_id, call in sorted(calls.items()):
        ref = refs.get(call_id)
        uri = ref.uri if ref else where.get(call_id)
        if call_id not in in_results and ref is None:
            continue
        keeping = policy.keeping(call)
        if keeping.until is None:
            undated.append(call_id)
        elif keeping.until >= day:
            kept += 1
        elif call_id in on_hold:
            held.append(call_id)
        else:
            items.append(
                Item(call_id, keeping.class_id, keeping.until.isoformat(), uri, call_id in in_results)
            )
    strangers = tuple(sorted(ref.uri for name, ref in refs.items() if name not in calls))
    return Plan(
        day.isoformat(), policy_mark(policy), tuple(items), kept, tuple(held), tuple(undated), strangers
    )


def home(settings: Settings) -> str:
    """Give the place that plans and holds lie beside: the results, else the recordings."""
    place = settings.results or settings.recordings
    if place is None:
        raise InputError("give a folder of results or of recordings")
    return place


def policy_mark(policy: Policy) -> str:
    """Name the policy in plans and tombstones."""
    return policy.version


def store_plan(settings: Settings, plan: Plan, name: str = PLAN) -> None:
    """Keep a plan for the second step."""
    write_json(home(settings), name, {"retention_plan": 1, "hash": plan.hash, **asdict(plan)})


def stored_plan(settings: Settings, name: str = PLAN) -> Plan | None:
    """Read the plan of an earlier dry run; None if there is none.

    Raises
    ------
    ResultsError
        If it was altered.
    """
    entry = read_json(home(settings), name)
    if entry is None:
        return None
    plan = _plan(entry)
    if plan is None or plan.hash != entry.get("hash"):
        raise ResultsError(f"{home(settings)}: the retention plan was altered; make a dry run again")
    return plan


def _plan(entry: Mapping[str, Any]) -> Plan | None:
    try:
        return Plan(
            entry["made_on"],
            entry["policy"],
            tuple(Item(**item) for item in entry["items"]),
            entry["kept"],
            tuple(entry["held"]),
            tuple(entry["undated"]),
            tuple(entry["strangers"]),
        )
    except (KeyError, TypeError):
        return None


def _stored_calls(settings: Settings) -> tuple[dict[str, CallRecord], dict[str, str]]:
    """Call records of the results, and where their recordings lay."""
    if settings.results is None:
        return {}, {}
    from pipeline.results.store import Store

    store: Store = Store.open(settings.results)
    rows = store.read("hearings", columns=("call_id", "call_record", "recording_uri"))
    calls, where = {}, {}
    for row in rows.to_pylist():
        calls[row["call_id"]] = from_json(row["call_record"])
        where[row["call_id"]] = row["recording_uri"]
    return calls, where if settings.recordings is not None else {}


def _recordings(settings: Settings) -> dict[str, RecordingRef]:
    if settings.recordings is None:
        return {}
    from pipeline.vault.recordings import list_recordings

    return {ref.call_id: ref for ref in list_recordings(settings.recordings).refs}
