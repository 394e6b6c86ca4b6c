"""Words: character and toneless-pinyin error, mandated phrases, speech rate.

Conventions
-----------
Texts are compared after `pipeline.mandarin.normalised` (simplified, digits as read aloud, no
punctuation) and nothing else. Pinyin has no tones. A phrase was *said* when its very characters stand in a
true turn of the agent; it is *found* when matching by sound accepts it in a heard turn of the agent within
1.5 s of that turn; an accepted phrase near which no agent says it, or anything like it, is a false hit.

The phrase sets of the rulebook are counted the same way, as judging reads them: wordings, the standard's
sentences, and what the audio itself said to doubtful places. What judging reads in the true words is what
was said.

Table of contents: `word_counts`, `phrase_counts`, `set_counts`, `rate_counts`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from benchmarks.hearing.truth import Counts, TrueCall, TrueTurn
from pipeline.judging.case import Case
from pipeline.judging.lexicon import Lexicon
from pipeline.judging.measures import speech_rate
from pipeline.judging.phrases import Hit, Pattern, Transcript, compile_pattern, find
from pipeline.judging.places import Window
from pipeline.judging.transcript import load_model
from pipeline.mandarin import normalised
from pipeline.records import ROLES, Hearing, Turn
from tests.accuracy.keywords import PATTERNS, PHRASES

_NEAR_S = 1.5


def _pinyin(text: str) -> list[str]:
    from pypinyin import lazy_pinyin

    return lazy_pinyin(text)


def word_counts(call: TrueCall, hearing: Hearing) -> Counts:
    """Character and syllable errors of each role, all of its turns in a row."""
    from rapidfuzz.distance import Levenshtein

    counts: Counts = {}
    for role in ROLES:
        said = normalised("".join(t.text or "" for t in call.turns if t.role == role))
        heard = normalised("".join(t.text for t in hearing.turns if t.role == role))
        counts[f"{role}_chars"] = len(said)
        counts[f"{role}_char_errors"] = Levenshtein.distance(said, heard)
        counts[f"{role}_syllable_errors"] = Levenshtein.distance(_pinyin(said), _pinyin(heard))
    return counts


@cache
def _patterns() -> dict[str, Pattern]:
    return {phrase: compile_pattern(PATTERNS.get(phrase, phrase)) for phrase in PHRASES}


def accepted_hits(call: TrueCall, hearing: Hearing) -> dict[str, list[Hit]]:
    """Every mandated or banned phrase that judging would take for said by the agent."""
    accept = load_model().limits.accept
    record = call.call
    heard = Transcript.of(hearing.turns, agent_name=record.agent_name, company=record.company)
    return {
        phrase: [hit for hit in find(pattern, heard) if hit.role == "agent" and hit.confidence >= accept]
        for phrase, pattern in _patterns().items()
    }


def phrase_counts(call: TrueCall, hearing: Hearing) -> Counts:
    """Mandated and banned phrases said, found, found by their characters, and found where unsaid."""
    turns = [turn for turn in call.turns if turn.role == "agent"]
    texts = [normalised(turn.text or "") for turn in turns]
    literal = normalised("".join(t.text for t in hearing.turns if t.role == "agent"))
    counts = {"phrases_said": 0.0, "phrases_found": 0.0, "phrases_literal": 0.0, "phrases_false": 0.0}
    for phrase, hits in accepted_hits(call, hearing).items():
        for turn, text in zip(turns, texts, strict=True):
            if phrase in text:
                counts["phrases_said"] += 1
                counts["phrases_found"] += any(_near(hit, turn) for hit in hits)
                counts["phrases_literal"] += phrase in literal
        counts["phrases_false"] += sum(_is_false(hit, phrase, turns, texts) for hit in hits)
    return counts


def _near(hit: Hit, turn: TrueTurn) -> bool:
    return hit.start_s < turn.end_s + _NEAR_S and hit.end_s > turn.start_s - _NEAR_S


def _is_false(hit: Hit, phrase: str, turns: Sequence[TrueTurn], texts: Sequence[str]) -> bool:
    near = "".join(text for turn, text in zip(turns, texts, strict=True) if _near(hit, turn))
    return phrase not in near and not re.search(PHRASES[phrase], near)


def set_counts(call: TrueCall, hearing: Hearing, lexicon: Lexicon) -> Counts:
    """Phrase sets with sentences of the standard: said by the agent, found, found where unsaid."""
    spoken = [
        Turn(t.role, t.start_s, t.end_s, t.text or "", confidence=1.0)
        for t in call.turns
        if not t.backchannel
    ]
    true = Case(replace(hearing, turns=tuple(spoken), events=(), phrases=()), call.call, lexicon)
    heard = Case(hearing, call.call, lexicon)
    counts = {"sets_said": 0.0, "sets_found": 0.0, "sets_false": 0.0}
    for name, phrase in lexicon.phrases.items():
        if not phrase.say:
            continue
        said = true.marks(name, Window(true.turns_by_role["agent"]))
        found = [m for m in heard.marks(name, Window(heard.turns_by_role["agent"])) if m.is_sure]
        for turn in {mark.hit.turn for mark in said if mark.is_sure}:
            counts["sets_said"] += 1
            counts["sets_found"] += any(_touches(mark.hit, true.turns[turn]) for mark in found)
        counts["sets_false"] += sum(
            not any(_touches(mark.hit, true.turns[other.hit.turn]) for other in said) for mark in found
        )
    return counts


def _touches(hit: Hit, turn: Turn) -> bool:
    return hit.start_s < turn.end_s + _NEAR_S and hit.end_s > turn.start_s - _NEAR_S


def rate_counts(call: TrueCall, hearing: Hearing) -> Counts:
    """Relative error of the agent's speech rate."""
    heard = speech_rate(hearing.turns, speaker="agent")
    if call.rate_per_min is None or heard is None:
        return {}
    return {"rate_error": abs(heard - call.rate_per_min) / call.rate_per_min}
