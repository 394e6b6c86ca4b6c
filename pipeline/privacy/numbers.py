"""Checksums and shapes of personal numbers.

Conventions
-----------
All functions take a string of the digits 0 to 9 (an ID number may end in X) and say whether it can be one.

Table of contents: `is_id_number`, `looks_like_id`, `is_mobile`, `is_bank_card`, `is_timestamp`.

References
----------
.. [1] GB 11643-1999 公民身份号码; ISO/IEC 7064 MOD 11-2
.. [2] ISO/IEC 7812-1, annex B (Luhn)
.. [3] 工业和信息化部《电信网编号计划（2017年版）》
"""

from __future__ import annotations

import re
from datetime import date

_WEIGHTS = tuple(2 ** (17 - position) % 11 for position in range(17))
_CHECK = "10X98765432"
_REGIONS = frozenset(
    f"{first}{second}"
    for first, seconds in {"1": "12345", "2": "123", "3": "1234567", "4": "123456", "5": "01234",
                           "6": "12345", "7": "1", "8": "123", "9": "1"}.items()
    for second in seconds
)  # fmt: skip
_MOBILE = re.compile(r"1[3-9]\d{9}\Z")
_CARD_FIRST = frozenset("34569")


def is_id_number(digits: str) -> bool:
    """Whether 18 characters are an ID number (公民身份号码) with a correct check character.

    Examples
    --------
    >>> is_id_number("11010519491231002X"), is_id_number("110105194912310021")
    (True, False)
    """
    if not looks_like_id(digits) or len(digits) != 18:
        return False
    total = sum(int(digit) * weight for digit, weight in zip(digits, _WEIGHTS, strict=False))
    return _CHECK[total % 11] == digits[17]


def looks_like_id(digits: str) -> bool:
    """Whether region and date of birth are possible, whatever the check character; 18 or the old 15 places.

    Examples
    --------
    >>> looks_like_id("110105194912310021"), looks_like_id("110105491231002")
    (True, True)
    >>> looks_like_id("110105194913310021")
    False
    """
    if digits[:2] not in _REGIONS:
        return False
    if len(digits) == 18:
        return digits[:17].isdigit() and _is_date(digits[6:14], first=1900)
    return len(digits) == 15 and digits.isdigit() and _is_date("19" + digits[6:12], first=1900)


def is_mobile(digits: str) -> bool:
    """Whether it is a mobile number, with or without the country code.

    Examples
    --------
    >>> is_mobile("13800138000"), is_mobile("8613800138000"), is_mobile("12800138000")
    (True, True, False)
    """
    for prefix in ("", "86", "0086", "0"):
        if digits.startswith(prefix) and _MOBILE.match(digits[len(prefix) :]):
            return True
    return False


def is_bank_card(digits: str) -> bool:
    """Whether 16 to 19 digits satisfy Luhn and begin as a card does.

    Examples
    --------
    >>> is_bank_card("6222021234567890128"), is_bank_card("6222021234567890127")
    (True, False)
    """
    if not 16 <= len(digits) <= 19 or not digits.isdigit() or digits[0] not in _CARD_FIRST:
        return False
    total = 0
    for position, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + position % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def is_timestamp(digits: str) -> bool:
    """Whether it reads as a date of this century, alone or with a time behind it.

    Examples
    --------
    >>> is_timestamp("20260105083000"), is_timestamp("20261305"), is_timestamp("202601050830")
    (True, False, True)
    """
    if len(digits) not in {8, 12, 14} or not _is_date(digits[:8], first=1990):
        return False
    clock = digits[8:]
    limits = (24, 60, 60)
    return all(int(clock[i * 2 : i * 2 + 2]) < limits[i] for i in range(len(clock) // 2))


def _is_date(digits: str, *, first: int) -> bool:
    try:
        found = date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))
    except ValueError:
        return False
    return first <= found.year <= 2099
