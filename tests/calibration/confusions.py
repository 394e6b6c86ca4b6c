"""Which halves of syllables the recogniser takes for one another, learnt from what it heard.

``python -m tests.calibration.confusions`` aligns what was said with what was heard, counts which initials
and finals stand for which, and rewrites the table ``[learnt]`` of ``lexicons/confusions.toml``. ``--check``
writes nothing and exits 1 when the table is not what would come out.

Only training material is looked at: the training half of the spoken sentences and of the development
dialogues (`tests.calibration.corpus.held_out`), and the standard's phrases as spoken for this
(`tests.calibration.standard`).

How a cost comes about
----------------------
A pair of halves seen in ``c`` calls, where chance alone would have put them together in ``e``, carries
the evidence ``log((c + 0.3) / (e + 0.3))``; 0.3 is what a pair never seen is worth. The cost is 0.85, that of
unlisted finals, less 0.2 for each unit of evidence, and never below 0.2: a confusion is no identity.
Pairs seen in one call only, or with evidence below 0.5, are left to phonetics.

Table of contents: `Count`, `heard_pairs`, `counted`, `learnt`, `main`.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import log
from pathlib import Path

from pipeline.judging.phonetics import split_syllable
from pipeline.mandarin import normalised
from tests.accuracy.alignment import slips, syllables
from tests.accuracy.conditions import recognised
from tests.calibration import standard
from tests.calibration.corpus import HERE, held_out
from tests.dialogues import loader

LEXICON = HERE.parents[1] / "lexicons" / "confusions.toml"
HALVES = ("initial", "final")
NEVER_SEEN, TOP, STEP, LEAST = 0.3, 0.85, 0.2, 0.2
MIN_CALLS, MIN_EVIDENCE = 2, 0.5
# One word, polite and plain, and a word that is written by sound alone: no confusions of sound.
_WORDS = {("nin", "ni"), ("nv", "ni")}


@dataclass(slots=True)
class Count:
    """Of initials or of finals: how often said, and in which calls one stood for another."""

    said: Counter[str] = field(default_factory=Counter)
    errors: int = 0
    calls: dict[tuple[str, str], set[str]] = field(default_factory=dict)


def heard_pairs() -> Iterator[tuple[str, str, str]]:
    """Call or sentence, what was said, what was heard."""
    for case in recognised(loader.load("dev"), "dev"):
        if held_out(case.dialogue.id):
            continue
        heard = {turn.start_s: turn.text for turn in case.hearing.turns}
        for turn in case.dialogue.hearing.turns:
            if turn.start_s in heard:
                yield case.dialogue.id, normalised(turn.text), normalised(heard[turn.start_s])
    lines = (HERE / "heard.jsonl").read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(map(json.loads, lines)):
        if line["part"] == "train":
            yield f"sentence {number}", normalised(line["said"]), _written(line)
    lines = standard.HEARD.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(map(json.loads, lines)):
        yield f"{line['call']} {number // 3}", normalised(line["said"]), _written(line)


def _written(line: dict[str, list[tuple[str, float]]]) -> str:
    return normalised("".join(word for word, _ in line["words"]))


def counted() -> tuple[Count, Count]:
    """Counts of initials and of finals over all training material."""
    counts = Count(), Count()
    for call, said, heard in heard_pairs():
        for syllable in syllables(said):
            if syllable.isascii():
                for count, half in zip(counts, split_syllable(syllable), strict=True):
                    count.said[half] += 1
        for slip in slips(said, heard):
            if len(slip.said) != len(slip.heard):
                continue
            for pair in zip(syllables(slip.said), syllables(slip.heard), strict=True):
                if pair not in _WORDS:
                    _count(counts, call, *pair)
    return counts


def _count(counts: tuple[Count, Count], call: str, said: str, heard: str) -> None:
    for count, one, other in zip(counts, split_syllable(said), split_syllable(heard), strict=True):
        if one != other:
            count.errors += 1
            first, second = sorted((one, other))
            count.calls.setdefault((first, second), set()).add(call)


def learnt(count: Count) -> dict[tuple[str, str], float]:
    """Costs of the pairs that were taken for one another oftener than by chance."""
    total = sum(count.said.values())
    costs: dict[tuple[str, str], float] = {}
    for (first, second), calls in sorted(count.calls.items()):
        expected = count.errors * 2 * count.said[first] * count.said[second] / total**2
        evidence = log((len(calls) + NEVER_SEEN) / (expected + NEVER_SEEN))
        if len(calls) >= MIN_CALLS and evidence > MIN_EVIDENCE:
            costs[first, second] = max(LEAST, round(TOP - STEP * evidence, 2))
    return costs


def written(source: str) -> str:
    """``confusions.toml`` with a new table ``[learnt]``, which is its last."""
    head = source.split("\n# ---- learnt from the recogniser", 1)[0].rstrip("\n")
    lines = [
        "# ---- learnt from the recogniser, by `python -m tests.calibration.confusions`: do not edit ------",
        "# [sound, sound, cost]; where the pair stands above as well, the cheaper cost counts.",
        "[learnt]",
        'source = "whisper-base on 8 kHz A-law speech: training halves of tests/calibration/heard.jsonl and '
        'tests/dialogues, tests/calibration/standard.jsonl"',
    ]
    for half, count in zip(HALVES, counted(), strict=True):
        lines.append(f"{half} = [")
        lines.extend(f'  ["{one}", "{other}", {cost}],' for (one, other), cost in learnt(count).items())
        lines.append("]")
    return f"{head}\n\n" + "\n".join(lines) + "\n"


def main(check: bool, lexicon: Path = LEXICON) -> int:
    """Write the table, or tell whether it is current."""
    source = lexicon.read_text(encoding="utf-8")
    new = written(source)
    if check:
        same = new == source
        sys.stdout.write("as written\n" if same else "not what comes out: run without --check\n")
        return 0 if same else 1
    lexicon.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
