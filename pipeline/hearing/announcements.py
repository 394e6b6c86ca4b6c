"""Recorded announcements before an agent answers (语音播报): menus, queues, what the network says.

An announcement is nobody's turn. Left in, it would count as the agent's words, pace and greeting. It is known
by what it says (data in ``lexicons/conversation.toml``) and by its place: at the beginning, before anybody
answers it. What an agent might say too counts only when somebody greets after it.

Conventions
-----------
Times are seconds from the start of the recording. Phrases are compared by sound
(`pipeline.hearing.roles.sounds`).

Table of contents: `announced`, `without_announcements`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.hearing.conversation import AnnouncementCues
from pipeline.hearing.lanes import Lanes, without
from pipeline.hearing.roles import sounds
from pipeline.records import Word

Span = tuple[float, float]
_EDGE_S = 0.25


@dataclass(frozen=True, slots=True, order=True)
class _Line:
    """What one voice says between two pauses."""

    start_s: float
    end_s: float
    lane: int
    sound: str


def _lines(words: Sequence[Word], lane: int, pause_s: float) -> list[_Line]:
    runs: list[list[Word]] = []
    for word in sorted(words, key=lambda w: (w.start_s, w.end_s)):
        if runs and word.start_s - runs[-1][-1].end_s < pause_s:
            runs[-1].append(word)
        else:
            runs.append([word])
    return [
        _Line(run[0].start_s, max(w.end_s for w in run), lane, sounds("".join(w.text for w in run)))
        for run in runs
    ]


def _holds(line: _Line, phrases: frozenset[str]) -> bool:
    return any(sounds(phrase) in line.sound for phrase in phrases)


def announced(words: Sequence[Sequence[Word]], *, cues: AnnouncementCues) -> list[tuple[int, Span]]:
    """Find the announcements a recording begins with.

    Parameters
    ----------
    words : sequence of sequences of Word
        Of each voice.

    Returns
    -------
    list of (voice, span)
        One for each voice that announces anything, from its first word to the end of its last announcement;
        usually none.

    Examples
    --------
    >>> from pipeline.hearing.conversation import load_conversation
    >>> said = [Word("欢迎致电安和保险", 0.5, 2.0), Word("人工服务请按零", 2.6, 4.0), Word("您好", 9.0, 9.4)]
    >>> announced([said], cues=load_conversation().announcement)
    [(0, (0.5, 4.0))]
    """
    lines = sorted(line for n, own in enumerate(words) for line in _lines(own, n, cues.line_pause_s))
    found: dict[int, Span] = {}
    for place, line in enumerate(lines):
        if line.start_s > cues.within_s:
            break
        first = next(one for one in lines if one.lane == line.lane)
        replied = sum(
            one.end_s - one.start_s
            for one in lines[:place]
            if one.lane != line.lane and one.lane not in found and one.start_s >= first.start_s
        )
        if replied >= cues.reply_s:
            break
        if _holds(line, cues.sure) or (
            _holds(line, cues.with_greeting) and _greeted_after(lines, place, cues)
        ):
            found[line.lane] = (first.start_s, line.end_s)
    return sorted(found.items())


def _greeted_after(lines: Sequence[_Line], place: int, cues: AnnouncementCues) -> bool:
    """Whether the next thing said at any length is a greeting, and the line itself holds none at its end."""
    for line in lines[place + 1 :]:
        if _holds(line, cues.greeting):
            return True
        if line.lane != lines[place].lane or line.end_s - line.start_s >= cues.reply_s:
            return False
    return False


def without_announcements(
    lanes: Lanes, words: Sequence[Sequence[Word]], *, cues: AnnouncementCues
) -> tuple[Lanes, list[list[Word]]]:
    """Take announcements out of the voices and their words.

    Returns
    -------
    Lanes, list of list of Word
        ``lanes.announced`` tells where they were.
    """
    left = [list(own) for own in words]
    voices = list(lanes.lanes)
    found = announced(words, cues=cues)
    for lane, (_, end_s) in found:
        left[lane] = [w for w in words[lane] if (w.start_s + w.end_s) / 2.0 > end_s]
        after_s = min((w.start_s for w in left[lane]), default=end_s + _EDGE_S)
        hole = (0.0, min(end_s + _EDGE_S, max(after_s, end_s)))
        voices[lane] = replace(voices[lane], spans=tuple(without(voices[lane].spans, [hole])))
    # On a mixed line an announcing voice of its own is no party to the call.
    kept = [n for n in range(len(voices)) if lanes.layout == "stereo" or left[n] or not words[n]]
    spans = tuple(span for _, span in found)
    return replace(lanes, lanes=tuple(voices[n] for n in kept), announced=spans), [left[n] for n in kept]
