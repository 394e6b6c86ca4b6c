"""The facts that conditions may name: columns of the call record and numbers of the call.

Table of contents: `Fact`, `RECORD_FACTS`, `RECORD_VALUES_ZH`, `MEASURE_FACTS`, `measure_value`, `shown`,
`apart`, `unsure_zh`, `value_zh`.
"""

from __future__ import annotations

from collections.abc import Mapping
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

RECORD_VALUES_ZH: Mapping[str, Mapping[str, str]] = {
    "business": {
        "query": "咨询",
        "handling": "业务办理",
        "claims": "理赔",
        "complaint": "投诉",
        "sales": "产品推荐",
        "policy_callback": "保单回访",
        "service_notice": "服务通知",
    },
    "hangup_by": {"agent": "坐席", "customer": "客户", "system": "系统"},
}
"""What coded values of the call record are called in a report; others stay as they are."""

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

_MOST_DIGITS = 9
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
    return f"{round(value, digits):.12g}" if abs(value) < 1e15 else f"{value:g}"


def apart(value: float, limit: float, *, digits: int = 1) -> str:
    """Return a number with as many decimals as it takes not to look like a limit that it is not.

    Examples
    --------
    >>> apart(150.3, 150, digits=0), apart(149.996, 150, digits=0), apart(150, 150, digits=0)
    ('150.3', '149.996', '150')
    """
    said = shown(value, digits=digits)
    while value != limit and said == shown(limit) and digits < _MOST_DIGITS:
        digits += 1
        said = shown(value, digits=digits)
    return said


def unsure_zh(confidence: float, least: float) -> str:
    """Return a confidence below a limit, with two decimals or as many as tell it from the limit.

    Examples
    --------
    >>> unsure_zh(0.3, 0.6), unsure_zh(0.5961, 0.6)
    ('0.30', '0.596')
    """
    for digits in range(2, _MOST_DIGITS):
        if f"{confidence:.{digits}f}" != f"{least:.{digits}f}":
            return f"{confidence:.{digits}f}"
    return f"{confidence:.2f}"


def value_zh(name: str, value: object) -> str:
    """Return what a value of the call record is called in a report.

    Examples
    --------
    >>> value_zh("business", "query"), value_zh("hangup_by", "agent"), value_zh("tag", "紧急")
    ('咨询', '坐席', '紧急')
    """
    return RECORD_VALUES_ZH.get(name, {}).get(str(value), str(value))
