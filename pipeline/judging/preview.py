"""What a changed rulebook would change: verdicts, agents and fatal calls that flip (规则预览).

Only rules whose own text, phrases, moments or limits differ are judged again; a call is judged as a
whole only if one of its verdicts flips, or if the scorecard itself differs.

Table of contents: `Flip`, `Preview`, `changed_rules`, `preview`, `combined`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from pipeline.judging.case import Case
from pipeline.judging.engine import judge, judge_rule
from pipeline.judging.lexicon import Lexicon
from pipeline.judging.rulebook import Rule, Rulebook
from pipeline.records import CallRecord, Hearing

ABSENT = "absent"
_NO_EFFECT = frozenset({"examples", "file", "line", "reading", "clause_text"})


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
    """
    pairs = changed_rules(before, after)
    same_card = before.scorecard == after.scorecard and _weights(before) == _weights(after)
    flips: list[Flip] = []
    rescored: list[Rescored] = []
    count = 0
    for hearing, call in calls:
        count += 1
        found = list(_flips(hearing, call, pairs, before, after))
        flips.extend(found)
        if found or not same_card:
            rescored.extend(_rescored(hearing, call, before, after))
    return Preview(count, tuple(pairs), tuple(flips), tuple(rescored))


def combined(parts: Iterable[Preview]) -> Preview:
    """Put the previews of several parts of an archive together."""
    listed = list(parts)
    return Preview(
        calls=sum(part.calls for part in listed),
        rules=tuple(dict.fromkeys(rule for part in listed for rule in part.rules)),
        flips=tuple(flip for part in listed for flip in part.flips),
        rescored=tuple(call for part in listed for call in part.rescored),
    )


def changed_rules(before: Rulebook, after: Rulebook) -> dict[str, tuple[Rule | None, Rule | None]]:
    """Rules that may judge differently, by id; None where a rulebook lacks the rule."""
    old = {rule.id: rule for rule in before.rules}
    new = {rule.id: rule for rule in after.rules}
    return {
        rule_id: (old.get(rule_id), new.get(rule_id))
        for rule_id in dict.fromkeys((*old, *new))
        if _effect(old.get(rule_id), before) != _effect(new.get(rule_id), after)
    }


def _effect(rule: Rule | None, book: Rulebook) -> tuple[Any, ...] | None:
    """Everything that a rule's verdict depends on, comparable."""
    if rule is None:
        return None
    lexicon = book.lexicon
    own = tuple(
        (entry.name, getattr(rule, entry.name)) for entry in fields(rule) if entry.name not in _NO_EFFECT
    )
    names = set(_names((rule.due, rule.require, rule.each)))
    moments = [lexicon.moments[name] for name in sorted(names) if name in lexicon.moments]
    names |= set(_names(moments))
    moments = [lexicon.moments[name] for name in sorted(names) if name in lexicon.moments]
    words = tuple(_words(lexicon, name) for name in sorted(names) if name in lexicon.phrases)
    shared = (lexicon.limits, lexicon.interruption, lexicon.fillers, lexicon.backchannels)
    return own, tuple(moments), words, shared, id(lexicon.matching), book.scorecard.fatal_min_confidence


def _words(lexicon: Lexicon, name: str) -> tuple[Any, ...]:
    phrase = lexicon.phrases[name]
    written = tuple(tuple(each.source for each in part) for part in (phrase.like, phrase.say, phrase.unless))
    by_sound = tuple(each.by_sound for each in phrase.like)
    return phrase.id, phrase.name_zh, written, by_sound, phrase.guard, phrase.near


def _names(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, tuple | list):
        for part in node:
            yield from _names(part)
    elif is_dataclass(node):
        for entry in fields(node):
            yield from _names(getattr(node, entry.name))


def _weights(book: Rulebook) -> dict[str, tuple[float, str]]:
    return {rule.id: (rule.weight, rule.group) for rule in book.rules}


def _flips(
    hearing: Hearing,
    call: CallRecord,
    pairs: Mapping[str, tuple[Rule | None, Rule | None]],
    before: Rulebook,
    after: Rulebook,
) -> Iterator[Flip]:
    cases = (Case(hearing, call, before.lexicon), Case(hearing, call, after.lexicon))
    for rule_id, rules in pairs.items():
        kinds, reason, name = [], "", ""
        for rule, case, book in zip(rules, cases, (before, after), strict=True):
            if rule is None:
                kinds.append(ABSENT)
                continue
            verdict = judge_rule(rule, case, book)
            kinds.append(verdict.verdict)
            reason, name = verdict.reason, verdict.name_zh
        if kinds[0] != kinds[1]:
            yield Flip(call.call_id, call.agent_id, rule_id, name, kinds[0], kinds[1], reason)


def _rescored(hearing: Hearing, call: CallRecord, before: Rulebook, after: Rulebook) -> Iterator[Rescored]:
    old, new = judge(hearing, call, before), judge(hearing, call, after)
    if (old.score, old.grade, old.fatal) != (new.score, new.grade, new.fatal):
        yield Rescored(
            call.call_id, call.agent_id, old.score, new.score, old.grade, new.grade, old.fatal, new.fatal
        )
