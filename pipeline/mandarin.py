"""Mandarin text: simplified characters, digits as read aloud, characters counted.

Conventions
-----------
Plain text in, plain text out; no numpy, nothing imported that is heavy. Every function is total: no
input raises. Results are cached for the texts of one call, because judging asks for the same turn often.

Digits are read as a Mandarin speaker on the telephone reads them: numbers of identification (保单号,
电话, 工号, seven digits or more, a leading zero) digit by digit with 一, never 幺; everything else as a
number (24小时 = 二十四小时, 2分钟 = 两分钟).

Table of contents: `simplified`, `spoken_form`, `han_count`, `strip_punctuation`, `normalised`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache

_HAN = r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff〇"
_NOT_SAID = re.compile(rf"[^{_HAN}0-9A-Za-z]+")
_LATIN = re.compile(r"[A-Za-z]+")
_HAN_CHAR = re.compile(rf"[{_HAN}]")
_DIGIT = re.compile(r"\d")
_DIGITS_ZH = str.maketrans("0123456789", "零一二三四五六七八九")

# Characters that mean something else only inside a word (吃著 → 吃着, but 著名) and so never
# change when they stand alone.
_ONLY_IN_WORDS = frozenset("著乾甚藉徵瞭")
# Forms that the t2s tables leave alone because they are variants, not traditional characters.
_VARIANTS = {"甚么": "什么", "谘询": "咨询", "妳": "你", "衹": "只"}
# 著 is 着 except in the words that keep it.
_ZHE = re.compile(r"(?<![显名原卓专巨编论土昭译遗拙合撰])著(?![名作者称述录书])")

# After one of these words a number identifies something and is read digit by digit.
_ID_WORDS = (
    "保单号|合同号|单号|工号|编号|账号|帐号|卡号|证号|身份证|证件号|号码|电话|手机|尾号|热线|专线|拨打|致电|"
    "验证码|密码|坐席|座席|编码|代码|短信|微信|流水号|案件号|报案号|房间号"
)
_ID_BEFORE = re.compile(rf"(?:{_ID_WORDS})(?:号码|号|后[几二三四五六七八九两\d]位|尾数)?[是为:：,，、\s]*$")
# Words that follow a count; 2 before most of them is 两.
_MEASURE = (
    "个|位|名|人|次|年|月|日|天|号|周|岁|点|分|秒|小时|分钟|秒钟|刻钟|万|千|百|亿|元|块|角|毛|笔|份|张|条|件|项|种|"
    "家|倍|期|级|成|折|遍|句|页|套|层|楼|度|克|斤|公斤|千克|米|公里|厘米|平方|多|余|几|来|左右|以上|以下|以内|"
    "块钱|礼拜|星期|季度|工作日|周年|人民币|美元|港币|代|步|类|档|段|声|趟|封|台|辆|套|根|支|本|对|场|回|口|边|"
    "者|老|半|字|辈|孩|胎|手"
)
_TWO_IS_ER = ("月", "日", "号", "楼", "级", "度", "代", "手", "胎", "期", "老")
_MEASURE_AHEAD = re.compile(rf"\s?(?:{_MEASURE})")
_MOBILE = re.compile(r"1[3-9]\d{9}")

_NUMBER = re.compile(
    r"""
      (?P<date>(?<!\d)(?P<y>(?:19|20)\d\d)[-/.](?P<m>0?[1-9]|1[0-2])[-/.](?P<d>0?[1-9]|[12]\d|3[01])(?![\d.]))
    | (?P<clock>(?<!\d)(?P<h>[01]?\d|2[0-4])[:：](?P<min>[0-5]\d)(?:[:：](?P<sec>[0-5]\d))?(?!\d))
    | (?P<grouped>(?<![\d,])\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\d,]))
    | (?P<joined>(?<!\d)\d+(?:[-\s]\d+)+[Xx]?(?!\d))
    | (?P<dotted>\d+(?:\.\d+){2,})
    | (?P<decimal>\d+\.\d+(?![\d.]))
    | (?P<plain>\d+)
    """,
    re.VERBOSE,
)
_PERCENT = re.compile(r"(\d[\d,]*(?:\.\d+)?)\s?([%％‰])")
_MONEY = re.compile(r"[¥￥]\s?(\d[\d,]*(?:\.\d+)?)([万亿]?)元?")
_FRACTION = re.compile(r"(?<![\d/])(\d{1,2})/(\d{1,2})(?![\d/])")
_RANGE = re.compile(r"(?<=\d)\s?[~～—–]+\s?(?=\d)")
_SHORT_RANGE = re.compile(r"(?<![\d-])(\d{1,3})-(\d{1,3})(?![\d-])")
_SIGNED_RANGE = re.compile(r"(?<=[:：]\d\d)\s?-\s?(?=\d{1,2}[:：]\d\d)|(?<=\d[%％])\s?-\s?(?=\d)")


def simplified(text: str) -> str:
    """Turn traditional characters into simplified ones (繁体转简体).

    Parameters
    ----------
    text : str
        Any mixture; simplified text comes back unchanged.

    Examples
    --------
    >>> simplified("請問有什麼可以幫您")
    '请问有什么可以帮您'
    >>> simplified("显著、著名、乾坤")
    '显著、著名、乾坤'
    """
    if text.isascii():
        return text
    convert, traditional = _converter()
    if traditional.isdisjoint(text):
        return text
    return convert(text)


@lru_cache(maxsize=1)
def _converter() -> tuple[Callable[[str], str], frozenset[str]]:
    from opencc import OpenCC

    table = OpenCC("t2s")
    block = [chr(code) for code in range(0x4E00, 0xA000)]
    changed = table.convert("\n".join(block)).split("\n")
    traditional = {old for old, new in zip(block, changed, strict=True) if old != new}
    traditional.update(_ONLY_IN_WORDS, *(set(variant) - set("么询") for variant in _VARIANTS))

    @lru_cache(maxsize=2048)
    def convert(text: str) -> str:
        result: str = table.convert(text)
        for variant, usual in _VARIANTS.items():
            result = result.replace(variant, usual)
        return _ZHE.sub("着", result)

    return convert, frozenset(traditional)


def spoken_form(text: str) -> str:
    """Write digits out as they are read aloud; all else stays.

    Parameters
    ----------
    text : str
        Simplified or traditional; digits of any script or width.

    Returns
    -------
    str
        Holds no digits. Text without digits comes back unchanged.

    Notes
    -----
    Read digit by digit: seven digits or more, a leading zero, ``95xxx`` and other round-less numbers of
    four to six digits without a measure word, anything after a word like 保单号 or 电话, three digits or
    more before 号, and years before 年. The rest is a number. 1 is 一, never 幺.

    Examples
    --------
    >>> spoken_form("请提供保单号后6位及身份证号后4位")
    '请提供保单号后六位及身份证号后四位'
    >>> spoken_form("我的电话是13800138000")
    '我的电话是一三八零零一三八零零零'
    >>> spoken_form("24小时内，08:30到17:30，2分钟，3.5%")
    '二十四小时内，八点三十到十七点三十，两分钟，百分之三点五'
    >>> spoken_form("2024年3月15日交了12000元，工号1027")
    '二零二四年三月十五日交了一万二千元，工号一零二七'
    """
    if _DIGIT.search(text) is None:
        return text
    return _spoken(text)


@lru_cache(maxsize=4096)
def _spoken(text: str) -> str:
    text = _DIGIT.sub(lambda found: str(unicodedata.decimal(found.group())), text)
    text = _SIGNED_RANGE.sub("到", text)
    text = _RANGE.sub("到", text)
    text = _SHORT_RANGE.sub(_say_range, text)
    text = _MONEY.sub(lambda m: _amount(m.group(1)) + m.group(2) + "元", text)
    text = _PERCENT.sub(_say_percent, text)
    text = _FRACTION.sub(_say_fraction, text)
    return _NUMBER.sub(_say_number, text)


def _say_range(found: re.Match[str]) -> str:
    before = found.string[: found.start()]
    if _ID_BEFORE.search(before):
        return found.group()
    first = "两" if found.group(1) == "2" else found.group(1)
    return f"{first}到{found.group(2)}"


def _say_percent(found: re.Match[str]) -> str:
    return ("千分之" if found.group(2) == "‰" else "百分之") + _amount(found.group(1))


def _say_fraction(found: re.Match[str]) -> str:
    if found.group(2).strip("0") == "":
        return found.group()
    return f"{_cardinal(found.group(2))}分之{_cardinal(found.group(1))}"


def _say_number(found: re.Match[str]) -> str:
    before, after = found.string[: found.start()], found.string[found.end() :]
    whole = found.group()
    if found["date"]:
        return f"{_digits(found['y'])}年{_cardinal(found['m'])}月{_cardinal(found['d'])}日"
    if found["clock"]:
        return _say_clock(found["h"], found["min"], found["sec"])
    if found["dotted"]:
        return "点".join(_digits(part) for part in whole.split("."))
    if found["grouped"] or found["decimal"]:
        return _amount(whole)
    if found["joined"]:
        return _say_joined(whole, before)
    return _say_plain(whole, before, after)


def _say_clock(hours: str, minutes: str, seconds: str | None) -> str:
    said = ("两" if int(hours) == 2 else _cardinal(hours)) + "点"
    if int(minutes) or seconds:
        said += ("零" if minutes.startswith("0") and int(minutes) else "") + _cardinal(minutes)
    if seconds:
        said += f"分{_cardinal(seconds)}秒"
    return said


def _say_joined(whole: str, before: str) -> str:
    groups = re.split(r"[-\s]", whole)
    tail = whole[-1] if whole[-1] in "Xx" else ""
    digits = "".join(groups).rstrip("Xx")
    identifies = len(digits) >= 7 or _ID_BEFORE.search(before) or all(len(g) == 1 for g in groups)
    if identifies:
        return _digits(digits) + tail
    return "".join(_say_plain(part, "", "") if part.isdigit() else part for part in re.split(r"(\D+)", whole))


def _say_plain(number: str, before: str, after: str) -> str:
    if _read_by_digit(number, before, after):
        return _digits(number)
    counts = _MEASURE_AHEAD.match(after) and not after.lstrip().startswith(_TWO_IS_ER)
    if number == "2" and counts and not before.endswith(("第", "周", "星期", "礼拜", "十", "之")):
        return "两"
    return _cardinal(number)


def _read_by_digit(number: str, before: str, after: str) -> bool:
    length = len(number)
    measured = _MEASURE_AHEAD.match(after) is not None
    if length >= 7 or (length >= 2 and number.startswith("0")):
        return bool(_MOBILE.fullmatch(number)) or not (_is_round(number) and measured)
    if after.startswith("年") and (length == 4 or (length == 2 and int(number) >= 60)):
        return True
    if after.startswith("号") and length >= 3:
        return True
    if _ID_BEFORE.search(before):
        return not (length == 1 and measured)
    return length >= 4 and not _is_round(number) and not measured


def _is_round(number: str) -> bool:
    return number.endswith("00")


def _digits(number: str) -> str:
    return number.translate(_DIGITS_ZH)


def _cardinal(number: str) -> str:
    """Read a whole number as a number; absurdly long ones digit by digit."""
    trimmed = number.lstrip("0") or "0"
    if len(trimmed) > 16:
        return _digits(number)
    from cn2an import an2cn

    said: str = an2cn(trimmed)
    return said


def _amount(number: str) -> str:
    whole, _, fraction = number.replace(",", "").partition(".")
    return _cardinal(whole) + (f"点{_digits(fraction)}" if fraction else "")


def strip_punctuation(text: str) -> str:
    """Keep what is said: Han characters, Latin letters, digits.

    Examples
    --------
    >>> strip_punctuation("您好， 请问……有什么可以帮您？OK")
    '您好请问有什么可以帮您OK'
    """
    return _NOT_SAID.sub("", text)


def han_count(text: str) -> int:
    """Count the characters somebody says (字数), digits as read aloud.

    Notes
    -----
    One for each Han character of `spoken_form`. Punctuation counts nothing. A Latin word counts one;
    up to four capitals are spelled letter by letter and count one each (VIP is 3, app is 1).

    Examples
    --------
    >>> han_count("保单号后6位，谢谢。")
    8
    >>> han_count("我是VIP客户，用app")
    9
    """
    spoken = spoken_form(text)
    count = len(_HAN_CHAR.findall(spoken))
    for word in _LATIN.findall(spoken):
        count += len(word) if word.isupper() and len(word) <= 4 else 1
    return count


def normalised(text: str) -> str:
    """Give the form in which transcripts are compared (CER).

    Simplified, digits as spoken, lower case, no punctuation. Different spellings of what
    no listener can tell apart are made one: 幺/一, 〇/零, 两/二.

    Examples
    --------
    >>> normalised("電話是 139-2580-0457。") == normalised("电话是幺三九二五八〇〇四五七")
    True
    """
    said = strip_punctuation(spoken_form(simplified(text))).lower()
    return said.translate(_ONE_SPELLING)


_ONE_SPELLING = str.maketrans({"幺": "一", "〇": "零", "两": "二", "\ufeff": ""})
