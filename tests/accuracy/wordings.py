"""How widely the phrase sets hear: ``python -m tests.accuracy.wordings`` (what is not heard, dev part only).

``tests/wordings/{dev,heldout}/*.toml`` hold sentences as agents and customers say them. Their authors knew
the standard and what a phrase set is for, not its wordings. Each list was halved by position: one half was
used to widen the phrase sets, the other is only counted. A file is a list of ``[[wording]]`` with

``phrase``, ``by``
    The phrase set, and who speaks.
``beside``, may be left out
    A second set that has to be heard in the sentence as well, as the rule asks: an identity element counts
    where the agent asks for it.
``said``, ``unsaid``
    Sentences in which it is said; sentences that share words with it and are something else. ``{company}
    {name} {number}`` stand for the call record's company, agent name and 工号.

``ordinary.toml`` is a list of ``[[ordinary]]``: what agents and customers say all day (``texts``), in which
none of the sets of ``silent`` may be heard.

Every sentence is a call of one turn, so what a rule knows from the rest of a call does not help. The
sentences of ``unsaid`` were chosen to mislead: their share of false hits is not that of a call.

Table of contents: `Wording`, `Counts`, `load`, `ordinary`, `measure`, `total`, `main`.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path

from pipeline.judging.case import Case
from pipeline.judging.lexicon import Lexicon
from pipeline.judging.places import Window
from pipeline.judging.rulebook import load_rulebook
from pipeline.records import CallRecord, Hearing, Role, Turn
from tests.dialogues.loader import Part

FOLDER = Path(__file__).parents[1] / "wordings"
_PER_S = 4.0
_CALL = CallRecord(
    call_id="wording",
    direction="inbound",
    started_at=datetime(2026, 3, 3, 2, 0, tzinfo=UTC),
    agent_id="3057",
    agent_name="李静",
    company="恒信人寿",
)
_SLOTS = {"{company}": "恒信人寿", "{name}": "李静", "{number}": "三零五七"}


@dataclass(frozen=True, slots=True)
class Wording:
    """A sentence, the phrase set that is looked for in it, and whether it is said there."""

    source: str
    phrase: str
    by: Role
    text: str
    said: bool
    beside: str | None = None

    def is_heard(self, lexicon: Lexicon) -> bool:
        """Whether the phrase set is found in the sentence, surely."""
        length_s = len(self.text) / _PER_S
        hearing = Hearing("", length_s, "transcript", (Turn(self.by, 0.0, length_s, self.text),))
        case = Case(hearing, _CALL, lexicon)
        sets = (self.phrase, self.beside) if self.beside else (self.phrase,)
        return all(any(mark.is_sure for mark in case.marks(one, Window((0,)))) for one in sets)


@dataclass(slots=True)
class Counts:
    """Sentences of one phrase set, or of all, and what was heard in them."""

    said: int = 0
    found: int = 0
    unsaid: int = 0
    false: int = 0

    def add(self, wording: Wording, heard: bool) -> None:
        """Count one sentence."""
        if wording.said:
            self.said += 1
            self.found += heard
        else:
            self.unsaid += 1
            self.false += heard


def load(part: Part) -> Iterator[Wording]:
    """All sentences of a part, file by file."""
    for path in sorted((FOLDER / part).glob("*.toml")):
        for raw in tomllib.loads(path.read_text(encoding="utf-8")).get("wording", []):
            for said in ("said", "unsaid"):
                for text in raw[said]:
                    filled = reduce(lambda so_far, slot: so_far.replace(*slot), _SLOTS.items(), text)
                    yield Wording(
                        path.stem, raw["phrase"], raw["by"], filled, said == "said", raw.get("beside")
                    )


def ordinary(part: Part) -> Iterator[Wording]:
    """Ordinary sentences, once for each phrase set that must not be heard in them."""
    path = FOLDER / part / "ordinary.toml"
    for raw in tomllib.loads(path.read_text(encoding="utf-8"))["ordinary"]:
        for phrase in raw["silent"]:
            for text in raw["texts"]:
                yield Wording(path.stem, phrase, raw["by"], text, False)


def measure(
    part: Part, lexicon: Lexicon, *, of: Callable[[Part], Iterator[Wording]] = load
) -> tuple[dict[str, Counts], list[Wording]]:
    """The counts by phrase set, and the sentences heard wrongly; ``of`` is `load` or `ordinary`."""
    counts: dict[str, Counts] = {}
    wrong = []
    for wording in of(part):
        heard = wording.is_heard(lexicon)
        counts.setdefault(wording.phrase, Counts()).add(wording, heard)
        if heard != wording.said:
            wrong.append(wording)
    return dict(sorted(counts.items())), wrong


def total(counts: dict[str, Counts]) -> Counts:
    """All phrase sets together."""
    return Counts(
        *(sum(getattr(one, name) for one in counts.values()) for name in ("said", "found", "unsaid", "false"))
    )


def main() -> int:
    """Print the dev sentences that are heard wrongly, and the totals of both parts."""
    parser = argparse.ArgumentParser(description="What the phrase sets do not hear, or hear wrongly.")
    parser.add_argument("--phrase", help="one phrase set only")
    given = parser.parse_args()
    lexicon = load_rulebook().lexicon
    for wording in measure("dev", lexicon)[1] + measure("dev", lexicon, of=ordinary)[1]:
        if given.phrase in (None, wording.phrase):
            kind = "missed" if wording.said else "false "
            sys.stdout.write(f"{kind} {wording.source} {wording.phrase} {wording.text}\n")
    for part in ("dev", "heldout"):
        all_of = total(measure(part, lexicon)[0])
        sys.stdout.write(
            f"{part}: found {all_of.found} of {all_of.said}, false {all_of.false} of {all_of.unsaid}\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
