"""Plots that a supervisor can be shown: Chinese, safe for colour-blind eyes, units on the axes.

Table of contents: `COLOURS`, `figure`; `intervals`, `shares`, `histogram`, `heatmap`, `trend`,
`pairs`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.analysis.fonts import use_chinese_fonts
from pipeline.results.labels import VALUES_ZH

if TYPE_CHECKING:
    import pandas as pd

COLOURS: Mapping[str, str] = {
    "agent": "#0072B2", "customer": "#E69F00", "good": "#009E73", "bad": "#D55E00", "doubt": "#CC79A7",
    "none": "#DDDDDD", "grey": "#999999", "purple": "#882E72", "yellow": "#F0E442", "black": "#000000",
    "sky": "#56B4E9",
}  # fmt: skip
"""Okabe & Ito 2008, Color Universal Design: distinguishable with every common colour blindness."""
VERDICT_COLOURS: Mapping[str, str] = {
    "pass": COLOURS["good"], "uncertain": COLOURS["doubt"], "fail": COLOURS["bad"],
    "not_applicable": COLOURS["none"],
}  # fmt: skip


def figure(*, width: float = 9.0, height: float = 4.5) -> Any:
    """Axes of a new figure with a Chinese font and quiet lines; sizes in inches."""
    import matplotlib.pyplot as plt

    use_chinese_fonts()
    _, ax = plt.subplots(figsize=(width, height), layout="constrained")
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(visible=True, color="#E5E5E5", linewidth=0.8)
    ax.set_axisbelow(True)
    return ax


def intervals(
    groups: pd.DataFrame,
    *,
    xlabel: str,
    names: Mapping[Any, str] | None = None,
    band: tuple[float, float] | None = None,
    reference: float | None = None,
    at_most: int = 30,
    title: str = "",
    ax: Any = None,
) -> Any:
    """One line a group: value, interval, count (from `pipeline.analysis.groups`).

    Parameters
    ----------
    groups : pandas.DataFrame
        With ``value, low, high, count``; shares are drawn in percent.
    xlabel : str
        With the unit.
    names : mapping, optional
        What to write for a group instead of its key.
    band : (float, float), optional
        Range that is asked for, drawn as a stripe.
    reference : float, optional
        A line, for instance the mean of all.
    at_most : int
        Of more groups, the highest and the lowest are drawn, half each.
    """
    if groups.empty:
        return _nothing("没有通话数足够的组：放宽条件，或减小 min_count", title, ax)
    share = bool(groups.attrs.get("share"))
    factor = 100.0 if share else 1.0
    shown, cut = groups, None
    if len(groups) > at_most:
        import pandas as pd

        cut = at_most // 2
        shown = pd.concat([groups.head(cut), groups.tail(at_most - cut)])
    ax = ax if ax is not None else figure(width=8.5, height=1.3 + 0.27 * len(shown))
    places = list(range(len(shown)))[::-1]
    values = shown["value"] * factor
    if band is not None:
        ax.axvspan(
            band[0] * factor,
            band[1] * factor,
            color=COLOURS["good"],
            alpha=0.12,
            lw=0,
            zorder=0,
            label="要求范围",
        )
    if reference is not None:
        ax.axvline(reference * factor, color=COLOURS["grey"], linestyle="--", linewidth=1, label="全体平均")
    ax.hlines(places, shown["low"] * factor, shown["high"] * factor, color=COLOURS["agent"], linewidth=2.2)
    ax.plot(values, places, "o", color=COLOURS["agent"], markersize=5)
    ax.set_yticks(
        places, [_name(key, names, int(n)) for key, n in zip(shown.index, shown["count"], strict=True)]
    )
    ax.set_ylim(-0.7, len(shown) - 0.3)
    if cut is not None:
        ax.axhline(places[cut] + 0.5, color=COLOURS["black"], linewidth=0.8, linestyle=":")
        title = f"{title}（最高 {cut} 与最低 {len(shown) - cut}，共 {len(groups)}）"
    confidence = groups.attrs.get("confidence", 0.95)
    ax.set_xlabel(f"{xlabel}；横线为 {100 * confidence:g}% 置信区间")
    ax.grid(visible=False, axis="y")
    ax.set_title(title, loc="left")
    if band is not None or reference is not None:
        ax.legend(loc="lower right", frameon=True, framealpha=0.9)
    return ax


def _name(key: Any, names: Mapping[Any, str] | None, count: int) -> str:
    parts = key if isinstance(key, tuple) else (key,)
    return f"{' '.join(str((names or {}).get(part, part)) for part in parts)}（{count}）"


def shares(verdicts: pd.DataFrame, *, title: str = "", ax: Any = None) -> Any:
    """Verdicts of each rule that applied, as shares of 100 %, the worst rule on top.

    Parameters
    ----------
    verdicts : pandas.DataFrame
        Rows of ``verdicts`` with ``name_zh`` and ``verdict``.
    """
    kinds = ["fail", "uncertain", "pass"]
    due = verdicts[verdicts["verdict"].isin(kinds)]
    counts = (
        due.groupby(["name_zh", "verdict"]).size().unstack(fill_value=0).reindex(columns=kinds, fill_value=0)
    )
    if counts.empty:
        return _nothing("这些通话没有应检的规则", title, ax)
    table = counts.div(counts.sum(axis=1), axis=0).mul(100)
    table = table.sort_values(["fail", "uncertain"])
    ax = ax if ax is not None else figure(width=9.5, height=1.4 + 0.28 * len(table))
    left = table["fail"] * 0
    for kind in kinds:
        ax.barh(
            table.index, table[kind], left=left, height=0.72,
            color=VERDICT_COLOURS[kind], label=VALUES_ZH["verdict"][kind],
        )  # fmt: skip
        left = left + table[kind]
    totals = counts.sum(axis=1)
    ax.set_yticks(range(len(table)), [f"{name}（{totals[name]}）" for name in table.index])
    ax.set(xlim=(0, 100), ylim=(-0.6, len(table) - 0.4), xlabel="占应检通话的比例（%）；括号内为应检通话数")
    ax.grid(visible=False, axis="y")
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False)
    ax.set_title(title, loc="left", pad=24)
    return ax


def histogram(
    values: pd.Series[Any],
    *,
    xlabel: str,
    band: tuple[float, float] | None = None,
    bins: int | Sequence[float] = 40,
    title: str = "",
    ax: Any = None,
) -> Any:
    """How a number is spread over calls, against the range that is asked for."""
    known = values.dropna().astype(float)
    if known.empty:
        return _nothing("这些通话没有这个数值", title, ax)
    ax = ax if ax is not None else figure()
    ax.hist(known, bins=bins, color=COLOURS["agent"], edgecolor="white", linewidth=0.4)
    if band is not None:
        inside = ((known >= band[0]) & (known <= band[1])).mean()
        ax.axvspan(
            *band,
            color=COLOURS["good"],
            alpha=0.15,
            lw=0,
            label=f"要求 {band[0]:g}–{band[1]:g}，{inside:.0%} 在内",
        )
    ax.axvline(known.median(), color=COLOURS["bad"], linestyle="--", label=f"中位数 {known.median():.1f}")
    ax.set(xlabel=xlabel, ylabel="通话数（通）")
    ax.yaxis.get_major_locator().set_params(integer=True)
    ax.legend(frameon=False)
    ax.set_title(title, loc="left")
    return ax


def heatmap(
    table: pd.DataFrame, *, label: str, title: str = "", xlabel: str = "", ylabel: str = "", ax: Any = None
) -> Any:
    """A table of shares (0 to 1) as colours, with percentages written in; empty cells stay white."""
    import matplotlib as mpl

    if table.empty:
        return _nothing("没有可画的数据", title, ax)
    ax = ax if ax is not None else figure(width=4 + 0.9 * table.shape[1], height=2 + 0.36 * table.shape[0])
    values = table.to_numpy(dtype=float) * 100
    image = ax.imshow(values, cmap=mpl.colormaps["cividis"].reversed(), aspect="auto")
    top = image.norm.vmax or 1.0
    for (row, column), value in _cells(values):
        ax.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=8,
                color="white" if value > 0.55 * top else "black")  # fmt: skip
    slanted = any(len(str(name)) > 4 for name in table.columns)
    ax.set_xticks(
        range(table.shape[1]), [str(name) for name in table.columns],
        rotation=25 if slanted else 0, ha="right" if slanted else "center", rotation_mode="anchor",
    )  # fmt: skip
    ax.set_yticks(range(table.shape[0]), [str(name) for name in table.index])
    ax.grid(visible=False)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.set_title(title, loc="left")
    ax.figure.colorbar(image, ax=ax, label=label, pad=0.02)
    return ax


def _cells(values: Any) -> list[tuple[tuple[int, int], float]]:
    import numpy as np

    return [((int(r), int(c)), float(values[r, c])) for r, c in np.argwhere(~np.isnan(values))]


def trend(groups: pd.DataFrame, *, ylabel: str, xlabel: str = "", title: str = "", ax: Any = None) -> Any:
    """Values over an ordered group (day, hour) with their intervals as a ribbon."""
    if groups.empty:
        return _nothing("没有通话数足够的组：放宽条件，或减小 min_count", title, ax)
    ordered = groups.sort_index()
    factor = 100.0 if groups.attrs.get("share") else 1.0
    ax = ax if ax is not None else figure(height=3.8)
    ax.fill_between(ordered.index, ordered["low"] * factor, ordered["high"] * factor, color=COLOURS["sky"],
                    alpha=0.4, lw=0, label="95% 置信区间")  # fmt: skip
    ax.plot(ordered.index, ordered["value"] * factor, "o-", color=COLOURS["agent"], markersize=4)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    if str(ordered.index.dtype).startswith("datetime"):
        from matplotlib import dates

        ax.xaxis.set_major_formatter(dates.DateFormatter("%m-%d"))  # type: ignore[no-untyped-call]
        ax.set_xlim(ordered.index[0], ordered.index[-1])
    ax.legend(frameon=False)
    ax.set_title(title, loc="left")
    return ax


def pairs(
    table: pd.DataFrame, *, xlabel: str, title: str = "", names: tuple[str, str] | None = None, ax: Any = None
) -> Any:
    """Two shares (0 to 1) a line, joined: what differs between two groups of calls.

    Parameters
    ----------
    table : pandas.DataFrame
        Two columns of shares; the first line is drawn on top.
    xlabel : str
        With the unit, percent.
    names : (str, str), optional
        Of the two columns; by default what they are called.
    """
    known = table.dropna()
    if known.empty or known.shape[1] != 2:
        return _nothing("没有可比的两组", title, ax)
    ax = ax if ax is not None else figure(height=1.5 + 0.32 * len(known))
    one, other = (known.iloc[:, 0] * 100, known.iloc[:, 1] * 100)
    places = list(range(len(known)))[::-1]
    ax.hlines(places, one, other, color=COLOURS["grey"], linewidth=1.5)
    shown = names or (str(known.columns[0]), str(known.columns[1]))
    ax.plot(one, places, "o", color=COLOURS["bad"], label=shown[0])
    ax.plot(other, places, "s", color=COLOURS["agent"], label=shown[1])
    ax.set_yticks(places, [str(name) for name in known.index])
    ax.set(xlabel=xlabel, ylim=(-0.7, len(known) - 0.3))
    ax.grid(visible=False, axis="y")
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
    ax.set_title(title, loc="left", pad=24)
    return ax


def _nothing(why: str, title: str, ax: Any) -> Any:
    """Say in the picture that there is nothing to draw: an empty plot would look like a fault."""
    ax = ax if ax is not None else figure(height=1.4)
    ax.text(0.5, 0.5, why, ha="center", va="center", transform=ax.transAxes, color=COLOURS["grey"])
    ax.set_axis_off()
    ax.set_title(title, loc="left")
    return ax
