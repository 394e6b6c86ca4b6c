"""Intervals and fair comparisons: values worked by hand, then properties."""

import math

import matplotlib as mpl

mpl.use("agg")

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.analysis import by_group, fonts, mean_interval, plots, results_folder, standardised, wilson
from pipeline.errors import ConfigError, InputError


def test_wilson_by_hand():
    # 8 of 10 at z = 1.959964: centre (0.8 + z²/20) / (1 + z²/10), half-width from Wilson's formula
    z2 = 1.959963984540054**2
    centre = (0.8 + z2 / 20) / (1 + z2 / 10)
    half = math.sqrt(z2) / (1 + z2 / 10) * math.sqrt(0.16 / 10 + z2 / 400)
    assert wilson(8, 10) == pytest.approx((centre - half, centre + half))


@given(st.integers(1, 300), st.data())
def test_wilson_holds_the_share_and_mirrors(n, data):
    k = data.draw(st.integers(0, n))
    low, high = wilson(k, n)
    assert 0 <= low <= k / n <= high <= 1
    assert wilson(n - k, n) == pytest.approx((1 - high, 1 - low))
    assert wilson(k, n, 0.999)[0] <= low + 1e-12


@pytest.mark.parametrize(("k", "n", "confidence"), [(3, 2, 0.95), (-1, 2, 0.95), (1, 2, 1.0), (1, 2, 95)])
def test_wilson_refuses_what_is_no_share(k, n, confidence):
    with pytest.raises(InputError, match="expected"):
        wilson(k, n, confidence)


def test_mean_interval_covers_as_often_as_it_says():
    random = np.random.default_rng(7)
    hits = 0
    for _ in range(200):
        low, high = mean_interval(random.normal(50, 10, 40), draws=400)
        hits += low <= 50 <= high
    assert 0.90 <= hits / 200 <= 0.98


def test_mean_interval_of_too_little_is_unknown():
    assert all(map(math.isnan, mean_interval([1.0])))
    assert mean_interval([1.0, 2.0, math.nan, 3.0]) == mean_interval([1.0, 2.0, 3.0])


def calls(rows):
    return pd.DataFrame(rows, columns=["agent_id", "business", "score"])


def test_by_group_counts_leaves_out_and_sorts():
    frame = pd.DataFrame(
        {"g": ["a"] * 3 + ["b"] * 4 + ["c"], "v": [1.0, 2.0, math.nan, 5.0, 5.0, 6.0, 6.0, 9.0]}
    )
    found = by_group(frame, "g", "v", min_count=2)
    assert found.index.tolist() == ["b", "a"]
    assert found["count"].tolist() == [4, 2]
    assert found.value.tolist() == [5.5, 1.5]
    assert found.attrs["left_out"] == 1
    assert (found.low <= found.value).all() and (found.value <= found.high).all()


@pytest.mark.parametrize("dtype", [bool, "boolean", object])
def test_by_group_of_true_and_false_is_a_share(dtype):
    frame = pd.DataFrame({"g": ["a"] * 20, "v": pd.Series([True] * 5 + [False] * 15, dtype=dtype)})
    found = by_group(frame, "g", "v").loc["a"]
    assert (found.low, found.high) == pytest.approx(wilson(5, 20))


def test_by_group_takes_several_columns_and_names_missing_ones():
    frame = pd.DataFrame({"g": ["a", "a"], "h": [1, 1], "v": [1.0, 2.0]})
    assert by_group(frame, ["g", "h"], "v", min_count=1).index.tolist() == [("a", 1)]
    with pytest.raises(InputError, match="no column nope; expected some of: g, h, v"):
        by_group(frame, "g", "nope")


def test_standardised_takes_the_mix_out():
    # both agents score 90 on queries and 60 on complaints; only how many of each they get differs
    rows = [("a", "query", 90.0)] * 30 + [("a", "complaint", 60.0)] * 10
    rows += [("b", "query", 90.0)] * 10 + [("b", "complaint", 60.0)] * 30
    found = standardised(calls(rows), "agent_id", "score")
    assert found.raw.to_dict() == {"a": 82.5, "b": 67.5}
    assert found.value.to_dict() == {"a": 75.0, "b": 75.0}
    assert found.covered.tolist() == [1.0, 1.0]


def test_standardised_says_what_it_does_not_cover():
    rows = [("a", "query", 90.0)] * 30 + [("a", "sales", 10.0)] * 2 + [("b", "query", 80.0)] * 20
    rows += [("b", "sales", 50.0)] * 10
    found = standardised(calls(rows), "agent_id", "score", min_cell=5)
    assert found.loc["a", "value"] == 90.0
    assert found.loc["a", "covered"] == pytest.approx(50 / 62)
    assert found.loc["b", "covered"] == 1.0


def test_standardised_shares_are_never_surer_than_the_worst_kind_allows():
    rows = [("a", "query", True)] * 40 + [("a", "complaint", True)] * 5
    found = standardised(calls(rows), "agent_id", "score").loc["a"]
    assert found.value == 1.0
    low_query, low_complaint = wilson(40, 40)[0], wilson(5, 5)[0]
    weights = np.array([40, 5]) / 45
    expected = 1 - math.hypot(weights[0] * (1 - low_query), weights[1] * (1 - low_complaint))
    assert found.low == pytest.approx(expected)
    with pytest.raises(InputError, match="at least 2"):
        standardised(calls(rows), "agent_id", "score", min_cell=1)


# Pictures -----------------------------------------------------------------------------------------


def drawn(character):
    """A character as matplotlib draws it, as grey values."""
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(1, 1), dpi=60)
    figure.text(0.5, 0.5, character, fontsize=30, ha="center", va="center")
    figure.canvas.draw()
    image = np.asarray(figure.canvas.buffer_rgba())[..., 0].copy()
    plt.close(figure)
    return image


def test_chinese_is_drawn_and_no_empty_boxes():
    name = fonts.use_chinese_fonts()
    assert name in fonts.PREFERRED
    quality, inspection = drawn("质"), drawn("检")
    assert (quality < 128).sum() > 60
    assert not np.array_equal(quality, inspection)
    with pytest.warns(UserWarning, match="missing from"):
        tofu = drawn("ꦀ")
    assert not np.array_equal(quality, tofu)


def test_the_packaged_font_is_enough():
    assert fonts.chinese_font(system=False).startswith("Noto Sans CJK")


def test_without_any_font_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(fonts, "PREFERRED", ("No Such Font",))
    with pytest.raises(ConfigError, match="pip install noto-cjk-sans-otc"):
        fonts.use_chinese_fonts()


def test_colours_are_apart_for_every_eye():
    # protanopia, deuteranopia, tritanopia: Machado, Oliveira & Fernandes 2009, severity 1.0
    eyes = [
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    ]
    for pair in (
        ("agent", "customer"),
        ("good", "bad"),
        ("bad", "doubt"),
        ("good", "doubt"),
        ("bad", "agent"),
    ):
        one, other = (np.array(mpl.colors.to_rgb(plots.COLOURS[name])) for name in pair)
        for eye in eyes:
            assert np.linalg.norm(np.array(eye) @ (one - other)) > 0.15, pair


def test_nothing_to_draw_is_said_in_the_picture():
    empty = by_group(pd.DataFrame({"g": ["a"], "v": [1.0]}), "g", "v")
    for ax in (
        plots.intervals(empty, xlabel="x"),
        plots.trend(empty, ylabel="y"),
        plots.histogram(pd.Series([], dtype=float), xlabel="x"),
        plots.shares(pd.DataFrame({"name_zh": [], "verdict": []})),
        plots.heatmap(pd.DataFrame(), label="x"),
        plots.pairs(pd.DataFrame(), xlabel="x"),
    ):
        assert any("没有" in text.get_text() for text in ax.texts)
    mpl.pyplot.close("all")


# Where results are --------------------------------------------------------------------------------


def test_results_folder_by_environment_by_file_and_by_demo(tmp_path, monkeypatch):
    monkeypatch.delenv("ZHIJIAN_RESULTS", raising=False)
    inside = tmp_path / "house" / "notebooks"
    inside.mkdir(parents=True)
    with pytest.raises(InputError, match="make demo"):
        results_folder(start=inside)
    (tmp_path / "house" / "demo_results" / "scores").mkdir(parents=True)
    assert results_folder(start=inside) == str(tmp_path / "house" / "demo_results")
    (tmp_path / "house" / "mine").mkdir()
    (tmp_path / "house" / "zhijian.toml").write_text('results = "mine"\n')
    assert results_folder(start=inside) == str(tmp_path / "house" / "mine")
    monkeypatch.setenv("ZHIJIAN_RESULTS", "demo_results")
    assert results_folder(start=inside) == str(tmp_path / "house" / "demo_results")
    monkeypatch.setenv("ZHIJIAN_RESULTS", "s3://bucket/results")
    assert results_folder(start=inside) == "s3://bucket/results"
