"""What a run of retention found and did, in a terminal, in Chinese; call ids only, nothing that was said.

Table of contents: `retention_page`, `next_command`.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pipeline.retention.policy import load_policy

if TYPE_CHECKING:
    from pipeline.retention.run import RetentionReport

_SHOWN = 20


def retention_page(report: RetentionReport, *, asked_to_apply: bool = False) -> RenderableType:
    """Lay out a run: what was deleted, what is due now, and what is kept why.

    Parameters
    ----------
    report : RetentionReport
    asked_to_apply : bool
        Whether a deletion was asked for; that none took place is then said.
    """
    plan = report.plan
    parts: list[RenderableType] = [
        Text(f"保存期限检查   {plan.made_on}（北京时间）   规定版本 {plan.policy}", style="bold")
    ]
    if report.deleted is not None:
        gone = report.deleted
        rows = sum(gone.rows.values())
        parts.append(Text(f"已删除：{gone.calls} 通通话，{gone.recordings} 个录音文件，{rows} 行结果"))
    elif asked_to_apply:
        parts.append(Text("此前没有演练过：本次只留下计划，什么也没有删除", style="yellow"))
    if report.spared:
        parts.append(Text(f"计划中但不再到期、未删除：{_listed(report.spared)}"))
    if report.prefect_runs is not None:
        parts.append(Text(f"Prefect 运行记录已删除 {report.prefect_runs} 条"))
    if plan.items:
        names = {kind.id: kind.name_zh for kind in load_policy().classes}
        table = Table(box=box.SIMPLE_HEAD, title="已到期，可以删除", title_justify="left")
        for name in ("类别", "通话", "录音文件", "应保存至"):
            table.add_column(name, justify="right" if name in {"通话", "录音文件"} else "left")
        for class_id in sorted({item.class_id for item in plan.items}):
            own = [item for item in plan.items if item.class_id == class_id]
            days = sorted(item.kept_until for item in own)
            table.add_row(
                names.get(class_id, class_id),
                str(len(own)),
                str(sum(item.recording is not None for item in own)),
                days[0] if days[0] == days[-1] else f"{days[0]} … {days[-1]}",
            )
        parts += [table, Text(f"通话：{_listed([item.call_id for item in plan.items])}")]
    else:
        parts.append(Text("没有到期的通话"))
    parts.append(
        Text(
            f"保留：未到期 {plan.kept} 通，保全中 {len(plan.held)} 通，起算日不明 {len(plan.undated)} 通，"
            f"无随录参数的录音 {len(plan.strangers)} 个"
        )
    )
    return Group(*parts)


def next_command(place: str, plan_hash: str, given: Mapping[str, str | None]) -> str:
    """Write the command that carries a plan out, to be copied.

    Examples
    --------
    >>> next_command("our results/", "1f2e", {"--recordings": "recordings/", "--calls": None})
    "zhijian retention 'our results/' --recordings recordings/ --apply --plan 1f2e"
    """
    flags = [part for name, value in given.items() if value is not None for part in (name, value)]
    return shlex.join(["zhijian", "retention", place, *flags, "--apply", "--plan", plan_hash])


def _listed(names: tuple[str, ...] | list[str]) -> str:
    more = f" 等 {len(names)} 通" if len(names) > _SHOWN else ""
    return "，".join(names[:_SHOWN]) + more
