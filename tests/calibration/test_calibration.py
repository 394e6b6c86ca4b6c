"""The fit itself, and that what ships is still reliable on phrases and voices it was not fitted on."""

from __future__ import annotations

import random
from math import exp

import pytest

from pipeline.judging.calibration import Confidence, Features, MatchLimits
from pipeline.judging.transcript import load_model
from tests.calibration import refit
from tests.calibration.corpus import VOICES, held_out, load_phrases, sentences


def pair(*, said: bool, distance: float, worst: float = 0.0) -> refit.Pair:
    return refit.Pair("x", said, False, Features(distance, worst, 1.0, distance, distance / 3, 0.0, 0.0))


def test_fitting_finds_the_model_that_made_the_data():
    chance = random.Random(5)
    rows = []
    for _ in range(4000):
        distance = chance.random()
        said = chance.random() < 1 / (1 + exp(-(3 - 8 * distance)))
        rows.append(refit.Pair("x", said, False, Features(distance, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)))
    model = refit.fit(rows)
    assert model.bias == pytest.approx(3, abs=0.3)
    assert model.weights.distance == pytest.approx(-8, abs=0.8)


def test_pairs_without_an_alignment_do_not_move_the_fit():
    rows = [pair(said=at % 3 > 0, distance=at / 30) for at in range(30)]
    blind = [refit.Pair("x", True, False, None)] * 50
    assert refit.fit(rows) == refit.fit([*rows, *blind])


def test_area_counts_ties_as_half():
    model = Confidence(0.0, Features(-1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0))
    rows = [pair(said=True, distance=0.1), pair(said=False, distance=0.1), pair(said=False, distance=0.9)]
    assert refit.area(rows, model) == 1.5 / 2


def test_brier_is_the_mean_square_of_the_error():
    flat = Confidence(0.0, Features(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0))
    assert refit.brier([pair(said=True, distance=0.0), pair(said=False, distance=0.0)], flat) == 0.25


def test_limits_decide():
    limits = MatchLimits(accept=0.6, reject=0.2)
    assert [limits.decide(value) for value in (0.6, 0.59, 0.2, 0.19)] == ["hit", "near", "near", "miss"]


def test_the_halves_share_neither_phrases_nor_voices():
    phrases = [one.text for one in load_phrases()]
    assert len(set(phrases)) == len(phrases)
    assert 0.35 < sum(map(held_out, phrases)) / len(phrases) < 0.65
    voices = {part: {voice for pair in pairs for voice in pair} for part, pairs in VOICES.items()}
    assert not voices["train"] & voices["heldout"]
    assert sentences("train") == sentences("train")


def test_every_recognised_line_is_a_sentence_of_the_corpus():
    said = {part: sentences(part) for part in VOICES}
    for part, lines in said.items():
        assert [line["said"] for line in refit.read_lines("heard.jsonl") if line["part"] == part] == lines


def test_what_ships_is_reliable_on_the_held_out_half():
    model = load_model()
    pairs = refit.pairs_of("heldout", model.confidence)
    assert refit.area(pairs, model.confidence) > 0.9
    assert refit.brier(pairs, model.confidence) < 0.12
    said = [one for one in pairs if one.said]
    exact = sum(one.written for one in said)
    sound = sum(one.seen is not None and model.confidence.of(one.seen) >= model.limits.accept for one in said)
    false = sum(
        not one.said and one.seen is not None and model.confidence.of(one.seen) >= model.limits.accept
        for one in pairs
    )
    assert sound > 1.7 * exact
    assert false <= 40  # of 63,000; nearly all between pairs that were made to be mistaken for one another
