"""Whether a recording can be judged at all: who is heard on it, and whether the level was too high.

No model is needed: activity is found by level and webrtcvad, as in hearing. This is what the morning
inspection (一(二)1 系统巡检) asks of the recorder, not a judgement of the call.

Conventions
-----------
Shares are in [0, 1], times in seconds.

Table of contents: `SoundnessLimits`, `Fault`, `faults`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipeline.hearing.activity import Activity, ActivityLimits, activity
from pipeline.hearing.audio import Recording, to_16k
from pipeline.hearing.conversation import LineLimits
from pipeline.hearing.line import clipped_share
from pipeline.records import CallRecord

FaultKind = Literal["silent", "one_sided", "clipped"]


@dataclass(frozen=True, slots=True)
class SoundnessLimits:
    """When a recording is worth somebody's attention.

    Attributes
    ----------
    clipped_share : float
        Share of samples in runs at full scale. Loud but sound telephone calls stay under a tenth of this.
    min_speech_s : float
        A side on which less than this is spoken carries nobody.
    """

    clipped_share: float = 0.001
    min_speech_s: float = 0.35


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a recording."""

    kind: FaultKind
    detail: str


def faults(
    audio: Recording, call: CallRecord | None, *, line: LineLimits, limits: SoundnessLimits | None = None
) -> tuple[Fault, ...]:
    """Find what is wrong with the sound of a recording.

    Parameters
    ----------
    audio : Recording
    call : CallRecord or None
        Its ``agent_channel`` lets a missing side be named.
    line : LineLimits
        What counts as clipping.
    limits : SoundnessLimits, optional

    Returns
    -------
    tuple of Fault
        Empty for a sound recording. ``one_sided`` can be told of two-channel recordings only.

    Examples
    --------
    >>> import numpy as np
    >>> from pipeline.hearing.conversation import load_conversation
    >>> quiet = Recording(np.zeros((2, 80000), np.float32), 8000, 10.0, "wav/alaw")
    >>> [fault.kind for fault in faults(quiet, None, line=load_conversation().line)]
    ['silent']
    """
    limits = limits or SoundnessLimits()
    bounds = ActivityLimits(min_speech_s=limits.min_speech_s)
    sides = [activity(channel, limits=bounds) for channel in to_16k(audio)]
    found: list[Fault] = []
    heard = [side.speech_s >= limits.min_speech_s for side in sides]
    if not any(heard):
        levels = "、".join(f"{side.floor_db:.0f} dBFS" for side in sides)
        found.append(Fault("silent", f"{audio.duration_s:.1f} 秒内无人说话（线路电平 {levels}）；请检查线路"))
    elif not all(heard):
        found.append(Fault("one_sided", _one_sided(sides, heard.index(False), call)))
    share = clipped_share(audio.samples, limits=line, codec=audio.codec)
    if share >= limits.clipped_share:
        found.append(
            Fault(
                "clipped",
                f"{share:.2%} 的采样达到满幅（上限 {limits.clipped_share:.2%}）；请调低录音电平",
            )
        )
    return tuple(found)


def _one_sided(sides: list[Activity], empty: int, call: CallRecord | None) -> str:
    side = f"声道 {empty}"
    if call is not None and call.agent_channel is not None:
        side += "（坐席）" if call.agent_channel == empty else "（客户）"
    return f"{side}无人说话，另一声道有 {sides[1 - empty].speech_s:.1f} 秒语音；请检查该路录音接线"
