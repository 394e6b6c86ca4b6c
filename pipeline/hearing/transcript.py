"""From a recogniser's segments to words that somebody said.

What is taken out, and why: text over silence, credits that recognisers invent, loops, prompts that came
back, more characters than fit into the time. Everything taken out is counted by reason, never kept silent.
Characters become simplified, marks full-width, digits and Latin letters whole words.

Conventions
-----------
Words keep the punctuation that follows them in their text, so joining the words gives the sentence. Times
are seconds of the recording.

Table of contents: `CleaningRules`, `Cleaned`, `cleaned`, `written`, `leaked`.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pipeline.mandarin import simplified, strip_punctuation
from pipeline.ports import HeardSegment, HeardWord
from pipeline.records import Word

Span = tuple[float, float]

_FULL_WIDTH = str.maketrans(",?!:;", "，？！：；")
_LATIN_OR_DIGIT = re.compile(r"[0-9A-Za-z]")
_ENDS_JOINABLE = re.compile(r"[0-9A-Za-z][.:%]?$")


@dataclass(frozen=True, slots=True)
class CleaningRules:
    """Limits and phrases of cleaning; see ``lexicons/hearing.toml`` and ``hallucinations.csv``.

    Attributes
    ----------
    always, doubtful : tuple of str
        Phrases without punctuation, lower case: taken out, or only when improbable.
    leaks : tuple of str
        Phrases that only a prompt says.
    """

    always: tuple[str, ...]
    doubtful: tuple[str, ...]
    leaks: tuple[str, ...]
    min_activity_share: float
    min_avg_logprob: float
    max_no_speech_prob: float
    max_chars_per_s: float
    loop_repeats: tuple[int, int, int]
    loop_chars_per_s: float
    doubtful_probability: float


@dataclass(frozen=True, slots=True)
class Cleaned:
    """Words that were said.

    Attributes
    ----------
    words : tuple of Word
        Sorted by time.
    raw : str
        All that the recogniser wrote, untouched.
    removed : mapping of str to int
        Characters taken out by reason: silence, invented, loop, leak, too_dense, doubtful.
    confidence : float
        Mean probability of the words, by characters, in [0, 1]; 0 when there are none.
    """

    words: tuple[Word, ...]
    raw: str
    removed: Mapping[str, int] = field(default_factory=dict)
    confidence: float = 0.0


def cleaned(segments: Sequence[HeardSegment], *, speech: Sequence[Span], rules: CleaningRules) -> Cleaned:
    """Keep what was said.

    Parameters
    ----------
    segments : sequence of HeardSegment
        Of one voice, in any order.
    speech : sequence of (start_s, end_s)
        Where that voice is heard to speak.
    rules : CleaningRules

    Returns
    -------
    Cleaned
    """
    removed: Counter[str] = Counter()
    kept: list[Word] = []
    for segment in sorted(segments, key=lambda one: (one.start_s, one.end_s)):
        words = _simplified(segment.words)
        reason = _whole_segment(segment, words, speech, rules)
        if reason is not None:
            removed[reason] += _length(words)
            continue
        while (spoiled := _spoiled(words, rules)) is not None:
            removed[spoiled[0]] += _length([words[index] for index in spoiled[1]])
            words = [word for index, word in enumerate(words) if index not in spoiled[1]]
        kept += _joined(words)
    kept.sort(key=lambda word: (word.start_s, word.end_s))
    weights = [max(1, len(strip_punctuation(word.text))) for word in kept]
    total = sum(weights)
    confidence = sum(w.confidence * n for w, n in zip(kept, weights, strict=True)) / total if total else 0.0
    raw = "".join(segment.text for segment in sorted(segments, key=lambda one: one.start_s))
    return Cleaned(tuple(kept), raw, dict(removed), confidence)


def written(words: Iterable[Word]) -> str:
    """Join words to the sentence, a space only between two Latin words.

    Examples
    --------
    >>> written([Word("您好，", 0.0, 0.5), Word("apple", 0.5, 0.8), Word("pay", 0.8, 1.0)])
    '您好，apple pay'
    """
    text = ""
    for word in words:
        said = word.text.strip()
        if (
            text
            and said
            and text[-1].isascii()
            and text[-1].isalpha()
            and said[0].isascii()
            and said[0].isalpha()
        ):
            text += " "
        text += said
    return text


def leaked(text: str, phrases: Sequence[str]) -> bool:
    """Whether a prompt came back in a text; punctuation is ignored.

    Examples
    --------
    >>> leaked("以下是普通话的逐字记录。", ["逐字记录"])
    True
    """
    said = strip_punctuation(simplified(text)).lower()
    return any(phrase in said for phrase in phrases)


def _whole_segment(
    segment: HeardSegment, words: Sequence[HeardWord], speech: Sequence[Span], rules: CleaningRules
) -> str | None:
    """Why nothing of a segment was said, or None."""
    start, end = (words[0].start_s, words[-1].end_s) if words else (segment.start_s, segment.end_s)
    duration = max(end - start, 0.02)
    heard = sum(max(0.0, min(b, end + 0.2) - max(a, start - 0.2)) for a, b in speech)
    if heard < rules.min_activity_share * duration:
        return "silence"
    unlikely = segment.avg_logprob < rules.min_avg_logprob
    if unlikely and segment.no_speech_prob > rules.max_no_speech_prob:
        return "silence"
    if leaked("".join(word.text for word in words), rules.leaks):
        return "leak"
    piece_s = max(segment.end_s - segment.start_s, duration)
    if _length(words) > rules.max_chars_per_s * piece_s + 4:
        return "too_dense"
    return None


def _spoiled(words: Sequence[HeardWord], rules: CleaningRules) -> tuple[str, frozenset[int]] | None:
    """Find the first part of a segment that was not said, as (reason, word indices)."""
    text, owner = _characters(words)
    for phrase in rules.always:
        at = text.find(phrase)
        if at >= 0:
            return "invented", frozenset(owner[at : at + len(phrase)])
    for phrase in rules.doubtful:
        at = text.find(phrase)
        part = frozenset(owner[at : at + len(phrase)]) if at >= 0 else frozenset()
        if part and math.fsum(words[i].probability for i in part) / len(part) < rules.doubtful_probability:
            return "doubtful", part
    loop = _loop(text, owner, words, rules)
    return ("loop", loop) if loop else None


def _loop(
    text: str, owner: Sequence[int], words: Sequence[HeardWord], rules: CleaningRules
) -> frozenset[int]:
    """Find the repeats of a phrase that no speaker repeats so often; its first saying stays."""
    for found in _REPEATED.finditer(text):
        unit = len(found.group(1))
        times = len(found.group()) // unit
        first, last = words[owner[found.start()]], words[owner[found.end() - 1]]
        fast = len(found.group()) > rules.loop_chars_per_s * max(last.end_s - first.start_s, 0.1)
        digits = found.group(1).isdigit()
        enough = rules.loop_repeats[min(unit, 3) - 1] + (4 if digits else 0)
        if times >= enough or (fast and times >= max(3, enough - 2)):
            return frozenset(owner[found.start() + unit : found.end()])
    return frozenset()


_REPEATED = re.compile(r"(.{1,20}?)\1{2,}")


def _characters(words: Sequence[HeardWord]) -> tuple[str, list[int]]:
    """All characters without marks in lower case, and the word each stands in."""
    text, owner = "", []
    for index, word in enumerate(words):
        said = strip_punctuation(word.text).lower()
        text += said
        owner += [index] * len(said)
    return text, owner


def _length(words: Sequence[HeardWord]) -> int:
    return sum(len(strip_punctuation(word.text)) for word in words)


def _simplified(words: Sequence[HeardWord]) -> list[HeardWord]:
    """Convert the whole sentence at once, because some characters depend on their neighbours."""
    whole = "".join(word.text for word in words)
    converted = simplified(whole)
    if len(converted) != len(whole):
        return [replace(word, text=simplified(word.text)) for word in words]
    result, at = [], 0
    for word in words:
        result.append(replace(word, text=converted[at : at + len(word.text)]))
        at += len(word.text)
    return result


def _joined(words: Sequence[HeardWord]) -> list[Word]:
    """Make digits and Latin letters whole words, marks full-width."""
    result: list[Word] = []
    for word in words:
        text = word.text
        fresh = text.startswith(" ")
        text = text.strip()
        if not strip_punctuation(text) and not result:
            continue
        if result and _belongs(result[-1], text, word.start_s, fresh=fresh):
            last = result.pop()
            old, new = len(last.text), len(text)
            mean = (last.confidence * old + word.probability * new) / (old + new)
            result.append(Word(last.text + text, last.start_s, max(last.end_s, word.end_s), mean))
        else:
            result.append(Word(text, word.start_s, word.end_s, word.probability))
    following = [*(word.text for word in result[1:]), ""][: len(result)]
    return [
        replace(word, text=_marks(word.text, after)) for word, after in zip(result, following, strict=True)
    ]


def _belongs(last: Word, text: str, start_s: float, *, fresh: bool) -> bool:
    if not strip_punctuation(text):
        return True
    if fresh or start_s - last.end_s > 0.5 or not _LATIN_OR_DIGIT.match(text):
        return False
    return _ENDS_JOINABLE.search(last.text) is not None


def _marks(text: str, following: str) -> str:
    """Full-width marks after Chinese; a point or colon between digits stays."""
    if not text or strip_punctuation(text) == text:
        return text
    if text[-1] in ".:" and text[:-1].isdigit() and following[:1].isdigit():
        return text
    text = re.sub(r"(?<=\D)\.+$|(?<=\d)\.$", "。", text)
    return re.sub(r"(?<=[^A-Za-z0-9])[,?!:;]|[,?!;]$", lambda m: m.group().translate(_FULL_WIDTH), text)
