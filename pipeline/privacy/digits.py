"""Digits spoken in a row, however they are said, and where they stand in the text.

Table of contents: `Group`, `Run`, `digit_runs`, `may_hold_number`.
"""

from __future__ import annotations

from dataclasses import dataclass
from unicodedata import decimal

from pipeline.privacy.lexicon import PrivacyLexicon, load_privacy_lexicon

_REPEATS = {"两": 2, "二": 2, "三": 3, "四": 4, "五": 5, "六": 6, "2": 2, "3": 3, "4": 4, "5": 5, "6": 6}


@dataclass(frozen=True, slots=True)
class Group:
    """Digits without a pause: ``text[start:end]`` reads as ``digits``."""

    start: int
    end: int
    digits: str


@dataclass(frozen=True, slots=True)
class Run:
    """Digits spoken in a row, in groups between pauses."""

    groups: tuple[Group, ...]

    @property
    def start(self) -> int:
        """First character."""
        return self.groups[0].start

    @property
    def end(self) -> int:
        """After the last character."""
        return self.groups[-1].end

    @property
    def digits(self) -> str:
        """All digits, Arabic."""
        return "".join(group.digits for group in self.groups)


def digit_runs(text: str) -> list[Run]:
    """Find digits spoken in a row.

    Examples
    --------
    >>> [run.digits for run in digit_runs("一三八，嗯零零幺三 三个八吗，九点")]
    ['1380013888', '9']
    """
    lexicon = load_privacy_lexicon()
    runs: list[Run] = []
    place = 0
    while found := lexicon.digit_like.search(text, place):
        run = _run_at(text, found.start(), lexicon)
        if run is None:
            place = found.end()
        else:
            runs.append(run)
            place = run.end
    return runs


def may_hold_number(text: str) -> bool:
    """Whether there are enough digits in a row for a number that is ever masked; quick, never wrongly no.

    Examples
    --------
    >>> may_hold_number("等一下，两三天"), may_hold_number("三个八"), may_hold_number("一，二嗯三")
    (False, True, True)
    """
    return load_privacy_lexicon().number_like.search(text) is not None


def _run_at(text: str, place: int, lexicon: PrivacyLexicon) -> Run | None:
    """Read digits from a place on, over pauses; None if no digit stands there."""
    groups: list[Group] = []
    total = 0
    start, digits = place, ""
    while True:
        step = _atom(text, place, digits, lexicon, begun=bool(groups))
        if step is not None:
            place, digits = place + step[0], digits + step[1]
            continue
        if not digits:
            break
        groups.append(Group(start, place, digits))
        total += len(digits)
        if total == 17 or (total in {3, 5, 7} and len(groups) <= 2):
            closed = _closing_x(text, place, required=total == 17, lexicon=lexicon)
            if closed:
                groups.append(Group(*closed, "X"))
                break
        pause = lexicon.pauses.match(text, place)
        after = pause.end() if pause else place
        if after == place and text[place : place + 1] == "." and len(digits) >= 3:
            after = place + 1
        if after == place or _atom(text, after, "", lexicon, begun=True) is None:
            break
        start = place = after
        digits = ""
    return Run(tuple(groups)) if groups else None


def _closing_x(text: str, place: int, *, required: bool, lexicon: PrivacyLexicon) -> tuple[int, int] | None:
    """Find the X that an ID number may end in, directly behind the digits (or after a pause, behind 17)."""
    if required:
        pause = lexicon.pauses.match(text, place)
        place = pause.end() if pause else place
    for word in ("艾克斯", "埃克斯", "X", "x", "Ｘ", "ｘ", "叉"):
        if text.startswith(word, place):
            end = place + len(word)
            following = text[end : end + 1]
            return None if following.isascii() and following.isalpha() else (place, end)
    return None


def _atom(
    text: str, place: int, before: str, lexicon: PrivacyLexicon, *, begun: bool = False
) -> tuple[int, str] | None:
    """One digit, or a repeated one (三个八); its length in the text and the digits it reads as."""
    if place >= len(text):
        return None
    letter = text[place]
    repeats = _REPEATS.get(letter)
    if repeats and text[place + 1 : place + 2] == "个":
        digit = _digit(text[place + 2 : place + 3], lexicon)
        following = text[place + 3 : place + 4]
        if digit and (before or begun or _digit(following, lexicon) or following in {"，", ",", " ", "、"}):
            return 3, digit * repeats
    digit = _digit(letter, lexicon)
    if digit:
        return 1, digit
    inside = lexicon.inside.get(letter)
    if inside and before:
        ahead = [bool(_digit(c, lexicon)) for c in text[place + 1 : place + 4]]
        if (len(before) >= 2 and ahead[:1] == [True]) or ahead == [True] * 3:
            return 1, inside
    return None


def _digit(letter: str, lexicon: PrivacyLexicon) -> str:
    if not letter:
        return ""
    value = decimal(letter, -1)
    return str(value) if value >= 0 else lexicon.digits.get(letter, "")
