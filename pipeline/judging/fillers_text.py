"""Fillers and interruptions that a foreign transcript shows by its words and times.

Recognisers that other people run may have left fillers out, so these counts are lower bounds.

Table of contents: `text_fillers`, `transcript_events`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from pipeline.judging.lexicon import FillerForm, Lexicon
from pipeline.judging.measures import interruption_events
from pipeline.records import Event, Hearing, Turn

_BREAK = r"[\s,，。、.!！?？…~—;；:：]"


@lru_cache(maxsize=8)
def _compiled(forms: tuple[FillerForm, ...]) -> re.Pattern[str]:
    ways = []
    for form in sorted(forms, key=lambda form: -len(form.text)):
        word = re.escape(form.text)
        if form.place == "anywhere":
            ways.append(word)
        elif form.place == "clause_start":
            ways.append(rf"(?:(?<=^)|(?<={_BREAK})){word}")
        elif form.place == "alone":
            ways.append(rf"(?:(?<=^)|(?<={_BREAK})){word}(?={_BREAK}|$)")
        else:
            ways.append(rf"{word}(?={_BREAK}*{word})")
    return re.compile("|".join(ways) or r"(?!)")


def text_fillers(turn: Turn, forms: tuple[FillerForm, ...]) -> list[Event]:
    """Fillers of one turn; a turn that is nothing but 嗯 or 好的 is an answer, not a filler.

    Examples
    --------
    >>> forms = (FillerForm("嗯", "anywhere"), FillerForm("那个", "alone"))
    >>> [e.text for e in text_fillers(Turn("agent", 0.0, 4.0, "嗯，您那个保单，那个，已经生效了"), forms)]
    ['嗯', '那个']
    """
    length = max(len(turn.text), 1)
    per_char_s = turn.duration_s / length
    found = []
    for match in _compiled(forms).finditer(turn.text):
        start_s = turn.start_s + match.start() * per_char_s
        found.append(Event("filler", start_s, start_s + len(match[0]) * per_char_s, turn.role, match[0]))
    return found


def transcript_events(hearing: Hearing, lexicon: Lexicon) -> list[Event]:
    """Fillers and interruptions of a transcript, in the order of time."""
    turns: Sequence[Turn] = hearing.turns
    known = {event.kind for event in hearing.events}
    found: list[Event] = []
    if "filler" not in known:
        for turn in turns:
            if not _is_answer(turn.text, lexicon.backchannels):
                found.extend(text_fillers(turn, lexicon.fillers))
    if "interruption" not in known:
        found.extend(interruption_events(turns, lexicon.interruption))
    return sorted(found, key=lambda event: event.start_s)


def _is_answer(text: str, backchannels: tuple[str, ...]) -> bool:
    return _only(backchannels).fullmatch(re.sub(_BREAK, "", text)) is not None


@lru_cache(maxsize=8)
def _only(words: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted(words, key=len, reverse=True)
    return re.compile("(?:" + "|".join(map(re.escape, longest_first)) + ")*+")
