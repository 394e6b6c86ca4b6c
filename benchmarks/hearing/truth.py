"""What is known of a call that is used for measuring.

Conventions
-----------
Times are seconds from the start of the recording. A true turn is what one person says until another has the
floor; its *pieces* are the stretches between pauses.

Table of contents: `Piece`, `TrueTurn`, `TrueFiller`, `TrueInterruption`, `TrueCall`, `Counts`, `added`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pipeline.hearing.audio import Recording
from pipeline.records import CallRecord, Layout, Role

Counts = dict[str, float]
"""Errors and what they are errors of, by name."""


@dataclass(frozen=True, slots=True)
class TrueTurn:
    """What one person says.

    Attributes
    ----------
    voice : str
        Who speaks; two agents are two voices of one role.
    pieces : tuple of (start_s, end_s)
        Speech without the pauses between.
    backchannel : bool
        Said while the other side keeps the floor (附和).
    """

    role: Role
    voice: str
    start_s: float
    end_s: float
    text: str | None
    pieces: tuple[tuple[float, float], ...]
    backchannel: bool = False


@dataclass(frozen=True, slots=True)
class TrueFiller:
    """A filler (口头禅) and who says it."""

    role: Role
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class TrueInterruption:
    """Who cuts in, and the time in which both speak."""

    role: Role
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class TrueCall:
    """A call and the truth about it.

    Attributes
    ----------
    audio : callable
        Gives the recording; called when the call is heard, so that a set needs no memory.
    fillers : tuple of TrueFiller or None
        None: nobody has marked the fillers of this call.
    rate_per_min : float or None
        True speech rate of the agent.
    snr_db : mapping of role to float
        True speech-to-noise ratio, where known.
    has_words : bool
        Whether the texts of all turns are known.
    """

    id: str
    call: CallRecord
    audio: Callable[[], Recording]
    duration_s: float
    layout: Layout
    agent_channel: int | None
    turns: tuple[TrueTurn, ...]
    fillers: tuple[TrueFiller, ...] | None = None
    interruptions: tuple[TrueInterruption, ...] = ()
    rate_per_min: float | None = None
    snr_db: tuple[tuple[Role, float], ...] = ()
    has_words: bool = True


def added(counts: Iterable[Counts]) -> Counts:
    """Sum counts by name.

    Examples
    --------
    >>> added([{"a": 1.0}, {"a": 2.0, "b": 3.0}])
    {'a': 3.0, 'b': 3.0}
    """
    total: Counts = {}
    for one in counts:
        for name, value in one.items():
            total[name] = total.get(name, 0.0) + value
    return total
