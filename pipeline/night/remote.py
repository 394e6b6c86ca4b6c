"""One machine among many: a process of the cluster that hears batches with worker processes of its own.

A scheduler (Dask) sends a batch and gets `pipeline.night.batch.Entry` records back; recordings are read and
results committed here, at the places that the settings name. The worker processes and their models are
kept from batch to batch.

Table of contents: `score_batch_here`, `release`.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.errors import ConfigError
from pipeline.night.batch import Batch, Desk, Entry, RunContext, worker_setup
from pipeline.night.pool import HearingPool
from pipeline.night.worker import CallTask
from pipeline.results.store import Store
from pipeline.settings import Settings

IDLE_S = 300.0


@dataclass
class _Station:
    """What this process keeps between batches of one run."""

    run_id: str
    pool: HearingPool
    store: Store
    desk: Desk
    busy: int = 0
    timer: threading.Timer | None = None


_guard = threading.Lock()
_station: _Station | None = None


def score_batch_here(settings: Settings, batch: Batch, context: RunContext) -> tuple[Entry, ...]:
    """Hear, judge and commit a batch on this machine.

    A batch whose worker died is sent again, perhaps to another machine: calls that were committed by then
    are not heard again.

    Parameters
    ----------
    settings : Settings
        With paths and URIs as this machine sees them; ``workers`` are processes of this machine.
    batch : Batch
    context : RunContext

    Returns
    -------
    tuple of Entry
        One for each call.
    """
    station = _enter(settings, context)
    try:
        done = _stored(station.store, batch.tasks, context)
        finished = {entry.unit for entry in done}
        todo = [task for task in batch.tasks if task.call.call_id not in finished]
        if todo:
            station.desk.work(station.pool, todo, on_outcome=lambda _: None, on_commit=done.extend)
        return tuple(done)
    finally:
        _leave(station)


def release() -> None:
    """End this process's workers; the next batch starts new ones."""
    global _station
    with _guard:
        station, _station = _station, None
    if station is not None:
        if station.timer is not None:
            station.timer.cancel()
        station.pool.stop()


def _enter(settings: Settings, context: RunContext) -> _Station:
    global _station  # noqa: PLW0603 - one per process
    if settings.results is None:
        raise ConfigError("setting results is empty; a cluster needs a place that all machines share")
    with _guard:
        if _station is not None and _station.run_id != context.run_id and not _station.busy:
            _station.pool.stop()
            _station = None
        if _station is None:
            # Only a process that is no daemon may have children of its own.
            store = Store.open(settings.results, write=True)
            pool = HearingPool(
                worker_setup(settings, context.run_id),
                workers=settings.worker_count(),
                call_timeout_s=settings.call_timeout_s,
            )
            _station = _Station(context.run_id, pool, store, Desk(store, context))
            atexit.register(release)
        _station.busy += 1
        if _station.timer is not None:
            _station.timer.cancel()
        return _station


def _leave(station: _Station) -> None:
    with _guard:
        station.busy -= 1
        if not station.busy:
            station.timer = threading.Timer(IDLE_S, release)
            station.timer.daemon = True
            station.timer.start()


def _stored(store: Store, tasks: Sequence[CallTask], context: RunContext) -> list[Entry]:
    """Calls of the batch that have a newer version than the plan knew of."""
    ids = [task.call.call_id for task in tasks]
    columns = ("call_id", "version", "run_id", "score", "grade", "duration_s")
    rows: dict[str, dict[str, Any]] = {
        row["call_id"]: row for row in store.read("scores", columns=columns, call_ids=ids).to_pylist()
    }
    found: list[Entry] = []
    for task in tasks:
        row = rows.get(task.call.call_id)
        if row is None or row["version"] <= task.supersedes:
            continue
        if row["run_id"] != context.run_id:
            found.append(Entry(task.call.call_id, "skipped"))
        else:
            found.append(
                Entry(
                    task.call.call_id,
                    "scored",
                    score=row["score"],
                    grade=row["grade"],
                    audio_s=row["duration_s"],
                )
            )
    return found
