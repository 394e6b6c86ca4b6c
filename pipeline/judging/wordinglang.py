"""The language of wordings, and what a wording comes to as a regular expression.

Grammar: literal characters, ``(a|b)`` one of these, ``[x]`` or ``[a|b]`` may be left out,
``{gap:0-6}`` that many characters of anything, ``{digits:4-8}`` a number read aloud,
``{duration<=2min}`` a time span (s, min, h, d), ``{company}`` and ``{name}`` those of the call record,
``{someone}`` any one to four characters.

Table of contents: `WordingError`, `Parsed`, `parse_wording`, `NUMERALS`, `COMPANY`, `NAME`, `FILL`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.errors import RulebookError
from pipeline.judging.patterns import bare, read_aloud

NUMERALS = "零〇一二三四五六七八九十百千万两幺半点"
COMPANY, FILL, NAME = "\uf8ff", "\uf8fe", "\uf8fd"
_ANY = r"[^\n]"
_SLOT = re.compile(r"\{([a-z]+)([^{}]*)\}")
_COMPARE = re.compile(r"(<=|<|>=|>)(\d+(?:\.\d+)?)(s|min|h|d)")
_RANGE = re.compile(r":(\d+)(?:-(\d+))?")
_UNIT_S = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_TIME_UNITS = (
    "个工作日",
    "分半钟",
    "分来钟",
    "分多钟",
    "来分钟",
    "个小时",
    "个钟头",
    "工作日",
    "分钟",
    "秒钟",
    "小时",
    "刻钟",
    "秒",
    "分",
    "天",
    "日",
)
_MAX_GAP = 60
_MAX_NESTING = 8
_FAR = 1_000
_SLOTS = "company, digits, duration, gap, name, someone"


class WordingError(RulebookError):
    """A wording cannot be read."""

    kind = "bad_wording"


@dataclass(frozen=True, slots=True)
class Runs:
    """How many syllables stand together: at the start, at the end, and fewest between two gaps."""

    first: int
    last: int
    inner: int | None = None

    def then(self, other: Runs) -> Runs:
        """Return what one piece right after the other comes to."""
        if self.inner is None and other.inner is None:
            return Runs(self.first + other.first, self.first + other.first)
        if self.inner is None:
            return Runs(self.first + other.first, other.last, other.inner)
        if other.inner is None:
            return Runs(self.first, self.last + other.first, self.inner)
        return Runs(self.first, other.last, min(self.inner, other.inner, self.last + other.first))

    def weakest(self) -> int:
        """Return the fewest syllables that stand together anywhere."""
        return self.first if self.inner is None else min(self.first, self.last, self.inner)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a wording: two regular expressions, its runs, and neighbouring codes that it needs."""

    coded: str
    written: str
    runs: Runs
    shortest: int
    anchors: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Parsed:
    """A wording read.

    Attributes
    ----------
    coded, written : str
        Regular expressions over sound codes, and over the characters themselves.
    weakest : int
        Fewest syllables that stand together between gaps; where it is 1, sound alone proves nothing.
    anchors : frozenset of str
        Of these pairs of codes one must stand in the text; empty when nothing is known.
    chars : frozenset of str
        Every character of the wording.
    limits_s : tuple of (low, high)
        For the groups ``d0``, ``d1``, … of durations.
    numbers : int
        How many groups ``n0``, ``n1``, … of numbers there are.
    masked : bool
        Whether it names the company or the agent.
    """

    coded: str
    written: str
    weakest: int
    anchors: frozenset[str]
    chars: frozenset[str]
    limits_s: tuple[tuple[float, float], ...]
    numbers: int
    masked: bool


def parse_wording(source: str, encode: Callable[[str], str], plain: Callable[[str], str]) -> Parsed:
    r"""Read a wording.

    Parameters
    ----------
    source : str
    encode : callable
        Text to sound codes, one a character.
    plain : callable
        Text with characters replaced that are never told apart (你 and 您).

    Raises
    ------
    WordingError
        With the column of the first thing that is wrong.

    Examples
    --------
    >>> parsed = parse_wording("感谢{gap:0-4}(来电|致电)", str.upper, str)
    >>> parsed.written, parsed.weakest
    ('感谢[^\\n]{0,4}?(?:来电|致电)', 2)
    """
    parser = _Parser(source, encode, plain)
    piece = parser.choice(0)
    if parser.at < len(source):
        parser.fail(f"{source[parser.at]!r} closes nothing")
    if piece.shortest < 2:
        raise WordingError("column 1: at least two syllables must be said; give it more words")
    return Parsed(
        coded=piece.coded,
        written=piece.written,
        weakest=piece.runs.weakest(),
        anchors=piece.anchors or frozenset(),
        chars=frozenset(parser.chars),
        limits_s=tuple(parser.limits_s),
        numbers=parser.numbers,
        masked=parser.masked,
    )


class _Parser:
    def __init__(self, source: str, encode: Callable[[str], str], plain: Callable[[str], str]) -> None:
        self.source = source
        self.encode = encode
        self.plain = plain
        self.at = 0
        self.limits_s: list[tuple[float, float]] = []
        self.chars: set[str] = set()
        self.masked = False
        self.numbers = 0

    def fail(self, message: str, at: int | None = None) -> None:
        raise WordingError(f"column {(self.at if at is None else at) + 1}: {message}")

    def choice(self, depth: int) -> Piece:
        if depth > _MAX_NESTING:
            self.fail(f"nested deeper than {_MAX_NESTING}; split the wording")
        ways = [self._chain(depth)]
        while self.at < len(self.source) and self.source[self.at] == "|":
            self.at += 1
            ways.append(self._chain(depth))
        return ways[0] if len(ways) == 1 else _either(ways)

    def _chain(self, depth: int) -> Piece:
        begin = self.at
        whole = Piece("", "", Runs(0, 0), 0)
        while self.at < len(self.source) and self.source[self.at] not in "|)]":
            whole = _joined(whole, self._piece(depth))
        if self.at == begin:
            self.fail("nothing stands here; expected words", begin)
        if not any(char.isalnum() for char in self.source[begin : self.at]):
            self.fail("punctuation alone stands here, and is not heard; expected words", begin)
        return whole

    def _piece(self, depth: int) -> Piece:
        char = self.source[self.at]
        if char in "([":
            return self._enclosed(char, depth)
        if char == "{":
            return self._slot()
        if char in "<>&}":
            self.fail(f"{char!r} cannot stand in a wording; such patterns belong into 'say'")
        if char in "?*+" and self.at and self.source[self.at - 1] in ")]":
            self.fail(f"{char!r} means nothing here; what may be left out is written [x] or [a|b]")
        end = self.at
        while end < len(self.source) and self.source[end] not in "([{|)]}<>&":
            end += 1
        text = self.plain(bare(read_aloud(self.source[self.at : end])))
        self.at = end
        self.chars.update(text)
        coded = self.encode(text)
        pairs = [coded[place : place + 2] for place in range(len(coded) - 1)]
        anchors = frozenset(pairs[:1]) if pairs else None
        return Piece(re.escape(coded), re.escape(text), Runs(len(text), len(text)), len(text), anchors)

    def _enclosed(self, opening: str, depth: int) -> Piece:
        begin = self.at
        self.at += 1
        inner = self.choice(depth + 1)
        closing = ")" if opening == "(" else "]"
        if self.at >= len(self.source) or self.source[self.at] != closing:
            self.fail(f"{opening!r} is never closed; expected {closing!r}", begin)
        self.at += 1
        if opening == "(":
            return Piece(
                f"(?:{inner.coded})", f"(?:{inner.written})", inner.runs, inner.shortest, inner.anchors
            )
        return Piece(f"(?:{inner.coded})?", f"(?:{inner.written})?", Runs(0, 0), 0)

    def _slot(self) -> Piece:
        begin = self.at
        match = _SLOT.match(self.source, begin)
        if match is None:
            raise WordingError(f"column {begin + 1}: '{{' is never closed; expected '}}'")
        self.at = match.end()
        name, rest = match[1], match[2].replace(" ", "")
        if name == "gap":
            low, high = self._range(rest, begin)
            gap = f"{_ANY}{{{low},{high}}}?"
            return Piece(gap, gap, Runs(0, 0, _FAR), low)
        if name == "digits":
            low, high = self._range(rest or ":1-20", begin)
            self.numbers += 1
            group = f"(?P<n{self.numbers - 1}>[{{}}]{{{{{low},{high}}}}})"
            coded = "".join(sorted(set(self.encode(NUMERALS))))
            return Piece(group.format(re.escape(coded)), group.format(NUMERALS), Runs(2, 2), low)
        if name == "duration":
            return self._duration(rest, begin)
        if name == "someone" and not rest:
            return Piece(f"{_ANY}{{1,4}}?", f"{_ANY}{{1,4}}?", Runs(0, 0, _FAR), 1)
        if name in ("company", "name") and not rest:
            self.masked = True
            mark = COMPANY if name == "company" else NAME
            return Piece(f"{mark}{FILL}*", f"{mark}{FILL}*", Runs(2, 2), 2)
        raise WordingError(f"column {begin + 1}: slot {match[0]!r} is unknown; expected one of: {_SLOTS}")

    def _range(self, rest: str, begin: int) -> tuple[int, int]:
        found = _RANGE.fullmatch(rest)
        low, high = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if not low <= high <= _MAX_GAP:
            self.fail(f"expected a rising range within 0-{_MAX_GAP}, like {{gap:0-6}}", begin)
        return low, high

    def _duration(self, rest: str, begin: int) -> Piece:
        low, high = 0.0, float("inf")
        if rest:
            found = _COMPARE.fullmatch(rest)
            if found is None:
                raise WordingError(f"column {begin + 1}: expected a comparison, like {{duration<=2min}}")
            bound = float(found[2]) * _UNIT_S[found[3]]
            low, high = (low, bound) if found[1].startswith("<") else (bound, high)
        self.limits_s.append((low, high))
        group = f"d{len(self.limits_s) - 1}"
        return Piece(_time(group, self.encode), _time(group, str), Runs(2, 2), 2)


def _time(group: str, encode: Callable[[str], str]) -> str:
    numerals = re.escape("".join(sorted(set(encode(NUMERALS)))))
    joining = re.escape(encode("到至个"))
    units = "|".join(re.escape(encode(unit)) for unit in _TIME_UNITS)
    return f"(?P<{group}>[{numerals}][{numerals}{joining}]{{0,6}}?(?:{units}))"


def _either(ways: Sequence[Piece]) -> Piece:
    known = [way.anchors for way in ways]
    anchors = frozenset().union(*(each for each in known if each)) if all(known) else None
    gaps = [way.runs.inner for way in ways if way.runs.inner is not None]
    first = min(way.runs.first for way in ways)
    last = min(way.runs.last for way in ways)
    runs = Runs(first, last, min(gaps)) if gaps else Runs(first, first)
    return Piece(
        "|".join(way.coded for way in ways),
        "|".join(way.written for way in ways),
        runs,
        min(way.shortest for way in ways),
        anchors,
    )


def _joined(left: Piece, right: Piece) -> Piece:
    anchors = left.anchors
    if anchors is None or (right.anchors is not None and len(right.anchors) < len(anchors)):
        anchors = right.anchors
    return Piece(
        left.coded + right.coded,
        left.written + right.written,
        left.runs.then(right.runs),
        left.shortest + right.shortest,
        anchors,
    )
