"""The operators that rules combine: each answers one question about a call.

Every condition is a frozen record with ``evaluate(case, anchor) -> Outcome``; ``anchor`` is the
moment that made the rule due, if there was one. Nothing here knows a word of any rule.

Table of contents: `Condition`; speech: `Say`, `Absent`, `InOrder`, `Counted`, `Happened`, `EventCount`;
combining: `All`, `AnyOf`,
`SeveralOf`, `Not`, `ForAPerson`, `Cases`, `Always`. Numbers and records stand in
`pipeline.judging.conditions_facts`, the ledger in `pipeline.judging.ledger`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol

from pipeline.judging.case import Case
from pipeline.judging.facts import unsure_zh
from pipeline.judging.outcome import Outcome, all_of, any_of, n_of, negation
from pipeline.judging.places import Mark, Moment, Place, Window
from pipeline.judging.wording import NO_AUDIO, limit_note, place_zh, quoted
from pipeline.records import Direction, Evidence, Role

_MAX_EVIDENCE = 3
_AUDIO_EVENTS = frozenset({"noise", "hold", "agitation"})


class Condition(Protocol):
    """A question about a call."""

    def evaluate(self, case: Case, anchor: Moment | None) -> Outcome:
        """Answer it."""
        ...


def _evidence(marks: list[Mark]) -> tuple[Evidence, ...]:
    hits = [mark.hit for mark in marks[:_MAX_EVIDENCE]]
    return tuple(Evidence(hit.start_s, hit.end_s, hit.role, hit.quote) for hit in hits)


def _missing(case: Case, window: Window, role: Role, what: str, where: str) -> Outcome:
    """Say whether something that was not found is proven missing, or was badly heard."""
    note = f"未听到{what}（{where}）"
    shown_at = case.quotes(window.turns)
    if not case.turns_by_role[role]:
        who = "坐席" if role == "agent" else "客户"
        return Outcome("unsure", 1.0, (f"录音中没有{who}的话音，无法判断{what}",), shown_at)
    limits = case.lexicon.limits
    heard = case.heard(window.turns) if window.turns else case.hearing.asr_confidence
    if heard < limits.missing_min_confidence:
        least = limits.missing_min_confidence
        doubt = f"{note}，但该处识别置信度仅 {unsure_zh(heard, least)}（低于 {least:g}），不能认定"
        return Outcome("unsure", 1 - heard, (doubt,), shown_at)
    return Outcome("no", min(heard, case.role_confidence), (note,), shown_at)


@dataclass(frozen=True, slots=True)
class Always:
    """Yes."""

    def evaluate(self, case: Case, anchor: Moment | None) -> Outcome:
        """Answer yes."""
        return Outcome("yes", met=1)


@dataclass(frozen=True, slots=True)
class DirectionIs:
    """The call goes this way."""

    direction: Direction

    def evaluate(self, case: Case, anchor: Moment | None) -> Outcome:
        """Compare with the call record."""
        fits = case.call.direction == self.direction
        return Outcome("yes" if fits else "no", met=int(fits))


@dataclass(frozen=True, slots=True)
class Say:
    """At least ``at_least`` different hits of any of the phrase sets at a place."""

    sets: tuple[str, ...]
    by: Role
    place: Place
    at_least: int = 1
    beside: tuple[str, ...] = ()
    not_beside: tuple[str, ...] = ()

    def evaluate(self, case: Case, anchor: Moment | None) -> Outcome:
        """Yes when said, unsure when nearly, no when missing where hearing was good."""
        names = "或".join(quoted(case.lexicon.phrases[name].name_zh) for name in self.sets)
        where = place_zh(self.place, self.by, case.lexicon)
        window = case.window(self.place, self.by, anchor)
        if window is None:
            return Outcome("no", 1.0, (f"未听到{names}（{where}）",))
        marks = case.marks_of(self.sets, window, beside=self.beside, not_beside=self.not_beside)
        sure = [mark for mark in marks if mark.is_sure]
        if len(sure) >= self.at_least:
            best = sorted(sure, key=lambda mark: -mark.hit.confidence)[: self.at_least]
            said = quoted(best[0].phrase)
            confidence = min(mark.hit.confidence for mark in best)
            first = min(mark.hit.start_s for mark in best)
            return Outcome("yes", confidence, (f"已说{said}",), _evidence(best), met=1, at_s=first)
        if len(marks) >= self.at_least:
            near = [mark for mark in marks if not mark.is_sure]
            note = f"近似但不确定是否说了{names}（{where}）"
            return Outcome("unsure", max(mark.hit.confidence for mark in near), (note,), _evidence(near))
        return _missing(case, window, self.by, names, where)


@dataclass(frozen=True, slots=True)
class Absent:
    """None of the phrase sets is said at a place."""

    sets: tuple[str, ...]
    by: Role
    place: Place
    beside: tuple[str, ...] = ()
    not_beside: tuple[str, ...] = ()

    def evaluate(self, case: Case, anchor: Moment | None) -> Outcome:
        """No when surely said, unsure when nearly."""
        window = case.window(self.place, self.by, anchor)
        names = "、".join(quoted(case.lexicon.phrases[name].name_zh) for name in self.sets)
        if window is None:
            return Outcome("yes", 1.0, (f"未出现{names}",), met=1)
        marks = case.marks_of(self.sets, window, beside=self.beside, not_beside=self.not_beside)
        sure = [mark for mark in marks if mark.is_sure]
        if sure:
            best = max(mark.hit.confidence for mark in sure)
            kinds = "、".join(dict.fromkeys(quoted(mark.phrase) for mark in sure))
            return Outcome("no", min(best, case.role_confidence), (f"出现{kinds}",), _evidence(sure))
        if marks:
            note = f"近似但不确定是否出现{names}"
            return Outcome("unsure", max(mark.hit.confidence for mark in marks), (note,), _evidence(marks))
        heard = case.heard(window.turns)
        least = case.lexicon.limits.settled_min_confidence
        if heard < least:
            return Outcome(
                "unsure", heard, (f"识别置信度仅 {unsure_zh(heard, least)}，不能确认未出现{names}",)
            )
        return Outcome("yes", heard, (f"未出现{names}",), met=1)


@dataclass(frozen=True, slots=True)
class Happened:
    """A kind of moment happened."""

    moment: str

    def evaluate(self, case: Case, anchor: Moment | None) -> Outcome:
        """Yes, no, or unsure when it was only nearly heard."""
        kind = case.lexicon.moments[self.moment]
        moments = case.moments(self.moment)
        sure = [moment for moment in moments if moment.is_sure]
        evidence = tuple(moment.evidence() for moment in (sure or moments)[:_MAX_EVIDENCE])
        if sure:
            best = max(moment.confidence for moment in sure)
            return Outcome("yes", best, (kind.name_zh,), evidence, met=1, at_s=sure[0].start_s)
        if moments:
            return Outcome("unsure", moments[0].confidence, (f"近似但不确定：{kind.name_zh}",), evidence)
        return Outcome("no", 1.0, (f"没有{kind.name_zh}",))


@dataclass(frozen=True, slots=True)
class InOrder:
    """Each part is yes, and each begins no earlier than the one before, within a time if given."""

    parts: tuple[Condition, ...]
    within_s: float | None = None

    def evaluate(self, case: Case, anchor: Moment | None) -> Outcome:
        """Judge the parts, then their times."""
        outcomes = [part.evaluate(case, anchor) for part in self.parts]
        together = all_of(outcomes)
        if together.state != "yes":
            return together
        times = [outcome.at_s for outcome in outcomes if outcome.at_s is not None]
        if any(later < earlier for earlier, later in pairwise(times)):
            return replace(together, state="no", met=0, notes=("先后顺序不符",))
        if self.within_s is not None and times and times[-1] - times[0] > self.within_s:
            note = limit_note("前后间隔", times[-1] - times[0], "秒", None, self.within_s)
            return replace(together, state="no", met=0, notes=(note,))
        return together


@dataclass(frozen=True, slots=True)
class Counted:
    """How often phrase sets are said, or how many different ones, or how often per 100 characters."""

    sets: tuple[str, ...]
    by: Role
    place: Place
    at_least: float | None = None
    at_most: float | None = None
    distinct: bool = False
    per_100_chars: bool = False
    beside: tuple[str, ...] = ()
    not_beside: tuple[str, ...] = ()

    def evaluate(self, case: Case, anchor: Moment | None) -> Outcome:
        """Count sure hits, then sure and near hits; when they disagree it is unsure."""
        window = case.window(self.place, self.by, anchor) or Window(())
        by_set = {
            name: case.marks_of((name,), window, beside=self.beside, not_beside=self.not_beside)
            for name in self.sets
        }
        marks = [mark for found in by_set.values() for mark in found]
        sure = self._number(case, window, {n: [m for m in found if m.is_sure] for n, found in by_set.items()})
        most = self._number(case, window, by_set)
        names = "、".join(dict.fromkeys(quoted(mark.phrase) for mark in marks)) or "、".join(
            quoted(case.lexicon.phrases[name].name_zh) for name in self.sets
        )
        what = f"{names}{'（种类）' if self.distinct else ''}"
        unit = "次/百字" if self.per_100_chars else "项" if self.distinct else "次"
        note = limit_note(what, sure, unit, self.at_least, self.at_most)
        confidence = min((mark.hit.confidence for mark in marks if mark.is_sure), default=1.0)
        if self._fits(sure) and self._fits(most):
            return Outcome("yes", confidence, (note,), _evidence(marks), met=1)
        if self._fits(sure) != self._fits(most):
            return Outcome("unsure", confidence, (f"近似但不确定：{note}",), _evidence(marks))
        if self.at_least is not None and sure < self.at_least:
            missing = _missing(case, window, self.by, what, place_zh(self.place, self.by, case.lexicon))
            return replace(
                missing, notes=(*missing.notes, note), evidence=_evidence(marks) or missing.evidence
            )
        return Outcome("no", confidence, (note,), _evidence(marks))

    def _number(self, case: Case, window: Window, by_set: dict[str, list[Mark]]) -> float:
        count = (
            sum(bool(found) for found in by_set.values()) if self.distinct else sum(map(len, by_set.values()))
        )
        if not self.per_100_chars:
            return float(count)
        chars = sum(len(case.transcript.texts[turn]) for turn in window.turns)
        return 100 * count / chars if chars else 0.0

    def _fits(self, number: float) -> bool:
        return (self.at_least is None or number >= self.at_least) and (
            self.at_most is None or number <= self.at_most
        )


@dataclass(frozen=True, slots=True)
class EventCount:
    """How many events of a kind there are by a role, of at least a length and confidence."""

    kind: str
    name_zh: str
    by: Role | None
    at_least: float | None = None
    at_most: float | None = None
    min_s: float = 0.0
    min_confidence: float = 0.0

    def evaluate(self, case: Case, anchor: Moment | None) -> Outcome:
        """Count them; what only audio shows is unknown without audio."""
        if case.hearing.layout == "transcript" and self.kind in _AUDIO_EVENTS:
            return Outcome("unknown", notes=(NO_AUDIO,))
        found = [
            event
            for event in case.events
            if event.kind == self.kind
            and (self.by is None or event.role == self.by)
            and event.end_s - event.start_s >= self.min_s
            and event.confidence >= self.min_confidence
        ]
        count = len(found)
        note = limit_note(self.name_zh, count, "次", self.at_least, self.at_most)
        evidence = tuple(Evidence(e.start_s, e.end_s, e.role, e.text) for e in found[:_MAX_EVIDENCE])
        fits = (self.at_least is None or count >= self.at_least) and (
            self.at_most is None or count <= self.at_most
        )
        confidence = min((event.confidence for event in found), default=1.0)
        return Outcome("yes" if fits else "no", confidence, (note,), evidence, met=int(fits))


@dataclass(frozen=True, slots=True)
class All:
    """Every part holds."""

    parts: tuple[Condition, ...]

    def evaluate(self, case: Case, anchor: Moment | None) -> Outcome:
        """Evaluate all parts, so that the reason can name everything missing."""
        return all_of(part.evaluate(case, anchor) for part in self.parts)


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One part holds."""

    parts: tuple[Condition, ...]

    def evaluate(self, case: Case, anchor: Moment | None) -> Outcome:
        """Evaluate parts until one holds."""
        return any_of(_later(part, case, anchor) for part in self.parts)


def _later(part: Condition, case: Case, anchor: Moment | None) -> Callable[[], Outcome]:
    return lambda: part.evaluate(case, anchor)


@dataclass(frozen=True, slots=True)
class SeveralOf:
    """At least ``n`` parts hold."""

    n: int
    parts: tuple[Condition, ...]

    def evaluate(self, case: Case, anchor: Moment | None) -> Outcome:
        """Evaluate all parts and count."""
        return n_of([part.evaluate(case, anchor) for part in self.parts], self.n)


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold."""

    part: Condition

    def evaluate(self, case: Case, anchor: Moment | None) -> Outcome:
        """Turn the answer round."""
        return negation(self.part.evaluate(case, anchor))


@dataclass(frozen=True, slots=True)
class ForAPerson:
    """What does not hold is not a fail but a matter for a person (uncertain)."""

    part: Condition

    def evaluate(self, case: Case, anchor: Moment | None) -> Outcome:
        """Leave a no to a person."""
        outcome = self.part.evaluate(case, anchor)
        if outcome.state != "no":
            return outcome
        return replace(outcome, state="unsure", notes=(*outcome.notes, "须人工听音判断"))


@dataclass(frozen=True, slots=True)
class Cases:
    """The first case whose ``when`` holds decides; none holds: the rule does not apply."""

    cases: tuple[tuple[Condition, Condition], ...]
    otherwise_zh: str = "不属于应检情形"

    def evaluate(self, case: Case, anchor: Moment | None) -> Outcome:
        """Try the cases in their order."""
        doubts: list[Outcome] = []
        for when, then in self.cases:
            asked = when.evaluate(case, anchor)
            if asked.state == "yes":
                answer = then.evaluate(case, anchor)
                return replace(answer, notes=(*asked.notes, *answer.notes))
            if asked.state in ("unsure", "unknown"):
                doubts.append(asked)
        for doubt in doubts:
            return doubt
        return Outcome("unknown", notes=(self.otherwise_zh,))
