"""How sure a share or a mean is.

Table of contents: `wilson`, `mean_interval`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.disputes import agreement
from pipeline.errors import InputError

SEED = 20260101
_DRAWS = 2000
_CHUNK_VALUES = 4_000_000


def wilson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of a share, also where it is near 0 or 1 or ``n`` is small.

    Parameters
    ----------
    successes, n : int
        ``0 <= successes <= n``.
    confidence : float
        In (0, 1).

    Returns
    -------
    low, high : float
        ``(0, 1)`` when nothing was observed.

    Raises
    ------
    InputError
        If the numbers make no share.

    References
    ----------
    .. [1] Wilson 1927, J. Am. Stat. Assoc. 22:209.

    Examples
    --------
    >>> [round(limit, 3) for limit in wilson(2, 20)]
    [0.028, 0.301]
    >>> wilson(0, 0)
    (0.0, 1.0)
    """
    if not 0 < confidence < 1:
        raise InputError(f"confidence is {confidence}, expected more than 0 and less than 1, such as 0.95")
    if not 0 <= successes <= n:
        raise InputError(f"{successes} of {n} is no share; expected 0 <= successes <= n")
    found = agreement.wilson(successes, n, confidence=confidence)
    if found is None:
        return 0.0, 1.0
    return min(found[0], successes / n), max(found[1], successes / n)  # rounding, at 0 and at 1


def mean_interval(
    values: Sequence[float] | NDArray[Any], confidence: float = 0.95, *, draws: int = _DRAWS, seed: int = SEED
) -> tuple[float, float]:
    """Interval of a mean by the bootstrap; the same values give the same interval.

    Parameters
    ----------
    values : sequence of float
        Unknown values (NaN) are left out.
    confidence : float
    draws : int
        Bootstrap samples.
    seed : int

    Returns
    -------
    low, high : float
        NaN for fewer than two values: one call says nothing about the next.

    References
    ----------
    .. [1] Efron & Tibshirani 1993, An Introduction to the Bootstrap (percentile interval).

    Examples
    --------
    >>> low, high = mean_interval([90.0, 95.0, 100.0, 60.0, 85.0])
    >>> 60 < low < 86 < high < 100
    True
    """
    known = np.asarray(values, dtype=float)
    known = known[~np.isnan(known)]
    if len(known) < 2:
        return math.nan, math.nan
    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(bootstrap_means(known, draws, seed), [tail, 100 - tail])
    return float(low), float(high)


def bootstrap_means(known: NDArray[Any], draws: int = _DRAWS, seed: int = SEED) -> NDArray[Any]:
    """Means of ``draws`` samples with replacement, shape ``(draws,)``; memory stays bounded."""
    random = np.random.default_rng(seed)
    step = max(1, _CHUNK_VALUES // len(known))
    parts = [
        known[random.integers(0, len(known), (min(step, draws - start), len(known)))].mean(axis=1)
        for start in range(0, draws, step)
    ]
    return np.concatenate(parts)
