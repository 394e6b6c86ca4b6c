"""Voices: who speaks when, whose voice is whose, interruptions, silence.

Conventions
-----------
Spans are ``(start_s, end_s)``; frames are 10 ms. The collar is pyannote.metrics' own: its whole width,
half on either side of a true edge.

Table of contents: `diarization_counts`, `activity_counts`, `role_counts`, `interruption_counts`,
`silence_counts`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.hearing.truth import Counts, TrueCall
from pipeline.judging.measures import silence_time
from pipeline.ports import SpeakerStretch
from pipeline.records import ROLES, Hearing, Role, Turn

Span = tuple[float, float]
Mask = NDArray[np.bool_]
COLLARS_S = (0.0, 0.25, 0.5)
_FRAMES_PER_S = 100
_CUT_IN_NEAR_S = 0.5


def diarization_counts(call: TrueCall, stretches: Iterable[SpeakerStretch]) -> Counts:
    """Components of the diarization error rate, in seconds, overlap scored, for each collar."""
    from pyannote.core import Annotation, Segment
    from pyannote.metrics.diarization import DiarizationErrorRate

    stretches = list(stretches)
    said, heard = Annotation(), Annotation()
    pieces = [(a, b, turn.voice) for turn in call.turns for a, b in turn.pieces]
    for number, (a, b, voice) in enumerate(pieces):
        said[Segment(a, b), number] = voice
    for number, one in enumerate(stretches):
        heard[Segment(one.start_s, one.end_s), number] = str(one.speaker)
    voices = len({voice for _, _, voice in pieces})
    counts: Counts = {
        "voices_known": 1.0,
        "voices_right": float(len({s.speaker for s in stretches}) == voices),
    }
    everything = [Segment(0.0, call.duration_s)]
    for collar in COLLARS_S:
        parts = DiarizationErrorRate(collar=collar)(said, heard, uem=_timeline(everything), detailed=True)
        name = f"der_{collar:g}"
        counts[f"{name}_total"] = parts["total"]
        for component in ("missed detection", "false alarm", "confusion"):
            counts[f"{name}_{component.split()[0]}"] = parts[component]
    return counts


def _timeline(segments: Iterable[object]) -> object:
    from pyannote.core import Timeline

    return Timeline(segments)


def _mask(spans: Iterable[Span], count: int) -> Mask:
    mask = np.zeros(count, dtype=bool)
    for a, b in spans:
        mask[max(round(a * _FRAMES_PER_S), 0) : max(round(b * _FRAMES_PER_S), 0)] = True
    return mask


def _true_masks(call: TrueCall, count: int) -> dict[Role, Mask]:
    return {role: _mask((p for t in call.turns if t.role == role for p in t.pieces), count) for role in ROLES}


def activity_counts(call: TrueCall, spans: Sequence[Sequence[Span]]) -> Counts:
    """Speech missed and invented on each channel, in seconds; overlap of both that one channel missed."""
    count = round(call.duration_s * _FRAMES_PER_S)
    first = call.agent_channel or 0
    truth = _true_masks(call, count)
    heard: dict[Role, Mask] = {
        "agent": _mask(spans[first], count),
        "customer": _mask(spans[1 - first], count),
    }
    both = truth["agent"] & truth["customer"]
    frames = {
        "speech": sum(truth[r].sum() for r in ROLES),
        "speech_missed": sum((truth[r] & ~heard[r]).sum() for r in ROLES),
        "speech_false": sum((heard[r] & ~truth[r]).sum() for r in ROLES),
        "both": 2 * both.sum(),
        "both_missed": sum((both & ~heard[r]).sum() for r in ROLES),
    }
    return {name: float(value) / _FRAMES_PER_S for name, value in frames.items()}


def role_counts(call: TrueCall, hearing: Hearing) -> Counts:
    """Talk time in which one side speaks and one turn is heard, and where that turn is the right side's."""
    count = round(call.duration_s * _FRAMES_PER_S)
    truth = _true_masks(call, count)
    heard = {r: _mask(((t.start_s, t.end_s) for t in hearing.turns if t.role == r), count) for r in ROLES}
    alone = (truth["agent"] ^ truth["customer"]) & (heard["agent"] ^ heard["customer"])
    right = alone & (truth["agent"] == heard["agent"])
    swapped = float(right.sum() * 2 < alone.sum())
    return {
        "role_s": float(alone.sum()) / _FRAMES_PER_S,
        "role_right_s": float(right.sum()) / _FRAMES_PER_S,
        "roles_swapped": swapped,
        "roles_decided": 1.0,
    }


def interruption_counts(call: TrueCall, hearing: Hearing) -> Counts:
    """Interruptions made, heard, and matched: the same side cuts in, within half a second."""
    heard = [e for e in hearing.events if e.kind == "interruption"]
    free = set(range(len(heard)))
    matched = 0
    for one in call.interruptions:
        for number in sorted(free):
            event = heard[number]
            if (
                event.role == one.role
                and event.start_s < one.end_s + _CUT_IN_NEAR_S
                and event.end_s > one.start_s - _CUT_IN_NEAR_S
            ):
                free.discard(number)
                matched += 1
                break
    return {
        f"cut_ins:{call.layout}": len(call.interruptions),
        f"cut_ins_heard:{call.layout}": len(heard),
        f"cut_ins_matched:{call.layout}": matched,
    }


def silence_counts(call: TrueCall, hearing: Hearing) -> Counts:
    """Error of the time in which nobody has a turn, as a share of the call."""
    said = [Turn(t.role, t.start_s, t.end_s, "") for t in call.turns]
    true_s = silence_time(said, duration_s=call.duration_s)
    heard_s = silence_time(hearing.turns, duration_s=hearing.duration_s)
    return {"silence_error": abs(heard_s - true_s) / call.duration_s}
