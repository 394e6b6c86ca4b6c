"""Deletes what a plan names: a tombstone in the audit log first, then the recordings, then the rows.

Stopped anywhere, the next `delete` goes on: the plan being worked on lies beside the results as
``applying.json`` until all of it is gone.

Table of contents: `Deleted`, `delete`, `unfinished`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.audit import audit_place, checkpoint, record_event
from pipeline.errors import StorageError
from pipeline.retention.plan import Plan, home, store_plan, stored_plan
from pipeline.retention.state import remove

if TYPE_CHECKING:
    from pipeline.settings import Settings

APPLYING = "applying.json"


@dataclass(frozen=True, slots=True)
class Deleted:
    """What was deleted: calls, recording files, rows by dataset."""

    calls: int
    recordings: int
    rows: dict[str, int] = field(default_factory=dict)


def unfinished(settings: Settings) -> Plan | None:
    """Give the plan that a stopped deletion was working on."""
    return stored_plan(settings, APPLYING)


def delete(
    settings: Settings,
    plan: Plan,
    *,
    who: str | None = None,
    step: Callable[[str], None] = lambda _name: None,
) -> Deleted:
    """Delete every item of a plan.

    Parameters
    ----------
    settings : Settings
    plan : Plan
        Already held against what is due today.
    who : str, optional
    step : callable, optional
        Called with the name of every step; tests stop it there.

    Raises
    ------
    StorageError
        If something cannot be deleted; run it again to go on.
    """
    place = audit_place(settings, results=home(settings))
    store_plan(settings, plan, APPLYING)
    step("plan kept")
    recordings = 0
    for item in plan.items:
        record_event(
            "delete", at=place, call_id=item.call_id, who=who, retention_class=item.class_id,
            kept_until=item.kept_until, recording=_name(item.recording), rows=item.in_results, plan=plan.hash,
        )  # fmt: skip
        step("tombstone written")
        if item.recording is not None:
            recordings += _remove(item.recording)
            step("recording removed")
    rows: dict[str, int] = {}
    ids = {item.call_id for item in plan.items if item.in_results}
    if ids and settings.results is not None:
        from pipeline.results.store import Store

        rows = Store.open(settings.results, write=True, checkpoint=step).erase(ids)
    step("rows erased")
    record_event(
        "retention", at=place, who=who, plan=plan.hash, calls=len(plan.items), rows_erased=sum(rows.values())
    )
    checkpoint(place)
    remove(home(settings), APPLYING)
    step("plan removed")
    return Deleted(len(plan.items), recordings, rows)


def _name(recording: str | None) -> str | None:
    return recording.rpartition("/")[2] if recording else None


def _remove(uri: str) -> int:
    from pipeline.vault.places import is_uri, open_filesystem

    try:
        if is_uri(uri):
            filesystem, path = open_filesystem(uri)
            filesystem.rm_file(path)
        else:
            Path(uri).unlink()
    except FileNotFoundError:
        return 0
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise StorageError(f"{uri}: cannot be deleted ({reason}); mend that and run it again") from error
    return 1
