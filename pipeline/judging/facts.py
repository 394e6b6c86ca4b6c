"""The facts that conditions may name: columns of the call record and numbers of the call.

Table of contents: `Fact`, `RECORD_FACTS`, `MEASURE_FACTS`, `measure_value`, `shown`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipeline.records import Hearing, Measures

FactKind = Literal["number", "text", "flag", "day"]


@dataclass(frozen=True, slots=True)
class Fact:
    """How a fact is called in a report, in which unit, and what it needs to be known."""

    name_zh: str
    kind: FactKind = "number"
    unit_zh: str = ""
    needs_audio: bool = False
    digits: int = 1


RECORD_FACTS: dict[str, Fact] = {
    "ring_s": Fact("振铃时长", unit_zh="秒"),
    "business": Fact("业务类型", "text"),
    "hangup_by": Fact("挂机方", "text"),
    "agent_hangup_delay_s": Fact("客户挂断后坐席挂机间隔", unit_zh="秒"),
    "transferred_to": Fact("转接部门", "text"),
    "tag": Fact("标签", "text"),
    "escalated_after_min": Fact("推送责任部门用时", unit_zh="分钟"),
    "disposition": Fact("通话标签", "text"),
    "disposition_after_min": Fact("记录完成用时", unit_zh="分钟"),
    "do_not_call_since": Fact("勿扰登记日", "day"),
    "sms_followup": Fact("短信或邮件补充资料", "flag"),
    "harassment_complaint_after_min": Fact("骚扰投诉登记用时", unit_zh="分钟"),
    "agent_id": Fact("工号", "text"),
    "agent_name": Fact("坐席姓名", "text"),
    "company": Fact("公司名称", "text"),
    "customer_ref": Fact("客户编号", "text"),
}

MEASURE_FACTS: dict[str, Fact] = {
    "speech_rate_per_min": Fact("语速", unit_zh="字/分钟", digits=0),
    "articulation_rate_per_min": Fact("发音速率", unit_zh="字/分钟", digits=0),
    "agent_chars": Fact("坐席字数", unit_zh="字", digits=0),
    "filler_count": Fact("口头禅", unit_zh="次", digits=0),
    "filler_per_100": Fact("口头禅频率", unit_zh="次/百字"),
    "agent_talk_s": Fact("坐席说话时长", unit_zh="秒"),
    "customer_talk_s": Fact("客户说话时长", unit_zh="秒"),
    "silence_s": Fact("静默时长", unit_zh="秒"),
    "overlap_s": Fact("叠音时长", unit_zh="秒"),
    "interruptions": Fact("抢话", unit_zh="次", digits=0),
    "duration_s": Fact("通话时长", unit_zh="秒"),
    "agent_snr_db": Fact("坐席侧信噪比", unit_zh="分贝", needs_audio=True),
    "customer_snr_db": Fact("客户侧信噪比", unit_zh="分贝", needs_audio=True),
    "clipped_share": Fact("削波比例", needs_audio=True, digits=3),
    "asr_confidence": Fact("识别置信度", digits=2),
}

_OF_HEARING = frozenset({"agent_snr_db", "customer_snr_db", "clipped_share", "duration_s", "asr_confidence"})


def measure_value(name: str, hearing: Hearing, measures: Measures) -> float | None:
    """Value of a measure by name; None when it is not known."""
    value = getattr(hearing if name in _OF_HEARING else measures, name)
    return None if value is None else float(value)


def shown(value: float, *, digits: int = 1) -> str:
    """Return a number as people write it.

    Examples
    --------
    >>> shown(150.0), shown(1.26), shown(243.4, digits=0)
    ('150', '1.3', '243')
    """
    return f"{round(value, digits):g}" if abs(value) < 1e15 else f"{value:g}"
