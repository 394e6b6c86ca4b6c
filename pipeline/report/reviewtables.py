"""What reviews say about the machine, in a terminal, in Chinese.

Table of contents: `stats_tables`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pipeline.report.terminal import VERDICT_ZH, number

if TYPE_CHECKING:
    from pipeline.disputes.agreement import Kappa
    from pipeline.disputes.effective import EffectiveScore
    from pipeline.disputes.sampling import RuleEstimate


def share(value: float | None, low: float | None = None, high: float | None = None) -> str:
    """A share with its interval in percent; an unknown one is a dash.

    Examples
    --------
    >>> share(0.8, 0.49, 0.943), share(None)
    ('80%（49–94）', '—')
    """
    if value is None:
        return "—"
    interval = "" if low is None or high is None else f"（{100 * low:.0f}–{100 * high:.0f}）"
    return f"{100 * value:.0f}%{interval}"


def stats_tables(
    sample_id: str | None,
    estimates: Sequence[RuleEstimate],
    machine: Kappa,
    between: Mapping[tuple[str, str], Kappa],
    effective: Sequence[EffectiveScore],
    *,
    confidence: float,
) -> RenderableType:
    """Precision and recall by rule, agreement, and calls whose score people changed."""
    parts: list[RenderableType] = []
    if sample_id is None:
        parts.append(Text("还没有抽样：zhijian review export --sample", style="yellow"))
    else:
        table = Table(
            box=box.SIMPLE_HEAD,
            title=f"抽样 {sample_id}：按规则（{100 * confidence:g}% 区间）",
            title_justify="left",
        )
        for name in ("规则", "查准", "查全", "含待人工", "已复核/总数", "未复核的层"):
            table.add_column(name, overflow="fold")
        for each in estimates:
            reviewed = "，".join(
                f"{VERDICT_ZH[kind]} {each.reviewed[kind]}/{total}" for kind, total in each.population.items()
            )
            table.add_row(
                each.rule_id,
                share(each.precision, each.precision_low, each.precision_high),
                share(each.recall, each.recall_low, each.recall_high),
                share(each.recall_flagged),
                reviewed,
                "、".join(VERDICT_ZH[kind] for kind in each.unseen) or "无",
            )
        parts.append(table)
    parts.append(Text(f"人工与机器：{_kappa(machine)}"))
    parts.extend(Text(f"{first} 与 {second}：{_kappa(kappa)}") for (first, second), kappa in between.items())
    changed = [each for each in effective if each.changed]
    parts.append(Text(f"已复核 {len(effective)} 通，其中 {len(changed)} 通的判定有改动"))
    if changed:
        table = Table(box=box.SIMPLE_HEAD)
        for name in ("通话", "机器得分", "复核后", "机器等级", "复核后等级"):
            table.add_column(name)
        for call in changed:
            table.add_row(
                call.call_id, number(call.machine_score), number(call.score), call.machine_grade, call.grade
            )
        parts.append(table)
    return Group(*parts)


def _kappa(kappa: Kappa) -> str:
    if kappa.value is None:
        return f"κ 无法计算（共同判定 {kappa.units} 项）"
    return (
        f"κ {kappa.value:.2f}（{kappa.low:.2f}–{kappa.high:.2f}），"
        f"一致 {100 * kappa.observed:.0f}%，共 {kappa.units} 项"
    )
