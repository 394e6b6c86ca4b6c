"""How verdicts are explained, in Chinese, to the people of quality inspection (质检).

Table of contents: `NO_AUDIO`, `NO_DATA`, `limit_note`, `place_zh`, `quoted`, `sentence`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.judging.facts import apart, shown
from pipeline.records import Role

if TYPE_CHECKING:
    from pipeline.judging.lexicon import Lexicon
    from pipeline.judging.places import Place

NO_AUDIO = "无录音（no audio）"
NO_DATA = "无数据（no data）"
_WHO: dict[Role, str] = {"agent": "坐席", "customer": "客户"}


def quoted(name_zh: str) -> str:
    """Return a phrase set's name in quotation marks."""
    return f"“{name_zh}”"


def limit_note(
    name_zh: str, value: float, unit: str, low: float | None, high: float | None, *, digits: int = 1
) -> str:
    """Say a number, how it stands to its limits, and which limits were used.

    Examples
    --------
    >>> limit_note("语速", 243.2, "字/分钟", 120, 150, digits=0)
    '语速 243 字/分钟，高于 150（规则值 120–150）'
    >>> limit_note("振铃时长", 8, "秒", None, 15)
    '振铃时长 8 秒（规则值 ≤ 15）'
    >>> limit_note("语速", 150.3, "字/分钟", 120, 150, digits=0)
    '语速 150.3 字/分钟，高于 150（规则值 120–150）'
    """
    if low is not None and high is not None:
        rule = f"{shown(low)}–{shown(high)}" if low != high else shown(low)
    elif high is not None:
        rule = f"≤ {shown(high)}"
    else:
        rule = f"≥ {shown(low or 0.0)}"
    beyond = high if high is not None and value > high else low if low is not None and value < low else None
    said = shown(value, digits=digits) if beyond is None else apart(value, beyond, digits=digits)
    text = f"{name_zh} {said}{' ' + unit if unit else ''}"
    if high is not None and value > high:
        text += f"，高于 {shown(high)}"
    elif low is not None and value < low:
        text += f"，低于 {shown(low)}"
    return f"{text}（规则值 {rule}）"


def place_zh(place: Place, by: Role, lexicon: Lexicon) -> str:
    """Say where something was looked for."""
    who = _WHO[by]
    name = place.after or place.before or place.around
    if name:
        side = "之后" if place.after else "之前" if place.before else "前后"
        what = "该情形" if name == "this" else f"“{lexicon.moments[name].name_zh}”"
        reach = f"{who} {place.turns} 个话轮内" if place.turns is not None else f"{who}的话中"
        within = f"、{shown(place.within_s)} 秒内" if place.within_s is not None else ""
        return f"{what}{side}，{reach}{within}"
    parts = []
    if place.opening_turns is not None or place.closing_turns is not None:
        side = "前" if place.opening_turns is not None else "最后"
        parts.append(f"{who}{side} {place.opening_turns or place.closing_turns} 个话轮")
    if place.opening_s is not None:
        parts.append(f"开场 {shown(place.opening_s)} 秒")
    if place.closing_s is not None:
        parts.append(f"结束前 {shown(place.closing_s)} 秒")
    return "或".join(parts) + "内" if parts else f"{who}全程"


def sentence(notes: Sequence[str]) -> str:
    """Join fragments into one reason."""
    unique = list(dict.fromkeys(note for note in notes if note))
    return "；".join(unique)
