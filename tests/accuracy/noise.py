"""Make a clean transcript look as whisper-base writes it on the telephone; data in ``confusions.json``.

Seeded by dialogue and seed, so the same dialogue is always misheard in the same way.

Table of contents: `Confusions`, `load_confusions`, `confusions_of`, `mishear`, `noised`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

from pipeline.mandarin import normalised
from pipeline.records import Hearing, Turn, Word
from tests.accuracy.alignment import split, syllables

HERE = Path(__file__).parent
_NUMBER = re.compile(r"[零一二三四五六七八九十百两]{2,}")
_DIGIT_OF = {char: str(value) for value, char in enumerate("零一二三四五六七八九")} | {"两": "2"}
_LONGEST_SPAN = 5
_PRIOR = 4.0  # what was heard wrongly once out of one time is not always heard wrongly


@dataclass(frozen=True, slots=True)
class Confusions:
    """What was learnt, ready to draw from.

    Attributes
    ----------
    strength : float
        Factor on every error probability that makes the mean CER that of the recogniser.
    """

    table: Mapping[str, Any]
    base: float
    strength: float

    @property
    def cer(self) -> float:
        """Mean CER (%) of the recognitions that were learnt from."""
        return float(self.table["cer"])


@cache
def load_confusions() -> Confusions:
    """The shipped confusions."""
    table = json.loads((HERE / "confusions.json").read_text(encoding="utf-8"))
    return confusions_of(table, table["strength"])


def confusions_of(table: Mapping[str, Any], strength: float) -> Confusions:
    """Confusions as learnt, at a given strength."""
    said = sum(entry["said"] for entry in table["syllables"].values())
    missed = sum(entry["missed"] for entry in table["syllables"].values())
    return Confusions(table, missed / said, strength)


def _choose(options: Mapping[str, float], draw: Random) -> str:
    return draw.choices(list(options), weights=list(options.values()))[0]


def _similar(syllable: str, confusions: Confusions, draw: Random) -> str:
    """A character whose sound is confused with this one's, by initial or final."""
    initial, final = split(syllable)
    if draw.random() < 0.5:
        initial = _choose(confusions.table["initials"].get(initial) or {initial: 1}, draw)
    else:
        final = _choose(confusions.table["finals"].get(final) or {final: 1}, draw)
    characters = confusions.table["characters_of"]
    return _choose(characters.get(initial + final) or characters.get(syllable) or {"": 1}, draw)


def mishear(
    text: str, confusions: Confusions, draw: Random, *, factor: float = 1.0
) -> list[tuple[str, bool]]:
    """One turn as heard: pieces of text, each with whether it is an error; empty pieces are lost characters.

    Parameters
    ----------
    text : str
        Han characters as said, no punctuation (`pipeline.mandarin.normalised`).
    factor : float
        How much worse than the mean this call is.
    """
    table, scale = confusions.table, confusions.strength * factor
    lost = table["lost_turns"].get("1" if len(text) == 1 else "2" if len(text) == 2 else "6+", 0)
    if len(text) <= 2 and draw.random() < lost:
        return []
    sounds = syllables(text)
    pieces: list[tuple[str, bool]] = []
    position = 0
    while position < len(text):
        if draw.random() < scale * table["inserted"]["per_1000"] / 1000:
            pieces.append((_choose(table["inserted"]["what"], draw), True))
        step, heard = _one_step(text, sounds, position, confusions, scale, draw)
        pieces.append((text[position : position + step], False) if heard is None else (heard, True))
        position += step
    return pieces


def _chance(text: str, sounds: Sequence[str], position: int, confusions: Confusions) -> float:
    """How often the character here is missed: known from its pairs, else from its sound, else the mean."""
    entry = confusions.table["syllables"].get(sounds[position], {"said": 0, "missed": 0})
    by_sound = (entry["missed"] + _PRIOR * confusions.base) / (entry["said"] + _PRIOR)
    said, missed = _PRIOR, _PRIOR * by_sound
    for start in (position - 1, position):
        pair = confusions.table["pairs"].get(text[max(0, start) : start + 2])
        if pair is not None:
            said, missed = said + pair[0], missed + pair[1]
    return float(missed / said)


def _one_step(
    text: str, sounds: Sequence[str], position: int, confusions: Confusions, scale: float, draw: Random
) -> tuple[int, str | None]:
    """How many characters to go on by, and what they were heard as; None = heard right."""
    if draw.random() >= scale * _chance(text, sounds, position, confusions):
        return 1, None
    ways: dict[tuple[int, str], float] = {}
    for length in range(2, min(_LONGEST_SPAN, len(text) - position) + 1):
        for heard, count in confusions.table["spans"].get(text[position : position + length], {}).items():
            ways[length, heard] = count
    alone = confusions.table["syllables"].get(sounds[position], {"heard": {}})["heard"]
    ways |= {(1, heard): count for heard, count in alone.items()}
    if not ways or draw.random() < 1 / (sum(ways.values()) + 1):
        return 1, _similar(sounds[position], confusions, draw)
    return draw.choices(list(ways), weights=list(ways.values()))[0]


def _in_digits(text: str) -> str:
    if "十" not in text and "百" not in text:
        return "".join(_DIGIT_OF[char] for char in text)
    tens, _, ones = text.partition("十")
    if "百" in text or "十" in ones or len(tens) > 1 or len(ones) > 1:
        return text
    return (_DIGIT_OF.get(tens, "1")) + (_DIGIT_OF[ones] if ones else "0")


def _words(
    pieces: Sequence[tuple[str, bool]], turn: Turn, confusions: Confusions, draw: Random
) -> tuple[Word, ...]:
    table = confusions.table
    length = sum(max(1, len(piece)) for piece, _ in pieces)
    words, done = [], 0
    for piece, wrong in pieces:
        quantiles = table["confidence_wrong" if wrong else "confidence_right"]
        spot = draw.random() * (len(quantiles) - 1)
        low = int(spot)
        probability = quantiles[low] + (spot - low) * (quantiles[low + 1] - quantiles[low])
        start = turn.start_s + turn.duration_s * done / length
        done += max(1, len(piece))
        end = turn.start_s + turn.duration_s * done / length
        if piece:
            words.append(Word(piece, round(start, 3), round(end, 3), round(probability, 3)))
    return tuple(words)


def noised(hearing: Hearing, call_id: str, seed: int, confusions: Confusions | None = None) -> Hearing:
    """The call as the recogniser would write it, with word times and confidences; turns keep their times."""
    confusions = confusions or load_confusions()
    draw = Random(int.from_bytes(sha256(f"{call_id}/{seed}".encode()).digest()[:8], "big"))
    factor = draw.choice(confusions.table["call_factors"])
    turns: list[Turn] = []
    for turn in hearing.turns:
        pieces = mishear(normalised(turn.text), confusions, draw, factor=factor)
        if draw.random() < confusions.table["arabic"]:
            pieces = _with_digits(pieces)
        words = _words(pieces, turn, confusions, draw)
        if not words:
            continue
        mean = sum(word.confidence for word in words) / len(words)
        turns.append(
            replace(turn, text="".join(word.text for word in words), words=words, confidence=round(mean, 3))
        )
    everything = [word.confidence for turn in turns for word in turn.words]
    return replace(
        hearing,
        turns=tuple(turns),
        asr_confidence=round(sum(everything) / max(1, len(everything)), 3),
    )


def _with_digits(pieces: list[tuple[str, bool]]) -> list[tuple[str, bool]]:
    """Numbers that were heard right, written in Arabic digits as one word each."""
    merged: list[tuple[str, bool]] = []
    for piece, wrong in pieces:
        runs_on = bool(merged) and not merged[-1][1] and _NUMBER.fullmatch(merged[-1][0][-1:] * 2)
        if runs_on and not wrong and _NUMBER.fullmatch(piece * 2):
            merged[-1] = (merged[-1][0] + piece, False)
            continue
        merged.append((piece, wrong))
    return [
        (_in_digits(piece), wrong) if not wrong and _NUMBER.fullmatch(piece) else (piece, wrong)
        for piece, wrong in merged
    ]
