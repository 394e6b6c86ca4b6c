"""The account of one run: what was finished, what failed, and the proof that the sum is right.

Table of contents: `Account`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pipeline.night.plan import NightPlan
from pipeline.night.summary import NightSummary
from pipeline.results.entries import Committed, QuarantineRow, RunRow, ScoredCall
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
    """

    run_id: str
    plan: NightPlan
    started_at: datetime
    start_s: float = field(default_factory=time.monotonic)
    ends: dict[str, str] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)
    stage_s: dict[str, float] = field(default_factory=dict)
    audio_s: float = 0.0
    scores: list[tuple[float, str, str]] = field(default_factory=list)

    def book(
        self, scored: Sequence[ScoredCall], failed: Sequence[QuarantineRow], committed: Committed
    ) -> None:
        """Enter what one commit has stored."""
        for row in failed:
            self.ends[row.call_id or row.path] = "quarantined"
            self.reasons[row.kind] += 1
        for entry in scored:
            call_id = entry.call.call_id
            if call_id in committed.dropped:
                self.ends[call_id] = "skipped"
                continue
            self.ends[call_id] = "scored"
            self.audio_s += entry.hearing.duration_s
            self._add_stages(entry.hearing.stage_s)
            if entry.judgement.score is not None:
                self.scores.append((entry.judgement.score, call_id, entry.judgement.grade))

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
                details={f"cpu_{stage}_s": round(seconds, 3) for stage, seconds in self.stage_s.items()},
            )
        )
        return summary

    def _add_stages(self, stage_s: Mapping[str, float]) -> None:
        for stage, seconds in stage_s.items():
            self.stage_s[stage] = self.stage_s.get(stage, 0.0) + seconds
