"""One night from settings to a checked account; `zhijian score` and the Prefect flow both drive it.

`open_night` reads and plans, `Night.score_batch` hears, judges and commits, `Night.close` holds calls
in against calls out and records the run. What is finished is committed every few seconds, so a kill
loses seconds of work and no row.

Table of contents: `Batch`, `BatchCount`, `Night`, `open_night`, `run_night`.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from pipeline.audit import audit_place, checkpoint, record_refusal
from pipeline.callrecords import read_call_records
from pipeline.disputes.archive import archive_rulebook
from pipeline.errors import ConfigError, InputError, KeyMaterialError, WorkerDiedError
from pipeline.judging.calendar_cn import CHINA
from pipeline.night.account import Account
from pipeline.night.plan import NightPlan, plan_night, recording_mark
from pipeline.night.pool import HearingPool
from pipeline.night.preflight import check_weights
from pipeline.night.summary import NightSummary
from pipeline.night.worker import CallTask, Failed, Scored, WorkerSetup, open_identity
from pipeline.results.entries import QuarantineRow, ScoredCall
from pipeline.results.store import Store
from pipeline.settings import Settings
from pipeline.vault.recordings import RecordingRef, list_recordings, read_recording

COMMIT_EVERY_S = 20.0
BATCHES_IN_FLIGHT = 2
OnProgress = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Batch:
    """Calls that are worked on as one Prefect task."""

    number: int
    tasks: tuple[CallTask, ...]

    @property
    def size(self) -> int:
        """How many calls."""
        return len(self.tasks)


@dataclass(frozen=True, slots=True)
class BatchCount:
    """What became of a batch."""

    scored: int
    quarantined: int
    skipped: int


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
    ) -> None:
        self.plan = plan
        self.run_id = run_id
        self.batches = tuple(
            Batch(i, tuple(group)) for i, group in enumerate(_chunks(plan.tasks, settings.batch_calls))
        )
        self.on_progress: OnProgress = lambda audio_s: None
        self._store = store
        self._settings = settings
        self._key_id = key_id
        self._account = Account(run_id, plan, started_at)
        self._lock = threading.Lock()
        self._pool: HearingPool | None = None
        self._stopped = False

    def describe(self) -> str:
        """One line for a log: what is ahead."""
        plan = self.plan
        return (
            f"run {self.run_id}: {plan.calls_in} calls in, {len(plan.tasks)} to hear "
            f"in {len(self.batches)} batches, "
            f"{plan.skipped} scored already, {plan.refused_units + plan.waiting} cannot be heard"
        )

    def score_batch(self, batch: Batch) -> BatchCount:
        """Hear, judge and commit one batch.

        Raises
        ------
        StorageError
            Results could not be written; what was committed stays, and the batch may be repeated.
        """
        todo = [task for task in batch.tasks if task.call.call_id not in self._account.ends]
        outcomes: list[Scored | Failed] = []
        committed_s = time.monotonic()
        try:
            for outcome in self._workers().score(todo):
                outcomes.append(outcome)
                if isinstance(outcome, Scored):
                    self.on_progress(outcome.hearing.duration_s)
                else:
                    self.on_progress(0.0)
                if time.monotonic() - committed_s > COMMIT_EVERY_S:
                    done, outcomes = outcomes, []
                    self._commit(done)
                    committed_s = time.monotonic()
        finally:
            # also when interrupted: what was heard is worth keeping
            self._commit(outcomes)
        ids = [task.call.call_id for task in batch.tasks]
        return BatchCount(*(self._account.count(ids, end) for end in ("scored", "quarantined", "skipped")))

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
                raise WorkerDiedError("the night was stopped; run it again to go on")
            if self._pool is None:
                settings = self._settings
                setup = WorkerSetup(
                    model=settings.model,
                    model_dir=settings.model_dir,
                    device=settings.device,
                    compute_type=settings.compute_type,
                    threads=settings.threads_per_worker,
                    rulebook=settings.rulebook,
                    identity=settings.identity,
                    audit=audit_place(settings),
                    run_id=self.run_id,
                )
                workers = min(settings.worker_count(), max(1, len(self.plan.tasks)))
                self._pool = HearingPool(setup, workers=workers, call_timeout_s=settings.call_timeout_s)
            return self._pool

    def _commit(self, outcomes: Sequence[Scored | Failed]) -> None:
        if not outcomes:
            return
        now = datetime.now(UTC)
        scored: list[ScoredCall] = []
        failed: list[QuarantineRow] = []
        for outcome in outcomes:
            if isinstance(outcome, Failed):
                failed.append(self._quarantine_row(outcome, now))
                continue
            try:
                scored.append(self._scored_call(outcome, now))
            except InputError as error:  # a value that cannot be stored costs its call, not its batch
                refused = Failed(outcome.task, "store", error.kind, str(error), False)
                failed.append(self._quarantine_row(refused, now))
        with self._lock:
            self._account.book(scored, failed, self._store.commit(scored, failed))

    def _scored_call(self, outcome: Scored, now: datetime) -> ScoredCall:
        task = outcome.task
        return ScoredCall(
            call=task.call,
            hearing=outcome.hearing,
            judgement=outcome.judgement,
            recording_uri=task.recording.uri,
            scored_at=now,
            recording_size_bytes=task.recording.size_bytes,
            recording_stamp=task.recording.stamp,
            supersedes=task.supersedes,
            run_id=self.run_id,
        )

    def _quarantine_row(self, failed: Failed, now: datetime) -> QuarantineRow:
        return QuarantineRow(
            call_id=failed.task.call.call_id,
            path=failed.task.recording.uri,
            stage=failed.stage,
            kind=failed.kind,
            message=failed.message,
            first_seen=now,
            last_seen=now,
            attempts=failed.attempts,
            fingerprint=recording_mark(failed.task.recording),
            key_id=self._key_id,
            call_date=failed.task.call.started_at.date(),
            run_id=self.run_id,
        )


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
    plan = plan_night(
        table,
        recordings,
        calls_path=settings.calls,
        recordings_path=settings.recordings,
        scored=store.scored_fingerprints(call.call_id for call in table.records),
        quarantined=store.quarantined(),
        seen=store.quarantined(include_resolved=True),
        key_id=identity.key_id,
        sha256=_sha256,
        now=started_at,
        run_id=run_id,
        retry_quarantined=retry_quarantined,
    )
    ordered = tuple(sorted(plan.tasks, key=lambda t: (-t.recording.size_bytes, t.call.call_id)))
    return Night(
        replace(plan, tasks=ordered),
        store,
        settings,
        run_id=run_id,
        key_id=identity.key_id,
        started_at=started_at,
    )


def run_night(night: Night) -> NightSummary:
    """Work through all batches without Prefect.

    Returns
    -------
    NightSummary
    """
    executor = ThreadPoolExecutor(max_workers=BATCHES_IN_FLIGHT, thread_name_prefix="batch")
    try:
        for future in [executor.submit(night.score_batch, batch) for batch in night.batches]:
            future.result()
        return night.close()
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
        night.stop()
        executor.shutdown(wait=True)


def _sha256(ref: RecordingRef) -> str:
    return read_recording(ref).sha256


def _chunks(tasks: Sequence[CallTask], size: int) -> list[Sequence[CallTask]]:
    return [tasks[start : start + size] for start in range(0, len(tasks), size)]
