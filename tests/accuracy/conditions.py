"""The dialogues under the conditions in which they are judged: clean, noised, and truly recognised.

Table of contents: `Case`, `clean`, `with_noise`, `recognised`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.records import Hearing, Turn, Word
from tests.accuracy.noise import noised
from tests.dialogues.loader import FOLDER, Dialogue, Part


@dataclass(frozen=True, slots=True)
class Case:
    """One dialogue as it was heard in one condition."""

    dialogue: Dialogue
    hearing: Hearing


def clean(dialogues: tuple[Dialogue, ...]) -> list[Case]:
    """What was said, word for word."""
    return [Case(one, one.hearing) for one in dialogues]


def with_noise(dialogues: tuple[Dialogue, ...], seed: int) -> list[Case]:
    """What the recogniser might have heard; see `tests.accuracy.noise`."""
    return [Case(one, noised(one.hearing, one.id, seed)) for one in dialogues]


def recognised(dialogues: tuple[Dialogue, ...], part: Part, *, adapted: bool = False) -> list[Case]:
    """What whisper-base did hear of the dialogues that were spoken; times stay those of the dialogue.

    Costs of sounds and confidences of phrases were learnt from what it heard without its adapter, and stay
    so: what is harder to read is the better teacher.
    """
    known = {one.id: one for one in dialogues}
    name = f"{part}_adapted.jsonl" if adapted else f"{part}.jsonl"
    return [
        Case(known[call_id], _heard(known[call_id].hearing, turns))
        for call_id, turns in _lines(FOLDER / "recognised" / name)
        if call_id in known
    ]


def _lines(path: Path) -> Iterator[tuple[str, list[dict[str, list[list[object]]]]]]:
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            call = json.loads(line)
            yield call["id"], call["turns"]


def _heard(hearing: Hearing, found: list[dict[str, list[list[object]]]]) -> Hearing:
    turns: list[Turn] = []
    for turn, heard in zip(hearing.turns, found, strict=True):
        words = tuple(
            Word(
                str(text),
                round(turn.start_s + float(str(start)) * turn.duration_s, 3),
                round(turn.start_s + float(str(end)) * turn.duration_s, 3),
                float(str(probability)),
            )
            for text, start, end, probability in heard["words"]
        )
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
