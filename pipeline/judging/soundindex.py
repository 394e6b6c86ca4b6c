"""Fast search of a call for wordings: where they are said, and how sure it is.

How
---
The call's stream is read in the codes of `pipeline.judging.wordings`. An index from neighbouring codes
to segments of the call keeps all but the promising ones from being looked at. Wordings that ask for the
company or the agent by name are searched in a copy in which these names are replaced by marks.

Confidence falls with the share of syllables that are written with another character, and the faster
the shorter the wording is: two syllables of the right sound may be another word, six hardly are.

Table of contents: `Found`, `SoundIndex`, `hit_at`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType

from rapidfuzz import fuzz

from pipeline.judging.matching import BREAK
from pipeline.judging.patterns import bare, read_aloud
from pipeline.judging.phonetics import UNIT
from pipeline.judging.phrases import Hit
from pipeline.judging.slots import time_spans
from pipeline.judging.transcript import Transcript
from pipeline.judging.wordinglang import COMPANY, FILL, NAME, NUMERALS
from pipeline.judging.wordings import SoundCodes, Wording, plain_text, sound_codes
from pipeline.records import Role

_EXACT, _UNLIKE, _LENGTH_POWER, _NEVER = 0.97, 0.9, 1.6, 0.01
# A syllable that stands alone between gaps proves little by its sound: the rest must be longer.
_WEAK_LOSS = 3
# How much of the recogniser's own doubt in a turn goes over to what is found in it.
_DOUBT_COUNTS = 0.3
_COMPANY_ALIKE = 75.0
_NUMERAL_SHARE = 0.6
_CORE_CHARS = 3
_COMPANY_CHARS = 6
_MIN_COMPANY_CHARS = 2
_NOTHING: frozenset[int] = frozenset()
_NO_SLOTS: Mapping[str, str] = MappingProxyType({})
_PLACE, _SELF = ("这里是", "这边是"), ("我是", "我们是")
_LINES = ("服务专线", "服务热线", "客服专线")
_KINDS = ("人寿", "财产", "财险", "寿险", "健康", "养老", "保险", "公司")
# Written like this it is a trade or a department, whatever it sounds like: 恒信 is near 中心.
_NO_NAMES = re.compile(
    "(?:客服|客户|服务|呼叫|售后|信息|数据|调查|理赔|管理|保险|运营|会员|业务|电话|回访|营销|咨询)(?:中心|部)"
    "|客服|服务|工作人员"
)
# Mean cost of the distinctive syllables up to which an introduced name is taken for the record's.
_NAME_COST = 0.45
# ... and up to which it may be that name: a near miss.
_NAME_COST_NEAR, _DOUBTFUL = 0.75, 0.5
# After 我是 a name may just as well be a person's or a trade's.
_SELF_COST = 0.2
_COMPANY_ENDINGS = ("保险公司", "人寿保险", "财产保险", "保险", "人寿", "财险", "寿险")


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
    plain: list[str] = field(init=False)
    doubtful: set[int] = field(default_factory=set)
    _masked: tuple[list[str], list[str]] | None = None

    def __post_init__(self) -> None:
        self.codes = sound_codes(self.call.model.sounds)
        self.segments = self.call.stream.split(BREAK)
        self.coded = self.call.stream.translate(self.codes).split(BREAK)
        self.plain = [plain_text(segment) for segment in self.segments]
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
        coded, plain = self.masked() if wording.masked else (self.coded, self.plain)
        for number in self._promising(wording, within):
            text, begin = self.segments[number], self.begins[number]
            if wording.by_sound:
                matches = wording.coded.finditer(coded[number])
            else:
                matches = wording.written.finditer(plain[number])
            for match in matches:
                if wording.limits_s and not _durations_fit(wording, match, text):
                    continue
                if wording.numbers and not _numbers_fit(wording, match, text):
                    continue
                start, end = match.span()
                literal = not wording.by_sound or wording.written.match(plain[number], start)
                sure = _EXACT if literal else self._confidence(wording, plain[number][start:end])
                if number in self.doubtful and COMPANY in coded[number][start:end]:
                    sure = min(sure, _DOUBTFUL)
                yield Found(begin + start, begin + end, sure)

    def _promising(self, wording: Wording, within: frozenset[int]) -> Iterable[int]:
        if wording.masked or not wording.anchors:
            return sorted(within)
        numbers: set[int] = set()
        for anchor in wording.anchors:
            numbers |= self.pairs.get(anchor, _NOTHING)
        return sorted(numbers & within)

    def _confidence(self, wording: Wording, heard: str) -> float:
        alike = sum(char in wording.chars for char in heard)
        unlike = sum(char not in wording.chars and self.codes[ord(char)] in wording.codes for char in heard)
        unlike = max(unlike, 1)
        length = alike + unlike - (_WEAK_LOSS if wording.weak else 0)
        if length < 1:
            return _NEVER
        doubt: float = _UNLIKE * unlike / length**_LENGTH_POWER
        return max(_EXACT - doubt, _NEVER)

    def masked(self) -> tuple[list[str], list[str]]:
        """Segments, in codes and written, with the company's and the agent's names replaced by marks."""
        if self._masked is None:
            company = _forms(bare(read_aloud(self.call.company or "")), self.codes)
            name = bare(self.call.agent_name or "").translate(self.codes)
            spans = [self._names(number, company, name) for number in range(len(self.coded))]
            self._masked = (
                [_replaced(coded, found) for coded, found in zip(self.coded, spans, strict=True)],
                [_replaced(plain, found) for plain, found in zip(self.plain, spans, strict=True)],
            )
        return self._masked

    def _names(self, number: int, company: tuple[str, ...], name: str) -> list[tuple[int, int, str]]:
        coded = self.coded[number]
        if company:
            span = _mention(coded, company)
            if span is None and (near := self._introduced(number)) is not None:
                span = near[:2]
                if near[2] > _NAME_COST:
                    self.doubtful.add(number)
        else:
            span = _any_company(coded, self.codes)
        found = [(*span, COMPANY)] if span else []
        at = coded.find(name) if name else -1
        while at >= 0:
            found.append((at, at + len(name), NAME))
            at = coded.find(name, at + len(name))
        return found

    def _introduced(self, number: int) -> tuple[int, int, float] | None:
        """Where somebody introduces a company whose distinctive syllables sound like the record's.

        Recognisers do not know the names of insurers: 永康人寿 becomes 勇堂人秀. After 这里是 or before
        服务专线 a likeness is enough that would prove nothing elsewhere.
        """
        core = _core(bare(read_aloud(self.call.company or "")))
        plain, coded = self.plain[number], self.coded[number]
        begins: dict[int, float] = {}
        for match in _introducing(self.codes).finditer(coded):
            kind, start, end = match.lastgroup, match.start(), match.end()
            places = range(max(start - 8, 0), start - 1) if kind == "line" else range(end, end + 4)
            for begin in places:
                begins[begin] = min(begins.get(begin, 1.0), _SELF_COST if kind == "self" else 0.0)
        row = [self.call.model.sounds.row(char) for char in core]
        best: tuple[float, int] | None = None
        trades = [match.span() for match in _NO_NAMES.finditer(plain)]
        for begin, extra in sorted(begins.items()):
            heard = plain[begin : begin + len(core)]
            is_trade = any(start < begin + len(core) and begin < end for start, end in trades)
            if len(heard) == len(core) and not is_trade:
                cost = extra + sum(costs[char] for costs, char in zip(row, heard, strict=True)) / (
                    UNIT * len(core)
                )
                best = min(best or (cost, begin), (cost, begin))
        if best is None or best[0] > _NAME_COST_NEAR:
            return None
        return best[1], best[1] + len(core), best[0]


def _replaced(text: str, found: list[tuple[int, int, str]]) -> str:
    for start, end, mark in found:
        text = text[:start] + mark + FILL * (end - start - 1) + text[end:]
    return text


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


def _mention(coded: str, company: tuple[str, ...]) -> tuple[int, int] | None:
    for form in company:
        at = coded.find(form)
        if at >= 0:
            return at, at + len(form)
    core = company[-1]
    if len(core) < _CORE_CHARS or len(coded) < len(core):
        return None
    aligned = fuzz.partial_ratio_alignment(core, coded, score_cutoff=_COMPANY_ALIKE)
    return (aligned.dest_start, aligned.dest_end) if aligned is not None else None


@lru_cache(maxsize=8)
def _introducing(codes: SoundCodes) -> re.Pattern[str]:
    kinds = {"place": _PLACE, "self": _SELF, "line": _LINES}
    ways = {
        kind: "|".join(re.escape(each.translate(codes)) for each in words) for kind, words in kinds.items()
    }
    return re.compile("|".join(f"(?P<{kind}>{words})" for kind, words in ways.items()))


@lru_cache(maxsize=256)
def _core(company: str) -> str:
    """Return the syllables that tell an insurer from the others.

    Examples
    --------
    >>> _core("安和人寿保险股份有限公司"), _core("恒信财险")
    ('安和', '恒信')
    """
    cut = [company.find(kind) for kind in _KINDS if company.find(kind) >= 2]
    return company[: min(cut)] if cut else company


@lru_cache(maxsize=256)
def _forms(company: str, codes: SoundCodes) -> tuple[str, ...]:
    """Return the codes of a company's name as registered and as people shorten it; empty if unknown."""
    forms = [company] if company else []
    for tail in ("股份有限公司", "有限责任公司", "有限公司", "公司", "保险"):
        if forms and forms[-1].endswith(tail) and len(forms[-1]) - len(tail) >= 2:
            forms.append(forms[-1][: -len(tail)])
    return tuple(form.translate(codes) for form in forms)


def _any_company(coded: str, codes: SoundCodes) -> tuple[int, int] | None:
    """Where any insurer is named, for calls whose record does not say which it must be."""
    introduced = [match.end() for match in _introducing(codes).finditer(coded) if match.lastgroup != "line"]
    for ending in _COMPANY_ENDINGS:
        tail = ending.translate(codes)
        at = coded.find(tail)
        if at >= _MIN_COMPANY_CHARS:
            near = [end for end in introduced if 0 < at - end <= _COMPANY_CHARS]
            return (near[-1] if near else at - _MIN_COMPANY_CHARS), at + len(tail)
    return None


def hit_at(call: Transcript, found: Found) -> Hit:
    """What the phrase matcher would report for a span that a wording found."""
    turn, start = call.place(found.start)
    end_turn, last = call.place(found.end - 1)
    role = call.turns[turn].role
    guards = call.model.guards
    left = call.texts[turn][max(call.sentence(turn, start)[0], start - guards.before) : start]
    right = call.texts[end_turn][last + 1 : min(call.sentence(end_turn, last)[1], last + 1 + guards.after)]
    whole = len(call.texts[turn])
    if turn == end_turn:
        quote = call.spoken(turn, start, last + 1)
    else:
        quote = f"{call.spoken(turn, start, whole)}…{call.spoken(end_turn, 0, last + 1)}"
    doubt = _DOUBT_COUNTS * (1 - call.turns[turn].confidence)
    return Hit(
        turn=turn,
        start=start,
        end=last + 1 if turn == end_turn else whole,
        start_s=call.begin_s(turn, start),
        end_s=call.end_s(end_turn, last),
        role=role,
        quote=quote,
        score=1.0,
        confidence=max(found.confidence - doubt, _NEVER),
        slots=_NO_SLOTS,
        negated=guards.negated(left, right),
        quoted=guards.quoted(left, role, right),
        end_turn=end_turn,
    )
