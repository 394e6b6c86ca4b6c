"""Groups of calls compared: counts, values, intervals, and the same mix of calls for everybody.

Table of contents: `by_group`, `standardised`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.analysis.intervals import bootstrap_means, mean_interval, wilson
from pipeline.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

MIN_COUNT = 20


def by_group(
    frame: pd.DataFrame,
    group: str | Sequence[str],
    value: str,
    *,
    min_count: int = MIN_COUNT,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Mean or share of each group, with its interval.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row a call (or a verdict).
    group : str or sequence of str
        Column or columns to group by.
    value : str
        A column of numbers (bootstrapped mean) or of true and false (share, Wilson interval). Rows in
        which it is unknown are left out.
    min_count : int
        Groups with fewer known rows are left out; how many is in ``attrs["left_out"]``.
    confidence : float

    Returns
    -------
    pandas.DataFrame
        Indexed by group, columns ``count, value, low, high``, highest value first.

    Raises
    ------
    InputError
        If a column is missing.

    Notes
    -----
    Of many groups that do not differ, one in twenty 95 % intervals misses the common value by chance. To
    single out agents among a hundred, use ``confidence=0.999``.

    Examples
    --------
    >>> import pandas as pd
    >>> calls = pd.DataFrame({"agent_id": ["7"] * 20 + ["8"] * 5, "fast": [True] * 5 + [False] * 20})
    >>> by_group(calls, "agent_id", "fast").round(2)
              count  value   low  high
    agent_id
    7            20   0.25  0.11  0.47
    """
    import pandas as pd

    keys = [group] if isinstance(group, str) else list(group)
    known = _known(frame, keys, value)
    share = pd.api.types.is_bool_dtype(known[value])
    rows: list[dict[str, Any]] = []
    left_out = 0
    for key, part in known.groupby(keys if len(keys) > 1 else keys[0], sort=True):
        if len(part) < min_count:
            left_out += 1
            continue
        values = part[value].to_numpy(dtype=float)
        low, high = (
            wilson(int(values.sum()), len(values), confidence) if share else mean_interval(values, confidence)
        )
        names = key if isinstance(key, tuple) else (key,)
        rows.append(
            {**dict(zip(keys, names, strict=True)), "count": len(values), "value": values.mean(),
             "low": low, "high": high}
        )  # fmt: skip
    result = pd.DataFrame(rows, columns=[*keys, "count", "value", "low", "high"]).set_index(keys)
    result = result.sort_values("value", ascending=False, kind="stable")
    result.attrs = {"left_out": left_out, "value": value, "share": share, "confidence": confidence}
    return result


def standardised(
    frame: pd.DataFrame,
    group: str,
    value: str,
    *,
    by: str = "business",
    min_count: int = MIN_COUNT,
    min_cell: int = 5,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Compare groups as if all had the same mix of calls (direct standardisation).

    An agent who takes complaints scores lower than one who takes queries; that is no fault. Here each
    kind of call counts for everybody as much as it does among all calls.

    Parameters
    ----------
    frame, group, value, min_count, confidence
        As for `by_group`; one column of groups.
    by : str
        Kind of call.
    min_cell : int
        Kinds of which a group has fewer rows say nothing about it; at least 2.

    Returns
    -------
    pandas.DataFrame
        Indexed by group, columns ``count, raw, value, low, high, covered``, highest value first.
        ``covered`` is the share of all calls whose kind the group has: the value speaks for those only.
        Two groups that cover different kinds cannot be compared.

    Notes
    -----
    Shares: Wilson limits of each kind, combined by the method of variance estimates recovery [1]_.
    Numbers: bootstrap within each kind.

    References
    ----------
    .. [1] Zou & Donner 2008, Stat. Med. 27:1693.

    Examples
    --------
    >>> import pandas as pd
    >>> calls = pd.DataFrame({
    ...     "team": ["a"] * 30 + ["b"] * 30,
    ...     "business": ["query"] * 20 + ["complaint"] * 10 + ["query"] * 10 + ["complaint"] * 20,
    ...     "score": [90.0] * 20 + [60.0] * 10 + [90.0] * 10 + [60.0] * 20,
    ... })
    >>> standardised(calls, "team", "score")[["raw", "value"]]
          raw  value
    team
    a    80.0   75.0
    b    70.0   75.0
    """
    import pandas as pd

    if min_cell < 2:
        raise InputError(f"min_cell is {min_cell}, expected at least 2: one call has no spread")
    known = _known(frame, [group, by], value)
    share = pd.api.types.is_bool_dtype(known[value])
    mix = known[by].value_counts(normalize=True)
    rows: list[dict[str, Any]] = []
    left_out = 0
    for key, part in known.groupby(group, sort=True):
        cells = [cell for _, cell in part.groupby(by, sort=True) if len(cell) >= min_cell]
        if len(part) < min_count or not cells:
            left_out += 1
            continue
        weights = np.array([mix[cell[by].iloc[0]] for cell in cells])
        values = [cell[value].to_numpy(dtype=float) for cell in cells]
        middle, low, high = _combined(values, weights / weights.sum(), share=share, confidence=confidence)
        rows.append(
            {group: key, "count": len(part), "raw": float(part[value].mean()), "value": middle,
             "low": low, "high": high, "covered": weights.sum()}
        )  # fmt: skip
    names = [group, "count", "raw", "value", "low", "high", "covered"]
    result = pd.DataFrame(rows, columns=names).set_index(group)
    result = result.sort_values("value", ascending=False, kind="stable")
    result.attrs = {
        "left_out": left_out, "value": value, "share": share, "confidence": confidence,
        "mix": mix.to_dict(),
    }  # fmt: skip
    return result


def _combined(
    values: Sequence[Any], weights: Any, *, share: bool, confidence: float
) -> tuple[float, float, float]:
    means = np.array([cell.mean() for cell in values])
    middle = float(weights @ means)
    if share:
        limits = np.array([wilson(int(cell.sum()), len(cell), confidence) for cell in values])
        down = math.sqrt(float((weights**2) @ (means - limits[:, 0]) ** 2))
        up = math.sqrt(float((weights**2) @ (limits[:, 1] - means) ** 2))
        return middle, max(0.0, middle - down), min(1.0, middle + up)
    draws = sum(
        weight * bootstrap_means(cell, seed=index)
        for index, (weight, cell) in enumerate(zip(weights, values, strict=True))
    )
    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(draws, [tail, 100 - tail])
    return middle, float(low), float(high)


def _known(frame: pd.DataFrame, keys: Sequence[str], value: str) -> pd.DataFrame:
    missing = [name for name in (*keys, value) if name not in frame.columns]
    if missing:
        raise InputError(
            f"no column {', '.join(missing)}; expected some of: {', '.join(map(str, frame.columns))}"
        )
    known = frame[[*keys, value]].dropna()
    if known[value].dtype == object:  # true and false with gaps arrive as objects
        known = known.assign(**{value: known[value].astype(bool)})
    return known.astype({value: bool}) if str(known[value].dtype) == "boolean" else known
