"""Fast search for wordings: many ways to say one thing, recognised by sound.

Goal
----
Agents rarely say the standard's sentence; they say it in a hundred ways. The phrase matcher
(`pipeline.judging.phrases`) forgives wrong syllables and is made for few, long sentences. A *wording*
is made for many short ones with free gaps: it forgives only homophones and the usual accents, and is
searched as a regular expression over one code point a syllable.

How
---
Every character becomes the code of its toneless syllable (numerals stay themselves), so 理赔 and 礼陪
read alike. A wording becomes a regular expression over these codes. An index from neighbouring
codes to segments of the call keeps all but the promising ones from being looked at.

Confidence falls with the share of syllables that are written with another character, and the faster
the shorter the wording is: two syllables of the right sound may be another word, six hardly are.

Table of contents: `WordingError`, `Wording`, `SoundCodes`, `compile_wording`, `SoundIndex`, `hit_at`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from rapidfuzz import fuzz

from pipeline.errors import RulebookError
from pipeline.judging.patterns import bare, read_aloud
from pipeline.judging.phonetics import Sounds, split_syllable
from pipeline.judging.phrases import Hit
from pipeline.judging.slots import time_spans
from pipeline.judging.transcript import BREAK, Transcript
from pipeline.records import Role

NUMERALS = "零〇一二三四五六七八九十百千万两幺半点"
_COMPANY, _FILL, _NAME = "\uf8ff", "\uf8fe", "\uf8fd"
_FIRST_CODE = 0xE000
_EXACT, _UNLIKE, _LENGTH_POWER = 0.97, 0.9, 1.6
_COMPANY_ALIKE = 75.0
_NUMERAL_SHARE = 0.7
_CORE_CHARS = 3
_NOTHING: frozenset[int] = frozenset()
_SPECIAL = re.compile(r"\{([a-z]+)([^{}]*)\}")
_COMPARE = re.compile(r"(<=|<|>=|>)(\d+(?:\.\d+)?)(s|min|h|d)")
_UNIT_S = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_RANGE = re.compile(r":(\d+)(?:-(\d+))?")
_MERGED_INITIALS = {"zh": "z", "ch": "c", "sh": "s"}
_MERGED_FINALS = {"ing": "in", "eng": "en", "ueng": "uen"}
_SAME = {"你": "您", "妳": "您", "宁": "您", "她": "他", "它": "他"}
_COMPANY_ENDINGS = ("保险公司", "人寿保险", "财产保险", "保险", "人寿", "财险", "寿险")
_MAX_ALTERNATIVES = 400


class WordingError(RulebookError):
    """A wording cannot be read."""

    kind = "bad_wording"


class SoundCodes(dict[int, str]):
    """`str.translate` table from characters to one code point a syllable."""

    __hash__ = object.__hash__  # type: ignore[assignment]  # one table for each set of sounds, kept for good

    def __init__(self, sounds: Sounds) -> None:
        super().__init__()
        self.sounds = sounds
        self._codes: dict[tuple[str, str], str] = {}

    def __missing__(self, code: int) -> str:
        char = chr(code)
        written = _SAME.get(char, char)
        readings = () if char == BREAK else self.sounds.readings(written)
        if readings:
            initial, final = split_syllable(readings[0])
            key = (_MERGED_INITIALS.get(initial, initial), _MERGED_FINALS.get(final, final))
            if written == "您":
                key = ("n", "您")
            coded = self._codes.setdefault(key, chr(_FIRST_CODE + len(self._codes)))
        else:
            coded = char
        self[code] = coded
        return coded


@lru_cache(maxsize=8)
def sound_codes(sounds: Sounds) -> SoundCodes:
    """One table for each set of sounds; it fills itself on demand."""
    return SoundCodes(sounds)


@dataclass(frozen=True, slots=True)
class Wording:
    """A compiled wording; make it with `compile_wording`."""

    source: str
    regex: re.Pattern[str]
    anchors: frozenset[str]
    chars: frozenset[str]
    codes: frozenset[str]
    limits_s: tuple[tuple[float, float], ...]
    numbers: int
    masked: bool


@dataclass(slots=True)
class _Built:
    """What the translation of a piece of a wording gives."""

    regex: str
    shortest: int
    anchors: frozenset[str] | None
    edge: str = ""


class _Translator:
    """Recursive descent from a wording to a regular expression over codes."""

    def __init__(self, source: str, codes: SoundCodes) -> None:
        self.source = source
        self.codes = codes
        self.at = 0
        self.limits: list[tuple[float, float]] = []
        self.chars: set[str] = set()
        self.masked = False
        self.numbers = 0

    def _numerals(self) -> str:
        return re.escape("".join(sorted(set(NUMERALS.translate(self.codes)))))

    def whole(self) -> _Built:
        built = self._choice()
        if self.at < len(self.source):
            raise WordingError(f"column {self.at + 1}: {self.source[self.at]!r} closes nothing")
        return built

    def _choice(self) -> _Built:
        ways = [self._chain()]
        while self.at < len(self.source) and self.source[self.at] == "|":
            self.at += 1
            ways.append(self._chain())
        if len(ways) == 1:
            return ways[0]
        known = [way.anchors for way in ways]
        anchors = None if any(each is None for each in known) else frozenset().union(*(k for k in known if k))
        return _Built(
            "(?:" + "|".join(way.regex for way in ways) + ")", min(w.shortest for w in ways), anchors
        )

    def _chain(self) -> _Built:
        regex, shortest = "", 0
        best: frozenset[str] | None = None
        start = self.at
        while self.at < len(self.source) and self.source[self.at] not in "|)]":
            piece = self._piece()
            regex += piece.regex
            shortest += piece.shortest
            if piece.anchors is not None and (best is None or len(piece.anchors) < len(best)):
                best = piece.anchors
        if self.at == start:
            raise WordingError(f"column {start + 1}: nothing stands here; expected words")
        return _Built(regex, shortest, best)

    def _piece(self) -> _Built:
        char = self.source[self.at]
        if char in "([":
            opened = self.at
            self.at += 1
            inner = self._choice()
            close = ")" if char == "(" else "]"
            if self.at >= len(self.source) or self.source[self.at] != close:
                raise WordingError(f"column {opened + 1}: {char!r} is never closed; expected {close!r}")
            self.at += 1
            return inner if char == "(" else _Built(f"(?:{inner.regex})?", 0, None)
        if char == "{":
            return self._slot()
        if char in "<>&}":
            raise WordingError(f"column {self.at + 1}: {char!r} cannot stand in a wording; use it in 'say'")
        end = self.at
        while end < len(self.source) and self.source[end] not in "([{|)]}<>&":
            end += 1
        text = bare(read_aloud(self.source[self.at : end]))
        self.at = end
        self.chars.update(text)
        coded = text.translate(self.codes)
        anchors = frozenset([coded[:2]]) if len(coded) >= 2 else None
        return _Built(re.escape(coded), len(coded), anchors)

    def _slot(self) -> _Built:
        match = _SPECIAL.match(self.source, self.at)
        if match is None:
            raise WordingError(f"column {self.at + 1}: '{{' is never closed; expected '}}'")
        column = self.at + 1
        self.at = match.end()
        name, rest = match[1], match[2].strip()
        if name in ("gap", "digits"):
            found = _RANGE.fullmatch(rest) if rest else None
            if (rest and found is None) or (not rest and name == "gap"):
                raise WordingError(f"column {column}: {{{name}{rest}}}: expected :m-n, like {{{name}:0-6}}")
            low, high = (int(found[1]), int(found[2] or found[1])) if found else (1, 20)
            if not 0 <= low <= high <= 60:
                raise WordingError(f"column {column}: {{{name}{rest}}}: expected a rising range within 0-60")
            if name == "gap":
                return _Built(rf"[^{BREAK}]{{{low},{high}}}?", low, None)
            self.numbers += 1
            return _Built(f"(?P<n{self.numbers - 1}>[{self._numerals()}]{{{low},{high}}})", low, None)
        if name == "duration":
            return self._duration(rest, column)
        if name == "someone":
            return _Built(rf"[^{BREAK}]{{1,4}}?", 1, None)
        if name in ("company", "name"):
            self.masked = True
            mark = _COMPANY if name == "company" else _NAME
            return _Built(f"{mark}{_FILL}*", 1, frozenset([mark]))
        raise WordingError(
            f"column {column}: slot {name!r} is unknown; "
            "expected one of: company, digits, duration, gap, name, someone"
        )

    def _duration(self, rest: str, column: int) -> _Built:
        low, high = 0.0, float("inf")
        if rest:
            found = _COMPARE.fullmatch(rest.replace(" ", ""))
            if found is None:
                raise WordingError(
                    f"column {column}: {{duration{rest}}}: expected a comparison like <=2min or <=24h"
                )
            bound = float(found[2]) * _UNIT_S[found[3]]
            low, high = (low, bound) if found[1].startswith("<") else (bound, high)
        self.limits.append((low, high))
        units = "|".join(
            re.escape(unit.translate(self.codes))
            for unit in (
                "分钟",
                "秒钟",
                "秒",
                "分",
                "个小时",
                "小时",
                "个钟头",
                "个工作日",
                "工作日",
                "天",
                "日",
                "刻钟",
                "分半钟",
            )
        )
        joined = re.escape("到至个".translate(self.codes))
        span = f"[{self._numerals()}][{self._numerals()}{joined}]{{0,6}}?(?:{units})"
        return _Built(f"(?P<d{len(self.limits) - 1}>{span})", 2, None)


@lru_cache(maxsize=8192)
def compile_wording(source: str, sounds: Sounds) -> Wording:
    """Compile a wording.

    Parameters
    ----------
    source : str
        Literals, ``(a|b)``, ``[x]``, ``{gap:m-n}``, ``{digits:m-n}``, ``{duration<=2min}``, ``{company}``,
        ``{name}`` (the agent's, from the call record) and ``{someone}`` (any one to four characters).
    sounds : Sounds

    Raises
    ------
    WordingError
        With the column of what is wrong.
    """
    codes = sound_codes(sounds)
    translator = _Translator(source, codes)
    built = translator.whole()
    if built.shortest < 2 and not translator.masked:
        raise WordingError("column 1: at least two syllables must be said; give it more words")
    return Wording(
        source=source,
        regex=re.compile(built.regex),
        anchors=built.anchors or frozenset(),
        chars=frozenset(translator.chars),
        codes=frozenset("".join(translator.chars).translate(codes)),
        limits_s=tuple(translator.limits),
        numbers=translator.numbers,
        masked=translator.masked,
    )


@dataclass(frozen=True, slots=True)
class Found:
    """A wording found: span in the call's stream, and how sure it is."""

    start: int
    end: int
    confidence: float


@dataclass(slots=True)
class SoundIndex:
    """One call's stream in codes, cut into segments, with an index of neighbouring codes."""

    call: Transcript
    codes: SoundCodes = field(init=False)
    begins: list[int] = field(init=False)
    segments: list[str] = field(init=False)
    coded: list[str] = field(init=False)
    pairs: dict[str, set[int]] = field(init=False)
    of_role: dict[Role, frozenset[int]] = field(init=False)
    _masked: list[str] | None = None

    def __post_init__(self) -> None:
        self.codes = sound_codes(self.call.model.sounds)
        self.segments = self.call.stream.split(BREAK)
        self.coded = self.call.stream.translate(self.codes).split(BREAK)
        self.begins = []
        at = 0
        for segment in self.segments:
            self.begins.append(at)
            at += len(segment) + 1
        roles: dict[Role, set[int]] = {"agent": set(), "customer": set()}
        for number, (begin, segment) in enumerate(zip(self.begins, self.segments, strict=True)):
            if segment:
                roles[self.call.turns[self.call.place(begin)[0]].role].add(number)
        self.of_role = {role: frozenset(numbers) for role, numbers in roles.items()}
        pairs: dict[str, set[int]] = defaultdict(set)
        for number, coded in enumerate(self.coded):
            for place in range(len(coded) - 1):
                pairs[coded[place : place + 2]].add(number)
        self.pairs = dict(pairs)

    def best(self, wordings: Iterable[Wording], role: Role) -> list[Found]:
        """Non-overlapping places of any of the wordings, the surest and then the longest first."""
        within = self.of_role[role]
        found = [place for wording in wordings for place in self.search(wording, within)]
        kept: list[Found] = []
        for place in sorted(found, key=lambda each: (-each.confidence, each.start - each.end, each.start)):
            if all(place.end <= other.start or other.end <= place.start for other in kept):
                kept.append(place)
        return kept

    def search(self, wording: Wording, within: frozenset[int]) -> Iterator[Found]:
        """All places of a wording in these segments, one segment after the other."""
        coded = self.masked() if wording.masked else self.coded
        for number in self._promising(wording, within):
            text, begin = self.segments[number], self.begins[number]
            for match in wording.regex.finditer(coded[number]):
                if wording.limits_s and not _durations_fit(wording, match, text):
                    continue
                if wording.numbers and not _numbers_fit(wording, match, text):
                    continue
                start, end = match.span()
                yield Found(begin + start, begin + end, self._confidence(wording, text[start:end]))

    def _promising(self, wording: Wording, within: frozenset[int]) -> Iterable[int]:
        if wording.masked or not wording.anchors:
            return sorted(within)
        numbers: set[int] = set()
        for anchor in wording.anchors:
            numbers |= self.pairs.get(anchor, _NOTHING)
        return sorted(numbers & within)

    def _confidence(self, wording: Wording, heard: str) -> float:
        alike = unlike = 0
        for char in heard:
            if char in wording.chars or _SAME.get(char, char) in wording.chars:
                alike += 1
            elif self.codes[ord(char)] in wording.codes:
                unlike += 1
        if not unlike:
            return _EXACT
        doubt: float = _UNLIKE * unlike / (alike + unlike) ** _LENGTH_POWER
        return max(_EXACT - doubt, 0.01)

    def masked(self) -> list[str]:
        """Segments with the company's and the agent's names replaced by one mark each."""
        if self._masked is None:
            company = _forms(bare(read_aloud(self.call.company or "")), self.codes)
            name = bare(self.call.agent_name or "").translate(self.codes)
            self._masked = [self._mask(coded, company, name) for coded in self.coded]
        return self._masked

    def _mask(self, coded: str, company: tuple[str, ...], name: str) -> str:
        found = list(_mentions(coded, company) if company else _any_company(coded, self.codes))
        for start, end in found:
            coded = coded[:start] + _COMPANY + _FILL * (end - start - 1) + coded[end:]
        if name:
            at = coded.find(name)
            while at >= 0:
                coded = coded[:at] + _NAME + _FILL * (len(name) - 1) + coded[at + len(name) :]
                at = coded.find(name, at + len(name))
        return coded


def _durations_fit(wording: Wording, match: re.Match[str], text: str) -> bool:
    """Whether every time span that was heard lies within its limits."""
    for number, (low, high) in enumerate(wording.limits_s):
        start, end = match.span(f"d{number}")
        if start < 0:
            continue
        spans = time_spans(text[start:end])
        if not spans or not all(low <= span.seconds <= high for span in spans):
            return False
    return True


def _numbers_fit(wording: Wording, match: re.Match[str], text: str) -> bool:
    """Whether what sounds like numbers is mostly written as numbers."""
    for number in range(wording.numbers):
        heard = text[slice(*match.span(f"n{number}"))] if match[f"n{number}"] else ""
        if heard and sum(char in NUMERALS for char in heard) < _NUMERAL_SHARE * len(heard):
            return False
    return True


def _mentions(coded: str, company: tuple[str, ...]) -> Iterator[tuple[int, int]]:
    for form in company:
        at = coded.find(form)
        if at >= 0:
            yield at, at + len(form)
            return
    core = company[-1]
    if len(core) < _CORE_CHARS or len(coded) < len(core):
        return
    aligned = fuzz.partial_ratio_alignment(core, coded, score_cutoff=_COMPANY_ALIKE)
    if aligned is not None:
        yield aligned.dest_start, aligned.dest_end


@lru_cache(maxsize=256)
def _forms(company: str, codes: SoundCodes) -> tuple[str, ...]:
    """Return the codes of a company's name as registered and as people shorten it; empty if unknown."""
    forms = [company] if company else []
    for tail in ("股份有限公司", "有限责任公司", "有限公司", "公司", "保险"):
        if forms and forms[-1].endswith(tail) and len(forms[-1]) - len(tail) >= 2:
            forms.append(forms[-1][: -len(tail)])
    return tuple(form.translate(codes) for form in forms)


def _any_company(coded: str, codes: SoundCodes) -> Iterator[tuple[int, int]]:
    for ending in _COMPANY_ENDINGS:
        tail = ending.translate(codes)
        at = coded.find(tail)
        if at >= 2:
            yield max(0, at - 4), at + len(tail)
            return


def hit_at(call: Transcript, found: Found) -> Hit:
    """What the phrase matcher would report for a span that a wording found."""
    turn, start = call.place(found.start)
    end_turn, last = call.place(found.end - 1)
    role = call.turns[turn].role
    spoken, where = call.spoken(turn), call.written_at(turn)
    if turn == end_turn:
        end = last + 1
        quote = spoken[where[start] : where[last] + 1]
    else:
        end = len(call.texts[turn])
        quote = spoken[where[start] :] + "…" + call.spoken(end_turn)[: call.written_at(end_turn)[last] + 1]
    guards = call.model.guards
    left = re.split(f"[{re.escape(''.join(guards.stops))}]", spoken[: where[start]])[-1]
    after = call.spoken(end_turn)[call.written_at(end_turn)[last] + 1 :]
    right = re.split(f"[{re.escape(''.join(guards.stops))}]", after)[0]
    left, right = bare(left)[-guards.before :], bare(right)[: guards.after]
    return Hit(
        turn=turn,
        start=start,
        end=end,
        start_s=call.times(turn)[start][0],
        end_s=call.times(end_turn)[last][1],
        role=role,
        quote=quote,
        score=1.0,
        confidence=found.confidence,
        slots={},
        negated=guards.negated(left, right),
        quoted=guards.quoted(left, role),
        end_turn=end_turn,
    )
