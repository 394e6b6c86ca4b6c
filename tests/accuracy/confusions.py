"""Learn from real recognitions how the recogniser mishears: the data behind `tests.accuracy.noise`.

``python -m tests.accuracy.confusions PAIRS.jsonl …`` writes ``confusions.json``. A line of a pairs file is
``{"call": …, "said": …, "heard": …, "words": [[text, start, end, probability], …], "source": …}``, one turn;
`tests.accuracy.pairs` makes them. Only development material belongs in: the held-out dialogues
are noised by what was learnt elsewhere.

What is kept
------------
``spans``       stretches of 2 to 5 characters that were misheard as a whole, with how often they were said
``syllables``   for every syllable: how often said, what single characters of it were heard as ("" = lost)
``initials``, ``finals``   confusions of sound for syllables that were never misheard in the material
``inserted``    what was heard where nothing was said, per 1000 characters
``lost_turns``  share of turns of which nothing was heard, by length
``arabic``      share of spoken numbers written in Arabic digits
``call_factors``  each call's CER over the mean: some calls are worse than others
``confidence_right``, ``confidence_wrong``   21 quantiles of the word probability
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from tests.accuracy.alignment import error_rate, slips, split, syllables

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
    said_sounds: Counter[str] = Counter()
    initials: dict[str, Counter[str]] = defaultdict(Counter)
    finals: dict[str, Counter[str]] = defaultdict(Counter)
    inserted: Counter[str] = Counter()
    turns, lost = Counter[str](), Counter[str]()
    arabic = Counter[bool]()
    right: list[float] = []
    wrong: list[float] = []
    per_call: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    corpus = "|".join(pair["said"] for pair in pairs)
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
        for slip in slips(said, heard):
            wrong_chars.update(slip.heard)
            if not slip.said:
                inserted[slip.heard] += len(slip.heard) <= 3
            elif 2 <= len(slip.said) <= 5 and len(slip.heard) <= 7:
                spans[slip.said][slip.heard] += 1
            elif len(slip.said) == 1 and len(slip.heard) <= 2:
                sounds[sound[slip.start]][slip.heard] += 1
            if len(slip.said) == len(slip.heard):
                for one, other in zip(
                    sound[slip.start : slip.start + len(slip.said)], syllables(slip.heard), strict=True
                ):
                    (a, b), (c, d) = split(one), split(other)
                    initials[a][c] += 1
                    finals[b][d] += 1
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
        "spans": {
            text: {"said": max(corpus.count(text), sum(found.values())), "heard": dict(found.most_common(8))}
            for text, found in sorted(spans.items())
        },
        "syllables": {
            sound: {"said": said_sounds[sound], "heard": dict(sounds[sound].most_common(12))}
            for sound in sorted(said_sounds)
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
