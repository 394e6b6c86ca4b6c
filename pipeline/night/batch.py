"""A batch of calls from its tasks to committed results; the same on this machine and on any other.

What comes back of a batch are `Entry` records: ids, counts and figures, never words, so they may pass
through any scheduler.

Table of contents: `Batch`, `BatchCount`, `RunContext`, `Entry`, `Desk`, `worker_setup`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pipeline.audit import audit_place
from pipeline.errors import InputError
from pipeline.night.plan import recording_mark
from pipeline.night.pool import HearingPool
from pipeline.night.worker import CallTask, Failed, Scored, WorkerSetup
from pipeline.results.entries import Committed, QuarantineRow, ScoredCall
from pipeline.results.store import Store
from pipeline.settings import Settings

COMMIT_EVERY_S = 20.0
OnOutcome = Callable[[Scored | Failed], None]


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


@dataclass(frozen=True, slots=True)
class RunContext:
    """What every row of a run carries."""

    run_id: str
    key_id: str | None


@dataclass(frozen=True, slots=True)
class Entry:
    """What became of one call.

    Attributes
    ----------
    unit : str
        Call id.
    end : {"scored", "quarantined", "skipped"}
    reason : str
        Kind of error of a quarantined call.
    audio_s, stage_s, cpu_s : float, mapping, float
        Audio heard; CPU seconds by stage of hearing; CPU seconds of the worker in all.
    worker, peak_mb : str, float
        Process that heard it, and its largest resident memory so far.
    """

    unit: str
    end: str
    reason: str = ""
    score: float | None = None
    grade: str = ""
    audio_s: float = 0.0
    stage_s: Mapping[str, float] = field(default_factory=dict)
    cpu_s: float = 0.0
    worker: str = ""
    peak_mb: float = 0.0


class Desk:
    """Where the outcomes of workers are committed.

    Parameters
    ----------
    store : Store
    context : RunContext
    """

    def __init__(self, store: Store, context: RunContext) -> None:
        self._store = store
        self._context = context
        self._lock = threading.Lock()

    def work(
        self,
        pool: HearingPool,
        tasks: Sequence[CallTask],
        *,
        on_outcome: OnOutcome,
        on_commit: Callable[[Sequence[Entry]], None],
    ) -> None:
        """Hear, judge and commit calls; what was finished is committed every few seconds.

        Parameters
        ----------
        pool : HearingPool
        tasks : sequence of CallTask
        on_outcome : callable
            Called for every call as it is finished.
        on_commit : callable
            Called with what a commit has stored, after it is safely there.

        Raises
        ------
        StorageError
            Results could not be written; what was committed stays, and the batch may be repeated.
        """
        outcomes: list[Scored | Failed] = []
        committed_s: float | None = None
        try:
            for outcome in pool.score(tasks):
                outcomes.append(outcome)
                on_outcome(outcome)
                if committed_s is None:  # until now models were loaded: no reason to commit one call alone
                    committed_s = time.monotonic()
                if time.monotonic() - committed_s > COMMIT_EVERY_S:
                    done, outcomes = outcomes, []
                    self.commit(done, on_commit)
                    committed_s = time.monotonic()
        finally:
            # also when interrupted: what was heard is worth keeping
            self.commit(outcomes, on_commit)

    def commit(
        self, outcomes: Sequence[Scored | Failed], on_commit: Callable[[Sequence[Entry]], None]
    ) -> None:
        """Store outcomes and say what became of each."""
        if not outcomes:
            return
        now = datetime.now(UTC)
        scored: list[ScoredCall] = []
        refused: list[Failed] = []
        for outcome in outcomes:
            if isinstance(outcome, Scored):
                try:
                    scored.append(self._scored_call(outcome, now))
                except InputError as error:  # a value that cannot be stored costs its call, not its batch
                    refused.append(Failed(outcome.task, "store", error.kind, str(error), False))
            else:
                refused.append(outcome)
        failed = [self._quarantine_row(outcome, now) for outcome in refused]
        with self._lock:
            committed = self._store.commit(scored, failed)
            on_commit(tuple(_entries(outcomes, refused, committed)))

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
            run_id=self._context.run_id,
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
            key_id=self._context.key_id,
            call_date=failed.task.call.started_at.date(),
            run_id=self._context.run_id,
        )


def _entries(
    outcomes: Sequence[Scored | Failed], refused: Sequence[Failed], committed: Committed
) -> Iterable[Entry]:
    reasons = {failed.task.call.call_id: failed.kind for failed in refused}
    for outcome in outcomes:
        call_id = outcome.task.call.call_id
        worker, peak_mb, cpu_s = outcome.worker, outcome.peak_mb, outcome.cpu_s
        if call_id in reasons:
            yield Entry(call_id, "quarantined", reasons[call_id], worker=worker, peak_mb=peak_mb, cpu_s=cpu_s)
        elif isinstance(outcome, Scored) and call_id not in committed.dropped:
            yield Entry(
                call_id,
                "scored",
                score=outcome.judgement.score,
                grade=outcome.judgement.grade,
                audio_s=outcome.hearing.duration_s,
                stage_s=dict(outcome.hearing.stage_s),
                cpu_s=cpu_s,
                worker=worker,
                peak_mb=peak_mb,
            )
        else:
            yield Entry(call_id, "skipped", worker=worker, peak_mb=peak_mb, cpu_s=cpu_s)


def worker_setup(settings: Settings, run_id: str) -> WorkerSetup:
    """What worker processes of a run need to start."""
    return WorkerSetup(
        model=settings.model,
        model_dir=settings.model_dir,
        device=settings.device,
        compute_type=settings.compute_type,
        threads=settings.threads_per_worker,
        rulebook=settings.rulebook,
        identity=settings.identity,
        audit=audit_place(settings),
        run_id=run_id,
    )
