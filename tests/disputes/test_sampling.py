"""Samples, what they estimate, and agreement."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random

import pytest

from pipeline.disputes.agreement import cohen_kappa, machine_kappa, reviewer_kappas, wilson
from pipeline.disputes.policy import load_policy
from pipeline.disputes.reviews import Review
from pipeline.disputes.sampling import (
    Sample,
    Unit,
    draw,
    estimate,
    read_sample,
    sample_ids,
    store_sample,
    stratified_share,
)
from pipeline.errors import InputError, RulebookError
from tests.disputes.dispute_builders import make_call, make_store, scored

NOW = datetime(2026, 3, 12, tzinfo=UTC)
RULE = "language.greeting"


def review(call_id, verdict, machine, *, person="qa1", kind=None, rule_id=RULE, at=NOW):
    kind = kind or ("confirm" if verdict == machine else "overturn")
    role = "arbiter" if kind == "ruling" else "agent" if kind == "appeal" else "reviewer"
    key = f"{call_id}{person}{verdict}{kind}"
    return Review(key, call_id, 1, rule_id, kind, verdict, machine, person, role, "", at, "s", "python")


@pytest.fixture
def store(tmp_path):
    calls = [scored(make_call(f"c{i:02d}", ring_s=19.0 if i < 4 else 3.0)) for i in range(12)]
    return make_store(tmp_path / "results", calls)


def test_a_sheet_of_a_sample_reads_only_its_days(tmp_path, monkeypatch):
    """Verdicts and words are the large tables; of an archive of months only the drawn days are opened."""
    from datetime import timedelta

    from pipeline.disputes.sheet import sheet_rows
    from pipeline.results.store import Store

    at = make_call().started_at
    calls = [scored(make_call(f"c{day}", started_at=at + timedelta(days=day))) for day in range(4)]
    store = make_store(tmp_path / "r", calls)
    day = (at + timedelta(days=2)).date().isoformat()
    drawn = draw(store, seed=1, dates=[day])
    asked = []
    read = Store.read

    def watched(self, table, **kinds):
        asked.append((table, kinds.get("dates")))
        return read(self, table, **kinds)

    monkeypatch.setattr(Store, "read", watched)
    assert {row.call_id for row in sheet_rows(store, sample=drawn)} == {"c2"}
    assert {table for table, _ in asked} == {"scores", "verdicts", "turns"}
    assert all(set(dates) == {day} for table, dates in asked if table != "scores")


def test_a_sample_holds_passes_too_and_knows_its_strata(store):
    sizes = {"fail": 3, "pass": 5, "uncertain": 5, "not_applicable": 0}
    sample = draw(store, seed=1, rules=["inbound.answered_in_time"], sizes=sizes)
    assert sample.strata == {
        ("inbound.answered_in_time", "fail"): 4,
        ("inbound.answered_in_time", "pass"): 8,
    }
    assert sorted(unit.stratum for unit in sample.units) == ["fail"] * 3 + ["pass"] * 5
    assert len({unit.call_id for unit in sample.units}) == 8


def test_the_same_seed_draws_the_same(store):
    sizes = {"fail": 2, "pass": 2, "uncertain": 0, "not_applicable": 0}
    units = draw(store, seed=1, sizes=sizes).units
    assert units == draw(store, seed=1, sizes=sizes).units
    assert units != draw(store, seed=2, sizes=sizes).units
    # Looking at one rule alone does not draw it differently.
    alone = draw(store, seed=1, sizes=sizes, rules=["inbound.answered_in_time"]).units
    assert set(alone) <= set(units)


def test_a_sample_is_stored_once_and_read_back(store):
    sample = draw(store, seed=1)
    store_sample(store, sample)
    store_sample(store, sample)
    assert sample_ids(store) == [sample.sample_id]
    found = read_sample(store, sample.sample_id)
    assert sorted(map(repr, found.units)) == sorted(map(repr, sample.units))
    with pytest.raises(InputError, match="there are: s"):
        read_sample(store, "nope")


def test_nothing_to_draw_from_is_said_so(store):
    with pytest.raises(InputError, match="no verdicts to draw from"):
        draw(store, seed=1, dates=["2020-01-01"])


def made_sample(strata):
    units = [
        Unit(f"{verdict}{i}", 1, RULE, verdict, population, drawn)
        for verdict, (population, drawn) in strata.items()
        for i in range(drawn)
    ]
    return Sample("s1", NOW, 7, tuple(units))


def test_precision_and_recall_weigh_the_strata():
    """8 of 10 fails are violations; 1 of 20 sampled passes is one, and there are 200 of those."""
    sample = made_sample({"fail": (10, 10), "pass": (200, 20)})
    reviews = [review(f"fail{i}", "fail" if i < 8 else "pass", "fail") for i in range(10)]
    reviews += [review(f"pass{i}", "fail" if i < 1 else "pass", "pass") for i in range(20)]
    (found,) = estimate(sample, reviews)
    assert found.precision == pytest.approx(0.8)
    assert (found.precision_low, found.precision_high) == wilson(8, 10)
    assert found.recall == pytest.approx(8 / (8 + 200 / 20))
    assert found.recall_low < found.recall < found.recall_high
    assert found.unseen == ()


def test_what_nobody_looked_at_leaves_recall_unknown():
    sample = made_sample({"fail": (4, 4), "pass": (50, 5)})
    (found,) = estimate(sample, [review(f"fail{i}", "fail", "fail") for i in range(4)])
    assert found.precision == 1.0
    assert found.recall is None
    assert found.unseen == ("pass",)


def test_a_ruling_counts_before_reviews_and_an_uncertain_person_not_at_all():
    sample = made_sample({"fail": (2, 2)})
    reviews = [
        review("fail0", "pass", "fail"),
        review("fail0", "fail", "fail", person="lead", kind="ruling"),
        review("fail0", "pass", "fail", person="9", kind="appeal"),
        review("fail1", "uncertain", "fail"),
    ]
    (found,) = estimate(sample, reviews)
    assert (found.reviewed["fail"], found.violations["fail"]) == (1, 1)


def test_intervals_hold_what_they_promise():
    """The true recall lies inside of the 95 % interval in most of many simulated samples."""
    random = Random(5)
    inside = 0
    rounds = 120
    for number in range(rounds):
        passes = [random.random() < 0.06 for _ in range(300)]
        fails = [random.random() < 0.9 for _ in range(60)]
        truth = sum(fails) / (sum(fails) + sum(passes))
        seen_pass, seen_fail = random.sample(passes, 60), random.sample(fails, 30)
        strata = [(60, 30, sum(seen_fail)), (300, 60, sum(seen_pass))]
        _, low, high = stratified_share(strata, [True, False], seed=number, draws=800, confidence=0.95)
        inside += low is not None and low - 1e-9 <= truth <= high + 1e-9
    assert inside / rounds > 0.88


def test_no_violation_anywhere_has_no_recall():
    assert stratified_share([(9, 3, 0)], [True], seed=1, draws=10, confidence=0.9) == (None, None, None)


# Agreement ------------------------------------------------------------------------------------------


def test_wilson_stays_inside_and_narrows():
    for hits, total in ((0, 5), (5, 5), (1, 3), (50, 100)):
        low, high = wilson(hits, total)
        assert 0 <= low <= hits / total <= high <= 1
    assert wilson(50, 100)[1] - wilson(50, 100)[0] < wilson(5, 10)[1] - wilson(5, 10)[0]
    with pytest.raises(ValueError, match="expected 0 <= hits <= total"):
        wilson(3, 2)


def test_kappa_of_agreement_chance_and_contradiction():
    assert cohen_kappa([("a", "a"), ("b", "b")]).value == pytest.approx(1.0)
    assert cohen_kappa([("a", "b"), ("b", "a")]).value == pytest.approx(-1.0)
    assert cohen_kappa([("a", "a"), ("a", "b"), ("b", "a"), ("b", "b")]).value == pytest.approx(0.0)
    assert cohen_kappa([("a", "a")] * 5).value is None
    assert cohen_kappa([]).units == 0


def test_each_persons_latest_answer_is_compared():
    later = datetime(2026, 3, 13, tzinfo=UTC)
    reviews = [
        review("c1", "pass", "fail", person="a"),
        review("c1", "fail", "fail", person="a", at=later),
        review("c1", "fail", "fail", person="b"),
        review("c2", "pass", "pass", person="a"),
        review("c2", "fail", "pass", person="b"),
        review("c3", "pass", "pass", person="b"),
        review("c1", "pass", "fail", person="lead", kind="ruling"),
    ]
    found = reviewer_kappas(reviews)
    assert list(found) == [("a", "b")]
    assert (found["a", "b"].units, found["a", "b"].observed) == (2, 0.5)
    machine = machine_kappa(reviews)
    assert (machine.units, machine.observed) == (5, 0.8)
    assert machine_kappa(reviews, rule_id="other").units == 0


def test_a_bad_policy_is_refused_with_all_its_problems(tmp_path):
    from pipeline.judging.lexfile import lexicon_folder

    text = (lexicon_folder() / "disputes.toml").read_text(encoding="utf-8")
    bad = text.replace("window_days = 7", "window_days = -1").replace("draws = 4000", 'draws = "x"')
    (tmp_path / "disputes.toml").write_text(bad, encoding="utf-8")
    with pytest.raises(RulebookError) as caught:
        load_policy(tmp_path)
    assert len(str(caught.value).splitlines()) == 2
