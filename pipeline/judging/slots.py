"""What the open places of a pattern can stand for: numbers, names, companies, time spans.

Each finder answers for one place in a stream: where a slot that begins there may end, and what that
costs (in hundredths of a syllable; see `pipeline.judging.phonetics`).

Table of contents: `slot_ends`, `slot_value`, `time_spans`, `WEIGHTS`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.judging.patterns import Company, Digits, Duration, Element, Gap, Name, bare, read_aloud
from pipeline.judging.phonetics import UNIT, Sounds
from pipeline.judging.transcript import BREAK, Transcript

Ends = tuple[tuple[int, int], ...]
"""(end, cost) of every way in which a slot can be filled from a place."""

# How many syllables a filled slot counts for in the weight of a phrase.
WEIGHTS: dict[type, int] = {Digits: UNIT, Name: UNIT // 2, Company: 2 * UNIT, Duration: 2 * UNIT, Gap: 0}

_DIGIT = {
    char: value
    for value, chars in enumerate(("零〇洞", "一幺", "二两", "三", "四", "五", "六", "七拐", "八", "九"))
    for char in chars
}
_POWER = {"十": 10, "百": 100, "千": 1000, "万": 10_000}
_SKIPPED = frozenset("嗯呃啊额杠横")
_LEGAL_FORM = re.compile(r"(?:股份有限公司|有限责任公司|有限公司|集团公司|集团|公司)$")
_SOUNDS_LIKE = 10


def slot_ends(element: Element, call: Transcript, start: int) -> Ends:
    """Where a slot that begins at ``start`` in the call's stream may end, and at what cost."""
    key = (element, start)
    known = call.cache.get(key)
    if known is None:
        match element:
            case Digits():
                known = tuple(_digit_ends(element, call, start))
            case Name():
                known = _name_ends(call, start)
            case Company():
                known = _company_ends(call, start)
            case Duration():
                known = tuple(_duration_ends(element, call, start))
            case Gap(low, high):
                room = call.stream.find(BREAK, start) - start
                known = tuple((start + count, 0) for count in range(low, min(high, room) + 1))
            case _:
                raise TypeError(f"{element!r} is no slot")
        call.cache[key] = known
    return known  # type: ignore[return-value]  # the cache holds what was put there under this key


def slot_value(element: Element, call: Transcript, start: int, end: int) -> str:
    """Tell what filled a slot: digits as 0-9 where they were heard, other slots as heard."""
    heard = call.stream[start:end]
    if isinstance(element, Digits):
        return _written(heard, call.model.sounds)
    return heard


# ---- numbers -------------------------------------------------------------------------------------
def _digit_of(char: str, sounds: Sounds) -> tuple[int | None, bool]:
    """Digit of a character, and whether only its sound says so."""
    if char in _DIGIT:
        return _DIGIT[char], False
    for digit in "零一幺二三四五六七八九":
        if sounds.character_cost(char, digit) <= _SOUNDS_LIKE:
            return _DIGIT[digit], True
    return None, False


def _digit_ends(slot: Digits, call: Transcript, start: int) -> Iterator[tuple[int, int]]:
    sounds, search = call.model.sounds, call.model.search
    stream = call.stream
    by_sound = count = cost = 0
    powers = False
    at = start
    while at < len(stream) and at - start < 2 * slot.high + 4:
        char = stream[at]
        if char in _SKIPPED and at > start:
            at += 1
            cost += sounds.insert_cost(char)
            continue
        if char in _POWER:
            powers = True
        else:
            digit, only_sound = _digit_of(char, sounds)
            if digit is None:
                return
            if only_sound:
                by_sound += 1
                cost += search.digit_cost
        at += 1
        count = len(_written(stream[start:at], sounds)) if powers else count + 1
        if count > slot.high:
            return
        if slot.low <= count and by_sound <= search.digit_share * (at - start):
            yield at, cost


def _written(heard: str, sounds: Sounds) -> str:
    """Digits of a number read aloud: digit by digit, or as one number with 十百千万.

    Examples
    --------
    >>> from pipeline.judging.phonetics import load_sounds
    >>> _written("幺零二七", load_sounds()), _written("一千零二十七", load_sounds())
    ('1027', '1027')
    """
    if not any(char in _POWER for char in heard):
        digits = (_digit_of(char, sounds)[0] for char in heard)
        return "".join(str(digit) for digit in digits if digit is not None)
    return str(_number(heard))


def _number(heard: str) -> int:
    total = section = digit = 0
    for char in heard:
        if char == "万":
            total += (section + digit) * 10_000
            section = digit = 0
        elif char in _POWER:
            section += (digit or 1) * _POWER[char]
            digit = 0
        else:
            digit = _DIGIT.get(char, digit)
    return total + section + digit


# ---- names ---------------------------------------------------------------------------------------
def sound_ends(said: str, call: Transcript, start: int, max_cost: int) -> dict[int, int]:
    """Find ends and costs of hearing ``said`` from ``start`` on, within ``max_cost``."""
    sounds, stream = call.model.sounds, call.stream
    states = {start: 0}
    for place, char in enumerate(said):
        after: dict[int, int] = {}
        delete = sounds.delete_cost(char)
        for at, cost in sorted(states.items()):
            swapped = cost + sounds.character_cost(char, stream[at]) if at < len(stream) else max_cost + 1
            if swapped <= min(max_cost, after.get(at + 1, max_cost)):
                after[at + 1] = swapped
            if cost + delete <= min(max_cost, after.get(at, max_cost)):
                after[at] = cost + delete
        if place + 1 < len(said):
            for at in sorted(after):
                if at < len(stream):
                    extra = after[at] + sounds.insert_cost(stream[at])
                    if extra <= min(max_cost, after.get(at + 1, max_cost)):
                        after[at + 1] = extra
        states = after
    return {end: cost for end, cost in states.items() if end > start}


def _room(call: Transcript, start: int, most: int) -> int:
    return min(most, call.stream.find(BREAK, start) - start)


def _name_ends(call: Transcript, start: int) -> Ends:
    search = call.model.search
    known = bare(call.agent_name or "")
    unlike = search.other_name_cost if known else 0
    room = _room(call, start, search.name_chars)
    anyone = {start + count: unlike for count in range(1, room + 1)}
    if known:
        for form in _name_forms(known, search.name_suffixes):
            most = int(search.name_distance * UNIT * len(form))
            for end, cost in sound_ends(form, call, start, most).items():
                anyone[end] = min(cost, anyone.get(end, cost))
    return tuple(sorted(anyone.items()))


def _name_forms(name: str, suffixes: tuple[str, ...]) -> Iterator[str]:
    surname = name[:2] if len(name) >= 4 else name[:1]
    yield name
    if len(name) > len(surname) + 1:
        yield name[len(surname) :]
    yield "小" + surname
    yield "姓" + surname
    for suffix in suffixes:
        yield surname + suffix


def _company_ends(call: Transcript, start: int) -> Ends:
    search, sounds, stream = call.model.search, call.model.sounds, call.stream
    known = bare(read_aloud(call.company or ""))
    found: dict[int, int] = {}
    if known:
        for form in _company_forms(known):
            most = int(search.company_distance * UNIT * len(form))
            for end, cost in sound_ends(form, call, start, most).items():
                found[end] = min(cost, found.get(end, cost))
    room = _room(call, start, search.company_chars)
    other = search.other_company_cost if known else 0
    for ending in search.company_endings:
        for at in range(start, start + room - len(ending) + 1):
            end = at + len(ending)
            if at + len(ending) - start < 3 or found.get(end, other + 1) <= other:
                continue
            if all(
                sounds.character_cost(a, b) <= _SOUNDS_LIKE
                for a, b in zip(ending, stream[at:end], strict=True)
            ):
                found[end] = other
    return tuple(sorted(found.items()))


def _company_forms(name: str) -> Iterator[str]:
    """Yield the name as registered and as people say it.

    Examples
    --------
    >>> list(_company_forms("安和人寿保险股份有限公司"))
    ['安和人寿保险股份有限公司', '安和人寿保险公司', '安和人寿保险', '安和人寿']
    """
    yield name
    core = _LEGAL_FORM.sub("", name)
    forms = [core + "公司", core] if core.endswith("保险") else [core]
    if core.endswith("保险") and len(core) > 4:
        forms.append(core[:-2])
    for form in forms:
        if form != name and len(form) >= 2:
            yield form


# ---- time spans ----------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class TimeSpan:
    """A spoken time span and its place; of a range the longer end counts."""

    start: int
    end: int
    seconds: float


_NUM = r"(?:[零〇一二两三四五六七八九十百]+(?:点[零〇一二三四五六七八九]+)?)"
_MINUTE, _SECOND, _HOUR = r"分[钟中种终]", r"秒[钟中种]?", r"个?(?:小[时石]|钟头)"
_UNITS: tuple[tuple[str, float], ...] = (
    (_SECOND, 1.0),
    (_MINUTE, 60.0),
    (r"刻[钟中]", 900.0),
    (_HOUR, 3600.0),
    (r"个?工作日|天|日", 86400.0),
    (r"个?(?:星期|礼拜)|周", 604_800.0),
)
_HALF_UNITS = {"小时": 3600.0, "钟头": 3600.0, "月": 2_592_000.0, "星期": 604_800.0}
_HALVES = (("half_min", 30.0), ("half_hour", 1800.0), ("half_day", 43_200.0))
_UNIT = "|".join(f"(?P<u{index}>{unit})" for index, (unit, _) in enumerate(_UNITS))
_TIME = re.compile(
    rf"(?P<minutes_half>{_NUM})分半[钟中]?"
    rf"|(?P<units_half>{_NUM})个半(?P<half_unit>小时|钟头|月|星期)"
    rf"|半个?(?:(?P<half_min>{_MINUTE})|(?P<half_hour>小[时石]|钟头)|(?P<half_day>天|日))"
    rf"|(?P<m>{_NUM})分(?P<s>{_NUM})秒[钟中]?"
    rf"|(?P<h>{_NUM}){_HOUR}(?P<hm>半|{_NUM}{_MINUTE})"
    rf"|(?:(?P<low>半|{_NUM})(?:{_UNIT.replace('?P<u', '?P<v')})?[到至])?(?P<num>{_NUM})(?:{_UNIT})"
)


def time_spans(stream: str) -> tuple[TimeSpan, ...]:
    """All time spans in a text read aloud, from left to right.

    Examples
    --------
    >>> [span.seconds for span in time_spans("大概一到两分钟或者半个小时最晚二十四小时")]
    [120.0, 1800.0, 86400.0]
    """
    return tuple(TimeSpan(match.start(), match.end(), _seconds(match)) for match in _TIME.finditer(stream))


def _seconds(match: re.Match[str]) -> float:
    group = match.groupdict()
    total = 0.0
    if group["minutes_half"]:
        total = 60.0 * _amount(group["minutes_half"]) + 30.0
    elif group["units_half"]:
        total = (_amount(group["units_half"]) + 0.5) * _HALF_UNITS[group["half_unit"]]
    elif group["m"]:
        total = 60.0 * _amount(group["m"]) + _amount(group["s"])
    elif group["h"]:
        rest = 30.0 if group["hm"] == "半" else _amount(re.sub(rf"{_MINUTE}$", "", group["hm"]))
        total = 3600.0 * _amount(group["h"]) + 60.0 * rest
    elif group["num"]:
        total = _amount(group["num"]) * next(s for i, (_, s) in enumerate(_UNITS) if group[f"u{i}"])
    else:
        total = next(s for name, s in _HALVES if group[name])
    return total


def _amount(spoken: str) -> float:
    """Value of a number read aloud; of 三五 (三五分钟: three to five) the larger."""
    whole, _, part = spoken.partition("点")
    if len(whole) == 2 and all(char in _DIGIT for char in whole) and not whole.startswith(("零", "〇")):
        value = float(max(_DIGIT[char] for char in whole))
    else:
        value = float(_number(whole))
    if part:
        value += float("0." + "".join(str(_DIGIT[char]) for char in part))
    return value


def _duration_ends(slot: Duration, call: Transcript, start: int) -> Iterator[tuple[int, int]]:
    spans = call.cache.get("time_spans")
    if spans is None:
        spans = call.cache["time_spans"] = {span.start: span for span in time_spans(call.stream)}
    span = spans.get(start)  # type: ignore[attr-defined]  # a dict was put there
    if span is None:
        return
    above = span.seconds > slot.low_s or (slot.low_included and span.seconds == slot.low_s)
    below = span.seconds < slot.high_s or (slot.high_included and span.seconds == slot.high_s)
    if above and below:
        yield span.end, 0
