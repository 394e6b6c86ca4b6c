"""One call while it is being judged: its words indexed once, everything else found when asked for.

Table of contents: `Case`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache

from pipeline.judging.acoustic import Answers, Opinion, can_say, hit_of
from pipeline.judging.calibration import Decision, MatchLimits
from pipeline.judging.facts import measure_value
from pipeline.judging.fillers_text import transcript_events
from pipeline.judging.lexicon import Lexicon, PhraseSet
from pipeline.judging.measures import measures
from pipeline.judging.moments import moments_of
from pipeline.judging.phrases import Hit, Transcript, find
from pipeline.judging.places import FOREVER_S, Floor, Mark, Moment, Place, Window
from pipeline.judging.soundindex import SoundIndex, hit_at
from pipeline.judging.swapping import exchanged
from pipeline.records import CallRecord, Event, Evidence, Hearing, Measures, PhraseEvidence, Role, Turn

_QUOTE_CHARS = 60


@lru_cache(maxsize=8)
def _backchannel_form(words: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted(words, key=len, reverse=True)
    return re.compile("(?:" + "|".join(map(re.escape, longest_first)) + ")*+")


class Case:
    """The facts of one call, computed at most once each."""

    def __init__(self, hearing: Hearing, call: CallRecord, lexicon: Lexicon) -> None:
        self.hearing = hearing
        self.call = call
        self.lexicon = lexicon
        self._marks: dict[tuple[str, Role], Mapping[int, list[Mark]]] = {}
        self._searches: dict[tuple[str, Role], dict[int, list[Mark]]] = {}
        self._unless: dict[tuple[str, Role], list[Hit]] = {}
        self._moments: dict[str, tuple[Moment, ...]] = {}
        self._origin: Case | None = None
        self._alike: frozenset[str] = frozenset()
        self._alike_moments: frozenset[str] = frozenset()

    def by(self, lexicon: Lexicon, *, phrases: frozenset[str], moments: frozenset[str]) -> Case:
        """The same call by another lexicon, sharing what both hear alike.

        Parameters
        ----------
        lexicon : Lexicon
        phrases, moments : frozenset of str
            Phrase sets and moments that are the same in both lexicons, and all that they depend on.
        """
        other = Case(self.hearing, self.call, lexicon)
        if lexicon.matching is self.lexicon.matching:
            other._origin, other._alike, other._alike_moments = self, phrases, moments
        return other

    @cached_property
    def transcript(self) -> Transcript:
        """The words, indexed for phrase matching."""
        if self._origin is not None:
            return self._origin.transcript
        call = self.call
        return Transcript.of(
            self.hearing.turns, agent_name=call.agent_name, company=call.company, model=self.lexicon.matching
        )

    @cached_property
    def turns(self) -> tuple[Turn, ...]:
        """Turns in the transcript's order."""
        return self.transcript.turns

    @cached_property
    def events(self) -> tuple[Event, ...]:
        """What was heard, or what a transcript's times and words show."""
        if self.hearing.layout == "transcript":
            return (*self.hearing.events, *transcript_events(self.hearing, self.lexicon))
        return self.hearing.events

    @cached_property
    def measures(self) -> Measures:
        """All numbers of the call."""
        return measures(self.hearing, events=self.events)

    def measure(self, name: str) -> float | None:
        """One number by its name."""
        return measure_value(name, self.hearing, self.measures)

    @property
    def roles_sure(self) -> bool:
        """Whether agent and customer are told apart well enough."""
        return self.hearing.role_confidence >= self.lexicon.limits.role_min_confidence

    @property
    def role_confidence(self) -> float:
        """What the roles leave of a conclusion's confidence; 1 where exchanging them decides instead."""
        return self.hearing.role_confidence if self.roles_sure else 1.0

    @cached_property
    def exchanged(self) -> Case:
        """The same call with agent and customer exchanged."""
        return Case(exchanged(self.hearing), self.call, self.lexicon)

    # -- who has the floor -------------------------------------------------------------------

    def is_backchannel(self, turn: int) -> bool:
        """Whether a turn only acknowledges (嗯, 好的, 对对)."""
        form = _backchannel_form(self.lexicon.backchannels)
        return form.fullmatch(self.transcript.texts[turn]) is not None

    @cached_property
    def floors(self) -> tuple[Floor, ...]:
        """Stretches of turns of one role, backchannels of the other side ignored."""
        built: list[tuple[Role, list[int]]] = []
        for place, turn in enumerate(self.turns):
            if self.is_backchannel(place):
                continue
            if built and built[-1][0] == turn.role:
                built[-1][1].append(place)
            else:
                built.append((turn.role, [place]))
        return tuple(Floor(role, tuple(turns)) for role, turns in built)

    @cached_property
    def _floors_by_role(self) -> dict[Role, list[Floor]]:
        return {
            role: [floor for floor in self.floors if floor.role == role] for role in ("agent", "customer")
        }

    @cached_property
    def turns_by_role(self) -> dict[Role, tuple[int, ...]]:
        """Turn numbers of each role."""
        roles: tuple[Role, Role] = ("agent", "customer")
        return {
            role: tuple(place for place, turn in enumerate(self.turns) if turn.role == role) for role in roles
        }

    def floor_before(self, turn: int, role: Role) -> Floor | None:
        """Last floor of ``role`` that began before a turn."""
        earlier = [floor for floor in self._floors_by_role[role] if floor.turns[0] < turn]
        return earlier[-1] if earlier else None

    # -- where to look -----------------------------------------------------------------------

    def window(self, place: Place, role: Role, anchor: Moment | None) -> Window | None:
        """Turns of ``role`` at a place; None when the moment it hangs on did not happen."""
        own = self.turns_by_role[role]
        floors = self._floors_by_role[role]
        if place.after or place.before or place.around:
            name = place.after or place.before or place.around or ""
            at = anchor if name == "this" else next(iter(self.moments(name)), None)
            return None if at is None else self._near(place, role, at)
        if place.opening_turns is not None or place.opening_s is not None:
            return Window(self._opening(place, own, floors))
        if place.closing_turns is not None or place.closing_s is not None:
            return Window(self._closing(place, own, floors))
        return Window(own)

    def _opening(self, place: Place, own: tuple[int, ...], floors: list[Floor]) -> tuple[int, ...]:
        last = -1
        if place.opening_turns and floors:
            last = floors[min(place.opening_turns, len(floors)) - 1].turns[-1]
        until_s = -1.0
        if place.opening_s is not None and self.turns:
            until_s = self.turns[0].start_s + place.opening_s
        return tuple(turn for turn in own if turn <= last or self.turns[turn].start_s < until_s)

    def _closing(self, place: Place, own: tuple[int, ...], floors: list[Floor]) -> tuple[int, ...]:
        first = len(self.turns)
        if place.closing_turns and floors:
            first = floors[-min(place.closing_turns, len(floors))].turns[0]
        from_s = FOREVER_S
        if place.closing_s is not None and self.turns:
            from_s = max(turn.end_s for turn in self.turns) - place.closing_s
        return tuple(turn for turn in own if turn >= first or self.turns[turn].end_s > from_s)

    def _near(self, place: Place, role: Role, at: Moment) -> Window:
        own = self.turns_by_role[role]
        floors = self._floors_by_role[role]
        earlier = [floor.turns for floor in floors if floor.turns[-1] < at.turn]
        later = [floor.turns for floor in floors if floor.turns[0] > at.turn]
        reach = len(floors) if place.turns is None else place.turns
        first = earlier[-reach][0] if 0 < reach <= len(earlier) else 0
        last = later[reach - 1][-1] if 0 < reach <= len(later) else len(self.turns)
        from_s, to_s = 0.0, FOREVER_S
        if place.within_s is not None:
            from_s, to_s = at.start_s - place.within_s, at.end_s + place.within_s
        if place.until:
            stops = [moment.start_s for moment in self.moments(place.until) if moment.start_s >= at.end_s]
            to_s = min([to_s, *stops])
        if place.before:
            return Window(tuple(turn for turn in own if first <= turn <= at.turn), from_s, at.start_s)
        if place.after:
            return Window(tuple(turn for turn in own if at.turn <= turn <= last), at.end_s, to_s)
        return Window(tuple(turn for turn in own if first <= turn <= last), from_s, to_s)

    def heard(self, turns: Iterable[int]) -> float:
        """Mean recognition confidence of turns, weighted by their length; 1 when there is nothing."""
        weight, total = 0, 0.0
        for place in turns:
            length = max(len(self.transcript.texts[place]), 1)
            weight += length
            total += length * self.turns[place].confidence
        return total / weight if weight else 1.0

    def quotes(self, turns: Sequence[int], limit: int = 2) -> tuple[Evidence, ...]:
        """Return evidence that shows whole turns, cut to a readable length."""
        shown = []
        for place in turns[:limit]:
            turn = self.turns[place]
            text = turn.text if len(turn.text) <= _QUOTE_CHARS else turn.text[:_QUOTE_CHARS] + "…"
            shown.append(Evidence(turn.start_s, turn.end_s, turn.role, text))
        return tuple(shown)

    # -- what was said -----------------------------------------------------------------------

    def marks(self, name: str, window: Window) -> list[Mark]:
        """Hits of a phrase set in a window, in the order of time.

        Wordings are looked for first; the standard's own sentences, whose search is dear, only where
        no wording is sure.
        """
        if not window.turns:
            return []
        role = self.turns[window.turns[0]].role
        found = self._inside(self._worded(name, role), window)
        phrase = self.lexicon.phrases[name]
        if phrase.say and not any(mark.is_sure for mark in found):
            found = [*found, *self._inside(self._searched(name, role, window.turns), window)]
        return sorted(found, key=lambda mark: (mark.hit.start_s, mark.hit.start))

    @staticmethod
    def _inside(known: Mapping[int, list[Mark]], window: Window) -> list[Mark]:
        return [
            mark
            for turn in window.turns
            for mark in known.get(turn, ())
            if window.from_s - 1e-6 <= mark.hit.start_s < window.to_s
        ]

    @cached_property
    def sound_index(self) -> SoundIndex:
        """The words, indexed for wordings."""
        return SoundIndex(self.transcript) if self._origin is None else self._origin.sound_index

    def _worded(self, name: str, role: Role) -> Mapping[int, list[Mark]]:
        if self._origin is not None and name in self._alike:
            return self._origin._worded(name, role)
        known = self._marks.get((name, role))
        if known is None:
            phrase = self.lexicon.phrases[name]
            hits = [hit_at(self.transcript, span) for span in self.sound_index.best(phrase.like, role)]
            known = self._kept(phrase, hits, role, self._wording_limits)
            if phrase.say and self.hearing.phrases:
                self._add_answers(phrase, role, known, opinion="present")
            self._marks[name, role] = known
        return known

    def _searched(self, name: str, role: Role, turns: tuple[int, ...]) -> Mapping[int, list[Mark]]:
        if self._origin is not None and name in self._alike:
            return self._origin._searched(name, role, turns)
        known = self._searches.setdefault((name, role), {})
        missing = [turn for turn in turns if turn not in known]
        if missing:
            phrase = self.lexicon.phrases[name]
            hits = [hit for pattern in phrase.say for hit in find(pattern, self.transcript, turns=missing)]
            kept = self._kept(phrase, hits, role, self.transcript.model.limits)
            if phrase.near == "unsure":
                self._add_answers(phrase, role, kept, opinion="unsure")
            for turn in missing:
                known[turn] = kept.get(turn, [])
        return known

    @cached_property
    def _wording_limits(self) -> MatchLimits:
        limits = self.lexicon.limits
        return MatchLimits(limits.wording_accept, limits.wording_reject)

    def _kept(
        self, phrase: PhraseSet, hits: list[Hit], role: Role, limits: MatchLimits
    ) -> dict[int, list[Mark]]:
        """Hits that are meant and stand alone, by turn."""
        by_turn: dict[int, list[Mark]] = {}
        taken: list[Hit] = []
        for hit in sorted(hits, key=lambda hit: (-hit.confidence, hit.start - hit.end)):
            if not self._is_meant(phrase, hit) or any(_overlap(hit, other) for other in taken):
                continue
            taken.append(hit)
            meant, decision = self._asked(phrase, hit, limits.decide(hit.confidence))
            if decision == "hit" or (decision == "near" and phrase.near == "unsure"):
                by_turn.setdefault(hit.turn, []).append(Mark(meant, phrase.name_zh, decision == "hit"))
        return by_turn

    def _is_meant(self, phrase: PhraseSet, hit: Hit) -> bool:
        """Whether nothing around a hit denies it and nothing says that it is something else."""
        if (hit.negated and "negated" in phrase.guard) or (hit.quoted and "quoted" in phrase.guard):
            return False
        return not any(_overlap(hit, other) for other in self._excused(phrase, hit.role))

    def _excused(self, phrase: PhraseSet, role: Role) -> list[Hit]:
        """Where a phrase set's ``unless`` stands."""
        if not phrase.unless:
            return []
        known = self._unless.get((phrase.id, role))
        if known is None:
            least = self._wording_limits.accept
            spans = self.sound_index.best(phrase.unless, role)
            known = [hit_at(self.transcript, span) for span in spans if span.confidence >= least]
            self._unless[phrase.id, role] = known
        return known

    @cached_property
    def _answers(self) -> Answers:
        return Answers(self.hearing.phrases)

    def _asked(self, phrase: PhraseSet, hit: Hit, decision: Decision) -> tuple[Hit, Decision]:
        """What the audio says to an unsure hit overrules the words, in either direction."""
        model = self.lexicon.acoustic
        if not self.hearing.phrases or hit.confidence >= model.ask_below:
            return hit, decision
        answer = self._answers.about(phrase.id, hit.role, hit.start_s, hit.end_s)
        sure = hit.confidence if decision != "miss" else 0.0
        opinion = "unsure" if answer is None else model.opinion(answer, sure)
        if answer is None or opinion == "unsure" or not self._can_say(phrase, answer):
            return hit, decision
        probability = model.probability(answer, sure)
        return replace(hit, confidence=probability), "hit" if opinion == "present" else "miss"

    def _add_answers(
        self, phrase: PhraseSet, role: Role, marks: dict[int, list[Mark]], *, opinion: Opinion
    ) -> None:
        """Add where the audio says that a phrase was said, or may have been, whatever was written there.

        What it is sure of takes the place of doubtful marks.
        """
        model = self.lexicon.acoustic
        told = [(model.probability(answer), answer) for answer in self._answers.of(phrase.id, role)]
        for probability, answer in sorted(told, key=lambda one: -one[0]):
            if model.opinion(answer) != opinion or not self._can_say(phrase, answer):
                continue
            hit = hit_of(self.transcript, answer, probability)
            if hit is None or not self._is_meant(phrase, hit):
                continue
            others = marks.setdefault(hit.turn, [])
            if opinion == "present":
                others[:] = [other for other in others if other.is_sure or not _overlap(hit, other.hit)]
            if not any(_overlap(hit, other.hit) for other in others):
                others.append(Mark(hit, phrase.name_zh, is_sure=opinion == "present"))

    def _can_say(self, phrase: PhraseSet, answer: PhraseEvidence) -> bool:
        return can_say(phrase, answer.spelling, self.call, self.transcript.model)

    def marks_of(
        self,
        names: Iterable[str],
        window: Window,
        *,
        beside: tuple[str, ...] = (),
        not_beside: tuple[str, ...] = (),
    ) -> list[Mark]:
        """Hits of several phrase sets, kept by what else is said while the same side has the floor."""
        found = [mark for name in names for mark in self.marks(name, window)]
        if not (beside or not_beside):
            return found
        kept = []
        for mark in found:
            floor = Window(self.floor_of(mark.hit.turn))
            if beside and not self.any_sure(beside, floor):
                continue
            if not self.any_sure(not_beside, floor):
                kept.append(mark)
        return kept

    def floor_of(self, turn: int) -> tuple[int, ...]:
        """Turns of the floor that a turn belongs to."""
        return next((floor.turns for floor in self.floors if turn in floor.turns), (turn,))

    # -- what happened -----------------------------------------------------------------------

    def moments(self, name: str) -> tuple[Moment, ...]:
        """Moments of one kind, in the order of time, close ones merged."""
        if self._origin is not None and name in self._alike_moments:
            return self._origin.moments(name)
        if name not in self._moments:
            kind = self.lexicon.moments[name]
            self._moments[name] = moments_of(self, kind)
        return self._moments[name]

    def any_sure(self, names: Iterable[str], window: Window) -> bool:
        """Whether one of some phrase sets is surely said in a window."""
        return any(mark.is_sure for name in names for mark in self.marks(name, window))


def _overlap(one: Hit, other: Hit) -> bool:
    return one.role == other.role and one.start_s < other.end_s and other.start_s < one.end_s
