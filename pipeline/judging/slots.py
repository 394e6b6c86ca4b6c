"""What the open places of a pattern can stand for: numbers, names, companies, time spans.

Each finder answers for one place in a stream: where a slot that begins there may end, and what that
costs (in hundredths of a syllable; see `pipeline.judging.phonetics`).

Table of contents: `slot_ends`, `slot_value`, `time_spans`.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from pipeline.judging.matching import Ends
from pipeline.judging.patterns import Company, Digits, Duration, Element, Gap, Literal, Name
from pipeline.judging.phonetics import Sounds
from pipeline.judging.search import Branch, make_branch, occurrences
from pipeline.judging.transcript import BREAK, MatchModel, SearchSettings, Transcript

_DIGIT = {
    char: value
    for value, chars in enumerate(("零〇洞", "一幺", "二两", "三", "四", "五", "六", "七拐", "八", "九"))
    for char in chars
}
_POWER = {"十": 10, "百": 100, "千": 1000, "万": 10_000}
_SKIPPED = frozenset("嗯呃啊额杠横")
_LEGAL_FORM = re.compile(r"(?:股份有限公司|有限责任公司|有限公司|集团公司|集团|公司)$")
_ENDING_DISTANCE = 0.1


def slot_ends(call: Transcript, element: Element, start: int) -> Ends:
    """Where a slot that begins at ``start`` in the call's stream may end, and at what cost."""
    known = call.slots.get((element, start))
    if known is None:
        known = call.slots[element, start] = _FINDERS[type(element)](call, element, start)
    return known


def _gap_ends(call: Transcript, element: Element, start: int) -> Ends:
    if not isinstance(element, Gap):
        return ()
    room = call.stream.find(BREAK, start) - start
    return tuple((start + count, 0) for count in range(element.low, min(element.high, room) + 1))


def slot_value(element: Element, call: Transcript, start: int, end: int) -> str:
    """Tell what filled a slot: digits as 0-9 where they were heard, other slots as heard."""
    heard = call.stream[start:end]
    if isinstance(element, Digits):
        return _written(heard, call.model.sounds)
    return heard


# ---- numbers -------------------------------------------------------------------------------------
@lru_cache(maxsize=8192)
def _digit_of(char: str, sounds: Sounds) -> tuple[int | None, bool]:
    """Digit of a character, and whether only its sound says so."""
    if char in _DIGIT:
        return _DIGIT[char], False
    for digit in "零一幺二三四五六七八九":
        if sounds.character_cost(char, digit) == 0:
            return _DIGIT[digit], True
    return None, False


def _digit_ends(call: Transcript, element: Element, start: int) -> Ends:
    if not isinstance(element, Digits):
        return ()
    return tuple(_digit_runs(element, call, start, call.model.search))


def _digit_runs(
    slot: Digits, call: Transcript, start: int, search: SearchSettings
) -> Iterator[tuple[int, int]]:
    sounds, stream = call.model.sounds, call.stream
    by_sound = count = cost = 0
    powers = False
    for at in range(start, min(len(stream), start + 2 * slot.high + 4)):
        char = stream[at]
        if char in _SKIPPED and at > start:
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
        count = len(_written(stream[start : at + 1], sounds)) if powers else count + 1
        if count > slot.high:
            return
        if slot.low <= count and by_sound <= search.digit_share * (at + 1 - start):
            yield at + 1, cost


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
def _room(call: Transcript, start: int, most: int) -> int:
    return min(most, call.stream.find(BREAK, start) - start)


def _spans(call: Transcript, kind: str, forms: Iterable[str], limit: float) -> Mapping[int, Ends]:
    """Where a known name was heard, by its sound: start to ends and costs; found once a call."""
    known = call.names.get(kind)
    if known is None:
        branch = _name_branch(tuple(forms), limit, call.model)
        found: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for hit in occurrences(branch, call, None, _no_slots):
            found[hit.start].append((hit.end, hit.cost))
        known = call.names[kind] = {start: tuple(ends) for start, ends in found.items()}
    return known


def _no_slots(element: Element, start: int) -> Ends:
    raise TypeError(f"{element!r} at {start} in a name")


@lru_cache(maxsize=4096)
def _name_branch(forms: tuple[str, ...], limit: float, model: MatchModel) -> Branch:
    search = replace(model.search, max_distance=limit, short_max_distance=limit)
    return make_branch([(Literal(form),) for form in forms], model.sounds, search)


def _name_ends(call: Transcript, _element: Element, start: int) -> Ends:
    search = call.model.search
    name = call.name_said
    room = _room(call, start, search.name_chars)
    unlike = search.other_name_cost if name else 0
    anyone = tuple((end, unlike) for end in range(start + 1, start + room + 1))
    heard = (
        _spans(call, "name", _name_forms(name, search.name_suffixes), search.name_distance) if name else {}
    )
    return (*heard[start], *anyone) if start in heard else anyone


def _name_forms(name: str, suffixes: tuple[str, ...]) -> Iterator[str]:
    surname = name[:2] if len(name) >= 4 else name[:1]
    yield name
    if len(name) > len(surname) + 1:
        yield name[len(surname) :]
    yield "小" + surname
    yield "姓" + surname
    for suffix in suffixes:
        yield surname + suffix


def _company_ends(call: Transcript, _element: Element, start: int) -> Ends:
    search = call.model.search
    name = call.company_said
    room = _room(call, start, search.company_chars)
    endings = _company_endings(call)
    unlike = search.other_company_cost if name else 0
    within = endings[bisect_left(endings, start + 3) : bisect_right(endings, start + room)]
    other = tuple((end, unlike) for end in within)
    heard = _spans(call, "company", _company_forms(name), search.company_distance) if name else {}
    return (*heard[start], *other) if start in heard else other


def _company_endings(call: Transcript) -> list[int]:
    """Places in the stream where a word that ends companies' names ends, rising."""
    if call.endings is None:
        branch = _name_branch(call.model.search.company_endings, _ENDING_DISTANCE, call.model)
        call.endings = sorted({hit.end for hit in occurrences(branch, call, None, _no_slots)})
    return call.endings


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
    rf"|(?P<about>{_NUM})(?:分(?:来|(?P<over>多))[钟中]|来分[钟中])"
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
    >>> [span.seconds for span in time_spans("一分来钟不是两分多钟")]
    [60.0, 150.0]
    """
    return tuple(TimeSpan(match.start(), match.end(), _seconds(match)) for match in _TIME.finditer(stream))


def _seconds(match: re.Match[str]) -> float:
    group = match.groupdict()
    total = 0.0
    if group["minutes_half"]:
        total = 60.0 * _amount(group["minutes_half"]) + 30.0
    elif group["units_half"]:
        total = (_amount(group["units_half"]) + 0.5) * _HALF_UNITS[group["half_unit"]]
    elif group["about"]:
        total = 60.0 * _amount(group["about"]) + (30.0 if group["over"] else 0.0)
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


def _duration_ends(call: Transcript, element: Element, start: int) -> Ends:
    if call.time_spans is None:
        call.time_spans = {span.start: (span.end, span.seconds) for span in time_spans(call.stream)}
    span = call.time_spans.get(start)
    if span is None or not isinstance(element, Duration):
        return ()
    end, seconds = span
    above = seconds > element.low_s or (element.low_included and seconds == element.low_s)
    below = seconds < element.high_s or (element.high_included and seconds == element.high_s)
    return ((end, 0),) if above and below else ()


_FINDERS: Mapping[type, Callable[[Transcript, Element, int], Ends]] = {
    Digits: _digit_ends,
    Name: _name_ends,
    Company: _company_ends,
    Duration: _duration_ends,
    Gap: _gap_ends,
}
