"""The little dialogues that every rule ships, read from the text of the rulebook.

One line each: ``坐席: …`` or ``客户: …`` (also ``agent:``/``customer:``), optionally with times
``坐席(12.0-15.5): …`` and a recognition confidence ``坐席(12-15, 0.4): …``; ``随录: ring_s=20`` for the
call record; ``听录: agent_snr_db=8`` for what was heard; ``事件: filler agent 3.0-3.4 嗯`` for events.

Table of contents: `Example`, `EXPECTATIONS`, `read_example`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, get_args

from pipeline.records import EVENT_KINDS, CallRecord, Event, Hearing, Layout, Role, Turn

EXPECTATIONS = ("pass", "fail", "near", "not_applicable", "uncertain")
_LINE = re.compile(
    r"^(?P<head>[a-z]+|[\u4e00-\u9fff]{2})\s*(?:[(（](?P<when>[^)）]*)[)）])?\s*[:：]\s*(?P<rest>.*)$"
)
_ROLES: dict[str, Role] = {"agent": "agent", "坐席": "agent", "customer": "customer", "客户": "customer"}
_NUMBERS = frozenset(
    {
        "ring_s",
        "agent_hangup_delay_s",
        "escalated_after_min",
        "disposition_after_min",
        "harassment_complaint_after_min",
    }
)
_TEXTS = frozenset(
    {
        "agent_id",
        "agent_name",
        "company",
        "business",
        "hangup_by",
        "transferred_to",
        "tag",
        "disposition",
        "customer_ref",
        "call_id",
    }
)
_HEARD = frozenset({"agent_snr_db", "customer_snr_db", "asr_confidence", "role_confidence", "duration_s"})
_DEFAULT_START = datetime.fromisoformat("2026-03-10T10:00:00+08:00")
_CHARS_PER_S = 4.0
_GAP_S = 0.3


@dataclass(frozen=True, slots=True)
class Example:
    """A dialogue and what the rule must say about it (``near`` must pass)."""

    expect: str
    hearing: Hearing
    call: CallRecord
    has_direction: bool

    @property
    def verdict(self) -> str:
        """The verdict that must come out."""
        return "pass" if self.expect == "near" else self.expect


def read_example(text: str, *, expect: str) -> Example | str:
    r"""Read one example; the answer is text when it cannot be read.

    Examples
    --------
    >>> example = read_example("随录: ring_s=20\n坐席: 您好\n客户: 你好", expect="fail")
    >>> example.call.ring_s, [turn.role for turn in example.hearing.turns]
    (20.0, ['agent', 'customer'])
    """
    record: dict[str, Any] = {}
    heard: dict[str, Any] = {}
    turns: list[Turn] = []
    events: list[Event] = []
    for line in filter(None, (line.strip() for line in text.splitlines())):
        match = _LINE.match(line)
        if match is None:
            return f"line {line[:20]!r}: expected 坐席: …, 客户: …, 随录: …, 听录: … or 事件: …"
        head, rest = match["head"], match["rest"].strip()
        try:
            if head in _ROLES:
                turns.append(_turn(_ROLES[head], match["when"], rest, turns))
            elif head in ("随录", "record"):
                record.update(_settings(rest, _record_value))
            elif head in ("听录", "heard"):
                heard.update(_settings(rest, _heard_value))
            elif head in ("事件", "event"):
                events.append(_event(rest))
            else:
                return f"{head!r} is unknown; expected 坐席, 客户, 随录, 听录 or 事件"
        except ValueError as error:
            return f"line {line[:20]!r}: {error}"
    return _built(expect, turns, events, record, heard)


def _built(
    expect: str, turns: list[Turn], events: list[Event], record: dict[str, Any], heard: dict[str, Any]
) -> Example:
    turns.sort(key=lambda turn: turn.start_s)
    layout: Layout = heard.pop("layout", "stereo")
    end_s = max((turn.end_s for turn in turns), default=0.0)
    hearing = Hearing(
        recording_sha256="",
        layout=layout,
        turns=tuple(turns),
        events=tuple(events),
        **{"duration_s": end_s, "agent_snr_db": 30.0, **heard},
    )
    has_direction = "direction" in record
    fields = {"call_id": "example", "direction": "inbound", "started_at": _DEFAULT_START, **record}
    return Example(expect, hearing, CallRecord(**fields), has_direction)


def _turn(role: Role, when: str | None, text: str, before: list[Turn]) -> Turn:
    confidence = 0.95
    start_s = before[-1].end_s + _GAP_S if before else 0.5
    end_s = start_s + max(len(text), 1) / _CHARS_PER_S
    if when:
        span, _, sure = when.replace("，", ",").partition(",")
        if "-" in span:
            start_s, end_s = map(float, span.split("-"))
        elif span.strip():
            end_s = start_s + float(span)
        if sure.strip():
            confidence = float(sure)
        if end_s < start_s:
            raise ValueError("a turn may not end before it starts")
    return Turn(role, start_s, end_s, text, confidence=confidence)


def _settings(rest: str, convert: Any) -> Mapping[str, Any]:
    found = {}
    for part in filter(None, re.split(r"[,，;；]\s*|\s+(?=[a-z_]+\s*=)", rest)):
        name, equals, value = part.partition("=")
        if not equals:
            raise ValueError("expected name=value")
        found[name.strip()] = convert(name.strip(), value.strip())
    return found


def _record_value(name: str, value: str) -> object:
    if name in _NUMBERS:
        return float(value)
    if name in _TEXTS:
        return value
    if name == "direction" and value in ("inbound", "outbound"):
        return value
    if name == "started_at":
        return datetime.fromisoformat(value)
    if name == "do_not_call_since":
        return date.fromisoformat(value)
    if name == "sms_followup" and value in ("true", "false"):
        return value == "true"
    raise ValueError(f"{name}={value[:20]} is no column of the call record with such a value")


def _heard_value(name: str, value: str) -> object:
    if name in _HEARD:
        return float(value)
    if name == "layout" and value in get_args(Layout):
        return value
    raise ValueError(
        f"{name}={value[:20]} is nothing that is heard; expected layout or one of {sorted(_HEARD)}"
    )


def _event(rest: str) -> Event:
    parts = rest.split()
    if len(parts) < 3 or parts[0] not in EVENT_KINDS or parts[1] not in ("agent", "customer", "none"):
        raise ValueError("expected: kind role start-end [text] [confidence=0.9]")
    role: Role | None = None if parts[1] == "none" else _ROLES[parts[1]]
    start_s, end_s = map(float, parts[2].split("-"))
    confidence = 1.0
    words = []
    for part in parts[3:]:
        if part.startswith("confidence="):
            confidence = float(part.removeprefix("confidence="))
        else:
            words.append(part)
    return Event(parts[0], start_s, end_s, role, " ".join(words), confidence)
