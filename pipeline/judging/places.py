"""What is found in a call while it is judged, and where it is looked for: records only.

Table of contents: `Mark`, `Moment`, `Floor`, `Place`, `Window`.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.judging.phrases import Hit
from pipeline.records import Evidence, Role

FOREVER_S = float("inf")


@dataclass(frozen=True, slots=True)
class Mark:
    """A hit of a phrase set: surely said, or near enough to be in doubt."""

    hit: Hit
    phrase: str
    is_sure: bool


@dataclass(frozen=True, slots=True)
class Moment:
    """Something happened that a rule waits for."""

    name_zh: str
    role: Role | None
    turn: int
    start_s: float
    end_s: float
    quote: str
    confidence: float
    is_sure: bool

    def evidence(self) -> Evidence:
        """Return the seconds to listen to."""
        return Evidence(self.start_s, self.end_s, self.role, self.quote)


@dataclass(frozen=True, slots=True)
class Floor:
    """A stretch of one role's turns with nothing but backchannels of the other side between them."""

    role: Role
    turns: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a call something is looked for; nothing set means anywhere.

    Attributes
    ----------
    opening_turns, closing_turns : int or None
        The role's first or last n turns (floors); with ``_s`` as well, either suffices.
    after, before, around : str or None
        Name of a moment, or ``this`` for the moment that made the rule due.
    turns, within_s : int or float or None
        How far from that moment.
    until : str or None
        The window ends where this moment next happens.
    """

    opening_turns: int | None = None
    opening_s: float | None = None
    closing_turns: int | None = None
    closing_s: float | None = None
    after: str | None = None
    before: str | None = None
    around: str | None = None
    turns: int | None = None
    within_s: float | None = None
    until: str | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """A place found in one call: turn numbers, and the seconds between which hits count."""

    turns: tuple[int, ...]
    from_s: float = 0.0
    to_s: float = FOREVER_S
