"""What a preview compares is said, and what of it may surprise."""

from __future__ import annotations

import pytest

from pipeline.disputes.previewed import compared
from pipeline.judging.rulebook import load_rulebook
from tests.disputes.dispute_builders import changed_rulebook, make_call, make_store, scored, shipped


@pytest.fixture
def changed(tmp_path):
    return changed_rulebook(tmp_path / "new")


def test_both_rulebooks_are_named(tmp_path, changed):
    store = make_store(tmp_path / "r", [scored(make_call(name)) for name in ("c1", "c2")])
    what = compared(store.place, changed)
    assert what.warnings == []
    for part in ("随程序发布的规则", shipped().version, shipped().hash[:12], str(changed), "test.2", "2 通"):
        assert part in what.head


def test_a_change_without_a_new_version_is_warned_of(tmp_path, changed):
    ids = changed / "rules" / "ids.toml"
    ids.write_text(ids.read_text(encoding="utf-8").replace("test.2", shipped().version), encoding="utf-8")
    store = make_store(tmp_path / "r")
    (warning,) = compared(store.place, changed).warnings
    assert f"version 仍是 {shipped().version}" in warning
    assert "ids.toml" in warning


def test_results_scored_by_other_rules_are_counted(tmp_path, changed):
    book = load_rulebook(changed)
    calls = [scored(make_call("c1")), scored(make_call("c2"), rulebook=book)]
    store = make_store(tmp_path / "r", calls)
    (warning,) = compared(store.place, changed).warnings
    assert f"test.2（{book.hash[:12]}） 1 通" in warning
    assert "--before" in warning
    other = compared(store.place, changed, before=changed).warnings
    assert "完全相同" in other[0]
    assert f"{shipped().version}（{shipped().hash[:12]}） 1 通" in other[1]
