"""Fit the confidence of phrase hits anew and publish how reliable it is.

``python -m tests.calibration.refit`` looks for every phrase of the corpus in every sentence that was
recognised, fits a logistic model on the training half, measures it on the held-out half (other
phrases, other voices) and on human readings, and rewrites ``[confidence]`` of ``lexicons/matching.toml``
and the tables of ``docs/matching.md``. ``--check`` fits nothing and exits 1 when what is written there
is not what would come out.

Table of contents: `Pair`, `pairs_of`, `human_pairs`, `fit`, `main`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp
from random import Random
from typing import Any

from benchmarks.document import with_section
from pipeline.judging.calibration import Confidence, Features, MatchLimits
from pipeline.judging.patterns import bare, read_aloud
from pipeline.judging.phrases import Transcript, compile_pattern, sighted
from pipeline.judging.transcript import load_model
from pipeline.records import Turn, Word
from tests.accuracy.conditions import recognised
from tests.accuracy.keywords import PHRASES, phrase_finding
from tests.calibration.corpus import HERE, held_out, load_phrases
from tests.dialogues import loader

ROOT = HERE.parents[1]
LEXICON = ROOT / "lexicons" / "matching.toml"
DOCUMENT = ROOT / "docs" / "matching.md"
RIDGE = 0.02  # weight decay in units of one observation
BINS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 1.0)


@dataclass(frozen=True, slots=True)
class Pair:
    """A phrase and a sentence: was it said, was it written, what did the matcher see."""

    phrase: str
    said: bool
    written: bool
    seen: Features | None


def plain(text: str) -> str:
    """Characters that count, 您 as 你: recognisers write either."""
    return bare(read_aloud(text)).replace("您", "你")


def heard_call(words: Sequence[tuple[str, float]]) -> Transcript:
    """One turn as the recogniser wrote it, its words with their probabilities."""
    made = tuple(Word(text, 0.1 * at, 0.1 * at + 0.1, sure) for at, (text, sure) in enumerate(words))
    return Transcript.of(
        [Turn("agent", 0.0, 0.1 * len(made), "".join(word.text for word in made), words=made)]
    )


def _pair(phrase: str, said: bool, call: Transcript, rank: Confidence) -> Pair:
    found = [seen for _, seen in sighted(compile_pattern(phrase), call)]
    best = max(found, key=rank.of, default=None)
    return Pair(phrase, said, plain(phrase) in plain(call.texts[0]), best)


def read_lines(name: str) -> list[dict[str, Any]]:
    """Lines of ``heard.jsonl`` or ``human.jsonl``."""
    with (HERE / name).open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def phrases_of(part: str) -> list[str]:
    """Phrases of a half of the corpus, near ones too."""
    mine = (one for one in load_phrases() if held_out(one.text) == (part == "heldout"))
    return sorted({text for one in mine for text in (one.text, *one.near)})


def pairs_of(part: str, rank: Confidence) -> list[Pair]:
    """Every phrase of a half of the corpus, looked for in every sentence of that half."""
    phrases = phrases_of(part)
    found: list[Pair] = []
    for line in read_lines("heard.jsonl"):
        if line["part"] != part:
            continue
        call, said = heard_call(line["words"]), plain(line["said"])
        found.extend(_pair(phrase, plain(phrase) in said, call, rank) for phrase in phrases)
    return found


def dialogue_pairs(part: str, rank: Confidence) -> list[Pair]:
    """The same phrases, and those of the standard, in every turn of half of the spoken dialogues."""
    texts = [*phrases_of(part), *(text for text in PHRASES if held_out(text) == (part == "heldout"))]
    phrases = [(text, plain(text), compile_pattern(text)) for text in sorted(set(texts))]
    found: list[Pair] = []
    for case in recognised(loader.load("dev"), "dev"):
        if held_out(case.dialogue.id) != (part == "heldout"):
            continue
        call = Transcript.of(case.hearing.turns)
        heard = {turn.start_s: place for place, turn in enumerate(call.turns)}
        said_at = {turn.start_s: plain(turn.text) for turn in case.dialogue.hearing.turns}
        texts_said = [said_at[turn.start_s] for turn in call.turns]
        for text, bare_text, pattern in phrases:
            seen: dict[int, Features] = {}
            for aligned, features in sighted(pattern, call):
                for place in _turns_told(call, aligned.start, aligned.end, texts_said, bare_text):
                    seen[place] = max(features, seen.get(place, features), key=rank.of)
            for turn in case.dialogue.hearing.turns:
                place = heard.get(turn.start_s, -1)
                written = place >= 0 and bare_text in plain(call.texts[place])
                found.append(Pair(text, bare_text in plain(turn.text), written, seen.get(place)))
    return found


def _turns_told(call: Transcript, start: int, end: int, said: Sequence[str], phrase: str) -> list[int]:
    """Turns that a hit tells of: where it runs over several, those that say the phrase, or else the first."""
    first, last = call.place(start)[0], call.place(end - 1)[0]
    own = [place for place in range(first, last + 1) if call.turns[place].role == call.turns[first].role]
    return [place for place in own if phrase in said[place]] or [first]


def human_pairs(rank: Confidence) -> list[Pair]:
    """Phrases cut out of human readings, and the same with one word of another reading put in."""
    random = Random(7)
    lines = [(plain(line["said"]), heard_call(line["words"])) for line in read_lines("human.jsonl")]
    texts = [said for said, _ in lines]
    found: list[Pair] = []
    for said, call in lines:
        for _ in range(4):
            size = random.choice((4, 5, 6, 7, 8))
            if len(said) < size + 2:
                continue
            at = random.randrange(len(said) - size)
            phrase = said[at : at + size]
            found.append(_pair(phrase, True, call, rank))
            other = random.choice(texts)
            piece = random.randrange(max(1, len(other) - 2))
            hole = random.randrange(size - 1)
            changed = phrase[:hole] + other[piece : piece + 2] + phrase[hole + 2 :]
            if changed not in said:
                found.append(_pair(changed, False, call, rank))
    return found


def fit(pairs: Iterable[Pair]) -> Confidence:
    """Logistic regression by Newton's method, with a little weight decay."""
    rows = [((1.0, *pair.seen), pair.said) for pair in pairs if pair.seen is not None]
    size = 1 + len(Features._fields)
    weights = [0.0] * size
    for _ in range(50):
        slope = [-RIDGE * weight if place else 0.0 for place, weight in enumerate(weights)]
        curve = [[RIDGE if row == column and row else 0.0 for column in range(size)] for row in range(size)]
        for values, said in rows:
            chance = _logistic(sum(weight * value for weight, value in zip(weights, values, strict=True)))
            for row in range(size):
                slope[row] += (said - chance) * values[row]
                for column in range(size):
                    curve[row][column] += chance * (1 - chance) * values[row] * values[column]
        step = _solved(curve, slope)
        weights = [weight + change for weight, change in zip(weights, step, strict=True)]
        if max(map(abs, step)) < 1e-9:
            break
    rounded = [round(weight, 3) for weight in weights]
    return Confidence(rounded[0], Features(*rounded[1:]))


def _logistic(value: float) -> float:
    return 1.0 / (1.0 + exp(-min(60.0, max(-60.0, value))))


def _solved(matrix: list[list[float]], right: list[float]) -> list[float]:
    """Gaussian elimination with pivoting."""
    size = len(right)
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for column in range(size):
        pivot = max(range(column, size), key=lambda row: abs(rows[row][column]))
        rows[column], rows[pivot] = rows[pivot], rows[column]
        for row in range(column + 1, size):
            factor = rows[row][column] / rows[column][column]
            rows[row] = [a - factor * b for a, b in zip(rows[row], rows[column], strict=True)]
    found = [0.0] * size
    for row in range(size - 1, -1, -1):
        rest = sum(rows[row][column] * found[column] for column in range(row + 1, size))
        found[row] = (rows[row][size] - rest) / rows[row][row]
    return found


# ---- measures and tables -------------------------------------------------------------------------
def _confidence(pair: Pair, model: Confidence) -> float:
    return model.of(pair.seen) if pair.seen is not None else 0.0


def reliability(pairs: Sequence[Pair], model: Confidence) -> str:
    """Markdown rows: told probability against what was true, for hits in each band of confidence."""
    rows = []
    for low, high in pairwise(BINS):
        inside = [pair for pair in pairs if pair.seen is not None and low <= _confidence(pair, model) < high]
        if inside:
            told = sum(_confidence(pair, model) for pair in inside) / len(inside)
            true = sum(pair.said for pair in inside) / len(inside)
            rows.append(f"| {low:.2f}–{high:.2f} | {len(inside)} | {told:.2f} | {true:.2f} |")
    return "\n".join(rows)


def brier(pairs: Sequence[Pair], model: Confidence) -> float:
    """Mean squared difference between told probability and truth, over hits."""
    seen = [pair for pair in pairs if pair.seen is not None]
    return sum((_confidence(pair, model) - pair.said) ** 2 for pair in seen) / len(seen)


def area(pairs: Sequence[Pair], model: Confidence) -> float:
    """Chance that a phrase that was said is told more probable than one that was not, over hits."""
    seen = sorted((_confidence(pair, model), pair.said) for pair in pairs if pair.seen is not None)
    positives = sum(said for _, said in seen)
    negatives = len(seen) - positives
    below = ranked = 0.0
    at = 0
    while at < len(seen):
        same = [said for told, said in seen[at:] if told == seen[at][0]]
        ranked += sum(same) * (below + (len(same) - sum(same)) / 2)
        below += len(same) - sum(same)
        at += len(same)
    return ranked / (positives * negatives)


def comparison(name: str, pairs: Sequence[Pair], model: Confidence, limits: MatchLimits) -> str:
    """One Markdown row: exact text against sound, recall and false hits."""
    said = [pair for pair in pairs if pair.said]
    unsaid = [pair for pair in pairs if not pair.said]
    exact, exact_false = sum(pair.written for pair in said), sum(pair.written for pair in unsaid)
    sure = sum(_confidence(pair, model) >= limits.accept for pair in said)
    near = sum(limits.reject <= _confidence(pair, model) < limits.accept for pair in said)
    false = sum(_confidence(pair, model) >= limits.accept for pair in unsaid)
    doubt = sum(limits.reject <= _confidence(pair, model) < limits.accept for pair in unsaid)
    count = len(said)
    return (
        f"| {name} | {count} | {len(unsaid)} | {exact / count:.1%} | {exact_false} | {sure / count:.1%} | "
        f"{near / count:.1%} | {false} | {doubt} |"
    )


def of_the_standard() -> str:
    """Markdown table: the standard's own phrases in the spoken dialogues, by characters and by sound."""
    rows = []
    for name, part in (("development", "dev"), ("held out", "heldout")):
        found = phrase_finding(recognised(loader.load(part), part))
        rows.append(
            f"| {name} | {found.said} | {found.by_keyword / found.said:.1%} | {found.false_by_keyword} | "
            f"{found.by_sound / found.said:.1%} | {found.false_by_sound} |"
        )
    head = "| dialogues | said | exact text finds | falsely | sound finds | falsely |\n"
    head += "|---|---|---|---|---|---|\n"
    return (
        "The standard's own phrases, turn by turn, in the dialogues as recognised:\n\n"
        + head
        + "\n".join(rows)
    )


def tables(model: Confidence, limits: MatchLimits, sets: dict[str, list[Pair]]) -> str:
    """All generated Markdown."""
    rows = "\n".join(comparison(name, pairs, model, limits) for name, pairs in sets.items())
    weights = "\n".join(
        f"| `{name}` | {weight:+.2f} |" for name, weight in zip(Features._fields, model.weights, strict=True)
    )
    curves = "\n\n".join(
        f"Reliability, {name} (Brier score {brier(pairs, model):.3f}, "
        f"area under the ROC curve {area(pairs, model):.3f}):\n\n"
        "| told | hits | mean told | really said |\n|---|---|---|---|\n" + reliability(pairs, model)
        for name, pairs in sets.items()
    )
    return (
        f"Accept at {limits.accept:g}, reject below {limits.reject:g}.\n\n"
        "| | said | not said | exact text finds | falsely "
        "| sound finds | unsure | falsely | unsure falsely |\n"
        f"|---|---|---|---|---|---|---|---|---|\n{rows}\n\n{of_the_standard()}\n\n{curves}\n\n"
        f"| feature | weight |\n|---|---|\n| bias | {model.bias:+.2f} |\n{weights}"
    )


def written_lexicon(source: str, model: Confidence, counts: tuple[int, int]) -> str:
    """``matching.toml`` with a new table ``[confidence]``; all before it stays as it is."""
    head = source[: source.index("\n[confidence]") + 1]
    weights = "\n".join(
        f"{name} = {value}" for name, value in zip(Features._fields, model.weights, strict=True)
    )
    return (
        f'{head}[confidence]\nmethod = "logistic"\nbias = {model.bias}\n'
        f'fitted = "tests/calibration/heard.jsonl and tests/dialogues, training halves: '
        f"{counts[0]} hits of phrases that were said, "
        f'{counts[1]} of phrases that were not"\n\n[confidence.weights]\n{weights}\n'
    )


def main(check: bool) -> int:
    """Fit, measure and write; or tell whether that would change anything."""
    current = load_model()
    sentences, dialogues = pairs_of("train", current.confidence), dialogue_pairs("train", current.confidence)
    train = [*sentences, *dialogues]
    model = fit(train)
    sets = {
        "sentences, training half": sentences,
        "sentences, held-out half": pairs_of("heldout", model),
        "dialogues, training half": dialogues,
        "dialogues, held-out half": dialogue_pairs("heldout", model),
        "human readings": human_pairs(model),
    }
    seen = [pair.said for pair in train if pair.seen is not None]
    lexicon = written_lexicon(LEXICON.read_text("utf-8"), model, (sum(seen), len(seen) - sum(seen)))
    same = lexicon == LEXICON.read_text("utf-8")
    if not check:
        LEXICON.write_text(lexicon, encoding="utf-8")
        compile_pattern.cache_clear()
    generated = tables(model, current.limits, sets)
    document = with_section(DOCUMENT.read_text("utf-8"), "calibration", generated)
    same = same and document == DOCUMENT.read_text("utf-8")
    sys.stdout.write(generated + "\n")
    if check:
        verdict = "as written" if same else "what is written is not what comes out: run without --check"
        sys.stdout.write(verdict + "\n")
        return 0 if same else 1
    DOCUMENT.write_text(document, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
