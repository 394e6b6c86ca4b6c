"""What one condition of a rule comes to: yes, no, unsure, or no data.

``unsure`` means that the recording does not settle it; ``unknown`` that a value is missing
and nothing can be said. Unknown parts drop out of a combination, unsure parts make it unsure
unless the rest settles it anyway (Kleene's three-valued logic).

Table of contents: `State`, `Outcome`, `all_of`, `any_of`, `n_of`, `negation`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Literal

from pipeline.records import Evidence

State = Literal["yes", "no", "unsure", "unknown"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer of a condition, with what a person needs to believe it.

    Attributes
    ----------
    state : {"yes", "no", "unsure", "unknown"}
    confidence : float
        In [0, 1].
    notes : tuple of str
        Chinese fragments: what was found, what is missing, which threshold was used.
    evidence : tuple of Evidence
    due, met : int
        Opportunities, for conditions that count them (the ledger); otherwise 1 and 0 or 1.
    at_s : float or None
        Where in the recording it was first found, for the order of things.
    """

    state: State
    confidence: float = 1.0
    notes: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    due: int = 1
    met: int = 0
    at_s: float | None = None


Lazy = Callable[[], Outcome]


def _merged(state: State, parts: Sequence[Outcome], confidence: float) -> Outcome:
    notes = tuple(dict.fromkeys(chain.from_iterable(part.notes for part in parts)))
    evidence = tuple(dict.fromkeys(chain.from_iterable(part.evidence for part in parts)))
    times = [part.at_s for part in parts if part.at_s is not None]
    return Outcome(
        state,
        confidence,
        notes,
        evidence,
        met=int(state == "yes"),
        at_s=max(times) if times else None,
    )


def all_of(parts: Iterable[Outcome]) -> Outcome:
    """Every part must be yes; parts without data drop out unless all are without data.

    Examples
    --------
    >>> all_of([Outcome("yes"), Outcome("unknown")]).state
    'yes'
    >>> all_of([Outcome("unsure"), Outcome("no", notes=("缺祝愿",))]).notes
    ('缺祝愿',)
    """
    listed = list(parts)
    return n_of(listed, sum(part.state != "unknown" for part in listed))


def any_of(parts: Iterable[Lazy]) -> Outcome:
    """The first yes wins; later parts are then not evaluated."""
    seen: list[Outcome] = []
    for part in parts:
        outcome = part()
        if outcome.state == "yes":
            return replace(outcome, due=1, met=1)
        seen.append(outcome)
    return n_of(seen, 1)


def n_of(parts: Sequence[Outcome], needed: int) -> Outcome:
    """At least ``needed`` parts must be yes."""
    known = [part for part in parts if part.state != "unknown"]
    if not known:
        return _merged("unknown", parts, 1.0)
    yes = [part for part in known if part.state == "yes"]
    unsure = [part for part in known if part.state == "unsure"]
    failed = [part for part in known if part.state == "no"]
    if len(yes) >= needed:
        surest = sorted((part.confidence for part in yes), reverse=True)
        return _merged("yes", yes, surest[needed - 1] if needed else 1.0)
    if len(yes) + len(unsure) >= needed:
        return _merged("unsure", unsure, min(part.confidence for part in unsure))
    # With k parts more than may fail, the k-th surest failure decides how sure the whole is.
    surest = sorted((part.confidence for part in failed), reverse=True)
    spare = len(known) - needed
    merged = _merged("no", failed, surest[min(max(spare, 0), len(surest) - 1)])
    found = tuple(chain.from_iterable(part.evidence for part in yes))
    return replace(merged, evidence=tuple(dict.fromkeys((*merged.evidence, *found))))


def negation(part: Outcome) -> Outcome:
    """Yes becomes no and no becomes yes; unsure and unknown stay."""
    flipped: dict[State, State] = {"yes": "no", "no": "yes"}
    state = flipped.get(part.state, part.state)
    return replace(part, state=state, met=int(state == "yes"))
