"""Two versions of a score side by side in a terminal, in Chinese.

Table of contents: `rescore_table`, `kind_zh`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pipeline.privacy import mask
from pipeline.report.terminal import VERDICT_STYLE, VERDICT_ZH, number, reason_zh

if TYPE_CHECKING:
    from pipeline.disputes.rescore import Rescore


def kind_zh(kind: str | None) -> str:
    """A verdict in Chinese; a rule that a rulebook lacks is said to be absent.

    Examples
    --------
    >>> kind_zh("fail"), kind_zh("absent"), kind_zh(None)
    ('不通过', '无此规则', '无此规则')
    """
    return VERDICT_ZH.get(kind or "", "无此规则")


def rescore_table(done: Rescore) -> RenderableType:
    """What a rescore changed: scores, flipped verdicts with their causes, and today's opinion."""
    from pipeline.disputes.compare import CAUSE_ZH

    found = done.comparison
    head = [
        Text(
            f"{done.call_id}：第 {found.old_version} 版 {number(found.old_score)}（{found.old_grade}）"
            f" → 第 {done.version} 版 {number(done.score)}（{done.grade}）",
            style="bold",
        ),
        Text(f"规则 {done.rulebook_version}（{done.rulebook_hash[:12]}）；凭证 {done.receipt[:12]}"),
    ]
    if found.same_receipt:
        head.append(Text("一切依据未变，评分凭证与上一版完全相同", style="green"))
    elif found.changed_inputs:
        head.append(Text("依据有变：" + "、".join(CAUSE_ZH[cause] for cause in found.changed_inputs)))
    if not done.by_rules_of_day:
        head.append(
            Text(
                "注意：本版没有按通话当日的规则评分，但已是现行得分；只想试算请用 rules preview",
                style="yellow",
            )
        )
    head.extend(Text(note, style="yellow") for note in found.notes)
    parts: list[RenderableType] = [*head]
    if found.differences:
        table = Table(box=box.SIMPLE_HEAD, title="变化的判定", title_justify="left")
        for name in ("项目", "原判定", "新判定", "原得分", "新得分", "原因", "新的说明"):
            table.add_column(name, overflow="fold")
        for each in found.differences:
            table.add_row(
                f"{each.name_zh}\n{each.rule_id}",
                Text(kind_zh(each.old), style=VERDICT_STYLE.get(each.old, "")),
                Text(kind_zh(each.new), style=VERDICT_STYLE.get(each.new, "")),
                number(each.old_points),
                number(each.new_points),
                "、".join(CAUSE_ZH[cause] for cause in each.causes),
                mask(reason_zh(each.new_reason)).text,
            )
        parts.append(table)
    else:
        parts.append(Text("没有判定发生变化"))
    if done.today:
        score = number(done.today_score)
        parts.append(Text(f"若按今日规则（{done.today_rulebook_version}，得分 {score}；仅供参考）"))
        table = Table(box=box.SIMPLE_HEAD)
        for name in ("项目", "当日规则", "今日规则"):
            table.add_column(name)
        for dual in done.today:
            kinds = [None if v is None else v.verdict for v in (dual.then, dual.today)]
            table.add_row(dual.name_zh, *(kind_zh(kind) for kind in kinds))
        parts.append(table)
    else:
        parts.append(Text("按今日规则，各项判定相同", style="dim"))
    kept = f"保留至 {done.hold_until:%Y-%m-%d}" if done.hold_until else "保留至解除为止"
    parts.append(Text(f"录音与结果已列入争议保存，{kept}", style="dim"))
    return Group(*parts)
