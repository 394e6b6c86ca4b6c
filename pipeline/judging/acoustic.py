"""What the audio's own opinion on a phrase is worth (声学复核).

While a call was heard, its recogniser was asked about doubtful places (`pipeline.judging.questions`); the
answers lie in `Hearing.phrases`. A logistic model, fitted on spoken dialogues, turns an answer into a
probability that the phrase was said; limits make it *present*, *absent* or *unsure*. Weights and limits are
data, ``lexicons/acoustic.toml``, so that a change of them judges stored calls anew without any audio.

An answer holds for a phrase set only while the set can still be said in the way that was asked about:
a wording that was struck out takes its answers with it.

Table of contents: `Opinion`, `AcousticModel`, `read_acoustic`, `Answers`, `can_say`, `hit_of`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp
from typing import TYPE_CHECKING, Literal

from pipeline.judging.phrases import Hit, Transcript, find
from pipeline.judging.soundindex import Found, SoundIndex, hit_at
from pipeline.judging.tomlread import Source
from pipeline.judging.transcript import MatchModel
from pipeline.records import CallRecord, PhraseEvidence, Role, Turn

if TYPE_CHECKING:
    from pipeline.judging.lexicon import PhraseSet

Opinion = Literal["present", "absent", "unsure"]
# How much of the shorter of two spans must be common for them to be about one place.
_SAME_PLACE = 0.5
_EDGE_S = 0.02
# Score from which a text is the phrase itself.
_LITERAL = 0.98


@dataclass(frozen=True, slots=True)
class AcousticModel:
    """When to ask, the probability that a phrase was said, and the limits that make it an opinion.

    Attributes
    ----------
    ask_below : float
        Hits surer than this are not asked about and not overruled.
    ask_above : float
        Hits of a wording less sure than this are no better than chance and not asked about.
    ask_alike : float
        Where no hit is, how much a place must sound like one of the standard's sentences to be asked about,
        and like any spelling that is asked there.
    ask_nearly : float
        ... and how much like one of a set's wordings.
    ask_doubt : float
        Of both kinds only places where some word is no more probable than one minus this.
    ask_most : int
        Most such places of either kind a phrase set and call.
    bias, c_rel, logprob, alike, words : float
        Of the logistic model; three weights belong to the fields of `PhraseEvidence`, the last to how
        sure the words alone are.
    present, absent : float
        Probability from which the phrase was said, and below which it was not.
    """

    ask_below: float = 0.9
    ask_above: float = 0.0
    ask_alike: float = 0.6
    ask_nearly: float = 1.0
    ask_doubt: float = 0.0
    ask_most: int = 2
    bias: float = 0.0
    c_rel: float = 0.0
    logprob: float = 0.0
    alike: float = 0.0
    words: float = 0.0
    present: float = 1.0
    absent: float = 0.0

    def probability(self, answer: PhraseEvidence, sure: float = 0.0) -> float:
        """Probability, in (0, 1), that the phrase was said.

        Parameters
        ----------
        answer : PhraseEvidence
        sure : float
            Confidence, in [0, 1], of the hit or near miss that the words alone show at the place; 0 for none.

        Examples
        --------
        >>> model = AcousticModel(c_rel=2.0, present=0.8, absent=0.2)
        >>> said = PhraseEvidence("thanks_call", "agent", 1.0, 2.0, "感谢您的来电", 0.0, -0.5, 0.9)
        >>> model.probability(said)
        0.5
        """
        total = self.bias + self.c_rel * answer.c_rel + self.logprob * answer.logprob
        total += self.alike * answer.alike + self.words * sure
        return 1.0 / (1.0 + exp(-min(60.0, max(-60.0, total))))

    def opinion(self, answer: PhraseEvidence, sure: float = 0.0) -> Opinion:
        """Whether an answer says that the phrase is there, that it is not, or neither."""
        probability = self.probability(answer, sure)
        if probability >= self.present:
            return "present"
        return "absent" if probability < self.absent else "unsure"


def read_acoustic(source: Source) -> AcousticModel:
    """Model from ``acoustic.toml``; problems are noted in ``source``."""
    fields = source.top()
    ask, weights, limits = (fields.table(name) for name in ("ask", "weights", "limits"))
    model = AcousticModel(
        ask_below=ask.number("below", low=0.0, high=1.0),
        ask_above=ask.number("above", 0.0, low=0.0, high=1.0),
        ask_alike=ask.number("sounds_alike", low=0.0, high=1.0),
        ask_nearly=ask.number("sounds_nearly", 1.0, low=0.0, high=1.0),
        ask_doubt=ask.number("doubt", 0.0, low=0.0, high=1.0),
        ask_most=int(ask.number("most", low=0, high=20)),
        bias=weights.number("bias", low=-100, high=100),
        c_rel=weights.number("c_rel", low=-100, high=100),
        logprob=weights.number("logprob", low=-100, high=100),
        alike=weights.number("alike", low=-100, high=100),
        words=weights.number("words", 0.0, low=-100, high=100),
        present=limits.number("present", low=0.0, high=1.0),
        absent=limits.number("absent", low=0.0, high=1.0),
    )
    if model.absent > model.present:
        limits.complain("absent", f"absent {model.absent:g} is above present {model.present:g}")
    fields.text("version", "")
    fields.text("fitted", "")
    fields.used |= {"schema", "ask", "weights", "limits"}
    for part in (ask, weights, limits, fields):
        part.finish()
    return model


class Answers:
    """The answers of one call, by phrase set and role."""

    def __init__(self, answers: Sequence[PhraseEvidence]) -> None:
        self._by_phrase: dict[tuple[str, Role], list[PhraseEvidence]] = {}
        for answer in answers:
            self._by_phrase.setdefault((answer.phrase, answer.role), []).append(answer)

    def of(self, phrase: str, role: Role) -> Sequence[PhraseEvidence]:
        """All about one phrase set, by time."""
        return self._by_phrase.get((phrase, role), ())

    def about(self, phrase: str, role: Role, start_s: float, end_s: float) -> PhraseEvidence | None:
        """The answer about a place; None if nobody asked."""
        best: tuple[float, PhraseEvidence] | None = None
        for answer in self.of(phrase, role):
            common = min(end_s, answer.end_s) - max(start_s, answer.start_s)
            shorter = max(min(end_s - start_s, answer.end_s - answer.start_s), 1e-3)
            if common >= _SAME_PLACE * shorter and (best is None or common > best[0]):
                best = (common, answer)
        return best[1] if best else None


def can_say(phrase: PhraseSet, spelling: str, call: CallRecord, model: MatchModel) -> bool:
    """Whether a phrase set still has this way of being said; slots filled as this call fills them."""
    if any(wording.reads(spelling) for wording in phrase.like):
        return True
    branches = [branch for pattern in phrase.say for branch in pattern.branches]
    if any(spelling in branch.numbers and branch.numbers[spelling] in branch.whole for branch in branches):
        return True
    said = Transcript.of(
        [Turn("agent", 0.0, 1.0, spelling)], agent_name=call.agent_name, company=call.company, model=model
    )
    if SoundIndex(said).best(phrase.like, "agent"):
        return True
    return any(hit.score >= _LITERAL for pattern in phrase.say for hit in find(pattern, said))


def hit_of(call: Transcript, answer: PhraseEvidence, confidence: float) -> Hit | None:
    """The place of an answer as the phrase matcher would report it; None where no words stand."""
    for turn, spoken in enumerate(call.turns):
        if spoken.role != answer.role or spoken.end_s < answer.start_s or spoken.start_s > answer.end_s:
            continue
        inside = [
            place
            for place in range(len(call.texts[turn]))
            if call.begin_s(turn, place) >= answer.start_s - _EDGE_S
            and call.end_s(turn, place) <= answer.end_s + _EDGE_S
        ]
        if inside:
            begin = call.starts[call.order.index(turn)]
            found = Found(begin + inside[0], begin + inside[-1] + 1, confidence)
            return replace(hit_at(call, found), confidence=confidence)
    return None
