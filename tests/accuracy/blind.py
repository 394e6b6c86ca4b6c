"""A check that nothing was chosen by: new sentences, misheard with a seed of their own (``blind.toml``).

Each phrase is looked for in sentences that say it and in sentences that say something near to it, every
sentence a call of one turn.

Table of contents: `Sentence`, `load_sentences`, `measure`.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from pipeline.mandarin import normalised
from pipeline.records import Hearing, Turn
from tests.accuracy.keywords import PATTERNS, PHRASES, Found
from tests.accuracy.noise import noised

FILE = Path(__file__).parent / "blind.toml"
_PER_S = 4.0


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence, the phrase that is looked for in it, and whether it is said there."""

    phrase: str
    text: str
    said: bool

    def hearing(self) -> Hearing:
        """The sentence as a call of one turn."""
        length_s = len(self.text) / _PER_S
        return Hearing("", length_s, "stereo", (Turn("agent", 0.0, length_s, self.text),))


def load_sentences() -> tuple[int, tuple[Sentence, ...]]:
    """The seed, and all sentences."""
    data = tomllib.loads(FILE.read_text(encoding="utf-8"))
    found = [
        Sentence(phrase, text, said == "said")
        for said in ("said", "unsaid")
        for phrase, texts in data[said].items()
        for text in texts
    ]
    unknown = {one.phrase for one in found} ^ PHRASES.keys()
    wrong = [one.text for one in found if one.said != (one.phrase in normalised(one.text))]
    if unknown or wrong:
        raise ValueError(f"{FILE.name}: phrases {sorted(unknown)}, sentences on the wrong side {wrong}")
    return int(data["seed"]), tuple(found)


def measure(*, misheard: bool) -> Found:
    """What is found in the sentences as written, or as misheard."""
    from pipeline.judging.phrases import Transcript, compile_pattern, find
    from pipeline.judging.transcript import load_model

    accept = load_model().limits.accept
    seed, sentences = load_sentences()
    found = Found()
    for number, one in enumerate(sentences):
        hearing = noised(one.hearing(), f"blind {number}", seed) if misheard else one.hearing()
        literally = any(one.phrase in normalised(turn.text) for turn in hearing.turns)
        pattern = compile_pattern(PATTERNS.get(one.phrase, one.phrase))
        hits = find(pattern, Transcript.of(hearing.turns))
        by_sound = any(hit.confidence >= accept for hit in hits)
        if one.said:
            found.said += 1
            found.by_keyword += literally
            found.by_sound += by_sound
        else:
            found.false_by_keyword += literally
            found.false_by_sound += by_sound
    return found
