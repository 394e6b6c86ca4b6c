"""The audio's own opinion on doubtful phrases, asked while the recording is at hand.

Which places to ask about comes from outside (`pipeline.judging.questions`), as a function handed to `hear`;
how the answers count is decided while judging. Here the recogniser is asked and nothing else.

Table of contents: `Questioner`, `phrase_evidence`, `asked_later`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from pipeline.hearing.audio import Recording, to_16k
from pipeline.ports import SAMPLE_RATE_HZ, PhraseListener, PhraseQuery, Recognizer, Samples
from pipeline.records import CallRecord, Hearing, PhraseEvidence, PhraseQuestion, Role, Turn

Questioner = Callable[[Sequence[Turn], CallRecord], Sequence[PhraseQuestion]]
"""From the turns of a call to the places where its audio should be asked about a phrase."""


def phrase_evidence(
    questions: Sequence[PhraseQuestion], samples: Mapping[Role, Samples], recognizer: Recognizer
) -> tuple[PhraseEvidence, ...]:
    """Ask the recogniser about doubtful phrases.

    Parameters
    ----------
    questions : sequence of PhraseQuestion
    samples : mapping of role to ndarray of float32, shape (n,)
        The channel on which each role is heard, 16 kHz.
    recognizer : Recognizer
        One that cannot be asked (no `pipeline.ports.PhraseListener`) answers nothing.

    Returns
    -------
    tuple of PhraseEvidence
        In the order of the questions; of several spellings the one that fits best.
    """
    if not isinstance(recognizer, PhraseListener):
        return ()
    ask = recognizer.phrase_scores
    answered: dict[int, PhraseEvidence] = {}
    for role, side in samples.items():
        own = [(at, one) for at, one in enumerate(questions) if one.role == role and one.spellings]
        queries = [PhraseQuery(q.from_s, q.to_s, q.prefix, q.heard, q.spellings) for _, q in own]
        for (at, one), scores in zip(own, ask(side, queries), strict=True):
            best = max(range(len(scores)), key=lambda number: scores[number].relative)
            if math.isfinite(scores[best].relative):
                answered[at] = PhraseEvidence(
                    phrase=one.phrase,
                    role=role,
                    start_s=one.start_s,
                    end_s=one.end_s,
                    spelling=one.spellings[best],
                    c_rel=round(float(scores[best].relative), 4),
                    logprob=round(float(scores[best].absolute), 4),
                    alike=one.alike[best],
                )
    return tuple(answered[at] for at in sorted(answered))


def asked_later(
    audio: Recording, hearing: Hearing, questions: Sequence[PhraseQuestion], recognizer: Recognizer
) -> Hearing:
    """Ask the audio of a stored call about phrases that its rulebook did not know when it was heard.

    Parameters
    ----------
    audio : Recording
        The recording that was heard.
    hearing : Hearing
        What is stored of it.
    questions : sequence of PhraseQuestion
        From `pipeline.judging.questions.questions_about`, over the turns of ``hearing``.
    recognizer : Recognizer

    Returns
    -------
    Hearing
        With the new answers beside the old ones; an answer about the same phrase and place is replaced.
    """
    channels = to_16k(audio)
    samples: dict[Role, Samples] = {
        role: _channel_of(channels, hearing.turns, role) for role in {turn.role for turn in hearing.turns}
    }
    answers = {(a.phrase, a.role, a.start_s, a.end_s): a for a in hearing.phrases}
    for answer in phrase_evidence(questions, samples, recognizer):
        answers[answer.phrase, answer.role, answer.start_s, answer.end_s] = answer
    ordered = sorted(answers.values(), key=lambda one: (one.start_s, one.phrase, one.spelling))
    return replace(hearing, phrases=tuple(ordered))


def _channel_of(channels: Samples, turns: Sequence[Turn], role: Role) -> Samples:
    """The channel that is loudest while a role speaks."""

    def energy(channel: Samples) -> float:
        cuts = [
            channel[round(t.start_s * SAMPLE_RATE_HZ) : round(t.end_s * SAMPLE_RATE_HZ)]
            for t in turns
            if t.role == role
        ]
        return float(sum((cut.astype("float64") ** 2).sum() for cut in cuts))

    loudest: Samples = max(channels, key=energy)
    return loudest
