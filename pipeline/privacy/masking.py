"""Finds personal numbers in what was said and puts a mask of equal length over them.

Conventions
-----------
Positions are character offsets; a masked text has the length of the original, so times, quotes and evidence
keep their places. Digits may be Arabic (any width), Chinese numerals, 幺, or homophones between other
digits, with pauses and fillers in between.

A number is *strong* when its own shape tells (checksum, mobile prefix) and is masked wherever it stands. A
*weak* one is masked when something before it says what it is (身份证后四位), in the same turn or in one of
the turns before. Eleven digits or more that nothing explains are masked, too.

Table of contents: `Span`, `Masked`, `Pending`; `mask`, `mask_turns`, `mask_in_order`, `mask_after`, `hidden`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from pipeline.privacy.digits import Group, Run, digit_runs, may_hold_number
from pipeline.privacy.lexicon import Cue, PrivacyLexicon, load_privacy_lexicon
from pipeline.privacy.numbers import is_bank_card, is_id_number, is_mobile, is_timestamp, looks_like_id

MASK = "*"
_MONEY = frozenset("元块圆角万亿钱")
_LONG_DIGITS = 11
_LONGEST_NUMBER = 23
_PENDING_TURNS = 3
_PENDING_MIN = 3


@dataclass(frozen=True, slots=True)
class Span:
    """A personal number: where it stands, what it is, and how many digits it has.

    ``kind`` is one of `pipeline.privacy.lexicon.KINDS`.
    """

    start: int
    end: int
    kind: str
    digits: int


@dataclass(frozen=True, slots=True)
class Masked:
    """A text with its personal numbers masked, and where they were.

    Attributes
    ----------
    text : str
        As long as the original.
    spans : tuple of Span
        In order, not overlapping.
    secrets : tuple of str
        The digits under each span; never printed by ``repr``.
    """

    text: str
    spans: tuple[Span, ...] = ()
    secrets: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Masked({self.text!r}, {self.spans!r})"


@dataclass(frozen=True, slots=True)
class Pending:
    """A number that was asked for or begun in an earlier turn: its kind, and how many turns ago."""

    kind: str
    age: int = 0
    begun: bool = False


def mask(text: str) -> Masked:
    """Mask the personal numbers of one text.

    Parameters
    ----------
    text : str
        A turn, a quote, a reason; the context of other turns is `mask_turns`' matter.

    Returns
    -------
    Masked

    Examples
    --------
    >>> mask("我手机一三八零零幺三八零零零，保费五千二百元").text
    '我手机***********，保费五千二百元'
    >>> mask("身份证后四位是 1234").spans
    (Span(start=8, end=12, kind='id_number', digits=4),)
    >>> mask("客服电话95519，2026年1月5日办的").text
    '客服电话95519，2026年1月5日办的'
    """
    return mask_after(text, None)


def mask_turns(texts: Sequence[str]) -> list[Masked]:
    """Mask the turns of a call, each knowing what was asked for before it.

    Parameters
    ----------
    texts : sequence of str
        In the order in which they were spoken, both sides.

    Examples
    --------
    >>> [m.text for m in mask_turns(["请报一下身份证后四位", "嗯，四四一六", "好的"])]
    ['请报一下身份证后四位', '嗯，****', '好的']
    """
    return [masked for masked, _ in mask_in_order(texts)]


def mask_in_order(texts: Sequence[str]) -> list[tuple[Masked, Pending | None]]:
    """Mask turns as `mask_turns` does; beside each, what the turns before it had left open.

    With that, other spellings of the same turn (its words, its spoken form) are masked alike: `mask_after`.
    """
    found: list[tuple[Masked, Pending | None]] = []
    pending: Pending | None = None
    for text in texts:
        masked, following = _mask(text, pending)
        found.append((masked, pending))
        pending = following
    return found


@lru_cache(maxsize=4096)
def _alone(text: str) -> Masked:
    return _mask(text, None)[0]


def mask_after(text: str, pending: Pending | None) -> Masked:
    """Mask a text that stands behind what ``pending`` says."""
    if not may_hold_number(text):
        return Masked(text)
    return _mask(text, pending)[0] if pending else _alone(text)


def hidden(text: str, runs: Sequence[tuple[int, int]]) -> str:
    """Put masks over stretches of a text; pauses and punctuation inside stay."""
    letters = list(text)
    for start, end in runs:
        letters[start:end] = [MASK if c.isalnum() else c for c in letters[start:end]]
    return "".join(letters)


def _mask(text: str, pending: Pending | None) -> tuple[Masked, Pending | None]:
    lexicon = load_privacy_lexicon()
    cues = [
        (m.start(), m.end(), lexicon.cues[m.group()], m.group()) for m in lexicon.cue_pattern.finditer(text)
    ]
    if not may_hold_number(text):
        return Masked(text), _next_pending(cues, (), pending) if cues or pending else None
    spans: list[tuple[Span, str, list[tuple[int, int]]]] = []
    for run in digit_runs(text):
        spans += _spans(text, run, cues, pending, lexicon)
    spans.sort(key=lambda found: found[0].start)
    pieces = [piece for _, _, parts in spans for piece in parts]
    masked = Masked(
        hidden(text, pieces), tuple(s for s, _, _ in spans), tuple(digits for _, digits, _ in spans)
    )
    return masked, _next_pending(cues, masked.spans, pending)


def _next_pending(
    cues: Sequence[tuple[int, int, Cue, str]], spans: Sequence[Span], pending: Pending | None
) -> Pending | None:
    last_span = spans[-1] if spans else None
    asked = [(end, cue.kind) for _, end, cue, _ in cues if last_span is None or end > last_span.end]
    kinds = [kind for _, kind in asked]
    if kinds:
        named = [kind for kind in kinds if kind and kind != "partial_number"]
        if named:
            return Pending(named[-1])
        if not kinds[-1]:
            return None
        return Pending(pending.kind if pending else kinds[-1])
    if last_span is not None:
        return Pending(last_span.kind, begun=True)
    if pending is None or pending.age + 1 >= _PENDING_TURNS:
        return None
    return Pending(pending.kind, pending.age + 1, pending.begun)


def _spans(
    text: str,
    run: Run,
    cues: Sequence[tuple[int, int, Cue, str]],
    pending: Pending | None,
    lexicon: PrivacyLexicon,
) -> list[tuple[Span, str, list[tuple[int, int]]]]:
    """Split a run into strong numbers and what is left, and decide on the rest by its context."""
    found: list[tuple[Span, str, list[tuple[int, int]]]] = []
    rest: list[Group] = []

    def close() -> None:
        if len(rest) > 1 and lexicon.units.match(text, rest[-1].end):
            rest.pop()  # "…四四一六，三天内": what is counted is no part of the number
        if rest:
            kind = _weak_kind(text, Run(tuple(rest)), cues, pending, lexicon)
            if kind:
                found.append(_span(text, rest, kind))
            rest.clear()

    groups = list(run.groups)
    while groups:
        taken = next(
            (
                (count, kind)
                for count in range(min(len(groups), _LONGEST_NUMBER), 0, -1)
                if (kind := _strong_kind(text, groups[:count], lexicon))
            ),
            None,
        )
        if taken is None:
            rest.append(groups.pop(0))
            continue
        close()
        found.append(_span(text, groups[: taken[0]], taken[1]))
        del groups[: taken[0]]
    close()
    return found


def _span(text: str, groups: Sequence[Group], kind: str) -> tuple[Span, str, list[tuple[int, int]]]:
    digits = "".join(group.digits for group in groups)
    pieces = [(group.start, group.end) for group in groups]
    start, end = groups[0].start, groups[-1].end
    if kind in {"policy_number", "long_number"}:  # letters that belong to the number
        while start > 0 and text[start - 1].isascii() and text[start - 1].isalpha():
            start -= 1
        pieces[0] = (start, pieces[0][1])
    return Span(start, end, kind, len(digits)), digits, pieces


def _strong_kind(  # noqa: PLR0911 - a decision list reads best as one
    text: str, groups: Sequence[Group], lexicon: PrivacyLexicon
) -> str | None:
    digits = "".join(group.digits for group in groups)
    if len(digits) < _LONG_DIGITS:
        return None
    if is_id_number(digits):
        return "id_number"
    if is_bank_card(digits):
        return "bank_card"
    if len(digits) == 18 and looks_like_id(digits):
        return "id_number"
    end = groups[-1].end
    money = text[end : end + 1] in _MONEY or lexicon.amounts.search(
        text[max(0, groups[0].start - 6) : groups[0].start]
    )
    if is_mobile(digits) and not money:
        return "mobile"
    if (
        len(groups) == 1
        and len(digits) > 18
        and any(
            is_id_number(digits[i : i + 18]) or is_mobile(digits[i : i + 11]) for i in range(len(digits) - 10)
        )
    ):  # several numbers read without a pause
        return "long_number"
    return None


def _weak_kind(  # noqa: PLR0911 - a decision list reads best as one
    text: str,
    run: Run,
    cues: Sequence[tuple[int, int, Cue, str]],
    pending: Pending | None,
    lexicon: PrivacyLexicon,
) -> str | None:
    digits = run.digits
    before = text[max(0, run.start - 6) : run.start]
    counted = lexicon.units.match(text, run.end) or lexicon.amounts.search(before) or _is_decimal(text, run)
    if counted or (is_timestamp(digits) and len(run.groups) != 1):
        return None
    cue, kind = _cue_before(run.start, cues, pending, lexicon)
    if cue is None:
        if pending is not None and not _hotline(digits, lexicon) and len(digits) >= _PENDING_MIN:
            return pending.kind
    elif not cue.kind:
        return None
    elif len(digits) >= cue.min_digits:
        # a tail (尾号9615) is part of a longer number, never a hotline
        hotline = (
            kind in {"mobile", "partial_number"}
            and _hotline(digits, lexicon)
            and cue not in lexicon.tail_cues
        )
        dated = kind != "id_number" and is_timestamp(digits)
        return None if hotline or dated else kind
    if _has_letters_before(text, run.start) and len(digits) >= 8:
        return "policy_number"
    if len(digits) >= _LONG_DIGITS and not is_timestamp(digits):
        return "long_number"
    return None


def _cue_before(
    place: int, cues: Sequence[tuple[int, int, Cue, str]], pending: Pending | None, lexicon: PrivacyLexicon
) -> tuple[Cue | None, str]:
    """Find the nearest cue before a place that reaches it, and the kind it stands for there."""
    earlier = [found for found in cues if found[1] <= place]
    if not earlier or place - earlier[-1][1] > earlier[-1][2].window:
        return None, ""
    _, _, cue, word = earlier[-1]
    if word not in lexicon.tails:
        return cue, cue.kind
    named = [
        c.kind for start, _, c, w in earlier[:-1] if w not in lexicon.tails and earlier[-1][0] - start <= 24
    ]
    if named and named[-1]:
        return cue, named[-1]
    return cue, pending.kind if pending else cue.kind


def _hotline(digits: str, lexicon: PrivacyLexicon) -> bool:
    return len(digits) <= lexicon.hotline_digits and digits.startswith(lexicon.hotlines)


def _is_decimal(text: str, run: Run) -> bool:
    around = text[run.end : run.end + 2], text[max(0, run.start - 2) : run.start]
    return (around[0][:1] in {".", "点"} and around[0][1:].isdigit()) or (
        around[1][1:] in {".", "点", ":"} and around[1][:1].isdigit()
    )


def _has_letters_before(text: str, place: int) -> bool:
    return place > 1 and text[place - 1].isascii() and text[place - 1].isupper()
