"""Fillers (填充词、口头禅): who says 嗯, 呃, 那个, … when, where it carries no meaning.

Recognisers are trained to leave fillers out. So the audio is decoded twice: once plainly (the transcript),
once after a prompt in the style of a word-for-word record. The second text is never shown, because it also
invents; a filler in it counts only when it stands where the first text has nothing, or hardly more plain
syllables than the filler has. Whether a word like 那个 means something is decided in either text by
what goes before and after, and these conditions are data (``lexicons/fillers.toml``).

What the count cannot tell: recognisers still miss fillers, so it is a lower bound.

Conventions
-----------
Times are seconds. A *pause* is punctuation or a gap in time between two words.

Table of contents: `FillerRule`, `FillerRules`, `Syllable`, `syllables`, `spoken_fillers`, `filler_events`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

from pipeline.mandarin import simplified, strip_punctuation
from pipeline.ports import HeardSegment
from pipeline.records import Event, Role, Turn, Word

Kind = Literal["sound", "particle", "word"]
When = Literal["pause_after", "pause_both", "before_filler", "repeated"]
KINDS: tuple[Kind, ...] = ("sound", "particle", "word")
WHENS: tuple[When, ...] = ("pause_after", "pause_both", "before_filler", "repeated")


# How much later than it sounds a word may be said to end.
_LATE_S = 0.04


@dataclass(frozen=True, slots=True)
class FillerRule:
    """One filler and the places where it is one; see ``lexicons/fillers.toml``."""

    text: str
    kind: Kind
    also: tuple[str, ...] = ()
    when: tuple[When, ...] = ()
    not_after: tuple[str, ...] = ()
    not_before: tuple[str, ...] = ()
    within_chars: int = 0
    inside_only: bool = False
    filler: tuple[str, ...] = ()
    plain: tuple[str, ...] = ()

    @property
    def forms(self) -> tuple[str, ...]:
        """All spellings, the longest first."""
        return tuple(sorted((self.text, *self.also), key=len, reverse=True))


@dataclass(frozen=True, slots=True)
class FillerRules:
    """All fillers and the checks on them."""

    rules: tuple[FillerRule, ...]
    max_displaced: int
    min_s: float
    max_s: float
    pause_s: float
    same_within_s: float
    min_turn_chars: int
    confidence_once: float
    confidence_twice: float
    leaks: tuple[str, ...] = ()

    def sound_characters(self) -> frozenset[str]:
        """Characters that write nothing but voice noises."""
        return frozenset(
            char for rule in self.rules if rule.kind != "word" for form in rule.forms for char in form
        )


@dataclass(frozen=True, slots=True)
class Syllable:
    """One character with its time and whether a pause goes before and after it."""

    char: str
    start_s: float
    end_s: float
    pause_before: bool = False
    pause_after: bool = False


def syllables(
    words: Iterable[Word], *, pause_s: float, silences: Sequence[tuple[float, float]] = ()
) -> list[Syllable]:
    """Spread words into characters, pauses noted.

    Parameters
    ----------
    words : iterable of Word
    pause_s : float
        A gap between two words of at least this is a pause.
    silences : sequence of (start, end)
        What the audio shows (`pipeline.hearing.pauses`): word times alone seldom leave a gap, since a word is
        said to last until the next one, and to begin in the silence before it.

    Examples
    --------
    >>> [s.char for s in syllables([Word("好的，", 0.0, 0.4), Word("嗯", 0.5, 0.7)], pause_s=0.2)]
    ['好', '的', '嗯']
    """
    row: list[Syllable] = []
    before_s: float | None = None
    marked = True
    for word, silent_before, silent_after in _with_silences(list(words), silences):
        said = strip_punctuation(word.text)
        if not said:
            marked = marked or bool(word.text.strip())
            continue
        at = word.text.find(said[0])
        opened = marked or before_s is None or word.start_s - before_s >= pause_s or at > 0 or silent_before
        closed = word.text.rstrip()[-1:] != said[-1:] or silent_after
        step = (word.end_s - word.start_s) / len(said)
        for index, char in enumerate(said):
            row.append(
                Syllable(
                    char,
                    word.start_s + index * step,
                    word.start_s + (index + 1) * step,
                    pause_before=opened and index == 0,
                    pause_after=closed and index == len(said) - 1,
                )
            )
        before_s, marked = word.end_s, closed
    return _both_sides(row)


def _with_silences(
    words: Sequence[Word], silences: Sequence[tuple[float, float]]
) -> Iterator[tuple[Word, bool, bool]]:
    """Each word inside the stretch of sound it belongs to, and whether that begins or ends with it."""
    homes = [_home(word, silences) for word in words]
    for index, (word, home) in enumerate(zip(words, homes, strict=True)):
        before = index > 0 and homes[index - 1] != home
        after = index + 1 < len(words) and homes[index + 1] != home
        start_s = max(word.start_s, silences[home - 1][1]) if home > 0 else word.start_s
        end_s = min(word.end_s, silences[home][0]) if home < len(silences) else word.end_s
        # A word whose time lies in a silence altogether keeps it: it has to be somewhere.
        moved = replace(word, start_s=start_s, end_s=end_s) if start_s < end_s else word
        yield moved, before, after


def _home(word: Word, silences: Sequence[tuple[float, float]]) -> int:
    """How many silences go before a word; its end tells, for words are said to begin too early."""
    decisive = max(word.end_s - _LATE_S, (word.start_s + word.end_s) / 2)
    return sum((a + b) / 2 <= decisive for a, b in silences)


def _both_sides(row: Sequence[Syllable]) -> list[Syllable]:
    """A pause before one character is a pause after the one before it, and the ends are pauses."""
    result = []
    for index, one in enumerate(row):
        before = one.pause_before or index == 0 or row[index - 1].pause_after
        after = one.pause_after or index == len(row) - 1 or row[index + 1].pause_before
        result.append(Syllable(one.char, one.start_s, one.end_s, before, after))
    return result


def spoken_fillers(row: Sequence[Syllable], rules: FillerRules) -> list[tuple[int, int, str]]:
    """Find the fillers in one turn's plain text.

    Parameters
    ----------
    row : sequence of Syllable
        One turn.
    rules : FillerRules

    Returns
    -------
    list of (start, end, text)
        Syllable indices, and the filler's usual spelling; in order, not overlapping.
    """
    text = "".join(one.char for one in row)
    found: dict[int, tuple[int, str]] = {}
    for rule in rules.rules:
        if rule.kind == "word":
            continue
        for start, end in _places(text, rule):
            if start not in found and _stands_apart(row, start, end, rule):
                found[start] = (end, rule.text)
    words = sorted((rule for rule in rules.rules if rule.kind == "word"), key=lambda one: -len(one.text))
    _add_words(row, text, words, found)
    chars = len(text) - sum(end - start for start, (end, _) in found.items())
    if chars < rules.min_turn_chars:
        return []
    return [(start, end, name) for start, (end, name) in sorted(found.items())]


def _add_words(
    row: Sequence[Syllable], text: str, words: Sequence[FillerRule], found: dict[int, tuple[int, str]]
) -> None:
    """Add words that are fillers here; twice, because one may be a filler for standing before another."""
    for _ in range(2):
        taken = {index for start, (end, _) in found.items() for index in range(start, end)}
        for rule in words:
            places = _places(text, rule)
            fillers = {*found, *(start for start, _ in places)}
            for start, end in places:
                free = taken.isdisjoint(range(start, end))
                if free and _means_nothing(row, (start, end), rule, places=places, fillers=fillers):
                    found[start] = (end, rule.text)
                    taken.update(range(start, end))


def _places(text: str, rule: FillerRule) -> list[tuple[int, int]]:
    places, at = [], 0
    while at < len(text):
        form = next((form for form in rule.forms if text.startswith(form, at)), None)
        if form is None:
            at += 1
            continue
        places.append((at, at + len(form)))
        at += len(form)
    return places


def _stands_apart(row: Sequence[Syllable], start: int, end: int, rule: FillerRule) -> bool:
    """Whether a voice noise is one: 嗯 and 呃 anywhere but inside words, 啊 and 哦 only alone."""
    if rule.inside_only and (start == 0 or end == len(row)):
        return False
    alone = row[start].pause_before and row[end - 1].pause_after
    written = "".join(one.char for one in row[start:end])
    if rule.kind == "sound" and written in (rule.text, rule.text * 2):
        return True
    return alone and _allowed(row, start, end, rule)


def _allowed(row: Sequence[Syllable], start: int, end: int, rule: FillerRule) -> bool:
    """Whether nothing directly before or after gives the word its meaning."""
    before = "".join(one.char for one in row[max(0, start - 4) : start])
    if before and not row[start].pause_before and before.endswith(rule.not_after):
        return False
    after = "".join(one.char for one in row[end : end + 4])
    if row[end - 1].pause_after and end < len(row):
        after = "，" + after
    return not (rule.not_before and after.startswith(rule.not_before))


def _means_nothing(
    row: Sequence[Syllable],
    place: tuple[int, int],
    rule: FillerRule,
    *,
    places: Sequence[tuple[int, int]],
    fillers: set[int],
) -> bool:
    start, end = place
    if not _allowed(row, start, end, rule):
        return False
    pause_after = row[end - 1].pause_after and end < len(row)
    tests: Mapping[When, bool] = {
        "pause_after": pause_after,
        "pause_both": pause_after and row[start].pause_before,
        "before_filler": end in fillers,
        "repeated": any(other != start and abs(other - start) <= rule.within_chars for other, _ in places),
    }
    return any(tests[when] for when in rule.when)


def filler_events(
    turns: Sequence[Turn],
    verbatim: Sequence[HeardSegment],
    *,
    role: Role,
    rules: FillerRules,
    silences: Sequence[tuple[float, float]] = (),
) -> list[Event]:
    """Find one speaker's fillers.

    Parameters
    ----------
    turns : sequence of Turn
        The whole call, with words; only those of ``role`` are looked at. Turns that are nothing but
        an answer (嗯, 好) hold no fillers: a lone 嗯 while the other has the floor is a backchannel.
    verbatim : sequence of HeardSegment
        The second decode of that speaker's audio; empty when there is none.
    role : {"agent", "customer"}
    rules : FillerRules
    silences : sequence of (start, end)
        Where this speaker's channel is silent, see `syllables`.

    Returns
    -------
    list of Event
        Of kind ``filler``, sorted by time.
    """
    events: list[Event] = []
    for turn in turns:
        if turn.role != role or not turn.words:
            continue
        row = syllables(turn.words, pause_s=rules.pause_s, silences=_near(silences, turn))
        plain = [
            (row[start].start_s, row[end - 1].end_s, name) for start, end, name in spoken_fillers(row, rules)
        ]
        heard = list(_second_hearing(turn, row, verbatim, rules, silences))
        events += _united(plain, heard, role, rules)
    return sorted(events, key=lambda event: (event.start_s, event.end_s))


def _second_hearing(
    turn: Turn,
    row: Sequence[Syllable],
    verbatim: Sequence[HeardSegment],
    rules: FillerRules,
    silences: Sequence[tuple[float, float]],
) -> Iterator[tuple[float, float, str]]:
    """Fillers of the second decode that displace next to nothing of the first."""
    from rapidfuzz.distance import Levenshtein

    noises = rules.sound_characters()
    second = _second_row(turn, verbatim, rules, silences)
    if sum(one.char not in noises for one in second) < rules.min_turn_chars:
        return
    candidates = [
        one
        for start, end, name in spoken_fillers(second, rules)
        for one in _each(second, start, end, name, noises)
    ]
    if not candidates:
        return
    codes = Levenshtein.opcodes([one.char for one in row], [one.char for one in second])
    for changed, group in groupby(codes, key=lambda code: code.tag != "equal"):
        block = list(group)
        begin, stop = block[0].dest_start, block[-1].dest_end
        inside = [one for one in candidates if begin <= one[0] and one[1] <= stop]
        if not changed or not inside:
            continue
        fillers = sum(end - start for start, end, _ in inside)
        displaced = (block[-1].src_end - block[0].src_start) - (stop - begin - fillers)
        if displaced > rules.max_displaced * fillers:
            continue
        for start, end, name in inside:
            start_s, end_s = second[start].start_s, second[end - 1].end_s
            if rules.min_s <= end_s - start_s <= rules.max_s:
                yield start_s, end_s, name


def _each(
    row: Sequence[Syllable], start: int, end: int, name: str, noises: frozenset[str]
) -> Iterator[tuple[int, int, str]]:
    """Every syllable of a voice noise counts by itself, a word as a whole."""
    if all(one.char in noises for one in row[start:end]):
        yield from ((index, index + 1, name) for index in range(start, end))
    else:
        yield start, end, name


def _near(silences: Sequence[tuple[float, float]], turn: Turn) -> list[tuple[float, float]]:
    return [one for one in silences if one[1] >= turn.start_s - 1.0 and one[0] <= turn.end_s + 1.0]


def _second_row(
    turn: Turn,
    verbatim: Sequence[HeardSegment],
    rules: FillerRules,
    silences: Sequence[tuple[float, float]],
) -> list[Syllable]:
    words = []
    for segment in verbatim:
        if segment.end_s <= turn.start_s or segment.start_s >= turn.end_s:
            continue
        said = strip_punctuation(simplified(segment.text))
        if any(leak in said for leak in rules.leaks):
            continue
        words += [
            Word(simplified(word.text), word.start_s, word.end_s, word.probability)
            for word in segment.words
            if turn.start_s - 0.15 <= (word.start_s + word.end_s) / 2 <= turn.end_s + 0.15
        ]
    ordered = sorted(words, key=lambda word: word.start_s)
    return syllables(ordered, pause_s=rules.pause_s, silences=_near(silences, turn))


def _united(
    plain: Sequence[tuple[float, float, str]],
    heard: Sequence[tuple[float, float, str]],
    role: Role,
    rules: FillerRules,
) -> list[Event]:
    """Make one event of what both decodes heard."""
    events = []
    left = list(heard)
    for start_s, end_s, text in plain:
        same = [
            one
            for one in left
            if one[0] < end_s + rules.same_within_s and start_s < one[1] + rules.same_within_s
        ]
        left = [one for one in left if one not in same]
        sure = rules.confidence_twice
        events.append(Event("filler", start_s, end_s, role, text, sure))
    for start_s, end_s, text in left:
        if events and any(
            abs(event.start_s - start_s) < rules.same_within_s and event.text == text for event in events
        ):
            continue
        events.append(Event("filler", start_s, end_s, role, text, rules.confidence_once))
    return events
