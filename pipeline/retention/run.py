"""One run of retention: a dry run that leaves a plan, or the second step that carries out an earlier one.

Table of contents: `RetentionReport`, `run_retention`, `markdown_retention`.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from pipeline.errors import InputError
from pipeline.judging.calendar_cn import CHINA
from pipeline.retention.deletion import Deleted, delete, unfinished
from pipeline.retention.plan import Plan, make_plan, store_plan, stored_plan
from pipeline.retention.policy import load_policy
from pipeline.retention.prefectstore import expire_flow_runs

if TYPE_CHECKING:
    from pipeline.settings import Settings

PREFECT_API = "PREFECT_API_URL"


@dataclass(frozen=True, slots=True)
class RetentionReport:
    """What a run found and did.

    Attributes
    ----------
    plan : Plan
        What is due now (after a deletion: what is due next).
    applied : bool
        Whether an earlier plan was carried out.
    deleted : Deleted or None
    spared : tuple of str
        Calls of the earlier plan that are not due any more (a hold, a corrected record).
    prefect_runs : int or None
        Runs deleted from Prefect's own store; None if no server is configured or nothing was applied.
    """

    plan: Plan
    applied: bool
    deleted: Deleted | None = None
    spared: tuple[str, ...] = ()
    prefect_runs: int | None = None


def run_retention(
    settings: Settings,
    *,
    apply: bool,
    plan_hash: str | None = None,
    who: str | None = None,
    today: date | None = None,
    step: Callable[[str], None] = lambda _name: None,
) -> RetentionReport:
    """Say what may be deleted, or delete what an earlier run said.

    Parameters
    ----------
    settings : Settings
        ``results``, ``recordings``, ``calls``: whichever there are.
    apply : bool
        False: a dry run; the plan is kept for the second step. True: what stands in the kept plan *and* is
        still due today is deleted; what became due since waits for the next plan. Without a kept plan
        nothing is deleted.
    plan_hash : str, optional
        The kept plan must be this one.
    who : str, optional
        For the audit log.

    Raises
    ------
    InputError
        If the kept plan is another one than ``plan_hash``.
    """
    due = make_plan(settings, today=today)
    if not apply:
        store_plan(settings, due)
        return RetentionReport(due, applied=False)
    kept = unfinished(settings) or stored_plan(settings)
    if plan_hash is not None and (kept is None or kept.hash != plan_hash):
        found = kept.hash if kept else "none"
        raise InputError(
            f"plan {plan_hash} is not the one of the last dry run ({found}); make a dry run again"
        )
    if kept is None:
        store_plan(settings, due)
        return RetentionReport(due, applied=False)
    # of a deletion that was stopped, calls may be half gone: what is due was due then
    half_gone = unfinished(settings) is not None
    still = {item.call_id for item in due.items}
    protected = {*due.held, *due.undated}
    items = tuple(
        item for item in kept.items if item.call_id in still or (half_gone and item.call_id not in protected)
    )
    spared = tuple(item.call_id for item in kept.items if item not in items)
    done = delete(settings, replace(kept, items=items), who=who, step=step)
    after = make_plan(settings, today=today)
    store_plan(settings, after)
    address = os.environ.get(PREFECT_API)
    day = today or datetime.now(UTC).astimezone(CHINA).date()
    runs = expire_flow_runs(address, day, load_policy().prefect_days) if address else None
    return RetentionReport(after, True, done, spared, runs)


def markdown_retention(report: RetentionReport) -> str:
    """Write a page in Chinese about a run; call ids only, nothing that was said."""
    plan = report.plan
    lines = ["# 保存期限检查", "", f"检查日期 {plan.made_on}，规定版本 {plan.policy}。", ""]
    if report.deleted is not None:
        rows = sum(report.deleted.rows.values())
        gone = report.deleted
        lines += [f"已删除：{gone.calls} 通通话，{gone.recordings} 个录音文件，{rows} 行结果。", ""]
    if report.spared:
        lines += [f"计划中但不再到期、未删除：{'，'.join(report.spared[:50])}", ""]
    if report.prefect_runs is not None:
        lines += [f"Prefect 运行记录已删除 {report.prefect_runs} 条。", ""]
    names = {kind.id: kind.name_zh for kind in load_policy().classes}
    counted = sorted(Counter(item.class_id for item in plan.items).items())
    lines += ["| 类别 | 到期通话 |", "|---|---|"]
    lines += [f"| {names.get(name, name)} | {count} |" for name, count in counted]
    lines += [
        "",
        f"未到期 {plan.kept} 通；因保全不得删除 {len(plan.held)} 通；起算日不明 {len(plan.undated)} 通；"
        f"无随录参数的录音 {len(plan.strangers)} 个（均保留）。",
        "",
        f"计划号 `{plan.hash}`。要删除，请再运行一次并设 `apply`；只删除此计划中届时仍到期的通话。"
        if plan.items
        else "没有到期的通话，无须删除。",
    ]
    return "\n".join(lines) + "\n"
