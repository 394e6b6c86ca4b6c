"""Two dates: the rules of the call's day decide, today's rules are an opinion beside them.

Table of contents: `as_of`, `todays_opinion`, `DualVerdict`, `dual_verdicts`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

from pipeline.judging.engine import judge
from pipeline.judging.rulebook import Rulebook
from pipeline.records import CallRecord, Hearing, Judgement, Verdict


@dataclass(frozen=True, slots=True)
class DualVerdict:
    """One rule on both dates; None where the rulebook of that date lacks the rule."""

    rule_id: str
    name_zh: str
    then: Verdict | None
    today: Verdict | None

    @property
    def differs(self) -> bool:
        """Whether today's rules would decide otherwise."""
        kinds = [None if verdict is None else verdict.verdict for verdict in (self.then, self.today)]
        none = {None, "not_applicable"}
        return kinds[0] != kinds[1] and not set(kinds) <= none


def as_of(rulebook: Rulebook, day: date) -> Rulebook:
    """The rulebook as if every call had been on this day: its rules in force then, without their dates.

    Judging looks at the call's own date; this is how another day's rules are asked for an opinion.
    """
    rules = tuple(
        replace(rule, effective_from=None, effective_to=None)
        for rule in rulebook.rules
        if rule.applies_on(day)
    )
    return replace(rulebook, rules=rules)


def todays_opinion(hearing: Hearing, call: CallRecord, rulebook: Rulebook, today: date) -> Judgement:
    """What the rulebook in use, with its rules in force today, would say about an old call. Never stored."""
    return judge(hearing, call, as_of(rulebook, today))


def dual_verdicts(then: Judgement, today: Judgement) -> list[DualVerdict]:
    """Put the verdicts of both dates side by side, in the order of the rules then."""
    old = {verdict.rule_id: verdict for verdict in then.verdicts}
    new = {verdict.rule_id: verdict for verdict in today.verdicts}
    found: list[DualVerdict] = []
    for rule_id in dict.fromkeys((*old, *new)):
        name = (old.get(rule_id) or new[rule_id]).name_zh
        found.append(DualVerdict(rule_id, name, old.get(rule_id), new.get(rule_id)))
    return found
