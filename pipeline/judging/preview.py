"""What a changed rulebook would change: verdicts, agents and fatal calls that flip (规则预览).

Only rules whose own text, phrases, moments or limits differ are judged again, and only in calls that the
difference can concern (`pipeline.judging.changes`). A call is judged as a whole only if one of its verdicts
changes what it counts for, or if the scorecard itself differs.

Table of contents: `Flip`, `Rescored`, `Preview`, `preview`, `combined`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pipeline.judging.case import Case
from pipeline.judging.changes import Change, changes, phrase_diffs, same_moments, same_phrases
from pipeline.judging.engine import judge_rule
from pipeline.judging.rulebook import Rulebook
from pipeline.judging.scoring import total
from pipeline.records import CallRecord, Hearing, Verdict

ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Flip:
    """One rule's verdict about one call before and after; ``absent`` where a rulebook lacks the rule."""

    call_id: str
    agent_id: str | None
    rule_id: str
    name_zh: str
    before: str
    after: str
    reason: str


@dataclass(frozen=True, slots=True)
class Rescored:
    """A call whose score, grade or fatality differs."""

    call_id: str
    agent_id: str | None
    score_before: float | None
    score_after: float | None
    grade_before: str
    grade_after: str
    fatal_before: bool
    fatal_after: bool


@dataclass(frozen=True, slots=True)
class Preview:
    """What differs between two rulebooks over stored calls.

    Attributes
    ----------
    calls : int
        Calls that were looked at.
    rules : tuple of str
        Rules that differ between the two rulebooks.
    flips : tuple of Flip
    rescored : tuple of Rescored
    """

    calls: int
    rules: tuple[str, ...]
    flips: tuple[Flip, ...]
    rescored: tuple[Rescored, ...]

    def by_rule(self) -> Mapping[str, Mapping[tuple[str, str], int]]:
        """Count flips of each rule by (before, after)."""
        counted: dict[str, Counter[tuple[str, str]]] = {}
        for flip in self.flips:
            counted.setdefault(flip.rule_id, Counter())[flip.before, flip.after] += 1
        return counted

    def by_agent(self) -> Mapping[str, int]:
        """Count flips of each agent; an unknown agent is the empty text."""
        return Counter(flip.agent_id or "" for flip in self.flips)

    def newly_fatal(self) -> tuple[str, ...]:
        """Ids of calls that a fatal rule would now fail."""
        return tuple(call.call_id for call in self.rescored if call.fatal_after and not call.fatal_before)

    def no_longer_fatal(self) -> tuple[str, ...]:
        """Ids of calls that no fatal rule would fail any more."""
        return tuple(call.call_id for call in self.rescored if call.fatal_before and not call.fatal_after)


def preview(calls: Iterable[tuple[Hearing, CallRecord]], before: Rulebook, after: Rulebook) -> Preview:
    """Judge stored calls by two rulebooks and compare.

    Parameters
    ----------
    calls : iterable of (Hearing, CallRecord)
        Taken one at a time, so that an archive needs no memory. Parts of an archive may be looked at
        in several processes and put together by `combined`.
    before, after : Rulebook

    Notes
    -----
    The answer is that of judging every call in full by both books; what cannot differ is left out.
    """
    return _Comparison(before, after).over(calls)


def combined(parts: Iterable[Preview]) -> Preview:
    """Put the previews of several parts of an archive together."""
    listed = list(parts)
    return Preview(
        calls=sum(part.calls for part in listed),
        rules=tuple(dict.fromkeys(rule for part in listed for rule in part.rules)),
        flips=tuple(flip for part in listed for flip in part.flips),
        rescored=tuple(call for part in listed for call in part.rescored),
    )


class _Comparison:
    """Two rulebooks, and what of a call can differ between them."""

    def __init__(self, before: Rulebook, after: Rulebook) -> None:
        self.before = before
        self.after = after
        self.changes = changes(before, after)
        self.same_card = before.scorecard == after.scorecard and _weights(before) == _weights(after)
        self.diffs = phrase_diffs(before.lexicon, after.lexicon)
        self.phrases = same_phrases(before.lexicon, after.lexicon)
        self.moments = same_moments(before.lexicon, after.lexicon, self.phrases)

    def over(self, calls: Iterable[tuple[Hearing, CallRecord]]) -> Preview:
        """Compare call by call."""
        flips: list[Flip] = []
        rescored: list[Rescored] = []
        count = 0
        for hearing, call in calls:
            count += 1
            found, changed = self._call(hearing, call)
            flips.extend(found)
            if changed is not None:
                rescored.append(changed)
        return Preview(count, tuple(change.rule_id for change in self.changes), tuple(flips), tuple(rescored))

    def _call(self, hearing: Hearing, call: CallRecord) -> tuple[list[Flip], Rescored | None]:
        old = Case(hearing, call, self.before.lexicon)
        new = old.by(self.after.lexicon, phrases=self.phrases, moments=self.moments)
        verdicts: dict[str, tuple[Verdict | None, Verdict | None]] = {}
        for change in self._due(old):
            one, other = change.before, change.after
            verdicts[change.rule_id] = (
                None if one is None else judge_rule(one, old, self.before),
                None if other is None else judge_rule(other, new, self.after),
            )
        flips = [
            flip for rule_id, pair in verdicts.items() if (flip := _flip(call, rule_id, *pair)) is not None
        ]
        if self.same_card and all(_counts(one) == _counts(other) for one, other in verdicts.values()):
            return flips, None
        return flips, self._rescored(old, new, verdicts)

    def _due(self, case: Case) -> Iterator[Change]:
        """Changed rules that this call can concern."""
        touched: dict[str, bool] = {}
        for change in self.changes:
            if not change.concerns(case.call.direction):
                continue
            if change.phrases is None:
                yield change
                continue
            for name in change.phrases:
                if name not in touched:
                    touched[name] = self.diffs[name].touches(case) or _asked(name, case)
            if any(touched[name] for name in change.phrases):
                yield change

    def _rescored(
        self, old: Case, new: Case, verdicts: Mapping[str, tuple[Verdict | None, Verdict | None]]
    ) -> Rescored | None:
        """The call's two scores; a rule that judges alike by both books is judged once."""
        changed = {change.rule_id for change in self.changes}
        alike: dict[str, Verdict] = {}
        first: list[Verdict] = []
        for rule in self.before.rules:
            pair = verdicts.get(rule.id)
            known = pair[0] if pair is not None else None
            if known is None:
                known = alike[rule.id] = judge_rule(rule, old, self.before)
            first.append(known)
        second: list[Verdict] = []
        for rule in self.after.rules:
            pair = verdicts.get(rule.id)
            known = pair[1] if pair is not None else None
            if known is None and self.same_card and rule.id in alike and rule.id not in changed:
                known = alike[rule.id]
            second.append(known or judge_rule(rule, new, self.after))
        was, is_ = total(first, self.before.scorecard), total(second, self.after.scorecard)
        if was == is_:
            return None
        call = old.call
        return Rescored(call.call_id, call.agent_id, was[0], is_[0], was[1], is_[1], was[2], is_[2])


def _counts(verdict: Verdict | None) -> tuple[str, float, float, str] | None:
    """What of a verdict enters the score."""
    if verdict is None:
        return None
    return verdict.verdict, verdict.weight, verdict.points, verdict.severity


def _flip(call: CallRecord, rule_id: str, one: Verdict | None, other: Verdict | None) -> Flip | None:
    before, after = one.verdict if one else ABSENT, other.verdict if other else ABSENT
    told = other or one
    if before == after or told is None:
        return None
    return Flip(call.call_id, call.agent_id, rule_id, told.name_zh, before, after, told.reason)


def _weights(book: Rulebook) -> dict[str, tuple[float, str]]:
    return {rule.id: (rule.weight, rule.group) for rule in book.rules}


def _asked(name: str, case: Case) -> bool:
    """Whether the audio was asked about a phrase set: then its words need not stand in the transcript."""
    return any(answer.phrase == name for answer in case.hearing.phrases)
