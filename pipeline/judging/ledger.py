"""The opportunity ledger of paraphrase confirmation (每30秒复述确认, 二(一)3).

How the standard is read
------------------------
Time in which the customer states a need accumulates. Each time ``every_s`` of it has passed since
the last confirmation, one confirmation is *due*; it is *met* when the agent confirms before another
``every_s`` of such speech has passed. A confirmation made before one was due starts the count anew.
A need stated in less time makes none due, and then every confirmation that was made counts as met.
Pass: met >= due and due + met > 0. Neither due nor met: not applicable.

What counts as stating a need: every customer turn except backchannels (嗯, 好的, 对), turns in which
greetings, thanks and farewells leave fewer than ``min_chars`` characters, and answers to a question
for identity factors.

Table of contents: `Ledger`, `Entry`, `entries`, `paraphrase_ledger`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.judging.case import Case
from pipeline.judging.facts import apart, unsure_zh
from pipeline.judging.outcome import Outcome
from pipeline.judging.places import Mark, Moment, Window
from pipeline.records import Event, Evidence


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the ledger: something fell due, or was done.

    ``open_s`` is when the last confirmation would still have met the entry's opportunity.
    """

    kind: str
    at_s: float
    end_s: float
    is_met: bool = False


def entries(
    speech: Sequence[tuple[float, float]], confirmed_s: Sequence[tuple[float, float]], *, every_s: float
) -> list[Entry]:
    """Dues and confirmations of one call, in the order of time.

    Parameters
    ----------
    speech : sequence of (start_s, end_s)
        Times in which a need is stated, sorted.
    confirmed_s : sequence of (start_s, end_s)
        Times of confirmations, sorted.
    every_s : float
        Seconds of such speech after which one is due.

    Returns
    -------
    list of Entry
        ``due`` entries with ``is_met``, and ``done`` entries.

    Examples
    --------
    >>> [(e.kind, e.at_s, e.is_met) for e in entries([(0, 40)], [(41, 43)], every_s=30)]
    [('due', 30.0, True), ('done', 41.0, True)]
    >>> [(e.kind, e.is_met) for e in entries([(0, 70)], [(71, 72)], every_s=30)]
    [('due', False), ('due', True), ('done', True)]
    """
    book: list[Entry] = []
    waiting: int | None = None
    gathered = 0.0
    steps = sorted(
        [(start, 1, end) for start, end in speech] + [(start, 0, end) for start, end in confirmed_s]
    )
    for start, is_speech, end in steps:
        if not is_speech:
            if waiting is not None:
                due = book[waiting]
                book[waiting] = Entry("due", due.at_s, due.end_s, is_met=True)
                waiting = None
            book.append(Entry("done", float(start), float(end), is_met=True))
            gathered = 0.0
            continue
        gathered += max(end - start, 0.0)
        while gathered >= every_s > 0:
            gathered -= every_s
            at_s = float(end - gathered)
            waiting = len(book)
            book.append(Entry("due", at_s, at_s))
    return book


@dataclass(frozen=True, slots=True)
class Ledger:
    """The ledger as a condition of a rule."""

    every_s: float
    confirmed_by: tuple[str, ...]
    not_a_need: tuple[str, ...]
    not_answering: tuple[str, ...]
    min_chars: int = 5

    def evaluate(self, case: Case, anchor: Moment | None) -> Outcome:
        """Keep the ledger with sure confirmations, then with near ones too; disagreement is unsure."""
        speech = self.speech(case)
        marks = self._marks(case)
        sure = [mark for mark in marks if mark.is_sure]
        outcome = self._verdict(speech, sure)
        if outcome.state == "no" and len(sure) < len(marks) and self._verdict(speech, marks).state == "yes":
            near = [mark for mark in marks if not mark.is_sure]
            return Outcome("unsure", near[0].hit.confidence, ("近似但不确定是否做了复述确认",), _quotes(near))
        if outcome.state == "no":
            heard = case.heard(case.turns_by_role["agent"])
            least = case.lexicon.limits.missing_min_confidence
            if heard < least:
                return Outcome(
                    "unsure",
                    heard,
                    (f"{outcome.notes[0]}，但坐席侧识别置信度仅 {unsure_zh(heard, least)}",),
                )
        return outcome

    def speech(self, case: Case) -> list[tuple[float, float]]:
        """Times in which the customer states a need."""
        window = Window(case.turns_by_role["customer"])
        small_talk: dict[int, int] = {}
        for name in self.not_a_need:
            for mark in case.marks(name, window):
                small_talk[mark.hit.turn] = small_talk.get(mark.hit.turn, 0) + max(
                    mark.hit.end - mark.hit.start, 0
                )
        return [
            (case.turns[turn].start_s, case.turns[turn].end_s)
            for turn in window.turns
            if not case.is_backchannel(turn)
            and len(case.transcript.texts[turn]) - small_talk.get(turn, 0) >= self.min_chars
            and not self._is_answer(case, turn)
        ]

    def book(self, case: Case) -> list[Entry]:
        """Return the ledger's lines with sure confirmations only."""
        sure = [mark for mark in self._marks(case) if mark.is_sure]
        return entries(self.speech(case), _times(sure), every_s=self.every_s)

    def events(self, case: Case) -> list[Event]:
        """``paraphrase_due`` and ``paraphrase`` events for the results."""
        made = []
        for entry in self.book(case):
            kind = "paraphrase_due" if entry.kind == "due" else "paraphrase"
            made.append(Event(kind, entry.at_s, entry.end_s, "agent"))
        return made

    def _marks(self, case: Case) -> list[Mark]:
        window = Window(case.turns_by_role["agent"])
        found = [mark for name in self.confirmed_by for mark in case.marks(name, window)]
        per_turn: dict[int, Mark] = {}
        for mark in sorted(found, key=lambda mark: (not mark.is_sure, mark.hit.start_s)):
            per_turn.setdefault(mark.hit.turn, mark)
        return sorted(per_turn.values(), key=lambda mark: mark.hit.start_s)

    def _is_answer(self, case: Case, turn: int) -> bool:
        if not self.not_answering:
            return False
        asked = case.floor_before(turn, "agent")
        if asked is None:
            return False
        window = Window(asked.turns)
        return any(mark.is_sure for name in self.not_answering for mark in case.marks(name, window))

    def _verdict(self, speech: list[tuple[float, float]], marks: list[Mark]) -> Outcome:
        book = entries(speech, _times(marks), every_s=self.every_s)
        dues = [entry for entry in book if entry.kind == "due"]
        due = len(dues)
        met = sum(entry.is_met for entry in dues) if dues else len(book)
        stated = sum(end - start for start, end in speech)
        told = f"客户陈述需求 {apart(stated, self.every_s)} 秒"
        if due + met == 0:
            note = f"{told}，不足 {self.every_s:g} 秒，无须复述确认"
            return Outcome("unknown", notes=(note,), due=0, met=0)
        note = f"{told}，每 {self.every_s:g} 秒应复述确认一次：应 {due} 次，实 {met} 次"
        missed = tuple(Evidence(e.at_s, e.at_s, "agent", "此处应复述确认") for e in dues if not e.is_met)
        evidence = (*missed[:3], *_quotes(marks))
        confidence = min((mark.hit.confidence for mark in marks), default=1.0)
        return Outcome("yes" if met >= due else "no", confidence, (note,), evidence, due=max(due, 0), met=met)


def _times(marks: Sequence[Mark]) -> list[tuple[float, float]]:
    return [(mark.hit.start_s, mark.hit.end_s) for mark in marks]


def _quotes(marks: Sequence[Mark]) -> tuple[Evidence, ...]:
    return tuple(Evidence(m.hit.start_s, m.hit.end_s, m.hit.role, m.hit.quote) for m in marks[:3])
