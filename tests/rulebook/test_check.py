"""A rulebook with mistakes: all of them are told at once, with file, line and accepted values."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import pytest

from pipeline.errors import RulebookError
from pipeline.judging.rulebook import check_rulebook, load_rulebook, shipped_folder

RULES = "rules/language.toml"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copy = tmp_path / "book"
    shutil.copytree(shipped_folder(), copy)
    return copy


def change(folder: Path, name: str, old: str, new: str) -> int:
    """Replace the first occurrence; returns its line."""
    path = folder / name
    text = path.read_text(encoding="utf-8")
    assert old in text, old
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return text[: text.index(old)].count("\n") + 1


def test_what_ships_has_no_problems() -> None:
    assert check_rulebook() == []


@pytest.mark.parametrize(
    ("name", "old", "new", "told"),
    [
        (
            RULES,
            'severity = "minor"',
            'severity = "high"',
            "'high' is unknown; expected one of: fatal, major, minor",
        ),
        (RULES, 'direction = "both"', 'direction = "sideways"', "expected one of: both, inbound, outbound"),
        (RULES, "weight = 4", 'weight = "four"', "expected a number"),
        (RULES, "weight = 4", "weight = -1", "out of range; expected at least 0"),
        (RULES, 'group = "opening"', 'group = "openings"', "group 'openings' is unknown"),
        (RULES, 'say = "hello"', 'say = "helo"', "phrase set 'helo' is not defined"),
        (
            RULES,
            'opening_turns = "opening_turns"',
            'opening_turns = "opening"',
            "threshold 'opening' is not defined",
        ),
        (
            RULES,
            'id = "language.greeting"',
            'id = "Language Greeting"',
            "expected lower-case words joined by a dot",
        ),
        (RULES, 'name_zh = "开场问候"', "", "name_zh: expected text in quotes, found nothing"),
        (
            RULES,
            'name_zh = "开场问候"',
            'name_zh = "开场问候"\ncolour = "red"',
            "key 'colour' is unknown here",
        ),
        (
            RULES,
            'absent = "dialect_words"',
            'absent = "dialect_words"\nsay = "hello"',
            "exactly one operator",
        ),
        (RULES, 'measure = "speech_rate_per_min"', 'measure = "speech_rate"', "expected one of: agent_chars"),
        (RULES, "坐席: 您好，请问有什么可以帮您？", "坐: 您好", "example cannot be read"),
        ("phrases/opening.toml", '"欢迎(致电|拨打|来电)"', '"欢迎(致电|拨打"', "is never closed"),
        ("phrases/opening.toml", "{digits:2-8}", "{number}", "slot '{number}' is unknown"),
        ("phrases/opening.toml", 'id = "offer_help"', 'id = "hello"', "phrase set 'hello' is defined twice"),
        ("moments.toml", 'say = ["agent_probes"]', 'say = ["probes"]', "phrase set 'probes' is not defined"),
        ("scorecard.toml", "from_score = 80", "from_score = 95", "from the best to the worst"),
        ("scorecard.toml", "max_score = 59", "max_score = 590", "out of range"),
        ("judging.toml", "role_min_confidence = 0.8", "role_min_confidence = 8", "out of range"),
        ("holidays.toml", "complete_years = []", 'complete_years = ["2027"]', "expected a list of years"),
        ("rules/ids.toml", '  "language.courtesy",\n', "", "not listed in rules/ids.toml"),
        ("rules/ids.toml", "retired = []", 'retired = ["language.courtesy"]', "both active and retired"),
        ("rules/ids.toml", '"language.courtesy"', '"language.politeness"', "has no rule"),
        ("matching.toml", "accept = 0.", "accept = 9.", "accept"),
    ],
)
def test_one_mistake(folder: Path, name: str, old: str, new: str, told: str) -> None:
    change(folder, name, old, new)
    problems = check_rulebook(folder)
    assert any(told in str(problem) for problem in problems), problems
    assert all(problem.line >= 1 for problem in problems)
    with pytest.raises(RulebookError):
        load_rulebook(folder)


def test_the_line_is_that_of_the_mistake(folder: Path) -> None:
    line = change(folder, RULES, 'severity = "minor"', 'severity = "high"')
    (problem,) = check_rulebook(folder)
    assert (problem.file, problem.line) == ("book/rules/language.toml", line)
    assert str(problem).startswith(f"book/rules/language.toml:{line}: ")


def test_all_mistakes_are_told_at_once(folder: Path) -> None:
    change(folder, RULES, 'severity = "minor"', 'severity = "high"')
    change(folder, "moments.toml", 'say = ["agent_probes"]', 'say = ["probes"]')
    change(folder, "phrases/opening.toml", "{digits:2-8}", "{number}")
    change(folder, "scorecard.toml", "max_score = 59", "max_score = 590")
    assert len(check_rulebook(folder)) >= 4
    with pytest.raises(RulebookError, match=r"(?s)moments\.toml:\d+.*opening\.toml:\d+.*language\.toml:\d+"):
        load_rulebook(folder)


def test_broken_toml_is_told_with_its_line_and_the_rest_is_still_checked(folder: Path) -> None:
    (folder / "rules" / "extra.toml").write_text('schema = 1\n[[rule]]\nid = "unclosed\n', encoding="utf-8")
    change(folder, RULES, 'severity = "minor"', 'severity = "high"')
    told = [str(problem) for problem in check_rulebook(folder)]
    assert any("extra.toml:3: not valid TOML" in text for text in told)
    assert any("'high' is unknown" in text for text in told)


@pytest.mark.parametrize("name", ["scorecard.toml", "phrases/opening.toml", "moments.toml", "rules/ids.toml"])
def test_of_a_broken_file_that_rules_refer_to_only_its_own_mistake_is_told(folder: Path, name: str) -> None:
    text = (folder / name).read_text(encoding="utf-8").rstrip() + "\nfoo = ["
    (folder / name).write_text(text, encoding="utf-8")
    (problem,) = check_rulebook(folder)
    assert (problem.file, problem.line) == (f"book/{name}", text.count("\n") + 1)
    assert "not valid TOML" in problem.message


def test_a_threshold_that_is_not_defined_is_told_once(folder: Path) -> None:
    change(folder, RULES, "max_per_min = 150", "max_per_mni = 150")
    (problem,) = check_rulebook(folder)
    assert "'max_per_min' is not defined" in problem.message


def test_bytes_that_are_no_text_are_told(folder: Path) -> None:
    (folder / "rules" / "extra.toml").write_bytes(b"\xff\xfe\x00")
    assert any("cannot be read as UTF-8" in str(problem) for problem in check_rulebook(folder))


def test_a_duplicated_rule_id_names_both_places(folder: Path) -> None:
    text = (folder / RULES).read_text(encoding="utf-8")
    (folder / "rules" / "zz_copy.toml").write_text(text, encoding="utf-8")
    assert any(
        "stands already at book/rules/language.toml:" in str(problem) for problem in check_rulebook(folder)
    )


def test_a_retired_id_may_not_come_back(folder: Path) -> None:
    change(folder, "rules/ids.toml", '  "language.courtesy",\n', "")
    change(folder, "rules/ids.toml", "retired = []", 'retired = ["language.courtesy"]')
    assert any("is retired and may not be used again" in str(problem) for problem in check_rulebook(folder))


def test_a_missing_folder_and_an_empty_one_are_told(tmp_path: Path) -> None:
    assert "does not exist" in str(check_rulebook(tmp_path / "nowhere")[0])
    assert "no rules/" in str(check_rulebook(tmp_path)[0])


def test_the_hash_follows_what_can_change_a_verdict_and_nothing_else(folder: Path) -> None:
    first = load_rulebook(folder).hash
    (folder / "README.md").write_text("说明", encoding="utf-8")
    assert load_rulebook(folder).hash == first
    change(folder, "phrases/opening.toml", "欢迎(致电|拨打|来电)", "欢迎(致电|拨打)")
    assert load_rulebook(folder).hash != first


def test_a_copy_of_what_ships_has_the_same_hash(folder: Path) -> None:
    assert load_rulebook(folder).hash == load_rulebook().hash


def test_rules_out_of_force_are_left_out(folder: Path) -> None:
    change(folder, RULES, 'name_zh = "开场问候"', 'name_zh = "开场问候"\neffective_from = 2027-01-01')
    assert "language.greeting" not in {rule.id for rule in load_rulebook(folder, on=date(2026, 5, 1)).rules}
    assert "language.greeting" in {rule.id for rule in load_rulebook(folder, on=date(2027, 1, 1)).rules}


def test_every_shipped_rule_cites_its_clause() -> None:
    book = load_rulebook()
    assert len(book.rules) == 30
    for rule in book.rules:
        assert rule.clause[0] in "一二三"
        assert rule.clause_text
        assert rule.name_zh
        assert rule.reading
        assert rule.group in book.scorecard.groups
