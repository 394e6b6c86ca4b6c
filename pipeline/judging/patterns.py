"""The pattern language in which rules write phrases.

Grammar
-------
::

    pattern  = sequence { "|" sequence }
    sequence = { literal | "(" pattern ")" | "[" pattern "]" | "<" pattern { "&" pattern } ">" | slot }
    slot     = "{" name [ ":" m [ "-" n ] | compare duration ] "}"

``感谢您的来电``            Chinese as it is spoken; digits are read aloud (``24小时`` = 二十四小时);
                           punctuation is ignored
``(保单号|合同号)``         one of these
``[请问]``                 may be left out; ``[a|b]`` one of these or none
``<后六位&保单号>``          all of these in any order, a few other characters between them
``{digits}`` ``{digits:4-18}`` ``{digits:6}``   a number read aloud, counted in digits
``{name}`` ``{company}``    the agent's name, the insurer's name
``{duration}`` ``{duration<=2min}``   a time span; compared by ``<``, ``<=``, ``>``, ``>=``
                           with ``s``, ``min``, ``h`` or ``d``
``{gap:0-6}``              that many characters of anything

A compiled pattern is the list of its *expansions*: every way to choose among alternatives and options,
each a straight sequence of literals and slots.

Table of contents: `PatternError`; `Literal`, `Digits`, `Name`, `Company`, `Duration`, `Gap`, `Element`;
`parse_pattern`, `alternatives`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import permutations

from pipeline.errors import RulebookError


class PatternError(RulebookError):
    """A phrase pattern cannot be understood.

    Attributes
    ----------
    column : int
        Where, counted from 1.
    """

    kind = "bad_pattern"

    def __init__(self, message: str, column: int) -> None:
        super().__init__(f"column {column}: {message}")
        self.message = message
        self.column = column


@dataclass(frozen=True, slots=True)
class Literal:
    """Characters as spoken, without punctuation."""

    chars: str


@dataclass(frozen=True, slots=True)
class Digits:
    """A number read aloud with ``low`` to ``high`` digits."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Name:
    """The agent's name."""


@dataclass(frozen=True, slots=True)
class Company:
    """The insurer's name."""


@dataclass(frozen=True, slots=True)
class Duration:
    """A time span of ``low_s`` to ``high_s`` seconds; bounds included as told."""

    low_s: float
    high_s: float
    low_included: bool = True
    high_included: bool = True


@dataclass(frozen=True, slots=True)
class Gap:
    """``low`` to ``high`` characters of anything."""

    low: int
    high: int


Element = Literal | Digits | Name | Company | Duration | Gap
Sequence = tuple[Element, ...]

_STRUCTURE = "()[]<>{}|&"
# Whoever writes these believes that patterns are regular expressions; ignoring them would change the meaning.
_REGEX = "?*+^$\\"
_FULL_WIDTH = {"（": "(", "）": ")", "［": "[", "］": "]", "｛": "{", "｝": "}", "｜": "|", "＆": "&"}
_SIGN = re.compile(r"\{[^}]*\}|[()\[\]<>|]")
_SLOT = re.compile(r"(?P<name>[a-z_]+)\s*(?P<rest>.*)", re.DOTALL)
_RANGE = re.compile(r":\s*(?P<low>\d{1,3})(?:\s*-\s*(?P<high>\d{1,3}))?\s*")
_COMPARE = re.compile(r"(?P<sign><=|>=|<|>)\s*(?P<value>\d+(?:\.\d+)?)\s*(?P<unit>[a-z]+)\s*")
_WRITTEN_NUMBER = re.compile(r"[0-9０-９%％℃]")
_UNSPOKEN = re.compile(r"[\W_]+")
_UNIT_S = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_MAX_DIGITS = 30
_MAX_GAP = 60


def bare(text: str) -> str:
    """Text without punctuation, symbols and space, Latin letters in lower case.

    Examples
    --------
    >>> bare("您好，VIP 客户！")
    '您好vip客户'
    """
    kept = _UNSPOKEN.sub("", text)
    lower = kept.lower()
    return lower if len(lower) == len(kept) else kept


def read_aloud(text: str) -> str:
    """``text`` with Arabic digits as they are spoken."""
    if _WRITTEN_NUMBER.search(text):
        from pipeline.mandarin import spoken_form

        return spoken_form(text)
    return text


def parse_pattern(source: str, *, max_expansions: int, group_gap: int) -> tuple[tuple[Sequence, ...], ...]:
    """All expansions of each alternative of a pattern, without repeats, in the order of writing.

    Raises
    ------
    PatternError
        With the column of the first thing that is wrong, or when there are more than
        ``max_expansions``.

    Examples
    --------
    >>> parse_pattern("您好[请问]", max_expansions=500, group_gap=20)
    (((Literal(chars='您好请问'),), (Literal(chars='您好'),)),)
    """
    parser = _Parser(source, max_expansions, group_gap)
    branches = tuple(tuple(dict.fromkeys(map(_merged, branch))) for branch in parser.parse())
    if not all(sequence for branch in branches for sequence in branch):
        raise PatternError("the pattern can match nothing at all; give it words that must be said", 1)
    return branches


def alternatives(source: str) -> tuple[str, ...]:
    """The alternatives that stand at the top level of a pattern, as written.

    Examples
    --------
    >>> alternatives("请问(您|你)|您好[啊|呀]")
    ('请问(您|你)', '您好[啊|呀]')
    """
    found: list[str] = []
    depth = begin = 0
    for sign in _SIGN.finditer(source):  # those inside a slot ({duration<=2min}) open nothing
        depth += (sign[0] in "([<") - (sign[0] in ")]>")
        if sign[0] == "|" and depth == 0:
            found.append(source[begin : sign.start()])
            begin = sign.end()
    return (*found, source[begin:])


class _Parser:
    """Recursive descent; each rule returns the list of its expansions."""

    def __init__(self, source: str, max_expansions: int, group_gap: int) -> None:
        self.source = source
        self.at = 0
        self.max_expansions = max_expansions
        self.group_gap = group_gap

    def parse(self) -> list[list[Sequence]]:
        found = self._branches()
        if self.at < len(self.source):
            self._fail(f"{self.source[self.at]!r} closes nothing")
        return found

    def _fail(self, message: str, at: int | None = None) -> None:
        raise PatternError(message, (self.at if at is None else at) + 1)

    def _peek(self) -> str:
        return self.source[self.at] if self.at < len(self.source) else ""

    def _bounded(self, found: list[Sequence]) -> list[Sequence]:
        if len(found) > self.max_expansions:
            self._fail(f"more than {self.max_expansions} ways to say this; split it into several patterns")
        return found

    def _alternatives(self) -> list[Sequence]:
        return self._bounded([sequence for branch in self._branches() for sequence in branch])

    def _branches(self) -> list[list[Sequence]]:
        found: list[list[Sequence]] = []
        while True:
            begin = self.at
            sequences = self._sequence()
            if sequences == [()] and self.at == begin:
                self._fail("nothing stands here; expected words", begin)
            found.append(sequences)
            self._bounded([sequence for branch in found for sequence in branch])
            if self._peek() != "|":
                return found
            self.at += 1

    def _sequence(self) -> list[Sequence]:
        found: list[Sequence] = [()]
        while (char := self._peek()) and char not in "|&)]>":
            opened = self.at
            if char == "}":
                self._fail("'}' closes nothing")
            elif char == "(":
                part = self._enclosed(")", opened)
            elif char == "[":
                part = [*self._enclosed("]", opened), ()]
            elif char == "<":
                part = self._group(opened)
            elif char == "{":
                part = [(self._slot(),)]
            else:
                part = self._literal()
            found = self._bounded([left + right for left in found for right in part])
        return found

    def _enclosed(self, close: str, opened: int) -> list[Sequence]:
        self.at += 1
        found = self._alternatives()
        if self._peek() != close:
            self._fail(f"{self.source[opened]!r} is never closed; expected {close!r}", opened)
        self.at += 1
        return found

    def _group(self, opened: int) -> list[Sequence]:
        parts: list[list[Sequence]] = []
        self.at += 1
        while True:
            parts.append(self._alternatives())
            if self._peek() != "&":
                break
            self.at += 1
        if self._peek() != ">":
            self._fail("'<' is never closed; expected '>'", opened)
        self.at += 1
        if len(parts) == 1:
            self._fail("a group needs at least two parts: <a&b>", opened)
        if len(parts) > 4:
            self._fail("a group of more than four parts; split the pattern", opened)
        gap: Sequence = (Gap(0, self.group_gap),)
        found: list[Sequence] = []
        for order in permutations(parts):
            chains = list(order[0])
            for following in order[1:]:
                chains = self._bounded([left + gap + right for left in chains for right in following])
            found = self._bounded(found + chains)
        return found

    def _literal(self) -> list[Sequence]:
        begin = self.at
        while (char := self._peek()) and char not in _STRUCTURE:
            if char in _FULL_WIDTH:
                self._fail(f"full-width {char!r} found; write {_FULL_WIDTH[char]!r}")
            if char in _REGEX:
                self._fail(f"{char!r} has no meaning here; optional words are written [words]")
            self.at += 1
        chars = bare(read_aloud(self.source[begin : self.at]))
        return [(Literal(chars),)] if chars else [()]

    def _slot(self) -> Element:
        begin = self.at
        end = self.source.find("}", begin)
        if end < 0:
            self._fail("'{' is never closed; expected '}'")
        self.at = end + 1
        match = _SLOT.fullmatch(self.source[begin + 1 : end].strip())
        name = match["name"] if match else ""
        build = _SLOTS.get(name)
        if match is None or build is None:
            raise PatternError(
                f"slot {name!r} is unknown; expected one of: {', '.join(sorted(_SLOTS))}", begin + 1
            )
        try:
            return build(match["rest"])
        except ValueError as error:
            raise PatternError(f"{{{name}}}: {error}", begin + 1) from error


def _range(rest: str, low: int, high: int, most: int) -> tuple[int, int]:
    if rest:
        match = _RANGE.fullmatch(rest)
        if match is None:
            raise ValueError("expected :m or :m-n with whole numbers")
        low = int(match["low"])
        high = int(match["high"]) if match["high"] else low
    if not low <= high <= most:
        raise ValueError(f"range {low}-{high} is not rising within 0-{most}")
    return low, high


def _digits(rest: str) -> Element:
    low, high = _range(rest, 1, _MAX_DIGITS, _MAX_DIGITS)
    if low < 1:
        raise ValueError("at least one digit")
    return Digits(low, high)


def _gap(rest: str) -> Element:
    if not rest:
        raise ValueError("write how many characters: {gap:0-6}")
    return Gap(*_range(rest, 0, 0, _MAX_GAP))


def _duration(rest: str) -> Element:
    if not rest:
        return Duration(0.0, float("inf"))
    match = _COMPARE.fullmatch(rest)
    if match is None or match["unit"] not in _UNIT_S:
        raise ValueError(f"expected a comparison such as <=2min, units {', '.join(_UNIT_S)}")
    bound = float(match["value"]) * _UNIT_S[match["unit"]]
    included = match["sign"].endswith("=")
    if match["sign"].startswith("<"):
        return Duration(0.0, bound, high_included=included)
    return Duration(bound, float("inf"), low_included=included)


def _plain(element: Element) -> Callable[[str], Element]:
    def build(rest: str) -> Element:
        if rest:
            raise ValueError("takes no range")
        return element

    return build


_SLOTS: dict[str, Callable[[str], Element]] = {
    "digits": _digits,
    "name": _plain(Name()),
    "company": _plain(Company()),
    "duration": _duration,
    "gap": _gap,
}


def _merged(sequence: Iterable[Element]) -> Sequence:
    """Neighbouring literals and gaps become one."""
    found: list[Element] = []
    for element in sequence:
        match (found[-1] if found else None, element):
            case (Literal(left), Literal(right)):
                found[-1] = Literal(left + right)
            case (Gap(low, high), Gap(more_low, more_high)):
                found[-1] = Gap(low + more_low, high + more_high)
            case _:
                found.append(element)
    while found and isinstance(found[-1], Gap):
        found.pop()
    while found and isinstance(found[0], Gap):
        del found[0]
    return tuple(found)
