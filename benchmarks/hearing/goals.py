"""What hearing is meant to reach, and whether it does, set by set.

Table of contents: `Goal`, `GOALS`, `goals_table`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any, Literal

_GENERATED = ("data_samples", "dev", "heldout")
_CALLS = ("human-call", "human-clips")


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure, the sets it is wanted on (names or patterns), and what is wanted."""

    words: str
    figure: str
    sets: tuple[str, ...]
    sign: Literal["≤", "≥"]
    wanted: float
    decimals: int = 1

    def is_reached(self, value: float) -> bool:
        """Whether a value is good enough, as it is printed."""
        shown = round(value, self.decimals)
        return shown <= self.wanted if self.sign == "≤" else shown >= self.wanted


GOALS: tuple[Goal, ...] = (
    Goal("CER, synthetic telephone calls, %", "cer", _GENERATED, "≤", 14.0),
    Goal("CER, human, telephone band, agent, %", "cer_agent", ("human-words",), "≤", 8.5),
    Goal("CER, human, telephone band, all, %", "cer", ("human-words",), "≤", 11.0),
    Goal("fillers, synthetic, F1, %", "filler_f1", _GENERATED, "≥", 70.0),
    Goal("fillers invented a minute", "filler_inventions_per_min", _GENERATED, "≤", 0.2, 2),
    Goal("mandated phrases as judged, recall, %", "set_recall", _GENERATED, "≥", 97.0),
    Goal("… false hits", "set_false", _GENERATED, "≤", 0.0, 0),
    Goal("speech rate, median error, %", "rate_error", (*_GENERATED, "human-words"), "≤", 4.0),
    Goal("mono DER, collar 0.25, human calls, %", "der_0.25", _CALLS, "≤", 3.5),
    Goal("mono DER, collar 0.25, textbook dialogues, %", "der_0.25", ("human-textbook",), "≤", 5.0),
    Goal("role right, % of talk time", "roles", _GENERATED, "≥", 98.0),
    Goal("stereo, −15 dB crosstalk: speech missed, %", "speech_missed", _CALLS, "≤", 3.0),
    Goal("stereo, −15 dB crosstalk: speech invented, %", "speech_false", _CALLS, "≤", 2.0),
    Goal("stereo, −15 dB crosstalk: overlap missed, %", "overlap_missed", _CALLS, "≤", 10.0),
    Goal("interruptions, stereo, F1, %", "cut_in_f1_stereo", ("human-call",), "≥", 85.0),
    Goal("interruptions, mono, F1, %", "cut_in_f1_mono", ("human-call",), "≥", 85.0),
    Goal("real-time factor, stereo, on the clock", "rtf_wall_stereo", _GENERATED, "≤", 0.10, 3),
    Goal("… CPU seconds a second", "rtf_cpu_stereo", _GENERATED, "≤", 0.10, 3),
    Goal("real-time factor, mono, on the clock", "rtf_wall_mono", _GENERATED, "≤", 0.15, 3),
    Goal("… CPU seconds a second", "rtf_cpu_mono", _GENERATED, "≤", 0.15, 3),
)


def goals_table(sets: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Markdown: a row a goal that was measured; where it is not reached, the value stands in italics."""
    lines = ["| goal | wanted | measured |", "|---|---|---|"]
    for goal in GOALS:
        cells = []
        for name, one in sets.items():
            value = one["figures"].get(goal.figure)
            if value is None or not any(fnmatch(name, pattern) for pattern in goal.sets):
                continue
            shown = f"{value:.{goal.decimals}f}"
            cells.append(f"`{name}` {shown if goal.is_reached(value) else f'*{shown}, not reached*'}")
        if cells:
            lines.append(f"| {goal.words} | {goal.sign} {goal.wanted:g} | {'; '.join(cells)} |")
    return lines
