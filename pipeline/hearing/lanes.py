"""Lanes: one for each voice of a call, before anybody knows whose it is.

A stereo call has one lane a channel. A mono call, a stereo file that holds the same sound
twice, and a stereo file with an empty channel have one lane for each voice that the diarizer
tells apart, all on the same samples.

Conventions
-----------
Samples are float32 at 16 kHz; spans are ``(start_s, end_s)``, sorted, not overlapping within a
lane.

Table of contents: `Lane`, `Lanes`, `lanes_of`, `words_by_lane`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.hearing.channels import (
    ChannelLimits,
    gated_spans,
    is_dual_mono,
    separated,
    silent_channels,
)
from pipeline.hearing.turns import clipped, merged
from pipeline.ports import Diarizer, Samples
from pipeline.records import Layout, Word

Span = tuple[float, float]
Activity = Callable[[Samples], Sequence[Span]]
_LEAST_SPEECH_S = 0.35


@dataclass(frozen=True, slots=True, eq=False)
class Lane:
    """One voice: the samples it is heard in and when it speaks.

    Attributes
    ----------
    channel : int
        Of the recording; for a mixed one, the channel that was diarized.
    """

    channel: int
    samples: Samples
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Lanes:
    """All voices of a call.

    Attributes
    ----------
    layout : {"stereo", "mono"}
    hold : tuple of (channel, spans)
        Music and tones, taken out of the lanes.
    announced : tuple of spans
        Recorded announcements, taken out of the lanes (`pipeline.hearing.announcements`).
    notes : tuple of str
        See `pipeline.records.Hearing`.
    """

    layout: Layout
    lanes: tuple[Lane, ...]
    hold: tuple[tuple[int, tuple[Span, ...]], ...] = ()
    notes: tuple[str, ...] = ()
    diarizer: Diarizer | None = None
    announced: tuple[Span, ...] = ()


def _length(spans: Iterable[Span]) -> float:
    return sum(b - a for a, b in spans)


def without(spans: Iterable[Span], holes: Sequence[Span]) -> list[Span]:
    """Cut holes out of spans.

    Examples
    --------
    >>> without([(0.0, 5.0)], [(1.0, 2.0)])
    [(0.0, 1.0), (2.0, 5.0)]
    """
    left = merged(spans)
    for start_s, end_s in holes:
        left = [
            part
            for a, b in left
            for part in ((a, min(b, start_s)), (max(a, end_s), b))
            if part[1] - part[0] > 1e-6
        ]
    return sorted(set(left))


def lanes_of(
    channels: Samples,
    *,
    activity: Activity,
    diarizer: Callable[[], Diarizer],
    limits: ChannelLimits,
    hold: Callable[[Samples], list[Span]],
) -> Lanes:
    """Find the voices of a recording.

    Parameters
    ----------
    channels : ndarray, shape (1 or 2, n)
    activity : callable
        Samples of one channel → spans of speech.
    diarizer : callable
        Called only for a mixed channel: a night of stereo calls loads no diarizer.
    """

    def mixed(samples: Samples, channel: int, *notes: str) -> Lanes:
        held = hold(samples)
        if _length(without(activity(samples), held)) < _LEAST_SPEECH_S:
            return Lanes("mono", (), ((channel, tuple(held)),), notes)
        model = diarizer()
        lanes = _diarized(model, samples, channel, held)
        if len(lanes) > 2:
            notes = (*notes, "third_voice")
        return Lanes("mono", lanes, ((channel, tuple(held)),), notes, model)

    if len(channels) == 1:
        return mixed(channels[0], 0)
    if is_dual_mono(channels, limits=limits):
        return mixed(np.asarray(channels.mean(axis=0), dtype=np.float32), 0, "dual_mono")
    silent = silent_channels(channels, limits=limits)
    if len(silent) == 1:
        live = 1 - silent[0]
        return mixed(channels[live], live, "one_sided")
    parted = separated(channels, limits=limits)
    held = tuple((i, tuple(hold(channels[i]))) for i in (0, 1))
    heard = tuple(without(activity(parted.channels[i]), held[i][1]) for i in (0, 1))
    spans = gated_spans(parted, (heard[0], heard[1]), limits=limits)
    notes: tuple[str, ...] = ("crosstalk",) if any(parted.leaks) else ()
    lanes = tuple(Lane(i, parted.channels[i], tuple(spans[i])) for i in (0, 1))
    speaking = [lane for lane in lanes if _length(lane.spans) >= _LEAST_SPEECH_S]
    if len(speaking) == 1:
        # One channel has noise but no speech: both parties may be mixed in the other.
        live = speaking[0].channel
        return mixed(channels[live], live, "one_sided")
    return Lanes("stereo", lanes, held, notes)


def _diarized(diarizer: Diarizer, samples: Samples, channel: int, held: Sequence[Span]) -> tuple[Lane, ...]:
    stretches = diarizer.stretches(samples)
    lanes = []
    for speaker in sorted({s.speaker for s in stretches}):
        spans = without(((s.start_s, s.end_s) for s in stretches if s.speaker == speaker), held)
        if spans:
            lanes.append(Lane(channel, samples, tuple(spans)))
    return tuple(lanes)


def words_by_lane(words: Sequence[Word], lanes: Sequence[Lane]) -> list[list[Word]]:
    """Give each word of a mixed channel to the voice that speaks there.

    A word goes to the lane that overlaps it most; in an overlap of both, to the one whose
    stretch is the longer (its words are the ones a recogniser follows); outside any, to the nearest.
    """
    given: list[list[Word]] = [[] for _ in lanes]
    for word in words:
        best, best_key = 0, (float("-inf"), float("-inf"))
        for index, lane in enumerate(lanes):
            shared = sum(b - a for a, b in clipped(lane.spans, word.start_s, word.end_s))
            near = min((max(a - word.end_s, word.start_s - b, 0.0), -(b - a)) for a, b in lane.spans)
            # Shares that differ by under a tenth of the word are alike: the longer stretch decides.
            share = round(10.0 * shared / max(word.end_s - word.start_s, 0.02))
            key = (share - near[0] * 100.0, -near[1])
            if key > best_key:
                best, best_key = index, key
        given[best].append(word)
    return given
