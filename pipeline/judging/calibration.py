"""How sure a hit is: the probability that the phrase was really said.

A logistic model over what an alignment shows. Its weights are data, ``lexicons/matching.toml``
``[confidence]``, fitted on phrases spoken and recognised, and written by
``python -m tests.calibration.refit``; ``docs/matching.md`` tells on what and how reliable it is.

Table of contents: `Features`, `Confidence`, `MatchLimits`, `load_confidence`, `load_limits`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log
from typing import Literal, NamedTuple

from pipeline.judging.lexfile import LexiconFile

Decision = Literal["hit", "near", "miss"]
# How much of `worst` doubt does not excuse, per unit of cost beyond mishearing.
_NOT_EXCUSED = 2.0
METHODS = ("logistic",)


class Features(NamedTuple):
    """What an alignment shows, each 0 or more; all but ``log_length`` are 0 for a literal hit.

    Attributes
    ----------
    distance : float
        Cost per unit of phrase weight, in [0, 1]; ``score`` is 1 - distance.
    worst : float
        Largest cost of one stretch without a right syllable, in syllables: a wrong word hides in a
        long phrase, yet its errors stand together.
    log_length : float
        Natural logarithm of the phrase weight in syllables.
    unlike_share : float
        Share of the phrase's syllables written with another character, in [0, 1].
    short_unlike : float
        ``unlike_share`` over the phrase weight in syllables: two syllables written otherwise are
        another word more often than eight are.
    doubtful : float
        What mishearing explains of ``worst``, times the recogniser's doubt, 1 - mean probability of the words
        the hit lies in: where it was unsure, a wrong word that keeps something of the sounds is less of a
        proof that another one was said.
    strange_share : float
        Cost beyond what mishearing explains (`pipeline.judging.matching.Alignment.strange`) per syllable of
        the phrase: a misheard word keeps something of its sounds, another word does not.
    """

    distance: float
    worst: float
    log_length: float
    unlike_share: float
    short_unlike: float
    doubtful: float
    strange_share: float


def features(
    *,
    cost: float,
    weight: float,
    worst: float,
    unlike: int,
    syllables: int,
    word_doubt: float,
    strange: float = 0.0,
) -> Features:
    """Features from an alignment's counts; costs and weight in syllables."""
    length = max(weight, 0.5)
    share = unlike / syllables if syllables else 0.0
    excused = max(0.0, worst - _NOT_EXCUSED * strange)
    return Features(
        cost / length, worst, log(length), share, share / length, excused * word_doubt, strange / length
    )


@dataclass(frozen=True, slots=True)
class Confidence:
    """Logistic model: probability = 1 / (1 + exp(-(bias + weights . features)))."""

    bias: float
    weights: Features

    def of(self, seen: Features) -> float:
        """Probability, in (0, 1), that the phrase was said.

        Examples
        --------
        >>> flat = Confidence(0.0, Features(-10.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0))
        >>> flat.of(Features(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0))
        0.5
        """
        total = self.bias + sum(weight * value for weight, value in zip(self.weights, seen, strict=True))
        return 1.0 / (1.0 + exp(-min(60.0, max(-60.0, total))))


@dataclass(frozen=True, slots=True)
class MatchLimits:
    """When a hit counts.

    Attributes
    ----------
    accept : float
        Confidence from which a phrase counts as said.
    reject : float
        Confidence below which it counts as not said; between the two it is a near miss.
    """

    accept: float
    reject: float

    def decide(self, confidence: float) -> Decision:
        """Whether a confidence is a hit, a near miss (→ ``uncertain``) or a miss.

        Examples
        --------
        >>> MatchLimits(accept=0.6, reject=0.3).decide(0.5)
        'near'
        """
        if confidence >= self.accept:
            return "hit"
        return "near" if confidence >= self.reject else "miss"


def load_confidence(file: LexiconFile) -> Confidence:
    """Model from the table ``[confidence]``; problems are noted in ``file``."""
    method = file.text(("confidence", "method"))
    if method not in METHODS:
        file.problem(
            ("confidence", "method"), f"method {method!r} is unknown; expected one of: {', '.join(METHODS)}"
        )
    weights = [
        # Rulebooks fitted before there was this feature give it no weight.
        0.0
        if name == "strange_share" and file.raw(("confidence", "weights", name)) is None
        else file.number(("confidence", "weights", name), -100, 100)
        for name in Features._fields
    ]
    return Confidence(file.number(("confidence", "bias"), -100, 100), Features(*weights))


def load_limits(file: LexiconFile) -> MatchLimits:
    """Limits from the table ``[limits]``; problems are noted in ``file``."""
    limits = MatchLimits(file.number(("limits", "accept"), 0, 1), file.number(("limits", "reject"), 0, 1))
    if limits.reject > limits.accept:
        file.problem(("limits", "reject"), f"reject {limits.reject:g} is above accept {limits.accept:g}")
    return limits
