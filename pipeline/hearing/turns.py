"""From words and speech activity to turns, and what happens between them.

Everything here is a pure function over frozen records. The edges of a turn are those of
the speech activity, not of the recogniser's words: word times wander by a few tenths of a
second, and every rate is measured over turns.

Conventions
-----------
Times are seconds from the start of the recording; spans are ``(start_s, end_s)``. Turns are
sorted by ``start_s`` and may overlap when both sides speak.

Table of contents: `merged`, `clipped`, `is_backchannel`, `turns_of`, `interruptions`,
`dead_air`, `overlap_s`.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from pipeline.errors import InputError
from pipeline.hearing.conversation import Backchannels, InterruptionLimits, TurnLimits
from pipeline.hearing.transcript import written
from pipeline.records import ROLES, Event, Role, Turn, Word

Span = tuple[float, float]
_SOMETHING_S = 0.15
_NO_WORD = re.compile(r"[\s\W_]+")


def merged(spans: Iterable[Span], *, gap_s: float = 0.0) -> list[Span]:
    """Union of spans, gaps up to ``gap_s`` filled.

    Examples
    --------
    >>> merged([(2.0, 3.0), (0.0, 1.0), (0.5, 1.8)], gap_s=0.3)
    [(0.0, 3.0)]
    """
    result: list[Span] = []
    for start_s, end_s in sorted(spans):
        if result and start_s - result[-1][1] <= gap_s:
            result[-1] = (result[-1][0], max(result[-1][1], end_s))
        else:
            result.append((start_s, end_s))
    return result


def clipped(spans: Iterable[Span], start_s: float, end_s: float) -> list[Span]:
    """Cut spans to a window.

    Examples
    --------
    >>> clipped([(0.0, 2.0), (5.0, 6.0)], 1.0, 5.5)
    [(1.0, 2.0), (5.0, 5.5)]
    """
    inside = ((max(a, start_s), min(b, end_s)) for a, b in spans)
    return [(a, b) for a, b in inside if b > a]


def _total(spans: Iterable[Span]) -> float:
    return sum(b - a for a, b in spans)


def is_backchannel(turn: Turn, words: Backchannels) -> bool:
    """Whether a turn only says that its speaker listens (附和).

    Examples
    --------
    >>> listening = Backchannels(max_s=1.5, words=frozenset({"嗯", "对"}))
    >>> is_backchannel(Turn("customer", 1.0, 1.6, "嗯，对。"), listening)
    True
    >>> is_backchannel(Turn("customer", 1.0, 1.6, "不对"), listening)
    False
    """
    if turn.duration_s > words.max_s:
        return False
    text = _NO_WORD.sub("", turn.text)
    return not text or text in words.words or _all_in(text, words.words)


def _all_in(text: str, words: frozenset[str]) -> bool:
    """Whether ``text`` is a run of backchannel words (对对嗯)."""
    reachable = [True] + [False] * len(text)
    for end in range(1, len(text) + 1):
        reachable[end] = any(
            reachable[end - size] and text[end - size : end] in words for size in range(1, min(4, end) + 1)
        )
    return reachable[-1]


def _spoken_spans(spans: Sequence[Span], other: Sequence[Span], limits: TurnLimits) -> list[Span]:
    """Activity joined over short pauses, unless the other side takes the floor inside one."""
    joined: list[Span] = []
    for start_s, end_s in merged(spans):
        if joined:
            gap = (joined[-1][1], start_s)
            long = gap[1] - gap[0] >= limits.pause_s
            spoken = _total(clipped(other, *gap))
            answered = gap[1] - gap[0] >= limits.answer_s and spoken >= _SOMETHING_S
            taken = spoken >= limits.floor_s or answered
            if not long and not taken:
                joined[-1] = (joined[-1][0], end_s)
                continue
        joined.append((start_s, end_s))
    return joined


def _home(word: Word, spans: Sequence[Span], reach_s: float) -> int | None:
    """Index of the span a word belongs to: most overlap, else the nearest within reach."""
    best, best_score = None, -math.inf
    for index, (start_s, end_s) in enumerate(spans):
        score = min(word.end_s, end_s) - max(word.start_s, start_s)  # negative = distance
        if score > best_score:
            best, best_score = index, score
    return best if best_score >= -reach_s else None


def _turn(role: Role, words: Sequence[Word], span: Span | None) -> Turn:
    inside = sorted(words, key=lambda w: (w.start_s, w.end_s))
    start_s = inside[0].start_s if span is None else span[0]
    end_s = max(w.end_s for w in inside) if span is None else span[1]
    kept = tuple(
        replace(w, start_s=min(max(w.start_s, start_s), end_s), end_s=min(max(w.end_s, start_s), end_s))
        for w in inside
    )
    weights = [max(len(w.text.strip()), 1) for w in kept]
    confidence = sum(w.confidence * n for w, n in zip(kept, weights, strict=True)) / sum(weights)
    return Turn(role, start_s, end_s, written(kept), confidence=confidence, words=kept)


def turns_of(
    words: Mapping[Role, Sequence[Word]],
    activity: Mapping[Role, Sequence[Span]],
    *,
    limits: TurnLimits,
) -> tuple[Turn, ...]:
    """Cut each speaker's words into turns.

    Parameters
    ----------
    words : mapping of role to words
        In any order.
    activity : mapping of role to spans
        When each speaker is heard. Words without activity near them make turns of their own.

    Returns
    -------
    tuple of Turn
        Sorted by start. Speech in which no word was recognised makes no turn.

    Raises
    ------
    InputError
        If a word ends before it starts.

    Examples
    --------
    >>> limits = TurnLimits(pause_s=1.0, floor_s=0.6, answer_s=0.9, reach_s=0.6)
    >>> said = {"agent": [Word("您好", 0.2, 0.6), Word("请讲", 2.4, 3.0)], "customer": [Word("喂", 1.0, 1.3)]}
    >>> heard = {"agent": [(0.1, 0.7), (2.3, 3.0)], "customer": [(1.0, 1.3)]}
    >>> [(t.role, t.start_s, t.text) for t in turns_of(said, heard, limits=limits)]
    [('agent', 0.1, '您好'), ('customer', 1.0, '喂'), ('agent', 2.3, '请讲')]
    """
    turns: list[Turn] = []
    for role in ROLES:
        other = activity.get(ROLES[1 - ROLES.index(role)], ())
        spans = _spoken_spans(activity.get(role, ()), other, limits)
        homes: dict[int, list[Word]] = {}
        stray: list[Word] = []
        for word in words.get(role, ()):
            if word.end_s < word.start_s:
                raise InputError(
                    f"a word of the {role} ends at {word.end_s} s before it starts at {word.start_s} s"
                )
            home = _home(word, spans, limits.reach_s)
            if home is None:
                stray.append(word)
            else:
                homes.setdefault(home, []).append(word)
        turns.extend(_turn(role, group, spans[home]) for home, group in homes.items())
        groups: list[list[Word]] = []
        for word in sorted(stray, key=lambda w: (w.start_s, w.end_s)):
            if groups and word.start_s - groups[-1][-1].end_s < limits.pause_s:
                groups[-1].append(word)
            else:
                groups.append([word])
        turns.extend(_turn(role, group, None) for group in groups)
    return tuple(sorted(turns, key=lambda t: (t.start_s, t.end_s, t.role)))


def interruptions(
    turns: Sequence[Turn],
    *,
    limits: InterruptionLimits,
    backchannel: Backchannels,
    activity: Mapping[Role, Sequence[Span]] | None = None,
) -> tuple[Event, ...]:
    """Who cut in on whom (抢话).

    An interruption is a turn that begins while the other side has been speaking for
    ``held_s``, overlaps it for ``overlap_s``, is no backchannel, and keeps the floor: it lasts
    ``kept_s`` and ends after the one it cut off. Who says 嗯 or 好 and, when the other has ended, goes on
    has listened and then answered: what is said while both speak must be more than a backchannel.

    Parameters
    ----------
    activity : mapping of role to spans, optional
        When each side is heard. Given, both must be heard at once for ``overlap_s``: turns also overlap where
        a syllable in the midst of one voice was taken for the other.

    Returns
    -------
    tuple of Event
        ``role`` cut in; the times are those of the overlap; ``text`` is empty (the turns hold it).

    Notes
    -----
    Somebody who falls silent at once when the other begins leaves no overlap, and is not seen here.

    Examples
    --------
    >>> rules = InterruptionLimits(held_s=1.0, overlap_s=0.4, kept_s=1.2)
    >>> said = [Turn("customer", 0.0, 4.0, "我想问一下"), Turn("agent", 3.0, 6.0, "您先听我说")]
    >>> cut_in = interruptions(said, limits=rules, backchannel=Backchannels(1.5, frozenset({"嗯"})))
    >>> [(e.role, e.start_s, e.end_s) for e in cut_in]
    [('agent', 3.0, 4.0)]
    """
    found: list[Event] = []
    for turn in turns:
        if turn.duration_s < limits.kept_s or is_backchannel(turn, backchannel):
            continue
        for held in turns:
            if held.role == turn.role or not held.start_s < turn.start_s < held.end_s:
                continue
            overlap = min(held.end_s, turn.end_s) - turn.start_s
            if activity is not None:
                overlap = _both(activity, turn.start_s, min(held.end_s, turn.end_s))
            if (
                turn.start_s - held.start_s >= limits.held_s
                and overlap >= limits.overlap_s
                and turn.end_s > held.end_s
                and not is_backchannel(held, backchannel)
                and not _listens(turn, held.end_s, backchannel)
            ):
                found.append(Event("interruption", turn.start_s, held.end_s, turn.role))
                break
    return tuple(found)


def _both(activity: Mapping[Role, Sequence[Span]], start_s: float, end_s: float) -> float:
    """Seconds between two times in which both sides are heard."""
    agent = clipped(merged(activity.get("agent", ())), start_s, end_s)
    customer = merged(activity.get("customer", ()))
    return sum(_total(clipped(customer, a, b)) for a, b in agent)


def _listens(turn: Turn, until_s: float, words: Backchannels) -> bool:
    """Whether all that a turn says before a time is that its speaker listens."""
    said = [w.text for w in turn.words if (w.start_s + w.end_s) / 2.0 < until_s]
    text = _NO_WORD.sub("", "".join(said))
    return bool(text) and _all_in(text, words.words)


def dead_air(
    activity: Iterable[Span], duration_s: float, *, min_s: float, not_silent: Iterable[Span] = ()
) -> tuple[Event, ...]:
    """Stretches between the first and the last speech in which nobody speaks (静默).

    Parameters
    ----------
    activity : iterable of spans
        Of both sides together.
    not_silent : iterable of spans
        Hold music and announcements: nobody speaks, but the line is not dead.

    Examples
    --------
    >>> dead_air([(0.0, 2.0), (6.0, 9.0)], 12.0, min_s=3.0)
    (Event(kind='dead_air', start_s=2.0, end_s=6.0, role=None, text='', confidence=1.0),)
    """
    heard = merged(activity)
    if not heard:
        return ()
    filled = merged([*heard, *clipped(not_silent, heard[0][0], min(heard[-1][1], duration_s))])
    return tuple(
        Event("dead_air", before[1], after[0])
        for before, after in itertools.pairwise(filled)
        if after[0] - before[1] >= min_s
    )


def overlap_s(turns: Sequence[Turn]) -> float:
    """Seconds in which both sides have a turn (叠音).

    Examples
    --------
    >>> overlap_s([Turn("agent", 0.0, 3.0, "好"), Turn("customer", 2.0, 4.0, "好")])
    1.0
    """
    agent = merged((t.start_s, t.end_s) for t in turns if t.role == "agent")
    customer = merged((t.start_s, t.end_s) for t in turns if t.role == "customer")
    return sum(_total(clipped(customer, a, b)) for a, b in agent)
