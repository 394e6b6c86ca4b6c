"""A recording becomes a `Hearing`: voices, words, roles, turns, events, and the state of the line.

This module only puts the parts in order; each part is a function of its own module. Nothing
here knows a model: a recogniser and a diarizer are handed in, and the diarizer only when
it is needed.

Conventions
-----------
Times are seconds from the start of the recording, levels decibels. The same recording, call
record, models and data give the same `Hearing`; only ``stage_s`` differs.

Table of contents: `hear`, `settings_hash`.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from pipeline.errors import SilentAudioError
from pipeline.hearing.activity import ActivityLimits, activity
from pipeline.hearing.announcements import without_announcements
from pipeline.hearing.answers import Questioner, phrase_evidence
from pipeline.hearing.audio import Recording, to_16k
from pipeline.hearing.channels import ChannelLimits
from pipeline.hearing.fillers import filler_events
from pipeline.hearing.grouping import DiarizeLimits
from pipeline.hearing.lanes import Lane, Lanes, lanes_of, words_by_lane
from pipeline.hearing.lexicon import HearingLexicon
from pipeline.hearing.line import background_events, clipped_share, hold_spans, speech_to_noise_db
from pipeline.hearing.pauses import pauses
from pipeline.hearing.prosody import agitation, with_prosody
from pipeline.hearing.repair import repaired
from pipeline.hearing.respell import Speller
from pipeline.hearing.roles import Line, RoleDecision, Voice, decide_roles
from pipeline.hearing.transcript import cleaned
from pipeline.hearing.turns import dead_air, interruptions, merged, turns_of
from pipeline.ports import Diarizer, HeardSegment, Recognizer, Samples
from pipeline.records import ROLES, CallRecord, Event, Hearing, ModelId, Role, Turn, Word

Span = tuple[float, float]
_LINE_PAUSE_S = 0.8


@dataclass
class _Stopwatch:
    """CPU seconds by stage; a stage entered twice adds up."""

    spent: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        began = time.process_time()
        try:
            yield
        finally:
            self.spent[name] = self.spent.get(name, 0.0) + time.process_time() - began


@dataclass(frozen=True, slots=True, eq=False)
class _Side:
    """All that is known of one role's side of the line: where it is heard, and when."""

    samples: Samples
    spans: tuple[Span, ...]
    words: tuple[Word, ...]
    channel: int


def settings_hash(lexicon: HearingLexicon, recognizer: Recognizer | None = None) -> str:
    """Hash over the data and the decoder's options that can change what is heard."""
    options = getattr(recognizer, "options", None)
    limits = (ChannelLimits(), ActivityLimits(), DiarizeLimits(), options)
    parts = (lexicon.digest, *map(repr, limits))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def hear(
    audio: Recording,
    call: CallRecord,
    *,
    recognizer: Recognizer,
    diarizer: Diarizer | Callable[[], Diarizer],
    lexicon: HearingLexicon,
    recording_sha256: str,
    questions: Questioner | None = None,
    speller: Speller | None = None,
) -> Hearing:
    """Hear one call.

    Parameters
    ----------
    audio : Recording
        Mono or stereo.
    call : CallRecord
        Its direction, agent channel, company and agent name help; the audio may overrule the channel.
    recognizer : Recognizer
    diarizer : Diarizer or callable
        A callable is called only when the recording needs one.
    lexicon : HearingLexicon
    recording_sha256 : str
        Of the encrypted file.
    questions : callable (turns, call) -> sequence of PhraseQuestion, optional
        Where the audio itself is asked whether a phrase was said; nowhere when left out.
    speller : Speller, optional
        Writes words of the same sound that language and audio prefer; nothing of the kind when left out.

    Returns
    -------
    Hearing

    Raises
    ------
    SilentAudioError
        If nobody speaks.
    """
    watch = _Stopwatch()

    def diarizer_now() -> Diarizer:
        return diarizer() if callable(diarizer) else diarizer

    lexicon = _with_names(lexicon, call)
    data = lexicon.conversation
    duration_s = audio.duration_s
    with watch.stage("line"):
        clipping = clipped_share(audio.samples, limits=data.line, codec=audio.codec)
    with watch.stage("resample"):
        channels = to_16k(audio)
    del audio  # nobody asks for it again, and an hour of it is 230 MB
    with watch.stage("voices"):
        lanes = lanes_of(
            channels,
            activity=lambda samples: activity(samples).spans,
            diarizer=diarizer_now,
            limits=ChannelLimits(),
            hold=lambda samples: hold_spans(samples, limits=data.hold),
        )
    del channels  # after separation the lanes have their own
    if not any(lane.spans for lane in lanes.lanes):
        raise SilentAudioError(
            f"call {call.call_id}: {duration_s:.1f} s of audio in which nobody speaks; "
            "check the recorder of this line"
        )
    with watch.stage("recognise"):
        words = _words(lanes, recognizer, lexicon)
        lanes, words = without_announcements(lanes, words, cues=data.announcement)
    if not any(words):
        raise SilentAudioError(
            f"call {call.call_id}: no words were recognised in {duration_s:.1f} s of audio; "
            "listen to it and check the line"
        )
    with watch.stage("roles"):
        decision = _roles(lanes, words, call, lexicon)
        sides = _sides(lanes, words, decision)
    with watch.stage("turns"):
        turns = turns_of(
            {role: side.words for role, side in sides.items()},
            {role: side.spans for role, side in sides.items()},
            limits=data.turns,
        )
        turns = tuple(repaired(turn, lexicon.repair) for turn in turns)
    channel_of = {role: side.samples for role, side in sides.items()}
    if speller is not None:
        with watch.stage("spelling"):
            turns = speller.respelled(turns, channel_of, recognizer, lexicon.repair.terms)
    with watch.stage("phrases"):
        asked = questions(turns, call) if questions is not None else ()
        phrases = phrase_evidence(asked, channel_of, recognizer)
    with watch.stage("fillers"):
        fillers = _fillers(turns, sides, recognizer, lexicon)
    with watch.stage("prosody"):
        turns = tuple(with_prosody(turn, sides[turn.role].samples) for turn in turns)
    with watch.stage("line"):
        events = _events(turns, sides, lanes, duration_s, lexicon)
        snr = _snr(sides, lanes)
    notes = lanes.notes
    if decision.contradicted:
        notes = (*notes, "agent_channel_contradicted")
    elif call.agent_channel is not None and lanes.layout == "mono" and len(lanes.lanes) > 1:
        notes = (*notes, "agent_channel_unused")
    return Hearing(
        recording_sha256=recording_sha256,
        duration_s=round(duration_s, 3),
        layout=lanes.layout,
        turns=turns,
        events=tuple(sorted((*fillers, *events), key=lambda e: (e.start_s, e.kind, e.role or ""))),
        agent_snr_db=snr.get("agent"),
        customer_snr_db=snr.get("customer"),
        clipped_share=clipping,
        asr_confidence=_asr_confidence(turns),
        role_confidence=round(decision.confidence, 4),
        roles_from=decision.roles_from,
        models=_models(recognizer, lanes, speller),
        settings_hash=settings_hash(lexicon, recognizer),
        notes=notes,
        phrases=phrases,
        stage_s={k: round(v, 4) for k, v in watch.spent.items()},
    )


def _with_names(lexicon: HearingLexicon, call: CallRecord) -> HearingLexicon:
    """Tell the recogniser the names that this call's agent has to say, before the insurance terms."""
    names = [name for name in (call.company, call.agent_name) if name]
    if not names:
        return lexicon
    sought = tuple(dict.fromkeys((*lexicon.repair.terms, *(name for name in names if len(name) > 1))))
    hotwords = lexicon.hotwords and " ".join([*names, lexicon.hotwords])
    return replace(lexicon, hotwords=hotwords, repair=replace(lexicon.repair, terms=sought))


def _words(lanes: Lanes, recognizer: Recognizer, lexicon: HearingLexicon) -> list[list[Word]]:
    """Words of each lane: a channel each in stereo, the mixture once and then shared out in mono."""
    if lanes.layout == "stereo":
        return [_recognised(lane.samples, lane.spans, recognizer, lexicon) for lane in lanes.lanes]
    everything = merged(span for lane in lanes.lanes for span in lane.spans)
    words = _recognised(lanes.lanes[0].samples, everything, recognizer, lexicon)
    return words_by_lane(words, lanes.lanes)


def _recognised(
    samples: Samples, spans: Sequence[Span], recognizer: Recognizer, lexicon: HearingLexicon
) -> list[Word]:
    if not spans:
        return []
    segments = recognizer.transcribe(
        samples, spans_s=list(spans), prompt=lexicon.prompt, hotwords=lexicon.hotwords
    )
    return list(cleaned(segments, speech=spans, rules=lexicon.cleaning).words)


def _lines(words: Sequence[Word]) -> tuple[Line, ...]:
    """Words of one lane in runs, for the role cues; turns proper need the roles first."""
    runs: list[list[Word]] = []
    for word in sorted(words, key=lambda w: (w.start_s, w.end_s)):
        if runs and word.start_s - runs[-1][-1].end_s < _LINE_PAUSE_S:
            runs[-1].append(word)
        else:
            runs.append([word])
    return tuple(Line(run[0].start_s, run[-1].end_s, "".join(w.text for w in run)) for run in runs)


def _roles(
    lanes: Lanes, words: Sequence[Sequence[Word]], call: CallRecord, lexicon: HearingLexicon
) -> RoleDecision:
    claimed = None
    if lanes.layout == "stereo" or len(lanes.lanes) == 1:
        claimed = next((i for i, lane in enumerate(lanes.lanes) if lane.channel == call.agent_channel), None)
    return decide_roles(
        [Voice(_lines(w)) for w in words],
        direction=call.direction,
        cues=lexicon.role_cues,
        claimed_agent=claimed,
        names=[name for name in (call.company, call.agent_name) if name],
    )


def _sides(lanes: Lanes, words: Sequence[Sequence[Word]], decision: RoleDecision) -> dict[Role, _Side]:
    """Lanes joined by role; two agents after a transfer make one side."""
    sides: dict[Role, _Side] = {}
    for role in ROLES:
        own = [i for i, given in enumerate(decision.roles) if given == role]
        if own:
            first: Lane = lanes.lanes[own[0]]
            sides[role] = _Side(
                first.samples,
                tuple(merged(span for i in own for span in lanes.lanes[i].spans)),
                tuple(sorted((w for i in own for w in words[i]), key=lambda w: (w.start_s, w.end_s))),
                first.channel,
            )
    return sides


def _fillers(
    turns: Sequence[Turn], sides: dict[Role, _Side], recognizer: Recognizer, lexicon: HearingLexicon
) -> tuple[Event, ...]:
    """Fillers of both sides; the second, verbatim decode is spent on the agent, who is judged by them.

    In a mono call that means encoding the agent's speech again: decoded with the customer's between it, a
    fifth of the fillers were not written (14 instead of 17 of 25 on development calls).
    """
    found: list[Event] = []
    for role, side in sides.items():
        verbatim: list[HeardSegment] = []
        if role == "agent":
            verbatim = recognizer.transcribe(
                side.samples,
                spans_s=list(side.spans),
                prompt=lexicon.verbatim_prompt,
                draft=True,
            )
        silent = pauses(side.samples, side.spans, min_s=lexicon.fillers.pause_s)
        found.extend(filler_events(turns, verbatim, role=role, rules=lexicon.fillers, silences=silent))
    return tuple(found)


def _events(
    turns: Sequence[Turn], sides: dict[Role, _Side], lanes: Lanes, duration_s: float, lexicon: HearingLexicon
) -> tuple[Event, ...]:
    data = lexicon.conversation
    everybody = merged(span for side in sides.values() for span in side.spans)
    events = [Event("hold", a, b, None, "announcement") for a, b in lanes.announced]
    heard = {role: side.spans for role, side in sides.items()}
    events.extend(
        interruptions(turns, limits=data.interruption, backchannel=data.backchannel, activity=heard)
    )
    for role, side in sides.items():
        if lanes.layout == "mono" and role != "agent":
            continue  # one line, so one set of background sounds
        events.extend(
            background_events(
                side.samples,
                side.spans,
                limits=data.line,
                hold_limits=data.hold,
                role=role if lanes.layout == "stereo" else None,
                others=[*everybody, *lanes.announced],
            )
        )
    music = [(e.start_s, e.end_s) for e in events if e.kind == "hold"]
    events.extend(dead_air(everybody, duration_s, min_s=data.dead_air_min_s, not_silent=music))
    events.extend(agitation(turns, limits=data.agitation))
    return tuple(events)


def _snr(sides: dict[Role, _Side], lanes: Lanes) -> dict[Role, float | None]:
    """Speech-to-noise ratio by role; in a stereo call the other side's echo is no noise of this one."""
    result: dict[Role, float | None] = {}
    for role, side in sides.items():
        others = [span for r, other in sides.items() if r != role for span in other.spans]
        ratio = speech_to_noise_db(side.samples, side.spans, others=[*others, *lanes.announced])
        result[role] = None if ratio is None else round(ratio, 2)
    return result


def _asr_confidence(turns: Sequence[Turn]) -> float:
    """Mean word probability over the call, each turn weighing as long as its text."""
    weights = [max(len(t.text), 1) for t in turns]
    if not weights:
        return 0.0
    return round(sum(t.confidence * n for t, n in zip(turns, weights, strict=True)) / sum(weights), 4)


def _models(recognizer: Recognizer, lanes: Lanes, speller: Speller | None) -> tuple[ModelId, ...]:
    used = lanes.diarizer.models if lanes.diarizer is not None else ()
    words = (speller.words.model,) if speller is not None else ()
    return (recognizer.model, *words, *used)
