"""What differs between two rulebooks, and which calls that can concern at all.

A rule is *changed* when anything that its verdict depends on differs: its own text, the limits, or the
phrases and moments it reads. Where nothing but wordings of phrase sets differs, most calls need no second
judgement: if none of the wordings that only one of the two books has stands anywhere in a call, both books
hear the same in it.

Table of contents: `Change`, `changes`, `changed_rules`, `PhraseDiff`, `phrase_diffs`, `same_phrases`,
`same_moments`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from itertools import chain
from typing import Any

from pipeline.judging.case import Case
from pipeline.judging.lexicon import Lexicon, MomentKind, PhraseSet
from pipeline.judging.patterns import alternatives
from pipeline.judging.phrases import Pattern, compile_pattern, sighted
from pipeline.judging.rulebook import Rule, Rulebook
from pipeline.judging.wordings import Wording, sound_codes
from pipeline.records import Direction

_NO_EFFECT = frozenset({"examples", "file", "line", "reading", "clause_text"})


@dataclass(frozen=True, slots=True)
class Change:
    """A rule that may judge differently.

    Attributes
    ----------
    rule_id : str
    before, after : Rule or None
        None where a rulebook lacks the rule.
    phrases : frozenset of str or None
        The phrase sets through which alone the change works; None when it works in every call.
    """

    rule_id: str
    before: Rule | None
    after: Rule | None
    phrases: frozenset[str] | None

    def concerns(self, direction: Direction) -> bool:
        """Whether either version judges calls of this direction, or only one of them exists."""
        if self.before is None or self.after is None:
            return True
        return self.before.is_about(direction) or self.after.is_about(direction)


@dataclass(frozen=True, slots=True)
class PhraseDiff:
    """What only one of two versions of a phrase set has.

    Attributes
    ----------
    name : str
        Of the phrase set.
    everywhere : bool
        More than wordings differs: no call is known to be untouched.
    wordings : tuple of Wording
    patterns : tuple of Pattern
    """

    name: str
    everywhere: bool
    wordings: tuple[Wording, ...] = ()
    patterns: tuple[Pattern, ...] = ()

    def touches(self, case: Case) -> bool:
        """Whether any of it stands in a call, however unsure; if not, both versions hear the same."""
        if self.everywhere or any(answer.phrase == self.name for answer in case.hearing.phrases):
            return True  # what the audio answered was asked about some wording of the set
        if possible := [wording for wording in self.wordings if _may_stand_in(wording, case)]:
            index = case.sound_index
            anywhere = frozenset(range(len(index.segments)))
            if any(True for wording in possible for _ in index.search(wording, anywhere)):
                return True
        return any(sighted(pattern, case.transcript) for pattern in self.patterns)


def _may_stand_in(wording: Wording, case: Case) -> bool:
    """Whether a pair of sounds that the wording needs stands in a call at all; cheaper than an index."""
    if wording.masked or not wording.anchors:
        return True
    call = case.transcript
    coded = call.stream.translate(sound_codes(call.model.sounds))
    return any(anchor in coded for anchor in wording.anchors)


def changes(before: Rulebook, after: Rulebook) -> tuple[Change, ...]:
    """Rules that may judge differently, in the order of the books."""
    old = {rule.id: rule for rule in before.rules}
    new = {rule.id: rule for rule in after.rules}
    found = []
    for rule_id in dict.fromkeys((*old, *new)):
        one, other = old.get(rule_id), new.get(rule_id)
        if _effect(one, before) != _effect(other, after):
            found.append(Change(rule_id, one, other, _through(one, other, before, after)))
    return tuple(found)


def changed_rules(before: Rulebook, after: Rulebook) -> dict[str, tuple[Rule | None, Rule | None]]:
    """Rules that may judge differently, by id; None where a rulebook lacks the rule."""
    return {change.rule_id: (change.before, change.after) for change in changes(before, after)}


def phrase_diffs(before: Lexicon, after: Lexicon) -> Mapping[str, PhraseDiff]:
    """Phrase sets that both lexicons have and that differ, with what differs."""
    return {
        name: _diff(before.phrases[name], after.phrases[name], before)
        for name in before.phrases.keys() & after.phrases.keys()
        if _words(before, name) != _words(after, name)
    }


def same_phrases(before: Lexicon, after: Lexicon) -> frozenset[str]:
    """Phrase sets that hear the same in every call by both lexicons."""
    if before.matching is not after.matching or _limits(before) != _limits(after):
        return frozenset()
    return frozenset(
        name
        for name in before.phrases.keys() & after.phrases.keys()
        if _words(before, name) == _words(after, name)
    )


def same_moments(before: Lexicon, after: Lexicon, phrases: frozenset[str]) -> frozenset[str]:
    """Moments that happen alike by both lexicons, given the phrase sets that do."""
    if _limits(before) != _limits(after):
        return frozenset()
    return frozenset(
        name
        for name in before.moments.keys() & after.moments.keys()
        if before.moments[name] == after.moments[name]
        and all(said in phrases for said in _said(before.moments[name]))
    )


# ---- what a verdict depends on -------------------------------------------------------------------
def _said(kind: MomentKind) -> Iterator[str]:
    for source in kind.sources:
        yield from chain(source.say, source.answering, source.not_answering)
        yield from chain(source.together_with, source.not_together_with)


def _own(rule: Rule) -> tuple[Any, ...]:
    return tuple(
        (entry.name, getattr(rule, entry.name)) for entry in fields(rule) if entry.name not in _NO_EFFECT
    )


def _shared(book: Rulebook) -> tuple[Any, ...]:
    return _limits(book.lexicon), id(book.lexicon.matching), book.scorecard.fatal_min_confidence


def _limits(lexicon: Lexicon) -> tuple[Any, ...]:
    """All that rules share beside phrase sets and moments, which are compared one by one."""
    one_by_one = ("phrases", "moments", "matching")
    return tuple(getattr(lexicon, entry.name) for entry in fields(lexicon) if entry.name not in one_by_one)


def _reads(rule: Rule, lexicon: Lexicon) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the phrase sets and of the moments that a rule reads, directly or not."""
    names = set(_names((rule.due, rule.require, rule.each)))
    moments = [lexicon.moments[name] for name in sorted(names) if name in lexicon.moments]
    names |= set(_names(moments))
    return (
        tuple(name for name in sorted(names) if name in lexicon.phrases),
        tuple(name for name in sorted(names) if name in lexicon.moments),
    )


def _effect(rule: Rule | None, book: Rulebook) -> tuple[Any, ...] | None:
    """Everything that a rule's verdict depends on, comparable."""
    if rule is None:
        return None
    phrases, moments = _reads(rule, book.lexicon)
    kinds = tuple(book.lexicon.moments[name] for name in moments)
    return _own(rule), kinds, tuple(_words(book.lexicon, name) for name in phrases), _shared(book)


def _through(
    one: Rule | None, other: Rule | None, before: Rulebook, after: Rulebook
) -> frozenset[str] | None:
    """The phrase sets that alone make a rule differ; None if something else does."""
    if one is None or other is None or _own(one) != _own(other) or _shared(before) != _shared(after):
        return None
    (phrases, moments), (phrases_after, moments_after) = (
        _reads(one, before.lexicon),
        _reads(other, after.lexicon),
    )
    if phrases != phrases_after or moments != moments_after:
        return None
    if any(before.lexicon.moments[name] != after.lexicon.moments[name] for name in moments):
        return None
    return frozenset(name for name in phrases if _words(before.lexicon, name) != _words(after.lexicon, name))


def _words(lexicon: Lexicon, name: str) -> tuple[Any, ...]:
    phrase = lexicon.phrases[name]
    written = tuple(tuple(each.source for each in part) for part in (phrase.like, phrase.say, phrase.unless))
    by_sound = tuple(each.by_sound for each in (*phrase.like, *phrase.unless))
    return written, by_sound, _manner(phrase)


def _manner(phrase: PhraseSet) -> tuple[Any, ...]:
    """All of a phrase set but its words."""
    words = ("like", "say", "unless")
    return tuple(getattr(phrase, entry.name) for entry in fields(phrase) if entry.name not in words)


def _diff(one: PhraseSet, other: PhraseSet, lexicon: Lexicon) -> PhraseDiff:
    wordings = {
        (each.source, each.by_sound): each for each in (*one.like, *one.unless, *other.like, *other.unless)
    }
    apart = _keys(one.like) ^ _keys(other.like) | _keys(one.unless) ^ _keys(other.unless)
    said, said_after = _said_ways(one), _said_ways(other)
    both = set(said) & set(said_after)
    everywhere = (
        _manner(one) != _manner(other)
        # Of two hits that are equally good the first alternative's counts: their order must be the same.
        or [way for way in said if way in both] != [way for way in said_after if way in both]
        or (
            (len(one.say) > 1 or len(other.say) > 1)
            and tuple(each.source for each in one.say) != tuple(each.source for each in other.say)
        )
    )
    ways = dict.fromkeys((*said, *said_after))
    return PhraseDiff(
        one.id,
        everywhere,
        tuple(wordings[key] for key in sorted(apart)),
        tuple(compile_pattern(way, lexicon.matching) for way in ways if way not in both),
    )


def _keys(wordings: tuple[Wording, ...]) -> set[tuple[str, bool]]:
    return {(each.source, each.by_sound) for each in wordings}


def _said_ways(phrase: PhraseSet) -> list[str]:
    return [way for pattern in phrase.say for way in alternatives(pattern.source)]


def _names(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, tuple | list):
        for part in node:
            yield from _names(part)
    elif is_dataclass(node):
        for entry in fields(node):
            yield from _names(getattr(node, entry.name))
