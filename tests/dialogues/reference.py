"""A small, independent reading of what the clock, the text and the call record alone decide.

Nothing here imports the judging code: these are the expectations it is measured against. Where a
value lies so near a limit that two honest readings differ, the answer is ``None`` (unlabelled).

Table of contents: `spoken_length`, `filler_marks`, `cut_ins`; `time_window`, `speech_rate`,
`fillers`, `attentive_listening`, `handling_time`, `call_record_labels`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from datetime import date, datetime, time

from pipeline.records import CallRecord, Turn, VerdictKind

STATUTORY_2026 = frozenset(
    date(2026, m, d)
    for m, d in (
        (1, 1),
        (2, 16),
        (2, 17),
        (2, 18),
        (2, 19),
        (4, 5),
        (5, 1),
        (5, 2),
        (6, 19),
        (9, 25),
        (10, 1),
        (10, 2),
        (10, 3),
    )
)
EXCHANGED_REST_2026 = frozenset(
    date(2026, m, d) for m, d in ((1, 2), (2, 20), (2, 23), (4, 6), (5, 4), (5, 5), (10, 5), (10, 6), (10, 7))
)
MADE_UP_WORK_2026 = frozenset(
    date(2026, m, d) for m, d in ((1, 4), (2, 14), (2, 28), (5, 9), (9, 20), (10, 10))
)

_HAN = re.compile(r"[一-鿿]")
_NUMBER = re.compile(r"\d+")
_LONE = re.compile(r"^(嗯|啊|哦|哎|呃|诶|，|。|…)+$")
_FILLER = re.compile(r"(?:^|(?<=[，。！？、…—]))(嗯|呃|额|啊|哎|那个|就是|然后|这个)(?=[，、…])")


def _read_aloud(number: str) -> int:
    if len(number) == 2:
        return 2 if number.endswith("0") and number[0] != "1" else (3 if number[0] != "1" else 2)
    return len(number)


def spoken_length(text: str) -> int:
    """Han characters, digits counted as read aloud, one for each Latin letter (X in an id number)."""
    digits = sum(_read_aloud(number) for number in _NUMBER.findall(text))
    return len(_HAN.findall(text)) + digits + len(re.findall(r"[A-Za-z]", text))


def filler_marks(text: str) -> int:
    """口头禅 set off by punctuation in one agent turn; a turn of nothing but 嗯 is listening, not filling."""
    return 0 if _LONE.match(text) else len(_FILLER.findall(text))


def cut_ins(turns: Sequence[Turn]) -> int:
    """How often the agent starts to talk (no mere back-channel) 0.8 s or more before the customer ends."""
    count = 0
    for before, after in itertools.pairwise(turns):
        if before.role == "customer" and after.role == "agent" and not _LONE.match(after.text):
            count += before.end_s - after.start_s >= 0.8
    return count


def time_window(started_at: datetime) -> VerdictKind | None:
    """二(二)1 for the year 2026, the only one that the dialogues use."""
    day, clock = started_at.date(), started_at.time()
    if day.year != 2026:
        return None
    if day in STATUTORY_2026 or not time(8) <= clock <= time(20):
        return "fail"
    if day in EXCHANGED_REST_2026:
        return None
    workday = day in MADE_UP_WORK_2026 or day.weekday() < 5
    first, last = (time(8, 30), time(17, 30)) if workday else (time(9), time(17))
    return "pass" if first <= clock <= last else "fail"


def speech_rate(turns: Sequence[Turn]) -> VerdictKind | None:
    """三(一)1: 120 to 150 characters a minute; unlabelled within 3 of a limit."""
    agent = [turn for turn in turns if turn.role == "agent"]
    seconds = sum(turn.end_s - turn.start_s for turn in agent)
    if not seconds:
        return "not_applicable"
    rate = 60 * sum(spoken_length(turn.text) for turn in agent) / seconds
    if min(abs(rate - 120), abs(rate - 150)) < 3:
        return None
    return "pass" if 120 < rate < 150 else "fail"


def fillers(turns: Sequence[Turn]) -> VerdictKind | None:
    """三(一)1: at most 1.0 in 100 characters, and two at least; unlabelled where the count is near that."""
    agent = [turn.text for turn in turns if turn.role == "agent"]
    count, length = sum(map(filler_marks, agent)), sum(map(spoken_length, agent))
    if count < 2:
        return "pass" if length else "not_applicable"
    rate = 100 * count / length
    return None if 0.8 < rate < 1.6 else ("fail" if rate > 1 else "pass")


def attentive_listening(turns: Sequence[Turn]) -> VerdictKind | None:
    """二(一)3: no cutting in passes, three times or more fails; in between is a matter of degree."""
    count = cut_ins(turns)
    return "pass" if count == 0 else ("fail" if count >= 3 else None)


def handling_time(call: CallRecord, duration_s: float) -> VerdictKind | None:
    """二(一)4: a simple query takes five minutes at most."""
    if call.business != "query":
        return "not_applicable"
    if call.transferred_to or call.tag or abs(duration_s - 300) < 10:
        return None
    return "pass" if duration_s < 300 else "fail"


def _at_most(value: float | None, limit: float) -> VerdictKind:
    if value is None:
        return "not_applicable"
    return "pass" if value <= limit else "fail"


def call_record_labels(
    call: CallRecord, *, recommends: bool, harassment: bool
) -> dict[str, VerdictKind | None]:
    """Verdicts that follow from the call record, given what a reader says happened in the call."""
    if call.direction == "inbound":
        return {
            "answered_in_time": _at_most(call.ring_s, 15),
            "no_forced_hangup": (
                _at_most(call.agent_hangup_delay_s, 2) if call.hangup_by == "customer" else None
            ),
        }
    labels: dict[str, VerdictKind | None] = {"time_window": time_window(call.started_at)}
    labels["do_not_disturb"] = "not_applicable"
    if call.do_not_call_since is not None:
        days = (call.started_at.date() - call.do_not_call_since).days
        labels["do_not_disturb"] = None if days == 90 else ("fail" if days < 90 else "pass")
    sent = call.sms_followup
    labels["recommendation_followup"] = (
        "not_applicable" if not recommends or sent is None else ("pass" if sent else "fail")
    )
    labels["complaint_recorded"] = (
        _at_most(call.harassment_complaint_after_min, 60) if harassment else "not_applicable"
    )
    if call.disposition is None or call.disposition_after_min is None:
        labels["record_completed"] = "not_applicable"
    else:
        known = call.disposition in {"有效", "无效", "拒绝"}
        labels["record_completed"] = "pass" if known and call.disposition_after_min <= 5 else "fail"
    return labels
