"""Hear a call with timed ports and take every measure of it.

Conventions
-----------
``wall_s`` and ``cpu_s`` are seconds of this process by stage. What a port does is timed by wrapping the
port's public methods on its own instance; the pure code between by its own stopwatch (``stage_s``).

Table of contents: `Clock`, `timed`, `Ports`, `heard_call`, `voices_of_call`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

from benchmarks.hearing.echo import echoed
from benchmarks.hearing.sounds import filler_counts, snr_counts
from benchmarks.hearing.truth import Counts, TrueCall
from benchmarks.hearing.voices import (
    activity_counts,
    diarization_counts,
    interruption_counts,
    role_counts,
    silence_counts,
)
from benchmarks.hearing.words import phrase_counts, rate_counts, set_counts, word_counts
from pipeline.hearing.activity import activity
from pipeline.hearing.audio import to_16k
from pipeline.hearing.channels import ChannelLimits
from pipeline.hearing.hear import hear
from pipeline.hearing.lanes import Lanes, lanes_of
from pipeline.hearing.lexicon import HearingLexicon
from pipeline.hearing.line import hold_spans
from pipeline.hearing.respell import Speller
from pipeline.judging.lexicon import Lexicon
from pipeline.judging.questions import questions
from pipeline.judging.rulebook import load_rulebook
from pipeline.ports import Diarizer, Recognizer, Samples, SpeakerStretch
from pipeline.records import Hearing, ModelId

_NO_HASH = "0" * 64


@dataclass(slots=True)
class Clock:
    """Seconds by stage; entered again, a stage adds up."""

    wall_s: dict[str, float] = field(default_factory=dict)
    cpu_s: dict[str, float] = field(default_factory=dict)

    def add(self, stage: str, wall_s: float, cpu_s: float) -> None:
        """Add to a stage."""
        self.wall_s[stage] = self.wall_s.get(stage, 0.0) + wall_s
        self.cpu_s[stage] = self.cpu_s.get(stage, 0.0) + cpu_s

    def counts(self) -> Counts:
        """As counts named ``wall_s:stage`` and ``cpu_s:stage``."""
        return {
            **{f"wall_s:{stage}": value for stage, value in self.wall_s.items()},
            **{f"cpu_s:{stage}": value for stage, value in self.cpu_s.items()},
        }


def timed(port: Any, clock: Callable[[], Clock], name: Callable[[str, dict[str, Any]], str]) -> None:
    """Let every public method of a port report its time; the port stays what it is.

    Parameters
    ----------
    port : object
        Its instance gets a timed method in front of each of its own.
    clock : callable
        The clock of the call being heard.
    name : callable
        Method name and keyword arguments → stage.

    Notes
    -----
    A port whose instances take no attributes is left alone: its time then shows in the stage around it.
    """
    if not hasattr(port, "__dict__"):
        return
    for method in [m for m in dir(type(port)) if not m.startswith("_")]:
        inner = getattr(type(port), method)
        if callable(inner):
            object.__setattr__(port, method, _timed(getattr(port, method), method, clock, name))


def _timed(
    inner: Callable[..., Any],
    method: str,
    clock: Callable[[], Clock],
    name: Callable[[str, dict[str, Any]], str],
) -> Callable[..., Any]:
    @wraps(inner)
    def outer(*args: Any, **keywords: Any) -> Any:
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            return inner(*args, **keywords)
        finally:
            stage = name(method, keywords)
            clock().add(stage, time.perf_counter() - wall, time.process_time() - cpu)

    return outer


class _Listening:
    """Passes a diarizer's answers on and keeps the last one."""

    def __init__(self, inner: Diarizer) -> None:
        self.inner = inner
        self.last: list[SpeakerStretch] | None = None

    @property
    def models(self) -> tuple[ModelId, ...]:
        return self.inner.models

    def stretches(self, samples: Samples) -> list[SpeakerStretch]:
        self.last = self.inner.stretches(samples)
        return self.last


class _Replay:
    """Answers what was heard before."""

    def __init__(self, answer: list[SpeakerStretch], models: tuple[ModelId, ...]) -> None:
        self.answer, self.models = answer, models

    def stretches(self, samples: Samples) -> list[SpeakerStretch]:
        return self.answer


class Ports:
    """A recogniser and a diarizer, loaded when first needed, that tell how long they take.

    Parameters
    ----------
    recognizer, diarizer : callable
        Load the model.
    lexicon : HearingLexicon
    speller : Speller, optional
    """

    def __init__(
        self,
        recognizer: Callable[[], Recognizer],
        diarizer: Callable[[], Diarizer],
        lexicon: HearingLexicon,
        speller: Speller | None = None,
    ) -> None:
        self.lexicon, self.speller = lexicon, speller
        self.rules: Lexicon = load_rulebook().lexicon
        self.clock = Clock()
        self._load = (recognizer, diarizer)
        self._recognizer: Recognizer | None = None
        self._diarizer: _Listening | None = None

    def recognizer(self) -> Recognizer:
        """The recogniser; its passes are named by their prompt."""
        if self._recognizer is None:
            self._recognizer = self._load[0]()
            timed(self._recognizer, lambda: self.clock, self._pass_name)
        return self._recognizer

    def _pass_name(self, method: str, keywords: dict[str, Any]) -> str:
        if method != "transcribe":
            return f"recogniser.{method}"
        verbatim = keywords.get("prompt") == self.lexicon.verbatim_prompt
        return "recogniser.fillers" if verbatim else "recogniser.words"

    def diarizer(self) -> _Listening:
        """The diarizer, remembering its last answer."""
        if self._diarizer is None:
            inner = self._load[1]()
            timed(inner, lambda: self.clock, lambda method, _: f"diarizer.{method}")
            self._diarizer = _Listening(inner)
        return self._diarizer


def _lanes(channels: Samples, ports: Ports, diarizer: Callable[[], Diarizer]) -> Lanes:
    return lanes_of(
        channels,
        activity=lambda samples: activity(samples).spans,
        diarizer=diarizer,
        limits=ChannelLimits(),
        hold=lambda samples: hold_spans(samples, limits=ports.lexicon.conversation.hold),
    )


def _voice_counts(call: TrueCall, lanes: Lanes) -> Counts:
    if call.layout == "mono":
        heard = [SpeakerStretch(a, b, n) for n, lane in enumerate(lanes.lanes) for a, b in lane.spans]
        return diarization_counts(call, heard)
    if lanes.layout == "stereo":
        return activity_counts(call, [lane.spans for lane in lanes.lanes])
    return {}


def voices_of_call(call: TrueCall, ports: Ports) -> Counts:
    """Who speaks when, without recognising a word."""
    channels = to_16k(call.audio())
    ports.clock = Clock()
    wall, cpu = time.perf_counter(), time.process_time()
    lanes = _lanes(channels, ports, ports.diarizer)
    ports.clock.add("voices", time.perf_counter() - wall, time.process_time() - cpu)
    hearing = echoed(call, lanes, ports.lexicon.conversation)
    return {
        **_voice_counts(call, lanes),
        **interruption_counts(call, hearing),
        **silence_counts(call, hearing),
        **_times(call, ports.clock),
    }


def _times(call: TrueCall, clock: Clock) -> Counts:
    times = {f"{name}:{call.layout}": value for name, value in clock.counts().items()}
    return {f"audio_s:{call.layout}": call.duration_s, **times}


def heard_call(call: TrueCall, ports: Ports) -> tuple[Counts, Hearing]:
    """Everything: hear the call as a scored call is heard, and compare with the truth.

    Returns
    -------
    Counts, Hearing
    """
    recording = call.audio()
    ports.recognizer()
    if call.layout == "mono":
        ports.diarizer()
    ports.clock = Clock()
    wall, cpu = time.perf_counter(), time.process_time()
    hearing = hear(
        recording,
        call.call,
        recognizer=ports.recognizer(),
        diarizer=ports.diarizer,
        lexicon=ports.lexicon,
        recording_sha256=_NO_HASH,
        questions=lambda turns, record: questions(turns, record, ports.rules),
        speller=ports.speller,
    )
    ports.clock.add("all", time.perf_counter() - wall, time.process_time() - cpu)
    clock = ports.clock
    for stage, cpu_s in hearing.stage_s.items():
        clock.cpu_s[stage] = cpu_s
    ports.clock = Clock()
    counts: Counts = {
        **_times(call, clock),
        **role_counts(call, hearing),
        **interruption_counts(call, hearing),
        **silence_counts(call, hearing),
        **filler_counts(call, hearing),
        **snr_counts(call, hearing),
        **_voice_counts(call, _heard_lanes(call, recording, ports)),
    }
    if call.has_words:
        counts.update(word_counts(call, hearing))
        counts.update(phrase_counts(call, hearing))
        counts.update(set_counts(call, hearing, ports.rules))
        counts.update(rate_counts(call, hearing))
    return counts, hearing


def _heard_lanes(call: TrueCall, recording: Any, ports: Ports) -> Lanes:
    """The lanes that `hear` used; the diarizer is not asked twice."""

    def again() -> Diarizer:
        listening = ports.diarizer()
        return _Replay(listening.last or [], listening.models)

    return _lanes(to_16k(recording), ports, again)
