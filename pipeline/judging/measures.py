"""Numbers about one call, each a pure function over turns and events.

Conventions
-----------
Seconds (``_s``), characters a minute (``_per_min``), per 100 characters. A number that cannot be
known is None: somebody who never spoke is not slow. Characters are Han characters as read aloud
(`pipeline.mandarin.han_count`).

Table of contents: `speech_rate`, `articulation_rate`, `filler_rate`, `talk_time`, `silence_time`,
`overlap_time`, `interruption_events`, `measures`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipeline.errors import InputError
from pipeline.mandarin import han_count
from pipeline.records import Event, Hearing, Measures, Role, Turn

PAUSE_S = 0.25
_EPSILON_S = 1e-9
Interval = tuple[float, float]


def _own(turns: Sequence[Turn], speaker: Role) -> list[Turn]:
    mine = [turn for turn in turns if turn.role == speaker]
    for turn in mine:
        if turn.end_s < turn.start_s:
            raise InputError(f"a turn ends at {turn.end_s} s before it starts at {turn.start_s} s")
    return mine


def _chars(turn: Turn) -> int:
    return han_count(turn.spoken or turn.text)


def speech_rate(turns: Sequence[Turn], *, speaker: Role) -> float | None:
    """Characters per minute of one speaker (语速, 字/分钟).

    Parameters
    ----------
    turns : sequence of Turn
        One call; turns may overlap.
    speaker : {"agent", "customer"}

    Returns
    -------
    float or None
        Rate >= 0. None if the speaker never spoke.

    Raises
    ------
    InputError
        If a turn ends before it starts.

    Notes
    -----
    ``60 * characters / seconds in the speaker's own turns``. Pauses inside a turn count as time,
    gaps between turns do not. Digits count as read aloud.

    References
    ----------
    三(一)1: 语速适中（120-150字/分钟）.

    Examples
    --------
    >>> t = Turn("agent", start_s=0.0, end_s=6.0, text="您好请问有什么可以帮您")
    >>> speech_rate([t], speaker="agent")
    110.0
    """
    mine = _own(turns, speaker)
    seconds = sum(turn.duration_s for turn in mine)
    return 60 * sum(map(_chars, mine)) / seconds if seconds > _EPSILON_S else None


def articulation_rate(turns: Sequence[Turn], *, speaker: Role, pause_s: float = PAUSE_S) -> float | None:
    """Characters per minute with the pauses taken out (发音速率, 字/分钟).

    Parameters
    ----------
    turns : sequence of Turn
        Only turns that carry word times are used.
    speaker : {"agent", "customer"}
    pause_s : float
        A gap between two words of at least this long is a pause.

    Returns
    -------
    float or None
        None when no turn of the speaker has word times.

    References
    ----------
    .. [1] Goldman-Eisler 1968: pauses from 0.25 s on are hesitation, below they are articulation.

    Examples
    --------
    >>> from pipeline.records import Word
    >>> words = (Word("您好", 0.0, 0.5), Word("请问", 1.5, 2.0))
    >>> articulation_rate([Turn("agent", 0.0, 2.0, "您好请问", words=words)], speaker="agent")
    240.0
    """
    chars, seconds = 0, 0.0
    for turn in _own(turns, speaker):
        if not turn.words:
            continue
        gaps = (
            after.start_s - before.end_s for before, after in zip(turn.words, turn.words[1:], strict=False)
        )
        paused = sum(gap for gap in gaps if gap >= pause_s)
        chars += _chars(turn)
        seconds += max(turn.words[-1].end_s - turn.words[0].start_s - paused, 0.0)
    return 60 * chars / seconds if seconds > _EPSILON_S else None


def filler_rate(count: int, chars: int) -> float | None:
    """Fillers (口头禅) per 100 characters; None when nothing was said.

    Recognisers often omit 嗯 and 呃, so this is a lower bound.

    Examples
    --------
    >>> filler_rate(3, 150)
    2.0
    """
    return 100 * count / chars if chars else None


def _union(turns: Iterable[Turn]) -> list[Interval]:
    merged: list[Interval] = []
    for start, end in sorted((turn.start_s, turn.end_s) for turn in turns):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def talk_time(turns: Sequence[Turn], *, speaker: Role) -> float:
    """Seconds in which the speaker has a turn; overlapping own turns count once."""
    return sum((end - start for start, end in _union(_own(turns, speaker))), 0.0)


def silence_time(turns: Sequence[Turn], *, duration_s: float) -> float:
    """Seconds of the recording in which nobody has a turn (静默时长).

    Examples
    --------
    >>> silence_time([Turn("agent", 1.0, 3.0, "您好")], duration_s=5.0)
    3.0
    """
    spoken = sum((min(end, duration_s) - min(start, duration_s) for start, end in _union(turns)), 0.0)
    return max(duration_s - spoken, 0.0)


def overlap_time(turns: Sequence[Turn]) -> float:
    """Seconds in which both speakers have a turn (叠音).

    Examples
    --------
    >>> overlap_time([Turn("agent", 0.0, 3.0, "您好"), Turn("customer", 2.0, 4.0, "喂")])
    1.0
    """
    agent, customer = _union(_own(turns, "agent")), _union(_own(turns, "customer"))
    total, i, j = 0.0, 0, 0
    while i < len(agent) and j < len(customer):
        total += max(0.0, min(agent[i][1], customer[j][1]) - max(agent[i][0], customer[j][0]))
        if agent[i][1] <= customer[j][1]:
            i += 1
        else:
            j += 1
    return total


@dataclass(frozen=True, slots=True)
class InterruptionLimits:
    """From which overlap on a start counts as cutting in (抢话), when only turn times are known."""

    overlap_s: float = 0.4
    held_s: float = 1.0
    min_chars: int = 4


def interruption_events(turns: Sequence[Turn], limits: InterruptionLimits) -> list[Event]:
    """Turns that begin while the other side is still speaking.

    Parameters
    ----------
    turns : sequence of Turn
        Sorted by start.
    limits : InterruptionLimits
        The other side must have held the floor for ``held_s``, both must then speak together for
        ``overlap_s``, and the new turn must be longer than a backchannel.

    Returns
    -------
    list of Event
        ``role`` is the side that cuts in; the time is that of the overlap.
    """
    found: list[Event] = []
    for place, turn in enumerate(turns):
        if _chars(turn) < limits.min_chars:
            continue
        for other in turns[:place]:
            together = min(turn.end_s, other.end_s) - turn.start_s
            if other.role == turn.role or together < limits.overlap_s:
                continue
            if turn.start_s - other.start_s >= limits.held_s:
                end_s = turn.start_s + together
                found.append(Event("interruption", turn.start_s, end_s, turn.role, turn.text))
                break
    return found


def measures(hearing: Hearing, *, events: Sequence[Event]) -> Measures:
    """All numbers of one call.

    Parameters
    ----------
    hearing : Hearing
    events : sequence of Event
        The hearing's events, or those derived from a transcript (`transcript_events`).
    """
    turns = hearing.turns
    chars = sum(map(_chars, _own(turns, "agent")))
    fillers = sum(event.kind == "filler" and event.role == "agent" for event in events)
    return Measures(
        speech_rate_per_min=speech_rate(turns, speaker="agent"),
        articulation_rate_per_min=articulation_rate(turns, speaker="agent"),
        agent_chars=chars,
        filler_count=fillers,
        filler_per_100=filler_rate(fillers, chars),
        agent_talk_s=talk_time(turns, speaker="agent"),
        customer_talk_s=talk_time(turns, speaker="customer"),
        silence_s=silence_time(turns, duration_s=hearing.duration_s),
        overlap_s=overlap_time(turns),
        interruptions=sum(event.kind == "interruption" and event.role == "agent" for event in events),
    )
