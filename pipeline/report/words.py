"""The transcript cut into runs of characters that share their evidence, so that it can be highlighted.

Table of contents: `Span`, `Run`, `character_spans`, `runs`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.records import Role, Turn

_SLACK_S = 0.03


@dataclass(frozen=True, slots=True)
class Span:
    """Seconds that belong to something: a verdict's evidence, or a filler.

    ``key`` is the verdict's number; ``whole`` marks evidence that is a whole turn, a place to listen
    rather than the words themselves.
    """

    key: int
    start_s: float
    end_s: float
    role: Role | None
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring characters of one turn with the same evidence."""

    text: str
    start_s: float
    keys: tuple[int, ...]
    filler: bool = False


def character_spans(turn: Turn) -> list[tuple[float, float]]:
    """Start and end of every character of the turn's text, in seconds.

    Words that spell the text give their times, shared evenly among their characters; without them the
    turn's time is shared evenly.

    Examples
    --------
    >>> character_spans(Turn("agent", 0.0, 4.0, "您好"))
    [(0.0, 2.0), (2.0, 4.0)]
    """
    if turn.words and "".join(word.text for word in turn.words) == turn.text:
        pieces = [(word.text, word.start_s, word.end_s) for word in turn.words]
    else:
        pieces = [(turn.text, turn.start_s, turn.end_s)]
    found: list[tuple[float, float]] = []
    for text, start_s, end_s in pieces:
        step = (end_s - start_s) / max(len(text), 1)
        found.extend((start_s + i * step, start_s + (i + 1) * step) for i in range(len(text)))
    return found


def runs(turn: Turn, text: str, evidence: Sequence[Span], fillers: Sequence[Span]) -> list[Run]:
    """Cut a turn into runs.

    Parameters
    ----------
    turn : Turn
    text : str
        The turn's text with personal data masked. If it is as long as the text itself, the highlights
        stay on their characters; else the turn is one run.
    evidence, fillers : sequence of Span
        Of the whole call; those of other roles or times are passed over, and so are whole turns.
    """
    near = [span for span in evidence if not span.whole and _meets(span, turn)]
    said = [span for span in fillers if _meets(span, turn)]
    if len(text) != len(turn.text):
        keys = tuple(sorted({span.key for span in near}))
        return [Run(text, turn.start_s, keys, bool(said))]
    found: list[Run] = []
    for character, (start_s, end_s) in zip(text, character_spans(turn), strict=True):
        middle = (start_s + end_s) / 2
        keys = tuple(sorted({span.key for span in near if _holds(span, middle)}))
        filler = any(_holds(span, middle) for span in said)
        if found and (found[-1].keys, found[-1].filler) == (keys, filler):
            last = found[-1]
            found[-1] = Run(last.text + character, last.start_s, keys, filler)
        else:
            found.append(Run(character, start_s, keys, filler))
    return found


def _meets(span: Span, turn: Turn) -> bool:
    mine = span.role is None or span.role == turn.role
    return mine and span.start_s < turn.end_s and span.end_s > turn.start_s


def _holds(span: Span, second: float) -> bool:
    return span.start_s - _SLACK_S <= second <= span.end_s + _SLACK_S
