"""Samples for review, and what they say about the machine: precision and recall of each rule.

Conventions
-----------
A *unit* is one rule of one call. Units are drawn at random without replacement inside strata: one for
each rule and machine verdict, passes included, for what the machine passed wrongly is found nowhere
else. A violation (不通过) is what the machine is to find, so *precision* is the share of its fails that
people confirm, *recall* the share of all violations that it failed.

A sample is immutable: a row of ``samples`` for each unit, with the stratum's size.

Table of contents: `Unit`, `Sample`, `draw`, `store_sample`, `read_sample`, `sample_ids`;
`RuleEstimate`, `estimate`, `stratified_share`.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pipeline.disputes.agreement import wilson
from pipeline.disputes.policy import Policy, load_policy
from pipeline.disputes.reviews import Review
from pipeline.errors import InputError
from pipeline.records import VERDICTS, VerdictKind
from pipeline.results.store import Store

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TABLE = "samples"


@dataclass(frozen=True, slots=True)
class Unit:
    """One rule of one call, drawn.

    Attributes
    ----------
    stratum : str
        The machine's verdict.
    population, drawn : int
        Units in the stratum (this rule, this verdict), and how many of them were drawn.
    """

    call_id: str
    version: int
    rule_id: str
    stratum: VerdictKind
    population: int
    drawn: int


@dataclass(frozen=True, slots=True)
class Sample:
    """Units drawn together; ``strata`` also has those of which nothing was drawn."""

    sample_id: str
    drawn_at: datetime
    seed: int
    units: tuple[Unit, ...]

    @property
    def strata(self) -> Mapping[tuple[str, VerdictKind], int]:
        """Size of each stratum that was drawn from, by rule and machine verdict."""
        return {(unit.rule_id, unit.stratum): unit.population for unit in self.units}


def draw(
    store: Store,
    *,
    seed: int,
    dates: Collection[str] | None = None,
    rules: Collection[str] | None = None,
    sizes: Mapping[VerdictKind, int] | None = None,
    policy: Policy | None = None,
) -> Sample:
    """Draw a stratified sample of the latest verdicts.

    Parameters
    ----------
    store : Store
    seed : int
        The same seed over the same results draws the same units.
    dates : collection of str, optional
        Only calls of these local dates (``2026-03-10``).
    rules : collection of str, optional
        Only these rules.
    sizes : mapping of verdict to int, optional
        Units for each rule and machine verdict; by default the policy's.
    policy : Policy, optional

    Returns
    -------
    Sample
        Not stored yet; see `store_sample`.

    Raises
    ------
    InputError
        There is nothing to draw from.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = dict(sizes) if sizes is not None else (policy or load_policy()).sample
    table = store.read("verdicts", columns=("call_id", "version", "rule_id", "verdict"), dates=dates)
    if rules is not None:
        table = table.filter(pc.is_in(table["rule_id"], value_set=pa.array(sorted(rules), pa.string())))
    if not table.num_rows:
        raise InputError(f"{store.place}: no verdicts to draw from; check --date and --rule")
    # A month's verdicts are millions of rows: they stay columns, and only what is drawn becomes objects.
    strata = (
        table.sort_by([("rule_id", "ascending"), ("verdict", "ascending"), ("call_id", "ascending")])
        .group_by(["rule_id", "verdict"], use_threads=False)
        .aggregate([("call_id", "list"), ("version", "list")])
    )
    units: list[Unit] = []
    for place in range(strata.num_rows):
        rule_id, verdict = strata["rule_id"][place].as_py(), strata["verdict"][place].as_py()
        calls, versions = strata["call_id_list"][place], strata["version_list"][place]
        count = min(wanted.get(verdict, 0), len(calls))
        # Each stratum has its own stream, so that one rule's draw does not move another's.
        own = random.Random(f"{seed}/{rule_id}/{verdict}")  # noqa: S311 - a sample, not a secret
        for drawn in sorted(own.sample(range(len(calls)), count)):
            units.append(
                Unit(calls[drawn].as_py(), versions[drawn].as_py(), rule_id, verdict, len(calls), count)
            )
    now = datetime.now(UTC)
    text = "\n".join(f"{u.call_id} {u.version} {u.rule_id} {u.stratum} {u.population}" for u in units)
    digest = hashlib.sha256(f"{seed}\n{text}".encode()).hexdigest()[:10]
    return Sample(f"s{now:%Y%m%d}-{digest}", now, seed, tuple(units))


def store_sample(store: Store, sample: Sample) -> None:
    """Keep a sample, so that its reviews can be weighed later; one that is there already stays."""
    import pyarrow as pa

    from pipeline.results.schemas import schema_of

    if sample.sample_id in sample_ids(store):
        return
    rows = [
        {
            "sample_id": sample.sample_id,
            "drawn_at": sample.drawn_at,
            "seed": sample.seed,
            "call_id": unit.call_id,
            "version": unit.version,
            "rule_id": unit.rule_id,
            "stratum": unit.stratum,
            "population": unit.population,
            "drawn": unit.drawn,
        }
        for unit in sample.units
    ]
    store.append({None: pa.Table.from_pylist(rows, schema=schema_of(TABLE))}, TABLE)


def sample_ids(store: Store) -> list[str]:
    """Ids of all samples, oldest first."""
    rows = store.read(TABLE, columns=("sample_id", "drawn_at"), latest=False).to_pylist()
    return list(dict.fromkeys(row["sample_id"] for row in sorted(rows, key=lambda row: row["drawn_at"])))


def read_sample(store: Store, sample_id: str) -> Sample:
    """Give back a stored sample.

    Raises
    ------
    InputError
        There is none of this id.
    """
    rows = [row for row in store.read(TABLE, latest=False).to_pylist() if row["sample_id"] == sample_id]
    if not rows:
        known = ", ".join(sample_ids(store)) or "none yet"
        raise InputError(f"{store.place}: no sample {sample_id!r}; there are: {known}")
    units = tuple(
        Unit(row["call_id"], row["version"], row["rule_id"], row["stratum"], row["population"], row["drawn"])
        for row in rows
    )
    return Sample(sample_id, rows[0]["drawn_at"], rows[0]["seed"], tuple(dict.fromkeys(units)))


@dataclass(frozen=True, slots=True)
class RuleEstimate:
    """What reviewed units say about the machine on one rule.

    Attributes
    ----------
    reviewed : mapping of machine verdict to int
        Units that a person decided, those left uncertain by the person not counted.
    violations : mapping of machine verdict to int
        How many of them are violations.
    population : mapping of machine verdict to int
    precision, precision_low, precision_high : float or None
        Wilson's interval; None when no fail was reviewed.
    recall, recall_low, recall_high : float or None
        Share of all violations that the machine failed; None when a stratum that may hide
        violations was not reviewed at all, or none was found.
    recall_flagged : float or None
        The same, counting what it left to a person (uncertain) as found.
    unseen : tuple of str
        Strata of which nothing was reviewed.
    """

    rule_id: str
    reviewed: Mapping[VerdictKind, int]
    violations: Mapping[VerdictKind, int]
    population: Mapping[VerdictKind, int]
    precision: float | None
    precision_low: float | None
    precision_high: float | None
    recall: float | None
    recall_low: float | None
    recall_high: float | None
    recall_flagged: float | None
    unseen: tuple[VerdictKind, ...]


def estimate(
    sample: Sample, reviews: Iterable[Review], *, policy: Policy | None = None
) -> list[RuleEstimate]:
    """Precision and recall of each rule of a sample, with intervals.

    Parameters
    ----------
    sample : Sample
    reviews : iterable of Review
        All of them; only those of the sample's units count, a ruling before a review, the latest
        review of several.
    policy : Policy, optional
        Level of the intervals, number of draws.

    Notes
    -----
    Within a stratum of N units of which n were reviewed and x are violations, the violations among the
    other N - n are drawn from the beta-binomial distribution with Jeffreys' prior; recall's interval is
    that of the ratio over many such draws. A stratum reviewed whole adds no doubt.
    """
    agreed = policy or load_policy()
    decided = _decisions(reviews)
    rows: dict[str, dict[VerdictKind, list[bool]]] = {}
    sizes: dict[str, dict[VerdictKind, int]] = {}
    for unit in sample.units:
        sizes.setdefault(unit.rule_id, {})[unit.stratum] = unit.population
        verdict = decided.get((unit.call_id, unit.rule_id))
        answers = rows.setdefault(unit.rule_id, {}).setdefault(unit.stratum, [])
        if verdict is not None and verdict != "uncertain":
            answers.append(verdict == "fail")
    return [
        _estimate(rule_id, sizes[rule_id], rows[rule_id], sample.seed, agreed) for rule_id in sorted(rows)
    ]


def stratified_share(
    strata: Sequence[tuple[int, int, int]],
    found: Sequence[bool],
    *,
    seed: int,
    draws: int,
    confidence: float,
) -> tuple[float | None, float | None, float | None]:
    """Share of all violations that lie in some of the strata, with an interval.

    Parameters
    ----------
    strata : sequence of (population, reviewed, violations among the reviewed)
    found : sequence of bool
        Which strata count as found.
    seed, draws : int
    confidence : float

    Returns
    -------
    (share, low, high)
        None where no violation is expected anywhere.

    Examples
    --------
    >>> share, low, high = stratified_share([(10, 10, 9), (90, 90, 1)], [True, False],
    ...                                     seed=1, draws=500, confidence=0.95)
    >>> share, low, high
    (0.9, 0.9, 0.9)
    """
    import numpy as np

    point = [population * hits / n if n else 0.0 for population, n, hits in strata]
    total = sum(point)
    if total <= 0:
        return None, None, None
    generator = np.random.default_rng(seed)
    sums: NDArray[np.float64] = np.zeros(draws)
    kept: NDArray[np.float64] = np.zeros(draws)
    for (population, n, hits), counts in zip(strata, found, strict=True):
        share = generator.beta(hits + 0.5, n - hits + 0.5, size=draws)
        unseen = np.asarray(generator.binomial(population - n, share), dtype=np.float64)
        drawn = hits + unseen
        sums += drawn
        if counts:
            kept += drawn
    ratios = np.divide(kept, sums, out=np.ones(draws), where=sums > 0)
    low, high = np.quantile(ratios, [0.5 - confidence / 2, 0.5 + confidence / 2])
    share_found = sum(value for value, counts in zip(point, found, strict=True) if counts) / total
    return share_found, min(float(low), share_found), max(float(high), share_found)


def _estimate(
    rule_id: str,
    sizes: Mapping[VerdictKind, int],
    answers: Mapping[VerdictKind, Sequence[bool]],
    seed: int,
    policy: Policy,
) -> RuleEstimate:
    kinds = [kind for kind in VERDICTS if sizes.get(kind)]
    reviewed: dict[VerdictKind, int] = {kind: len(answers.get(kind, ())) for kind in kinds}
    hits: dict[VerdictKind, int] = {kind: sum(answers.get(kind, ())) for kind in kinds}
    unseen = tuple(kind for kind in kinds if not reviewed[kind])
    failed = reviewed.get("fail", 0)
    band = wilson(hits.get("fail", 0), failed, confidence=policy.confidence)
    recall: tuple[float | None, float | None, float | None] = (None, None, None)
    flagged: float | None = None
    if not unseen:
        strata = [(sizes[kind], reviewed[kind], hits[kind]) for kind in kinds]
        options: dict[str, Any] = {"seed": seed, "draws": policy.draws, "confidence": policy.confidence}
        recall = stratified_share(strata, [kind == "fail" for kind in kinds], **options)
        flagged = stratified_share(strata, [kind in ("fail", "uncertain") for kind in kinds], **options)[0]
    return RuleEstimate(
        rule_id=rule_id,
        reviewed=reviewed,
        violations=hits,
        population=dict(sizes),
        precision=hits.get("fail", 0) / failed if failed else None,
        precision_low=band[0] if band else None,
        precision_high=band[1] if band else None,
        recall=recall[0],
        recall_low=recall[1],
        recall_high=recall[2],
        recall_flagged=flagged,
        unseen=unseen,
    )


def _decisions(reviews: Iterable[Review]) -> dict[tuple[str, str], VerdictKind]:
    found: dict[tuple[str, str], Review] = {}
    for review in sorted(reviews, key=lambda each: (each.reviewed_at, each.review_id)):
        key = (review.call_id, review.rule_id)
        if review.kind == "appeal" or (key in found and found[key].kind == "ruling"):
            continue
        found[key] = review
    return {key: review.verdict for key, review in found.items()}
