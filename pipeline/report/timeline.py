"""The timeline of one call as geometry: two lanes, silences, overlaps, marks, and the speech rate below.

Coordinates are those of an SVG of `HEIGHT` units; one second is `PER_S` units wide. The template draws.

Table of contents: `Box`, `Mark`, `Rate`, `Timeline`, `timeline`, `ledger_lines`, `LedgerLine`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from pipeline.mandarin import han_count
from pipeline.records import Event, Role, Turn

HEIGHT = 300
LEFT = 64
_WIDTH_MIN, _PER_S_MIN = 1000.0, 5.0
SILENCE_SHOWN_S = 2.0
_RATE_CHARS_MIN = 6
RATE_TOP, RATE_BOTTOM = 206.0, 286.0


@dataclass(frozen=True, slots=True)
class Box:
    """A stretch of time: its place, and what to say about it."""

    x: float
    width: float
    start_s: float
    end_s: float
    label: str
    role: Role | None = None
    turn: int | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment: its place, its kind, and what to say about it."""

    x: float
    start_s: float
    kind: str
    label: str
    role: Role | None = None


@dataclass(frozen=True, slots=True)
class Rate:
    """The speech rate of one agent turn, characters a minute."""

    x: float
    width: float
    y: float
    start_s: float
    per_min: float
    inside: bool


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """One line of the paraphrase ledger: due (met or not), or made."""

    kind: str
    at_s: float
    met_s: float | None = None


@dataclass(frozen=True, slots=True)
class Timeline:
    """All that the picture shows."""

    width: float
    per_s: float
    duration_s: float
    ticks: tuple[Mark, ...]
    turns: tuple[Box, ...]
    silences: tuple[Box, ...]
    overlaps: tuple[Box, ...]
    marks: tuple[Mark, ...]
    rates: tuple[Rate, ...]
    band_y: tuple[float, float] | None
    band_per_min: tuple[float, float] | None
    rate_max: float


def timeline(
    turns: Sequence[Turn],
    events: Sequence[Event],
    *,
    duration_s: float,
    band_per_min: tuple[float, float] | None,
) -> Timeline:
    """Lay out one call.

    Parameters
    ----------
    turns : sequence of Turn
        Sorted by start.
    events : sequence of Event
        Heard and judged.
    duration_s : float
    band_per_min : (float, float) or None
        Limits of the speech rate in the rulebook.
    """
    length = max(duration_s, *(turn.end_s for turn in turns), 1.0) if turns else max(duration_s, 1.0)
    per_s = max((_WIDTH_MIN - LEFT) / length, _PER_S_MIN)

    def x(second: float) -> float:
        return round(LEFT + second * per_s, 2)

    def box(
        start_s: float, end_s: float, label: str, role: Role | None = None, turn: int | None = None
    ) -> Box:
        return Box(
            x(start_s), round(max((end_s - start_s) * per_s, 1.0), 2), start_s, end_s, label, role, turn
        )

    rates = [(turn, rate) for turn in turns if (rate := _rate(turn)) is not None]
    low, high = band_per_min or (0.0, float("inf"))
    top = max([high if band_per_min else 200.0, *(rate for _, rate in rates)]) * 1.15

    def y(per_min: float) -> float:
        return round(RATE_BOTTOM - (RATE_BOTTOM - RATE_TOP) * min(per_min / top, 1.0), 2)

    return Timeline(
        width=round(LEFT + length * per_s + 16, 2),
        per_s=per_s,
        duration_s=length,
        ticks=tuple(Mark(x(second), second, "tick", "") for second in _ticks(length, per_s)),
        turns=tuple(box(t.start_s, t.end_s, "", t.role, i) for i, t in enumerate(turns)),
        silences=tuple(box(a, b, f"静默 {b - a:.1f} 秒") for a, b in _silences(turns, length)),
        overlaps=tuple(box(a, b, f"叠音 {b - a:.1f} 秒") for a, b in _overlaps(turns)),
        marks=_marks(events, x),
        rates=tuple(
            Rate(x(t.start_s), round((t.end_s - t.start_s) * per_s, 2), y(r), t.start_s, r, low <= r <= high)
            for t, r in rates
        ),
        band_y=None if band_per_min is None else (y(high), y(low)),
        band_per_min=band_per_min,
        rate_max=top,
    )


def ledger_lines(events: Sequence[Event]) -> list[LedgerLine]:
    """The paraphrase ledger from its events: the next confirmation meets a due unless one more comes first.

    Examples
    --------
    >>> due, made = Event("paraphrase_due", 30, 30), Event("paraphrase", 41, 43)
    >>> [(line.kind, line.met_s) for line in ledger_lines([due, made])]
    [('due', 41), ('made', None)]
    """
    kept = sorted(
        (event for event in events if event.kind in ("paraphrase_due", "paraphrase")),
        key=lambda event: (event.start_s, event.kind == "paraphrase"),
    )
    found: list[LedgerLine] = []
    for event, after in pairwise([*kept, None]):
        if event is None:
            continue
        if event.kind == "paraphrase":
            found.append(LedgerLine("made", event.start_s))
        else:
            met = after.start_s if after is not None and after.kind == "paraphrase" else None
            found.append(LedgerLine("due", event.start_s, met))
    return found


_EVENT_ZH = {
    "filler": "口头禅",
    "interruption": "抢话",
    "dead_air": "冷场",
    "agitation": "情绪激动",
    "hold": "等待音",
    "noise": "背景人声或音乐",
    "do_not_call": "要求勿扰",
}


def _marks(events: Sequence[Event], x: Callable[[float], float]) -> tuple[Mark, ...]:
    found = [
        Mark(x(event.start_s), event.start_s, event.kind, _EVENT_ZH.get(event.kind, event.kind), event.role)
        for event in events
        if event.kind not in ("paraphrase", "paraphrase_due")
    ]
    for line in ledger_lines(events):
        if line.kind == "made":
            found.append(Mark(x(line.at_s), line.at_s, "paraphrase", "已复述确认", "agent"))
        elif line.met_s is None:
            found.append(Mark(x(line.at_s), line.at_s, "missed", "应复述确认，未做", "agent"))
        else:
            found.append(Mark(x(line.at_s), line.at_s, "due", "应复述确认，已做", "agent"))
    return tuple(sorted(found, key=lambda mark: mark.start_s))


def _rate(turn: Turn) -> float | None:
    if turn.role != "agent" or turn.duration_s <= 0.5:
        return None
    count = han_count(turn.spoken or turn.text)
    return 60 * count / turn.duration_s if count >= _RATE_CHARS_MIN else None


def _ticks(length: float, per_s: float) -> list[float]:
    step = next((s for s in (5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0) if s * per_s >= 60), 600.0)
    return [i * step for i in range(int(length // step) + 1)]


def _union(turns: Sequence[Turn]) -> list[tuple[float, float]]:
    merged: list[tuple[float, float]] = []
    for start, end in sorted((turn.start_s, turn.end_s) for turn in turns):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def _silences(turns: Sequence[Turn], length: float) -> list[tuple[float, float]]:
    edges = [(0.0, 0.0), *_union(turns), (length, length)]
    gaps = [(before[1], after[0]) for before, after in pairwise(edges)]
    return [(a, b) for a, b in gaps if b - a >= SILENCE_SHOWN_S]


def _overlaps(turns: Sequence[Turn]) -> list[tuple[float, float]]:
    sides = [_union([turn for turn in turns if turn.role == role]) for role in ("agent", "customer")]
    found = [
        (max(a[0], b[0]), min(a[1], b[1]))
        for a in sides[0]
        for b in sides[1]
        if min(a[1], b[1]) - max(a[0], b[0]) >= 0.1
    ]
    return sorted(found)
