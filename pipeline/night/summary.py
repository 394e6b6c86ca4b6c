"""What a night came to: counts that add up, and where to look first.

Table of contents: `NightSummary`, `markdown_summary`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pipeline.errors import AccountingError


@dataclass(frozen=True, slots=True)
class NightSummary:
    """Counts of one run; holds call ids, never words.

    Attributes
    ----------
    calls_in, scored, quarantined, skipped : int
        ``calls_in == scored + quarantined + skipped``.
    waiting : int
        Those of ``quarantined`` that failed in an earlier run and were not tried again, because
        neither file nor key has changed.
    audio_s, wall_s : float
        Audio heard in this run; time the run took.
    stage_s : mapping of str to float
        CPU seconds inside the workers, by stage.
    reasons : mapping of str to int
        Quarantined units of this run by kind of error.
    worst : tuple of (call_id, score, grade)
        The lowest scores of this run, lowest first.
    workers, peak_mb : int, float
        Worker processes, and the sum of the largest resident memory of each and of the main process.
    damaged : tuple of str
        Result files that were found damaged and set aside.
    """

    run_id: str
    started_at: datetime
    ended_at: datetime
    calls_in: int
    scored: int
    quarantined: int
    skipped: int
    waiting: int
    audio_s: float
    wall_s: float
    stage_s: Mapping[str, float]
    reasons: Mapping[str, int]
    worst: tuple[tuple[str, float, str], ...]
    workers: int = 0
    peak_mb: float = 0.0
    damaged: tuple[str, ...] = ()

    def check(self) -> None:
        """Hold the counts against each other.

        Raises
        ------
        AccountingError
            Calls in differ from scored + quarantined + skipped.
        """
        out = self.scored + self.quarantined + self.skipped
        if out != self.calls_in:
            raise AccountingError(
                f"run {self.run_id}: {self.calls_in} calls in, but {self.scored} scored + {self.quarantined} "
                f"quarantined + {self.skipped} skipped = {out}; this is a defect of zhijian, please report it"
            )

    def counts(self) -> dict[str, int]:
        """The four numbers of the account."""
        return {
            "calls_in": self.calls_in,
            "scored": self.scored,
            "quarantined": self.quarantined,
            "skipped": self.skipped,
        }

    def headline(self) -> str:
        """One line for a log."""
        speed = f", {self.audio_s / self.wall_s:.1f} x real time" if self.audio_s and self.wall_s else ""
        again = f" ({self.waiting} of them unchanged since an earlier run)" if self.waiting else ""
        return (
            f"{self.calls_in} calls in = {self.scored} scored + {self.quarantined} quarantined{again} "
            f"+ {self.skipped} skipped; {self.audio_s / 60:.1f} min of audio in {self.wall_s:.0f} s{speed}"
        )


def markdown_summary(summary: NightSummary) -> str:
    """The night as a Markdown table, for Prefect's artifacts and for mail.

    Returns
    -------
    str
        Chinese, for people; call ids and counts only.
    """
    lines = [
        f"# 夜间质检 {summary.started_at:%Y-%m-%d %H:%M}",
        "",
        "| 应检 | 已评分 | 隔离 | 跳过 | 录音时长 | 用时 | 倍速 |",
        "|---:|---:|---:|---:|---:|---:|---:|",
        f"| {summary.calls_in} | {summary.scored} | {summary.quarantined} | {summary.skipped} "
        f"| {summary.audio_s / 60:.1f} 分钟 | {summary.wall_s:.0f} 秒 "
        f"| {summary.audio_s / summary.wall_s if summary.wall_s else 0:.1f} |",
    ]
    if summary.reasons:
        lines += ["", "## 隔离原因", "", "| 原因 | 数量 |", "|---|---:|"]
        lines += [f"| `{kind}` | {count} |" for kind, count in sorted(summary.reasons.items())]
        if summary.waiting:
            lines += ["", f"其中 {summary.waiting} 通自上次以来录音与密钥均未变化，未重试。"]
    if summary.damaged:
        lines += ["", "## 损坏的结果文件（已移至 `_damaged/`，其通话已重新检听）", ""]
        lines += [f"- `{path}`" for path in summary.damaged]
    if summary.worst:
        lines += ["", "## 得分最低", "", "| 通话 | 得分 | 等级 |", "|---|---:|---|"]
        lines += [f"| `{call_id}` | {score:.1f} | {grade} |" for call_id, score, grade in summary.worst]
    if summary.stage_s:
        total = sum(summary.stage_s.values())
        lines += ["", "## 各阶段 CPU 时间", "", "| 阶段 | 秒 | 占比 |", "|---|---:|---:|"]
        lines += [
            f"| {stage} | {seconds:.1f} | {seconds / total if total else 0:.0%} |"
            for stage, seconds in sorted(summary.stage_s.items(), key=lambda item: -item[1])
        ]
    if summary.scored and summary.wall_s:
        lines += [
            "",
            "## 吞吐",
            "",
            "| 通话/秒 | 录音小时/小时 | 工作进程 | 内存峰值合计 |",
            "|---:|---:|---:|---:|",
            f"| {summary.scored / summary.wall_s:.2f} | {summary.audio_s / summary.wall_s:.1f} "
            f"| {summary.workers} | {summary.peak_mb:.0f} MB |",
        ]
    return "\n".join([*lines, "", f"run `{summary.run_id}`", ""])
