"""One night from settings to a checked account; `zhijian score` and the Prefect flow both drive it.

`open_night` reads and plans, `Night.score_batch` hears, judges and commits, `Night.close` holds calls
in against calls out and records the run. What is finished is committed every few seconds, so a kill
loses seconds of work and no row.

Table of contents: `Night`, `open_night`, `run_night`.
"""

from __future__ import annotations

import math
import threading
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

from pipeline.audit import audit_place, checkpoint, record_refusal
from pipeline.callrecords import read_call_records
from pipeline.disputes.archive import archive_rulebook
from pipeline.errors import ConfigError, KeyMaterialError, NightStoppedError
from pipeline.judging.calendar_cn import CHINA
from pipeline.night.account import Account
from pipeline.night.batch import Batch, BatchCount, Desk, Entry, RunContext, worker_setup
from pipeline.night.plan import NightPlan, plan_night
from pipeline.night.pool import HearingPool
from pipeline.night.preflight import check_weights
from pipeline.night.summary import NightSummary
from pipeline.night.worker import CallTask, Failed, Scored, open_identity
from pipeline.results.storage import DamagedResultsError
from pipeline.results.store import Store
from pipeline.results.upkeep import Damaged
from pipeline.settings import Settings
from pipeline.vault.hardening import no_core_dumps
from pipeline.vault.recordings import RecordingRef, list_recordings, read_recording

OnProgress = Callable[[float, int], None]
"""Called for every finished call with its seconds of audio and the bytes of its recording."""


class Night:
    """A planned night with its store and, once the first batch starts, its worker processes.

    Made by `open_night`. `score_batch` may be called from several threads; a batch that is repeated
    after an error does not hear finished calls again.
    """

    def __init__(
        self,
        plan: NightPlan,
        store: Store,
        settings: Settings,
        *,
        run_id: str,
        key_id: str | None,
        started_at: datetime,
        damaged: Sequence[Damaged] = (),
    ) -> None:
        self.plan = plan
        self.run_id = run_id
        self.context = RunContext(run_id, key_id)
        self.damaged = tuple(damaged)
        self.batches = tuple(
            Batch(i, tuple(group)) for i, group in enumerate(_chunks(plan.tasks, settings.batch_calls))
        )
        self.on_progress: OnProgress = lambda audio_s, size_bytes: None
        self._store = store
        self._settings = settings
        self._desk = Desk(store, self.context)
        self._account = Account(run_id, plan, started_at, damaged=tuple(p for d in damaged for p in d.paths))
        self._lock = threading.Lock()
        self._pool: HearingPool | None = None
        self._stopped = False

    def describe(self) -> str:
        """One line for a log: what is ahead."""
        plan = self.plan
        return (
            f"run {self.run_id}: {plan.calls_in} calls in, {len(plan.tasks)} to hear "
            f"in {len(self.batches)} batch{'' if len(self.batches) == 1 else 'es'}, "
            f"{plan.skipped} scored already, {plan.refused_units + plan.waiting} cannot be heard"
            + "".join(
                f"; {d.paths[0]} was damaged and is set aside, its "
                + ("1 call is" if len(d.call_ids) == 1 else f"{len(d.call_ids)} calls are")
                + " heard again"
                for d in self.damaged
            )
        )

    @property
    def batches_in_flight(self) -> int:
        """Batches to work on at once, so that no worker waits while another finishes a batch.

        Returns
        -------
        int
            At least 2.
        """
        return 1 + math.ceil(self._settings.worker_count() / self._settings.batch_calls)

    def score_batch(self, batch: Batch) -> BatchCount:
        """Hear, judge and commit one batch.

        Raises
        ------
        StorageError
            Results could not be written; what was committed stays, and the batch may be repeated.
        """
        todo = [task for task in batch.tasks if task.call.call_id not in self._account.ends]
        if todo:
            self._desk.work(self._workers(), todo, on_outcome=self._tell, on_commit=self._account.book)
        return self._count(batch)

    def book(self, batch: Batch, entries: Sequence[Entry]) -> BatchCount:
        """Enter what another machine has committed.

        Parameters
        ----------
        batch : Batch
        entries : sequence of Entry
            As `pipeline.night.remote.score_batch_here` gave them.
        """
        self._account.book(entries)
        sizes = {task.call.call_id: task.recording.size_bytes for task in batch.tasks}
        for entry in entries:
            self.on_progress(entry.audio_s, sizes.get(entry.unit, 0))
        return self._count(batch)

    def _count(self, batch: Batch) -> BatchCount:
        ids = [task.call.call_id for task in batch.tasks]
        return BatchCount(*(self._account.count(ids, end) for end in ("scored", "quarantined", "skipped")))

    def _tell(self, outcome: Scored | Failed) -> None:
        audio_s = outcome.hearing.duration_s if isinstance(outcome, Scored) else 0.0
        self.on_progress(audio_s, outcome.task.recording.size_bytes)

    def close(self) -> NightSummary:
        """Hold calls in against calls out, and record the run.

        Returns
        -------
        NightSummary

        Raises
        ------
        AccountingError
            They do not add up.
        """
        summary = self._account.close(self._store, model=self._settings.model)
        checkpoint(audit_place(self._settings))
        return summary

    def stop(self) -> None:
        """End the worker processes; safe to call twice, and while a batch is being worked on."""
        with self._lock:
            self._stopped = True
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.stop()

    def _workers(self) -> HearingPool:
        with self._lock:
            if self._stopped:
                raise NightStoppedError("the night was stopped; run it again to go on")
            if self._pool is None:
                settings = self._settings
                self._pool = HearingPool(
                    worker_setup(settings, self.run_id),
                    workers=min(settings.worker_count(), max(1, len(self.plan.tasks))),
                    call_timeout_s=settings.call_timeout_s,
                )
            return self._pool


def open_night(settings: Settings, *, retry_quarantined: bool = False) -> Night:
    """Check that the night can run, then plan it.

    Everything that would stop every call (key, weights, rulebook, results folder) is tried before the
    first call is heard.

    Parameters
    ----------
    settings : Settings
        With ``recordings``, ``calls`` and ``results``.
    retry_quarantined : bool
        Try quarantined recordings again though nothing has changed.

    Raises
    ------
    ZhijianError
        Something that concerns the whole night is missing or unusable.
    """
    if settings.recordings is None or settings.calls is None or settings.results is None:
        missing = [name for name in ("recordings", "calls", "results") if getattr(settings, name) is None]
        raise ConfigError(
            f"setting {', '.join(missing)} is empty; give it as a flag, in zhijian.toml or as ZHIJIAN_…"
        )
    started_at = datetime.now(UTC)
    no_core_dumps()
    try:
        identity = open_identity(settings.identity)
    except KeyMaterialError as error:
        record_refusal(None, error, at=audit_place(settings), purpose="night")
        raise
    check_weights(settings)
    table = read_call_records(settings.calls)
    recordings = list_recordings(settings.recordings)
    store = Store.open(settings.results, write=True)
    archive_rulebook(store, settings.rulebook, in_force_from=started_at.astimezone(CHINA).date())
    checkpoint(audit_place(settings))  # a log that cannot be written stops the night before the first call
    run_id = f"{started_at:%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}"
    dates = {call.started_at.date().isoformat() for call in table.records}
    damaged = store.set_aside_damaged(dates, run_id=run_id)

    def planned() -> NightPlan:
        return plan_night(
            table,
            recordings,
            calls_path=str(settings.calls),
            recordings_path=str(settings.recordings),
            scored=store.scored_fingerprints(call.call_id for call in table.records),
            quarantined=store.quarantined(),
            seen=store.quarantined(include_resolved=True),
            key_id=identity.key_id,
            hashes=_hashes,
            scored_by=store.scored_by,
            now=started_at,
            run_id=run_id,
            retry_quarantined=retry_quarantined,
        )

    try:
        plan = planned()
    except DamagedResultsError as error:  # of another day: its files are read only to know what is scored
        damaged += store.set_aside_damaged(paths=error.paths, run_id=run_id)
        plan = planned()
    ordered = tuple(sorted(plan.tasks, key=lambda t: (-t.recording.size_bytes, t.call.call_id)))
    return Night(
        replace(plan, tasks=ordered),
        store,
        settings,
        run_id=run_id,
        key_id=identity.key_id,
        started_at=started_at,
        damaged=damaged,
    )


def run_night(night: Night) -> NightSummary:
    """Work through all batches without Prefect.

    Returns
    -------
    NightSummary
    """
    executor = ThreadPoolExecutor(max_workers=night.batches_in_flight, thread_name_prefix="batch")
    try:
        for future in [executor.submit(night.score_batch, batch) for batch in night.batches]:
            future.result()
        return night.close()
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
        night.stop()
        executor.shutdown(wait=True)


def _hashes(ref: RecordingRef) -> tuple[str, str]:
    sealed = read_recording(ref)
    return sealed.sha256, sealed.payload_sha256


def _chunks(tasks: Sequence[CallTask], size: int) -> list[Sequence[CallTask]]:
    return [tasks[start : start + size] for start in range(0, len(tasks), size)]
