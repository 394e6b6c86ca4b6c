"""How sure a share is, and how far two judges agree.

Conventions
-----------
Shares lie in [0, 1]. An interval is (low, high). What cannot be known from the data is None, never 0.

Table of contents: `wilson`, `Kappa`, `cohen_kappa`, `machine_kappa`, `reviewer_kappas`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import sqrt
from statistics import NormalDist

from pipeline.disputes.reviews import Review


def wilson(hits: int, total: int, *, confidence: float = 0.95) -> tuple[float, float] | None:
    """Wilson's score interval of a share.

    Parameters
    ----------
    hits, total : int
        ``0 <= hits <= total``.
    confidence : float
        In (0, 1).

    Returns
    -------
    (float, float) or None
        None when ``total`` is 0.

    References
    ----------
    .. [1] E. B. Wilson 1927, Probable inference, the law of succession, and statistical inference.

    Examples
    --------
    >>> low, high = wilson(8, 10)
    >>> round(low, 3), round(high, 3)
    (0.49, 0.943)
    >>> wilson(0, 0) is None
    True
    """
    if not 0 <= hits <= total:
        raise ValueError(f"{hits} of {total}: expected 0 <= hits <= total")
    if total == 0:
        return None
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = hits / total
    scale = 1 + z * z / total
    middle = (share + z * z / (2 * total)) / scale
    half = z * sqrt(share * (1 - share) / total + z * z / (4 * total * total)) / scale
    low = 0.0 if hits == 0 else max(middle - half, 0.0)
    return low, 1.0 if hits == total else min(middle + half, 1.0)


@dataclass(frozen=True, slots=True)
class Kappa:
    """Agreement beyond chance.

    Attributes
    ----------
    value : float or None
        In [-1, 1]; None when nothing was judged twice, or chance alone would agree always.
    low, high : float or None
        Interval by the large-sample standard error.
    units : int
        What both judged.
    observed, expected : float
        Share of agreement, and of agreement by chance.
    """

    value: float | None
    low: float | None
    high: float | None
    units: int
    observed: float
    expected: float


def cohen_kappa(pairs: Sequence[tuple[Hashable, Hashable]], *, confidence: float = 0.95) -> Kappa:
    """Cohen's kappa of two judges over the same units.

    Parameters
    ----------
    pairs : sequence of (first judge's answer, second judge's answer)
    confidence : float

    References
    ----------
    .. [1] J. Cohen 1960, A coefficient of agreement for nominal scales.

    Examples
    --------
    >>> pairs = [("y", "y")] * 20 + [("y", "n")] * 5 + [("n", "y")] * 10 + [("n", "n")] * 15
    >>> round(cohen_kappa(pairs).value, 3)
    0.4
    """
    units = len(pairs)
    if not units:
        return Kappa(None, None, None, 0, 0.0, 0.0)
    answers = {answer for pair in pairs for answer in pair}
    observed = sum(first == second for first, second in pairs) / units
    expected = sum(
        sum(first == answer for first, _ in pairs) * sum(second == answer for _, second in pairs)
        for answer in answers
    ) / (units * units)
    if expected >= 1.0 - 1e-12:
        return Kappa(None, None, None, units, observed, expected)
    value = (observed - expected) / (1 - expected)
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    half = z * sqrt(max(observed * (1 - observed), 0.0) / units) / (1 - expected)
    return Kappa(value, max(value - half, -1.0), min(value + half, 1.0), units, observed, expected)


def machine_kappa(reviews: Iterable[Review], *, rule_id: str | None = None) -> Kappa:
    """Agreement of reviewers with the machine, each person's latest answer on each rule of each call."""
    return cohen_kappa(
        [
            (review.machine_verdict, review.verdict)
            for review in _latest(reviews)
            if rule_id is None or review.rule_id == rule_id
        ]
    )


def reviewer_kappas(reviews: Iterable[Review]) -> dict[tuple[str, str], Kappa]:
    """Agreement of every two reviewers on what both of them reviewed."""
    answers: dict[str, dict[tuple[str, str], str]] = {}
    for review in _latest(reviews):
        answers.setdefault(review.person, {})[review.call_id, review.rule_id] = review.verdict
    found: dict[tuple[str, str], Kappa] = {}
    for first, second in combinations(sorted(answers), 2):
        shared = sorted(answers[first].keys() & answers[second].keys())
        if shared:
            found[first, second] = cohen_kappa(
                [(answers[first][unit], answers[second][unit]) for unit in shared]
            )
    return found


def _latest(reviews: Iterable[Review]) -> list[Review]:
    latest: dict[tuple[str, str, str], Review] = {}
    for review in sorted(reviews, key=lambda each: (each.reviewed_at, each.review_id)):
        if review.person_role == "reviewer":
            latest[review.call_id, review.rule_id, review.person] = review
    return list(latest.values())
