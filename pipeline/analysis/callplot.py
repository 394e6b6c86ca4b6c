"""A call as a picture: two lanes of turns, marks for events, and the places where rules failed.

Table of contents: `timeline`; `Drawable`, what can be drawn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.analysis.plots import COLOURS, figure
from pipeline.results.api import records
from pipeline.results.labels import VALUES_ZH

if TYPE_CHECKING:
    import pandas as pd

_LANES = {"agent": 2.0, "customer": 1.0}
_MARKS = {
    "filler": ("v", COLOURS["purple"]),
    "interruption": ("X", COLOURS["bad"]),
    "paraphrase": ("o", COLOURS["good"]),
    "paraphrase_due": ("D", COLOURS["doubt"]),
    "agitation": ("^", COLOURS["black"]),
}
_STRETCHES = ("dead_air", "hold")


class Drawable(Protocol):
    """What the picture needs of a call."""

    @property
    def call_id(self) -> str:
        """For the title."""

    @property
    def score(self) -> Mapping[str, Any]:
        """Its row of ``scores``."""

    @property
    def turns(self) -> pd.DataFrame:
        """Its rows of ``turns``."""

    @property
    def verdicts(self) -> pd.DataFrame:
        """Its rows of ``verdicts``."""

    @property
    def events(self) -> pd.DataFrame:
        """Its rows of ``events``."""


def timeline(call: Drawable, ax: Any = None) -> Any:
    """Draw a call.

    Parameters
    ----------
    call : Drawable
        Such as a `pipeline.results.Call`.
    ax : matplotlib.axes.Axes, optional
        By default a figure of its own.

    Returns
    -------
    matplotlib.axes.Axes
        Time in seconds from the start of the recording.
    """
    failed = [
        row for row in records(call.verdicts) if row["verdict"] == "fail" and len(row["evidence"] or ())
    ]
    if ax is None:
        ax = figure(width=11, height=2.7 + 0.27 * len(failed))
    for turn in records(call.turns):
        ax.broken_barh(
            [(turn["start_s"], turn["end_s"] - turn["start_s"])], (_LANES[turn["role"]] - 0.36, 0.72),
            facecolor=COLOURS[turn["role"]], edgecolor="white", linewidth=0.5,
        )  # fmt: skip
    _events(call, ax)
    duration_s = float(call.score["duration_s"])
    places = [2.75 + 0.55 * (index + 1) for index in range(len(failed))]
    for place, row in zip(places, failed, strict=True):
        spans = [(e["start_s"], max(e["end_s"] - e["start_s"], 0.004 * duration_s)) for e in row["evidence"]]
        ax.broken_barh(spans, (place - 0.17, 0.34), facecolor=COLOURS["bad"], hatch="////", edgecolor="white")
    top = (places[-1] if places else 2.4) + 0.4
    ax.set(xlim=(0, duration_s), ylim=(-0.1, top), xlabel="时间（秒，自录音开始）")
    ax.set_yticks(
        [2, 1, 0.25, *places], ["坐席", "客户", "事件", *(f"不通过：{row['name_zh']}" for row in failed)]
    )
    ax.grid(visible=False, axis="y")
    score, grade = call.score["score"], call.score["grade"]
    shown = "无适用项" if math.isnan(score) else f"{score:.1f} 分（{grade}）"
    ax.set_title(f"通话 {call.call_id}　{shown}", loc="left")
    handles, texts = ax.get_legend_handles_labels()
    if handles:
        ax.figure.legend(handles, texts, loc="outside lower center", ncols=len(handles), frameon=False)
    return ax


def _events(call: Drawable, ax: Any) -> None:
    shown: set[str] = set()
    for event in records(call.events):
        kind = event["kind"]
        label = VALUES_ZH["kind"].get(kind, kind) if kind not in shown else None
        if kind in _STRETCHES:
            ax.axvspan(event["start_s"], event["end_s"], color=COLOURS["grey"], alpha=0.35, lw=0, label=label)
        elif kind in _MARKS:
            marker, colour = _MARKS[kind]
            at_s = (event["start_s"] + event["end_s"]) / 2 if kind != "paraphrase_due" else event["start_s"]
            ax.plot(at_s, 0.25, marker, color=colour, markersize=7, linestyle="none", label=label)
        else:
            continue
        shown.add(kind)
