"""The labelled dialogues are well formed, cover every rule both ways, and always load to the same calls."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime

import pytest

from pipeline.records import Turn
from tests.accuracy.alignment import slips
from tests.accuracy.confusions import mean_error_rate
from tests.accuracy.noise import load_confusions, noised
from tests.dialogues import reference
from tests.dialogues.loader import RULES, DialogueError, load, load_file

BOTH = (*load("dev"), *load("heldout"))
# Whatever is said in a dialogue, these can only apply where the call record has a value (language.mandarin:
# a dialect is for a person to judge, so no dialogue carries "fail").
NEVER_FAILS = {"language.mandarin"}


def test_there_are_enough_dialogues() -> None:
    assert len(load("dev")) >= 90
    assert len(load("heldout")) >= 60
    assert len({one.id for one in BOTH}) == len(BOTH)


@pytest.mark.parametrize("rule_id", RULES)
def test_each_rule_is_labelled_both_ways(rule_id: str) -> None:
    found = Counter(one.labels.get(rule_id) for one in BOTH)
    assert found["pass"] >= 5
    assert found["fail"] >= (0 if rule_id in NEVER_FAILS else 5)
    assert found["not_applicable"] >= (0 if rule_id.startswith("language.") else 1)


def test_nobody_labels_uncertain() -> None:
    assert {verdict for one in BOTH for verdict in one.labels.values()} == {"pass", "fail", "not_applicable"}


def test_turns_are_sorted_and_take_time() -> None:
    for one in BOTH:
        starts = [turn.start_s for turn in one.hearing.turns]
        assert starts == sorted(starts)
        assert all(turn.end_s > turn.start_s >= 0 for turn in one.hearing.turns)
        assert max(turn.end_s for turn in one.hearing.turns) < one.hearing.duration_s
        assert not any(mark in turn.text for turn in one.hearing.turns for mark in "{}")


def test_loading_twice_gives_the_same_calls() -> None:
    assert load("dev") == load("dev")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ('pass = "greeting closing_thanks"', "needs a label by hand: further_needs"),
        ('pass = "greeting closing_thanks further_needs courtesies"', "unknown rule: courtesies"),
        ('pass = "greeting closing_thanks further_needs"\nfail = "greeting"', "greeting is labelled twice"),
        ('pass = "greeting closing_thanks further_needs purpose_stated"', "belongs to the other direction"),
    ],
)
def test_a_malformed_dialogue_is_refused(tmp_path, change, message) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(
        'direction = "inbound"\n[[dialogue]]\nid = "x"\nabout = "x"\n'
        f"cdr = {{ ring_s = 3 }}\n{change}\nscript = '''\n坐：您好。\n客：好。\n'''\n",
        encoding="utf-8",
    )
    with pytest.raises(DialogueError, match=message):
        load_file(path, "dev")


@pytest.mark.parametrize(
    ("started_at", "verdict"),
    [
        ("2026-03-04T08:30:00+08:00", "pass"),
        ("2026-03-04T08:29:59+08:00", "fail"),
        ("2026-03-07T08:59:00+08:00", "fail"),
        ("2026-03-07T17:00:00+08:00", "pass"),
        ("2026-02-14T08:31:00+08:00", "pass"),
        ("2026-10-02T10:00:00+08:00", "fail"),
        ("2026-10-06T10:00:00+08:00", None),
    ],
)
def test_reference_time_window(started_at, verdict) -> None:
    assert reference.time_window(datetime.fromisoformat(started_at)) == verdict


def test_reference_speech_rate_and_fillers() -> None:
    turn = Turn("agent", 0.0, 6.0, "您好请问有什么可以帮您呢好")
    assert reference.spoken_length(turn.text) == 13
    assert reference.speech_rate([turn]) == "pass"  # 13 characters in 6 s are 130 a minute
    assert reference.speech_rate([replace(turn, end_s=3.0)]) == "fail"
    assert reference.filler_marks("嗯，那个，我看一下，呃，好的。") == 3
    assert reference.filler_marks("嗯嗯。") == 0
    assert reference.filler_marks("那个产品不错。") == 0


def test_alignment_groups_what_was_misheard() -> None:
    assert [(slip.said, slip.heard) for slip in slips("请问您的保单号", "请问你的宝丹号")] == [
        ("您", "你"),
        ("保单", "宝丹"),
    ]
    assert slips("一样", "一样") == []
    assert [(slip.said, slip.heard) for slip in slips("再见了", "见了呀")] == [("再", ""), ("", "呀")]


def test_noise_is_seeded_and_keeps_the_words_in_their_turns() -> None:
    for one in load("dev")[::5]:
        heard = noised(one.hearing, one.id, 7)
        assert heard == noised(one.hearing, one.id, 7)
        assert heard != noised(one.hearing, one.id, 8)
        for turn in heard.turns:
            assert "".join(word.text for word in turn.words) == turn.text
            assert all(turn.start_s <= word.start_s <= word.end_s <= turn.end_s + 0.01 for word in turn.words)


def test_noise_is_as_strong_as_the_recogniser() -> None:
    known = load_confusions()
    assert mean_error_rate(known) == pytest.approx(known.cer, abs=1.5)
