"""A call's score in a terminal, in Chinese, as a QA form (质检评分表) reads.

The functions take rows of the result tables and return Rich renderables; printing is the caller's.

Table of contents: `clock`, `number`, `reason_zh`, `hours_zh`, `call_form`, `calls_table`, `preview_table`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from pipeline.report.wrapped import Wrapped
from pipeline.results.labels import VALUES_ZH

if TYPE_CHECKING:
    from pipeline.disputes.effective import EffectiveScore, EffectiveVerdict
    from pipeline.judging.preview import Preview, Rescored

Row = Mapping[str, Any]

VERDICT_ZH = VALUES_ZH["verdict"]
VERDICT_STYLE = {"pass": "green", "fail": "bold red", "uncertain": "yellow", "not_applicable": "dim"}
SEVERITY_ZH = VALUES_ZH["severity"]
DIRECTION_ZH = VALUES_ZH["direction"]
ROLE_ZH = VALUES_ZH["role"]
NOTE_ZH = {
    "dual_mono": "双声道内容相同，按单声道处理",
    "crosstalk": "声道间有串音",
    "one_sided": "只有一方说话",
    "agent_channel_contradicted": "随录参数的坐席声道与内容不符",
    "agent_channel_unused": "随录参数写了坐席声道，但双方录在同一声道，无法采用；坐席与客户按内容区分",
    "third_voice": "有第三人的声音",
}
_ORDER = {"fail": 0, "uncertain": 1, "pass": 2, "not_applicable": 3}
_SEVERITY_ORDER = {"fatal": 0, "major": 1, "minor": 2}


def clock(seconds: float) -> str:
    """Minutes and seconds, as a player shows them.

    Examples
    --------
    >>> clock(75.26)
    '1:15.3'
    >>> clock(59.96)
    '1:00.0'
    """
    tenths = round(seconds * 10)
    return f"{tenths // 600}:{tenths % 600 / 10:04.1f}"


def number(value: float | None, digits: int = 1, unit: str = "") -> str:
    """Format a figure; an unknown one is a dash, never a zero.

    Examples
    --------
    >>> number(243.21, 0, " 字/分钟"), number(None), number(float("nan"))
    ('243 字/分钟', '—', '—')
    """
    if value is None or value != value:  # noqa: PLR0124 - NaN is the one value unequal to itself
        return "—"
    return f"{value:.{digits}f}{unit}"


def reason_zh(reason: str) -> str:
    """A verdict's reason for people; what programs look for in it (``no data``) is left out.

    Examples
    --------
    >>> reason_zh("无数据（no data）：振铃时长")
    '无数据：振铃时长'
    """
    return reason.replace("（no data）", "").replace("（no audio）", "")


def hours_zh(hours: float) -> str:
    """Format a total of hours; less than one in minutes.

    Examples
    --------
    >>> hours_zh(0.28), hours_zh(0.005), hours_zh(0.9999), hours_zh(12.04)
    ('17 分钟', '不足 1 分钟', '1.0 小时', '12.0 小时')
    """
    minutes = round(60 * hours)
    if minutes >= 60:
        return f"{hours:.1f} 小时"
    return f"{minutes} 分钟" if minutes or not hours else "不足 1 分钟"


def call_form(
    score: Row,
    verdicts: Sequence[Row],
    turns: Sequence[Row],
    *,
    transcript: bool = True,
    effective: EffectiveScore | None = None,
) -> RenderableType:
    """One call: head, verdicts with their evidence, transcript.

    Parameters
    ----------
    score : row of ``scores``
    verdicts : rows of ``verdicts`` of the same version
    turns : rows of ``turns`` of the same version
    transcript : bool
        Whether to print the turns.
    effective : EffectiveScore, optional
        What people decided, shown beside what the machine said.
    """
    decided = {each.rule_id: each for each in effective.verdicts} if effective else {}
    parts: list[RenderableType] = [_head(score, effective)]
    parts += [Text(f"录音提示：{NOTE_ZH.get(note, note)}", style="yellow") for note in score["notes"] or ()]
    parts.append(_verdict_table(verdicts, decided))
    skipped = [v for v in verdicts if v["verdict"] == "not_applicable" and not _told(v, decided)]
    if skipped:
        why = "；".join(f"{v['name_zh']}（{reason_zh(v['reason'])}）" for v in skipped)
        parts.append(Wrapped(f"不适用：{why}", style="dim"))
    if transcript:
        parts.append(_transcript(turns))
    return Group(*parts)


def calls_table(
    scores: Sequence[Row],
    verdicts: Mapping[str, Sequence[Row]],
    effective: Mapping[str, EffectiveScore] | None = None,
) -> RenderableType:
    """All calls, the worst first, with their worst verdicts.

    Parameters
    ----------
    scores : rows of ``scores``, one per call
    verdicts : mapping of call id to its rows of ``verdicts``
    effective : mapping of call id to EffectiveScore, optional
        A column for them is shown if people changed anything.
    """
    changed = {call_id: each for call_id, each in (effective or {}).items() if each.changed}
    table = Table(box=box.SIMPLE_HEAD, title=f"共 {len(scores)} 通", title_justify="left")
    for name, style in (
        ("通话", "bold"),
        ("方向", ""),
        ("坐席", ""),
        ("时长", ""),
        ("得分", "bold"),
        ("等级", ""),
    ):
        table.add_column(
            name, style=style, no_wrap=True, justify="right" if name in {"时长", "得分"} else "left"
        )
    if changed:
        table.add_column("复核后", style="bold", no_wrap=True)
    table.add_column("不通过 / 待人工", overflow="fold")

    def worst_first(row: Row) -> tuple[float, str]:
        return (
            row["score"] if row["score"] == row["score"] and row["score"] is not None else 101.0,
            row["call_id"],
        )

    for row in sorted(scores, key=worst_first):
        cells = Wrapped()
        worst = sorted(
            (v for v in verdicts.get(row["call_id"], ()) if v["verdict"] in {"fail", "uncertain"}),
            key=lambda v: (_ORDER[v["verdict"]], _SEVERITY_ORDER[v["severity"]], -v["weight"]),
        )
        for i, verdict in enumerate(worst):
            cells.append("，" if i else "")
            mark = (
                "？"
                if verdict["verdict"] == "uncertain"
                else ("！" if verdict["severity"] == "fatal" else "")
            )
            cells.append(verdict["name_zh"] + mark, style=VERDICT_STYLE[verdict["verdict"]])
        table.add_row(
            row["call_id"],
            DIRECTION_ZH[row["direction"]],
            row["agent_id"] or "—",
            clock(row["duration_s"]),
            number(row["score"]),
            f"{row['grade']}{'（一票否决）' if row['fatal'] else ''}",
            *([_after(changed.get(row["call_id"]))] if changed else []),
            cells if worst else Text("—", style="dim"),
        )
    return table


def _after(effective: EffectiveScore | None) -> str:
    """A score after people decided, with its grade; empty when it is the machine's."""
    if effective is None:
        return ""
    fatal = "，一票否决" if effective.fatal else ""
    return f"{number(effective.score)}（{effective.grade}{fatal}）"


def preview_table(found: Preview) -> RenderableType:
    """What a changed rulebook would flip: by rule, by agent, fatal calls, and every call concerned."""
    head = Text(
        f"共 {found.calls} 通；{len(found.rules)} 条规则有变化，{len(found.flips)} 个结论会翻转，"
        f"{len(found.rescored)} 通的得分会变"
    )
    if not found.flips and not found.rescored:
        return head
    rules = Table(box=box.SIMPLE_HEAD, title="按规则", title_justify="left")
    for name in ("规则", "原结论", "新结论", "通数"):
        rules.add_column(name, justify="right" if name == "通数" else "left")
    for rule_id, changes in found.by_rule().items():
        for (old, new), count in sorted(changes.items()):
            rules.add_row(rule_id, *(VERDICT_ZH.get(kind, "无此规则") for kind in (old, new)), str(count))
    agents = Table(box=box.SIMPLE_HEAD, title="按坐席", title_justify="left")
    agents.add_column("坐席")
    agents.add_column("翻转", justify="right")
    for agent, count in sorted(found.by_agent().items(), key=lambda item: (-item[1], item[0])):
        agents.add_row(agent or "—", str(count))
    fatal = [
        Text(f"新增一票否决：{'、'.join(found.newly_fatal()) or '无'}", style="red"),
        Text(f"不再一票否决：{'、'.join(found.no_longer_fatal()) or '无'}", style="green"),
    ]
    calls = Table(box=box.SIMPLE_HEAD, title="得分变化（前 30 通，变化大的在前）", title_justify="left")
    for name in ("通话", "坐席", "原得分", "新得分", "原等级", "新等级"):
        calls.add_column(name, justify="right" if "得分" in name else "left")
    for row in sorted(found.rescored, key=_change, reverse=True)[:30]:
        scores = (number(row.score_before), number(row.score_after))
        calls.add_row(row.call_id, row.agent_id or "—", *scores, row.grade_before, row.grade_after)
    return Group(head, rules, agents, *fatal, calls)


def _change(row: Rescored) -> float:
    return abs((row.score_after or 0.0) - (row.score_before or 0.0))


def _head(score: Row, effective: EffectiveScore | None) -> RenderableType:
    grid = Table.grid(padding=(0, 3))
    for _ in range(4):
        grid.add_column()
    fatal = Text("一票否决", style="bold red") if score["fatal"] else Text("")
    grid.add_row(
        Text(f"得分 {number(score['score'])}", style="bold"),
        Text(f"等级 {score['grade']}", style="bold"),
        fatal,
        f"第 {score['version']} 版",
    )
    grid.add_row(
        DIRECTION_ZH[score["direction"]],
        f"坐席 {score['agent_id'] or '—'}",
        f"开始 {score['started_at']:%Y-%m-%d %H:%M:%S}",
        f"时长 {clock(score['duration_s'])}",
    )
    grid.add_row(
        f"语速 {number(score['speech_rate'], 0, ' 字/分钟')}",
        f"口头禅 {number(score['filler_count'], 0, ' 次')}",
        f"静默 {number(score['silence_s'], 1, ' 秒')}",
        f"叠音 {number(score['overlap_s'], 1, ' 秒')}",
    )
    grid.add_row(
        f"识别置信 {number(score['asr_confidence'], 2)}",
        f"角色置信 {number(score['role_confidence'], 2)}",
        f"信噪比 {number(score['agent_snr_db'], 0, ' dB')}",
        f"规则 {score['rulebook_version']}（{str(score['rulebook_hash'])[:12]}）",
    )
    parts: list[RenderableType] = [grid]
    if effective is not None:
        parts.append(_people_line(effective))
    return Panel(Group(*parts), title=f"质检评分表  {score['call_id']}", title_align="left", box=box.ROUNDED)


def _people_line(effective: EffectiveScore) -> Text:
    """What people made of the machine's score."""
    machine = f"{number(effective.machine_score)}（{effective.machine_grade}）"
    waiting = sum(each.appealed for each in effective.verdicts)
    if effective.changed:
        line = Text.assemble(f"机器 {machine} → 复核后（有效） ", (_after(effective), "bold"), "   ")
    else:
        line = Text(f"有效得分同机器 {machine}   ")
    line.append(f"人工判定 {effective.reviewed} 项")
    return line.append(f"，申诉待终裁 {waiting} 项" if waiting else "")


_DECIDED_ZH = {"machine": "", "review": "复核", "ruling": "终裁"}


def _told(verdict: Row, decided: Mapping[str, EffectiveVerdict]) -> EffectiveVerdict | None:
    """What people did about a verdict, if anything."""
    found = decided.get(verdict["rule_id"])
    return found if found is not None and (found.decided_by != "machine" or found.appealed) else None


def _person_note(told: EffectiveVerdict) -> Text:
    note = Text("")
    if told.decided_by != "machine":
        now = VERDICT_ZH[told.verdict] if told.verdict != told.machine else "维持"
        note.append(f"\n→ {now}", style=VERDICT_STYLE[told.verdict])
        note.append(f"\n  {_DECIDED_ZH[told.decided_by]} {told.person}", style="dim")
    if told.appealed:
        note.append("\n  申诉待终裁", style="yellow")
    if told.disputed:
        note.append("\n  复核不一致", style="yellow")
    return note


def _verdict_table(verdicts: Sequence[Row], decided: Mapping[str, EffectiveVerdict]) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("条款", no_wrap=True)
    table.add_column("项目")
    table.add_column("结论", no_wrap=True)
    table.add_column("得分", no_wrap=True, justify="right")
    table.add_column("说明与证据", overflow="fold", ratio=1)
    shown = [v for v in verdicts if v["verdict"] != "not_applicable" or _told(v, decided)]
    for verdict in sorted(
        shown, key=lambda v: (_ORDER[v["verdict"]], _SEVERITY_ORDER[v["severity"]], v["rule_id"])
    ):
        why = Wrapped(reason_zh(verdict["reason"]))
        for piece in verdict["evidence"]:
            who = ROLE_ZH.get(piece["role"] or "", "")
            why.append(f"\n  {clock(piece['start_s'])}–{clock(piece['end_s'])} {who}", style="cyan")
            if piece["quote"]:
                why.append(f"「{piece['quote']}」")
        ledger = f" {verdict['met']}/{verdict['due']}" if verdict["due"] > 1 else ""
        told = _told(verdict, decided)
        points = "—" if verdict["verdict"] == "uncertain" else f"{verdict['points']:g}/{verdict['weight']:g}"
        if told is not None and told.verdict != told.machine:
            points += f"\n→ {told.points:g}/{told.weight:g}"
        table.add_row(
            verdict["clause"],
            Wrapped(f"{verdict['name_zh']}\n").append(
                f"{verdict['rule_id']} · {SEVERITY_ZH[verdict['severity']]}", style="dim"
            ),
            Text(VERDICT_ZH[verdict["verdict"]] + ledger, style=VERDICT_STYLE[verdict["verdict"]])
            + (Text("") if told is None else _person_note(told)),
            points,
            why,
        )
    return table


def _transcript(turns: Sequence[Row]) -> RenderableType:
    table = Table(box=None, show_header=False, padding=(0, 1))
    table.add_column(style="cyan", no_wrap=True, justify="right")
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold", ratio=1)
    for turn in sorted(turns, key=lambda t: (t["start_s"], t["turn"])):
        style = "bold" if turn["role"] == "agent" else ""
        table.add_row(clock(turn["start_s"]), Text(ROLE_ZH[turn["role"]], style=style), Wrapped(turn["text"]))
    return Group(Text("\n通话文本", style="bold"), table)
