"""When each character of a turn was said.

Recognisers give times of words, in the text as they wrote it; phrases are found in the spoken form.
Characters are aligned by edit operations where the two differ (digits, repaired words) and share
their word's time evenly.

Table of contents: `character_times`.
"""

from __future__ import annotations

from pipeline.judging.patterns import bare
from pipeline.records import Turn

Span = tuple[float, float]


def character_times(turn: Turn, text: str) -> tuple[list[Span], list[float]]:
    """Find times and doubts of each character of a turn.

    Parameters
    ----------
    turn : Turn
        Its words may be missing; then characters share the turn evenly.
    text : str
        The turn's spoken form without punctuation, shape ``(n,)``.

    Returns
    -------
    list of (start_s, end_s), shape (n,)
    list of float, shape (n,)
        1 - probability of the word the character belongs to, in [0, 1].

    Examples
    --------
    >>> character_times(Turn("agent", 0.0, 2.0, "您好", confidence=0.75), "您好")
    ([(0.0, 1.0), (1.0, 2.0)], [0.25, 0.25])
    """
    if not text:
        return [], []
    chars, spans, doubts = _of_words(turn)
    if not chars:
        step = max(0.0, turn.duration_s) / len(text)
        return _spread(turn.start_s, step, len(text)), [_doubt(turn.confidence)] * len(text)
    if chars == text:
        return spans, doubts
    return _aligned(chars, text, spans, doubts)


def _of_words(turn: Turn) -> tuple[str, list[Span], list[float]]:
    chars: list[str] = []
    spans: list[Span] = []
    doubts: list[float] = []
    for word in turn.words:
        kept = bare(word.text)
        if not kept:
            continue
        step = (word.end_s - word.start_s) / len(kept)
        chars.append(kept)
        spans.extend(_spread(word.start_s, step, len(kept)))
        doubts.extend([_doubt(word.confidence)] * len(kept))
    return "".join(chars), spans, doubts


def _spread(start_s: float, step_s: float, count: int) -> list[Span]:
    return [(start_s + step_s * place, start_s + step_s * (place + 1)) for place in range(count)]


def _doubt(confidence: float) -> float:
    return min(1.0, max(0.0, 1.0 - confidence))


def _aligned(chars: str, text: str, spans: list[Span], doubts: list[float]) -> tuple[list[Span], list[float]]:
    """Spread the times of ``chars`` over ``text``; a replaced stretch shares its time evenly."""
    from rapidfuzz.distance import Levenshtein

    found: list[Span] = []
    found_doubts: list[float] = []
    for change in Levenshtein.opcodes(chars, text):
        from_, to = change.src_start, change.src_end
        count = change.dest_end - change.dest_start
        if count == 0:
            continue
        if count == to - from_:
            found.extend(spans[from_:to])
            found_doubts.extend(doubts[from_:to])
            continue
        if from_ < to:
            start_s, end_s = spans[from_][0], spans[to - 1][1]
            doubt = max(doubts[from_:to])
        else:
            near = spans[from_ - 1][1] if from_ else spans[0][0]
            start_s = end_s = near
            doubt = doubts[max(0, from_ - 1)]
        step = (end_s - start_s) / count
        found.extend(_spread(start_s, step, count))
        found_doubts.extend([doubt] * count)
    return found, found_doubts
