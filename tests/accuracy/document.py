"""The judging section of ``docs/accuracy.md`` and the figures behind it.

Table of contents: `section`, `write`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.document import write_section
from tests.accuracy.confusions import mean_error_rate
from tests.accuracy.noise import load_confusions
from tests.accuracy.wordings import Counts, total
from tests.dialogues.loader import load

if TYPE_CHECKING:
    from pipeline.judging.rulebook import Rulebook
    from tests.accuracy.judging import RuleTally, Tally
    from tests.accuracy.keywords import Found

ROOT = Path(__file__).parents[2]
FIGURES = ROOT / "tests" / "accuracy" / "judging.json"
CONDITIONS = {
    "clean": "clean text",
    "noised": "noised text (3 seeds)",
    "recognised": "whisper-base's text, without its adapter",
    "adapted": "whisper-base's text, as it ships",
}


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "–"


def _overview(parts: Mapping[str, Mapping[str, Tally]]) -> list[str]:
    lines = [
        "| dialogues | transcript | calls | verdicts | right | uncertain | wrong fatals | fatals missed |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for part, found in parts.items():
        for name, tally in found.items():
            lines.append(
                f"| {part} | {CONDITIONS[name]} | {tally.calls} | {tally.labels} "
                f"| {_percent(tally.right, tally.labels)} | {_percent(tally.uncertain, tally.labels)} "
                f"| {len(tally.wrong_fatals)} | {tally.missed_fatals} |"
            )
    return lines


def _phrases(parts: Mapping[str, Mapping[str, Tally]]) -> list[str]:
    lines = [
        "| dialogues | transcript | phrases said | found by keyword | found by sound | false hits, keyword "
        "| false hits, sound |",
        "|---|---|---|---|---|---|---|",
    ]
    for part, found in parts.items():
        for name, tally in found.items():
            one = tally.phrases
            lines.append(
                f"| {part} | {CONDITIONS[name]} | {one.said} | {_percent(one.by_keyword, one.said)} "
                f"| {_percent(one.by_sound, one.said)} | {one.false_by_keyword} | {one.false_by_sound} |"
            )
    return lines


def _duties(parts: Mapping[str, Mapping[str, Tally]]) -> list[str]:
    lines = [
        "| dialogues | transcript | duties met | seen by keyword | seen by rule | duties unmet "
        "| passed by keyword | passed by rule |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for part, found in parts.items():
        for name, tally in found.items():
            sums = {
                field: sum(getattr(rule, field) for rule in tally.rules.values())
                for field in (
                    "met",
                    "met_found",
                    "met_by_keyword",
                    "unmet",
                    "unmet_passed",
                    "unmet_by_keyword",
                )
            }
            lines.append(
                f"| {part} | {CONDITIONS[name]} | {sums['met']} "
                f"| {_percent(sums['met_by_keyword'], sums['met'])} "
                f"| {_percent(sums['met_found'], sums['met'])} | {sums['unmet']} "
                f"| {sums['unmet_by_keyword']} | {sums['unmet_passed']} |"
            )
    return lines


def _rule(rule: RuleTally) -> str:
    return (
        f"{rule.labels} | {_percent(rule.right, rule.labels)} | {_percent(rule.applied_right, rule.applied)} "
        f"| {_percent(rule.failed_rightly, rule.failed)} | {_percent(rule.failed_rightly, rule.should_fail)} "
        f"| {rule.uncertain} | {_percent(rule.keyword_right, rule.keyword_cases)}"
    )


def _rules(tally: Tally) -> list[str]:
    lines = [
        "| rule | labels | right | right where it applies | precision of fail | recall of fail | uncertain "
        "| plain keywords right |",
        "|---|---|---|---|---|---|---|---|",
    ]
    return lines + [f"| `{rule_id}` | {_rule(rule)} |" for rule_id, rule in tally.rules.items()]


def _blind(blind: Mapping[str, Found]) -> list[str]:
    if not blind:
        return []
    lines = [
        "Sentences that nothing was chosen by (`tests/accuracy/blind.toml`): forty that say a phrase, forty",
        "that say something near to it, misheard with a seed used nowhere else. The errors are drawn from",
        "those of the development dialogues, which the costs of sounds were learnt from as well.",
        "",
        "| sentences | phrases said | found by keyword | found by sound | false hits, keyword "
        "| false hits, sound |",
        "|---|---|---|---|---|---|",
    ]
    for name, one in blind.items():
        keyword, sound = _percent(one.by_keyword, one.said), _percent(one.by_sound, one.said)
        lines.append(
            f"| {name} | {one.said} | {keyword} | {sound} | {one.false_by_keyword} | {one.false_by_sound} |"
        )
    return [*lines, ""]


_Halves = Mapping[str, Mapping[str, Counts]]


def _counts(one: Counts | None) -> list[str]:
    if one is None:
        return ["–"] * 4
    return [str(one.said), _percent(one.found, one.said), str(one.unsaid), str(one.false)]


def _wordings(halves: _Halves) -> list[str]:
    dev, held = halves["dev"], halves["heldout"]
    rows = [(f"`{name}`", dev.get(name), held.get(name)) for name in sorted({*dev, *held})]
    rows.insert(0, ("all", total(dev), total(held)))
    return [
        "### How widely the phrase sets hear",
        "",
        "Sentences of several authors who knew the standard, not the wordings (`tests/wordings`); one half",
        "was used to widen the phrase sets, the other is only counted. What misleads was chosen to mislead.",
        "",
        "| phrase set | dev: said | heard | misleading | heard wrongly | held out: said | heard | misleading "
        "| heard wrongly |",
        "|---|---|---|---|---|---|---|---|---|",
        *(f"| {' | '.join([name, *_counts(one), *_counts(other)])} |" for name, one, other in rows),
        "",
    ]


def _ordinary(halves: _Halves) -> list[str]:
    dev, held = halves["dev"], halves["heldout"]
    return [
        "Ordinary sentences of blameless agents and calm customers, many with loaded words (保证, 投诉, 急):",
        "",
        "| phrase set | dev: sentences | heard wrongly | held out: sentences | heard wrongly |",
        "|---|---|---|---|---|",
        *(
            f"| `{name}` | {one.unsaid} | {one.false} | {held[name].unsaid} | {held[name].false} |"
            for name, one in dev.items()
        ),
        "",
    ]


def section(
    parts: Mapping[str, Mapping[str, Tally]],
    rulebook: Rulebook,
    blind: Mapping[str, Found],
    sentences: Mapping[str, _Halves],
) -> str:
    """The section as Markdown."""
    known = load_confusions()
    provenance = known.table["provenance"]
    seconds = sum(tally.seconds for found in parts.values() for tally in found.values())
    calls = sum(tally.calls for found in parts.values() for tally in found.values())
    lines = [
        "## Judging",
        "",
        f"Rulebook {rulebook.version}, hash `{rulebook.hash[:12]}`. {len(load('dev'))} development and "
        f"{len(load('heldout'))} held-out dialogues. Counted are the rules of a call's own direction that "
        "carry a label. *Uncertain* is not right. A wrong fatal is a fatal rule failed against its label.",
        "",
        *_overview(parts),
        "",
        f"Noised text: errors drawn from confusions of whisper-base on telephone audio "
        f"({sum(provenance['utterances'].values())} utterances, CER {known.cer:.1f} %; noised text "
        f"{mean_error_rate(known):.1f} %). whisper-base's text: dialogues spoken by a synthesiser, 8 kHz, "
        "with line noise or babble. Matching was fitted on development text heard without the adapter.",
        "",
        "### Mandated and banned phrases: looking for characters against matching by sound",
        "",
        "Twenty phrases of the standard; said = stands in the clean turn, found = in what was heard of it.",
        "",
        *_phrases(parts),
        "",
        "A hit belongs to the turns of its own speaker that it runs over; it is false when none of them says",
        "the phrase or nearly the same.",
        "",
        *_blind(blind),
        "The same for whole duties: the rules that ask for mandated phrases (apology, verification,",
        "paraphrase, empathy, further needs, callback, thanks, identity, disclaimer, refusal), judged by the",
        "rulebook and by whether plain keywords of each stand in the agent's words.",
        "",
        *_duties(parts),
        "",
        *(_wordings(sentences["wordings"]) + _ordinary(sentences["ordinary"]) if sentences else []),
        *(line for part, found in parts.items() for line in _per_rule(part, found)),
        f"Judging took {seconds:.0f} s for {calls} calls. All counts: `tests/accuracy/judging.json`.",
    ]
    return "\n".join(lines)


def _per_rule(part: str, found: Mapping[str, Tally]) -> list[str]:
    return [
        f"### {part}: each rule, clean text",
        "",
        *_rules(found["clean"]),
        "",
        f"### {part}: each rule, noised and both texts of whisper-base together",
        "",
        *_rules(_together(_together(found["noised"], found["recognised"]), found["adapted"])),
        "",
    ]


def _together(one: Tally, other: Tally) -> Tally:
    from tests.accuracy.judging import _sum

    return _sum([one, other])


def write(text: str, figures: Mapping[str, Any]) -> None:
    """Replace the section of the document and write the figures."""
    write_section("accuracy.md", "judging", text)
    FIGURES.write_text(json.dumps(figures, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
