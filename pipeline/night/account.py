"""The account of one run: what was finished, what failed, and the proof that the sum is right.

Table of contents: `Account`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pipeline.night.batch import Entry
from pipeline.night.plan import NightPlan
from pipeline.night.summary import NightSummary
from pipeline.night.worker import peak_memory_mb
from pipeline.results.entries import RunRow
from pipeline.results.receipts import code_version
from pipeline.results.store import Store

WORST_SHOWN = 10


@dataclass(slots=True)
class Account:
    """Counts while a run goes on; `close` checks and stores them.

    Attributes
    ----------
    ends : mapping of call id to "scored", "quarantined" or "skipped"
        What became of each call that was worked on in this run.
    worker_cpu_s : float
        CPU seconds of the worker processes while they had a call.
    peaks_mb : mapping of worker to float
        Largest resident memory of each worker process.
    damaged : tuple of str
        Result files that were set aside at the start.
    """

    run_id: str
    plan: NightPlan
    started_at: datetime
    start_s: float = field(default_factory=time.monotonic)
    start_cpu_s: float = field(default_factory=time.process_time)
    ends: dict[str, str] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)
    stage_s: dict[str, float] = field(default_factory=dict)
    audio_s: float = 0.0
    scores: list[tuple[float, str, str]] = field(default_factory=list)
    worker_cpu_s: float = 0.0
    peaks_mb: dict[str, float] = field(default_factory=dict)
    damaged: tuple[str, ...] = ()

    def book(self, entries: Sequence[Entry]) -> None:
        """Enter what has been committed; an entry that comes again changes nothing."""
        for entry in entries:
            if entry.worker:
                self.peaks_mb[entry.worker] = max(self.peaks_mb.get(entry.worker, 0.0), entry.peak_mb)
            if entry.unit in self.ends:
                continue
            self.ends[entry.unit] = entry.end
            self.worker_cpu_s += entry.cpu_s
            if entry.reason:
                self.reasons[entry.reason] += 1
            self.audio_s += entry.audio_s
            for stage, seconds in entry.stage_s.items():
                self.stage_s[stage] = self.stage_s.get(stage, 0.0) + seconds
            if entry.score is not None:
                self.scores.append((entry.score, entry.unit, entry.grade))

    def count(self, call_ids: Iterable[str], end: str) -> int:
        """How many of these calls ended so."""
        return sum(self.ends.get(call_id) == end for call_id in call_ids)

    def close(self, store: Store, *, model: str) -> NightSummary:
        """Store the refused rows, hold calls in against calls out, record the run.

        Raises
        ------
        AccountingError
            Calls in differ from scored + quarantined + skipped.
        """
        plan = self.plan
        if plan.refused:
            store.commit(quarantined=plan.refused)
        self.reasons.update(row.kind for row in plan.refused)
        ends = Counter(self.ends.values())
        summary = NightSummary(
            run_id=self.run_id,
            started_at=self.started_at,
            ended_at=datetime.now(UTC),
            calls_in=plan.calls_in,
            scored=ends["scored"],
            quarantined=ends["quarantined"] + plan.refused_units + plan.waiting,
            skipped=ends["skipped"] + plan.skipped,
            waiting=plan.waiting,
            audio_s=self.audio_s,
            wall_s=time.monotonic() - self.start_s,
            stage_s=dict(self.stage_s),
            reasons=dict(self.reasons),
            workers=len(self.peaks_mb),
            peak_mb=sum(self.peaks_mb.values()) + peak_memory_mb(),
            damaged=self.damaged,
            worst=tuple(
                (call_id, score, grade) for score, call_id, grade in sorted(self.scores)[:WORST_SHOWN]
            ),
        )
        summary.check()
        store.record_run(
            RunRow(
                run_id=self.run_id,
                started_at=self.started_at,
                ended_at=summary.ended_at,
                calls_in=summary.calls_in,
                scored=summary.scored,
                quarantined=summary.quarantined,
                skipped=summary.skipped,
                audio_s=summary.audio_s,
                wall_s=summary.wall_s,
                versions={"zhijian": code_version(), "model": model},
                details={
                    **{f"cpu_{stage}_s": round(seconds, 3) for stage, seconds in self.stage_s.items()},
                    "cpu_workers_s": round(self.worker_cpu_s, 3),
                    "cpu_main_s": round(time.process_time() - self.start_cpu_s, 3),
                    "workers": len(self.peaks_mb),
                    "peak_worker_mb": round(max(self.peaks_mb.values(), default=0.0), 1),
                    "peak_all_mb": round(summary.peak_mb, 1),
                    "damaged_files": len(self.damaged),
                },
            )
        )
        return summary
