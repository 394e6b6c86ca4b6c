"""Learn from real recognitions how the recogniser mishears: the data behind `tests.accuracy.noise`.

``python -m tests.accuracy.confusions PAIRS.jsonl …`` writes ``confusions.json``. A line of a pairs file is
``{"call": …, "said": …, "heard": …, "words": [[text, start, end, probability], …], "source": …}``, one turn;
`tests.accuracy.pairs` makes them. Only development material belongs in: the held-out dialogues
are noised by what was learnt elsewhere.

What is kept
------------
``spans``       stretches of 2 to 5 characters that were misheard together, and as what
``syllables``   for every syllable: how often said and missed, what it was heard as alone ("" = lost)
``pairs``       for frequent pairs of characters: how many of them were said and missed; a recogniser knows
                some phrases better than others
``initials``, ``finals``   confusions of sound for syllables that were never misheard in the material
``inserted``    what was heard where nothing was said, per 1000 characters
``lost_turns``  share of turns of which nothing was heard, by length
``arabic``      share of spoken numbers written in Arabic digits
``call_factors``  each call's CER over the mean: some calls are worse than others
``confidence_right``, ``confidence_wrong``   21 quantiles of the word probability
``strength``    factor on all error probabilities with which noised dialogues reach the recogniser's CER
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from pipeline.mandarin import normalised
from tests.accuracy.alignment import error_rate, slips, split, syllables
from tests.accuracy.noise import Confusions, confusions_of, noised
from tests.dialogues.loader import load

HERE = Path(__file__).parent
_NUMBER = re.compile(r"[零一二三四五六七八九十百千万两]{2,}")


def _quantiles(values: list[float]) -> list[float]:
    values = sorted(values)
    return (
        [round(values[min(len(values) - 1, len(values) * k // 20)], 3) for k in range(21)] if values else []
    )


def _loss_bucket(length: int) -> str:
    return "1" if length == 1 else "2" if length == 2 else "3-5" if length <= 5 else "6+"


def learn(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    """The statistics over all pairs; see the module's text for the keys."""
    spans: dict[str, Counter[str]] = defaultdict(Counter)
    sounds: dict[str, Counter[str]] = defaultdict(Counter)
    said_sounds, missed_sounds = Counter[str](), Counter[str]()
    initials: dict[str, Counter[str]] = defaultdict(Counter)
    finals: dict[str, Counter[str]] = defaultdict(Counter)
    inserted: Counter[str] = Counter()
    pairs_said, pairs_missed = Counter[str](), Counter[str]()
    turns, lost = Counter[str](), Counter[str]()
    arabic = Counter[bool]()
    right: list[float] = []
    wrong: list[float] = []
    per_call: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    characters: dict[str, Counter[str]] = defaultdict(Counter)
    for pair in pairs:
        said, heard = pair["said"], pair["heard"]
        bucket = _loss_bucket(len(said))
        turns[bucket] += 1
        for char, sound in zip(heard, syllables(heard), strict=True):
            characters[sound][char] += 1
        if not heard:
            lost[bucket] += 1
            continue
        sound = syllables(said)
        said_sounds.update(sound)
        wrong_chars = Counter[str]()
        missed = [False] * len(said)
        for slip in slips(said, heard):
            missed[slip.start : slip.start + len(slip.said)] = [True] * len(slip.said)
            wrong_chars.update(slip.heard)
            if not slip.said:
                inserted[slip.heard] += len(slip.heard) <= 3
            elif len(slip.said) != len(slip.heard):
                if len(slip.said) == 1 and len(slip.heard) <= 2:
                    sounds[sound[slip.start]][slip.heard] += 1
                elif 2 <= len(slip.said) <= 5 and len(slip.heard) <= 7:
                    spans[slip.said][slip.heard] += 1
            else:  # neighbours that were misheard one by one stand in one slip
                for length in (2, 3):
                    for at in range(len(slip.said) - length + 1):
                        spans[slip.said[at : at + length]][slip.heard[at : at + length]] += 1
                for place, other in enumerate(syllables(slip.heard)):
                    one = sound[slip.start + place]
                    sounds[one][slip.heard[place]] += 1
                    (a, b), (c, d) = split(one), split(other)
                    initials[a][c] += 1
                    finals[b][d] += 1
        for place in range(len(said) - 1):
            pairs_said[said[place : place + 2]] += 2
            pairs_missed[said[place : place + 2]] += missed[place] + missed[place + 1]
        for char_sound, wrong_here in zip(sound, missed, strict=True):
            missed_sounds[char_sound] += wrong_here
        arabic.update(bool(re.search(r"\d", pair["raw"])) for _ in _NUMBER.findall(said))
        for text, _, _, probability in pair["words"]:
            bad = any(wrong_chars[char] > 0 for char in text)
            (wrong if bad else right).append(probability)
        counts = per_call[pair["call"]]
        counts[0] += round(error_rate(said, heard) * len(said) / 100)
        counts[1] += len(said)
    errors = sum(count[0] for count in per_call.values())
    length = sum(count[1] for count in per_call.values())
    mean = errors / length
    return {
        "cer": round(100 * mean, 2),
        "characters": length,
        "spans": {text: dict(found.most_common(8)) for text, found in sorted(spans.items())},
        "syllables": {
            sound: {
                "said": said_sounds[sound],
                "missed": missed_sounds[sound],
                "heard": dict(sounds[sound].most_common(12)),
            }
            for sound in sorted(said_sounds)
        },
        "pairs": {
            text: [count, pairs_missed[text]] for text, count in sorted(pairs_said.items()) if count >= 6
        },
        "initials": {key: dict(found.most_common(8)) for key, found in sorted(initials.items())},
        "finals": {key: dict(found.most_common(8)) for key, found in sorted(finals.items())},
        "characters_of": {key: dict(found.most_common(6)) for key, found in sorted(characters.items())},
        "inserted": {
            "per_1000": round(1000 * sum(inserted.values()) / length, 2),
            "what": dict(inserted.most_common(60)),
        },
        "lost_turns": {bucket: round(lost[bucket] / turns[bucket], 4) for bucket in sorted(turns)},
        "arabic": round(arabic[True] / max(1, sum(arabic.values())), 3),
        "call_factors": sorted(
            round(count[0] / count[1] / mean, 2) for count in per_call.values() if count[1] >= 40
        ),
        "confidence_right": _quantiles(right),
        "confidence_wrong": _quantiles(wrong),
    }


def fitted_strength(table: dict[str, Any]) -> float:
    """The factor on error probabilities that gives noised dialogues the recogniser's CER."""
    low, high = 0.5, 4.0
    for _ in range(7):
        middle = (low + high) / 2
        if mean_error_rate(confusions_of(table, middle)) < table["cer"]:
            low = middle
        else:
            high = middle
    return round((low + high) / 2, 2)


def mean_error_rate(confusions: Confusions) -> float:
    """CER (%) of the noised development dialogues."""
    errors = length = 0.0
    for one in load("dev"):
        heard = {
            turn.start_s: normalised(turn.text) for turn in noised(one.hearing, one.id, 1, confusions).turns
        }
        for turn in one.hearing.turns:
            said = normalised(turn.text)
            errors += error_rate(said, heard.get(turn.start_s, "")) * len(said) / 100
            length += len(said)
    return 100 * errors / length


def main(files: list[Path]) -> None:
    """Learn from all files and write ``confusions.json`` with its provenance."""
    pairs = [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()]
    sources = Counter(pair["source"] for pair in pairs)
    provenance = {
        "made_by": "python -m tests.accuracy.confusions",
        "recogniser": "whisper-base (faster-whisper, int8, beam 5) on 8 kHz A-law audio",
        "utterances": {source: sources[source] for source in sorted(sources)},
        "cer_by_source": {
            source: round(
                100
                * sum(
                    error_rate(p["said"], p["heard"]) * len(p["said"]) / 100
                    for p in pairs
                    if p["source"] == source
                )
                / sum(len(p["said"]) for p in pairs if p["source"] == source),
                2,
            )
            for source in sorted(sources)
        },
    }
    content = {"schema": 1, "provenance": provenance} | learn(pairs)
    content["strength"] = fitted_strength(content)
    text = json.dumps(content, ensure_ascii=False, indent=1)
    text = re.sub(
        r"\{\s+([^{}]*?)\s+\}", lambda match: "{" + re.sub(r"\s*\n\s*", " ", match.group(1)) + "}", text
    )
    text = re.sub(
        r"\[\s+([^\[\]{}]*?)\s+\]", lambda match: "[" + re.sub(r"\s+", " ", match.group(1)) + "]", text
    )
    (HERE / "confusions.json").write_text(text + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps(provenance, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
