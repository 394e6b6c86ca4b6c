"""Measure judging on the labelled dialogues: ``python -m tests.accuracy.judging``.

Judges the development and the held-out dialogues from clean text, from noised text (several seeds) and
from what whisper-base really heard, compares with the labels, prints the figures and writes them into
``docs/accuracy.md`` (between its markers) and ``tests/accuracy/judging.json``.

Counted are the rules of the call's own direction that carry a label; rules of the other direction, which are
``not_applicable`` by definition, would only flatter the figures. An ``uncertain`` verdict is not right.

Table of contents: `Tally`, `compare`, `measure`, `disagreements`, `main`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipeline.judging.engine import judge
from pipeline.judging.rulebook import Rulebook, load_rulebook
from pipeline.records import Verdict
from tests.accuracy import blind, conditions, document, wordings
from tests.accuracy.keywords import KEYWORDS, Found, keyword_verdict, phrase_finding
from tests.dialogues.loader import Dialogue, Part, load

SEEDS = (1, 2, 3)


@dataclass(slots=True)
class RuleTally:
    """One rule's counts; precision and recall are those of ``fail``, the verdict that has consequences.

    Attributes
    ----------
    met, met_found, met_by_keyword : int
        Labelled ``pass``; judged so; told so by plain keywords. Only for rules that ask for phrases.
    unmet, unmet_passed, unmet_by_keyword : int
        Labelled ``fail``; passed by mistake; passed by mistake by plain keywords.
    """

    labels: int = 0
    right: int = 0
    uncertain: int = 0
    failed: int = 0
    failed_rightly: int = 0
    should_fail: int = 0
    applied: int = 0
    applied_right: int = 0
    keyword_right: int = 0
    keyword_cases: int = 0
    met: int = 0
    met_found: int = 0
    met_by_keyword: int = 0
    unmet: int = 0
    unmet_passed: int = 0
    unmet_by_keyword: int = 0

    @property
    def accuracy(self) -> float:
        """Share of labels met."""
        return self.right / max(1, self.labels)


@dataclass(slots=True)
class Tally:
    """The counts of one condition."""

    calls: int = 0
    labels: int = 0
    right: int = 0
    uncertain: int = 0
    wrong_fatals: list[str] = field(default_factory=list)
    missed_fatals: int = 0
    rules: dict[str, RuleTally] = field(default_factory=dict)
    phrases: Found = field(default_factory=Found)
    seconds: float = 0.0

    @property
    def accuracy(self) -> float:
        """Share of labels met; an uncertain verdict is not right."""
        return self.right / max(1, self.labels)

    @property
    def uncertain_share(self) -> float:
        """Share of verdicts that go to a person."""
        return self.uncertain / max(1, self.labels)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready, with the shares beside the counts."""
        return asdict(self) | {"accuracy": self.accuracy, "uncertain_share": self.uncertain_share}


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A verdict that is not the label."""

    dialogue: Dialogue
    rule_id: str
    verdict: Verdict


def compare(
    cases: Sequence[conditions.Case], rulebook: Rulebook, *, phrases: bool = True
) -> tuple[Tally, list[Disagreement]]:
    """Judge all cases and count; the disagreements come in the order of the cases."""
    tally, wrong = Tally(), []
    began = time.perf_counter()
    for case in cases:
        tally.calls += 1
        verdicts = {v.rule_id: v for v in judge(case.hearing, case.dialogue.call, rulebook).verdicts}
        for rule_id, label in case.dialogue.labels.items():
            other = "outbound." if case.dialogue.call.direction == "inbound" else "inbound."
            if rule_id.startswith(other) or rule_id not in verdicts:
                continue
            verdict = verdicts[rule_id]
            _count(tally, tally.rules.setdefault(rule_id, RuleTally()), verdict, label)
            if verdict.verdict != label:
                wrong.append(Disagreement(case.dialogue, rule_id, verdict))
                if verdict.verdict == "fail" and verdict.severity == "fatal":
                    tally.wrong_fatals.append(f"{case.dialogue.id} {rule_id}")
            if rule_id in KEYWORDS and label in {"pass", "fail"}:
                _count_keyword(tally.rules[rule_id], verdict.verdict, keyword_verdict(rule_id, case), label)
    tally.seconds = round(time.perf_counter() - began, 2)
    if phrases:
        tally.phrases = phrase_finding(cases)
    tally.rules = dict(sorted(tally.rules.items()))
    return tally, wrong


def _count(tally: Tally, rule: RuleTally, verdict: Verdict, label: str) -> None:
    right = verdict.verdict == label
    tally.labels += 1
    tally.right += right
    tally.uncertain += verdict.verdict == "uncertain"
    tally.missed_fatals += label == "fail" and verdict.severity == "fatal" and not right
    rule.labels += 1
    rule.right += right
    rule.uncertain += verdict.verdict == "uncertain"
    rule.failed += verdict.verdict == "fail"
    rule.should_fail += label == "fail"
    rule.failed_rightly += right and label == "fail"
    if label != "not_applicable":
        rule.applied += 1
        rule.applied_right += right


def _count_keyword(rule: RuleTally, judged: str, by_keyword: str, label: str) -> None:
    rule.keyword_cases += 1
    rule.keyword_right += by_keyword == label
    if label == "pass":
        rule.met += 1
        rule.met_found += judged == "pass"
        rule.met_by_keyword += by_keyword == "pass"
    else:
        rule.unmet += 1
        rule.unmet_passed += judged == "pass"
        rule.unmet_by_keyword += by_keyword == "pass"


def _sum(tallies: Sequence[Tally]) -> Tally:
    total = Tally()
    for one in tallies:
        total.calls += one.calls
        total.labels += one.labels
        total.right += one.right
        total.uncertain += one.uncertain
        total.wrong_fatals += one.wrong_fatals
        total.missed_fatals += one.missed_fatals
        total.seconds += one.seconds
        for rule_id, found in one.rules.items():
            kept = total.rules.setdefault(rule_id, RuleTally())
            for name, value in asdict(found).items():
                setattr(kept, name, getattr(kept, name) + value)
        for name, value in asdict(one.phrases).items():
            setattr(total.phrases, name, getattr(total.phrases, name) + value)
    return total


def measure(
    part: Part, rulebook: Rulebook, *, seeds: Sequence[int] = SEEDS
) -> tuple[dict[str, Tally], dict[str, list[Disagreement]]]:
    """All conditions of one part: ``clean``, ``noised`` (seeds summed), ``recognised``, ``adapted``."""
    dialogues = load(part)
    found = {"clean": compare(conditions.clean(dialogues), rulebook)}
    noisy = [compare(conditions.with_noise(dialogues, seed), rulebook) for seed in seeds]
    found["noised"] = (_sum([tally for tally, _ in noisy]), [one for _, wrong in noisy for one in wrong])
    found["recognised"] = compare(conditions.recognised(dialogues, part), rulebook)
    found["adapted"] = compare(conditions.recognised(dialogues, part, adapted=True), rulebook)
    return {name: tally for name, (tally, _) in found.items()}, {n: wrong for n, (_, wrong) in found.items()}


def disagreements(found: dict[str, list[Disagreement]], *, heard: bool = False) -> str:
    """The disagreements of one part as Markdown, for whoever decides who is right.

    Parameters
    ----------
    heard : bool
        Also those of the noised and the recognised text; otherwise of the clean text only.
    """
    lines = []
    for condition, wrong in found.items():
        if condition != "clean" and not heard:
            continue
        lines.append(f"## {condition}: {len(wrong)}\n")
        for one in sorted(wrong, key=lambda each: (each.rule_id, each.dialogue.id)):
            why = one.dialogue.why.get(one.rule_id, "")
            quotes = " / ".join(evidence.quote for evidence in one.verdict.evidence[:3])
            lines.append(
                f"- {one.dialogue.id} `{one.rule_id}`: label **{one.dialogue.labels[one.rule_id]}**"
                f"{' (' + why + ')' if why else ''}, judged **{one.verdict.verdict}**: {one.verdict.reason}"
                f"{' | ' + quotes if quotes else ''}"
            )
        lines.append("")
    return "\n".join(lines)


def main() -> int:
    """Measure, print, write; the exit status is 0 whatever the figures are."""
    parser = argparse.ArgumentParser(description="Accuracy of judging on the labelled dialogues.")
    parser.add_argument(
        "--disagreements", type=Path, metavar="FILE", help="write those of the dev part there"
    )
    parser.add_argument("--heard", action="store_true", help="with those of noised and recognised text")
    parser.add_argument("--rulebook", type=Path, help="another rulebook than the one that ships")
    parser.add_argument("--part", choices=("dev", "heldout"), help="print one part only, write nothing")
    parser.add_argument("--dry-run", action="store_true", help="print only, write nothing")
    given = parser.parse_args()
    rulebook = load_rulebook(given.rulebook)
    chosen: tuple[Part, ...] = (given.part,) if given.part else ("dev", "heldout")
    parts: dict[Part, dict[str, Tally]] = {}
    for part in chosen:
        parts[part], wrong = measure(part, rulebook)
        if part == "dev" and given.disagreements:
            given.disagreements.write_text(disagreements(wrong, heard=given.heard), encoding="utf-8")
    everything = not given.dry_run and not given.part
    unseen = (
        {"as written": blind.measure(misheard=False), "misheard": blind.measure(misheard=True)}
        if everything
        else {}
    )
    kinds = {"wordings": wordings.load, "ordinary": wordings.ordinary} if everything else {}
    sentences = {
        kind: {part: wordings.measure(part, rulebook.lexicon, of=of)[0] for part in chosen}
        for kind, of in kinds.items()
    }
    text = document.section(parts, rulebook, unseen, sentences)
    sys.stdout.write(text)
    if everything:
        figures: dict[str, Any] = {
            part: {name: t.as_dict() for name, t in found.items()} for part, found in parts.items()
        }
        figures["blind"] = {name: asdict(found) for name, found in unseen.items()}
        for kind, halves in sentences.items():
            figures[kind] = {
                part: {phrase: asdict(counts) for phrase, counts in found.items()}
                for part, found in halves.items()
            }
        document.write(text, figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
