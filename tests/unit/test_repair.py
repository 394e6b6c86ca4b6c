"""Terms are repaired by their sound, only where the recogniser was unsure, and its own words are kept."""

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.hearing.lexicon import load_lexicon
from pipeline.hearing.repair import RepairRules, repaired
from pipeline.judging.rulebook import load_rulebook
from pipeline.records import Turn, Word

RULES = load_lexicon().repair


def turn(text, confidence=0.4):
    words = []
    for char in text:
        if char in "，。" and words:
            words[-1] = replace(words[-1], text=words[-1].text + char)
        else:
            words.append(Word(char, len(words) * 0.2, len(words) * 0.2 + 0.2, confidence))
    return Turn("agent", 0.0, len(words) * 0.2, text, confidence=confidence, words=tuple(words))


@pytest.mark.parametrize(
    ("heard", "meant"),
    [
        ("您的礼陪到了", "您的理赔到了"),
        ("我是做习", "我是坐席"),
        ("身份政", "身份证"),
        ("请问寿以人是谁", "请问受益人是谁"),
        ("感谢您的来店", "感谢您的来电"),
        ("交通银行", "交通银行"),
    ],
)
def test_a_doubtful_word_of_a_terms_sound_becomes_the_term(heard, meant):
    fixed = repaired(turn(heard), RULES)
    assert fixed.text == meant
    assert "".join(word.text for word in fixed.words) == meant
    assert fixed.raw == ("" if heard == meant else heard)


def test_a_term_sounds_only_as_the_word_is_read():
    """听 can be read yǐ, but nobody reads 接听 so."""
    rules = RepairRules(("接听",), max_confidence=0.8)
    assert repaired(turn("劫以"), rules).text == "劫以"
    assert repaired(turn("街厅"), rules).text == "接听"


def test_words_that_the_recogniser_is_sure_of_stay():
    assert repaired(turn("您的礼陪到了", 0.95), RULES) == turn("您的礼陪到了", 0.95)


def test_no_term_is_made_across_punctuation():
    assert repaired(turn("送了礼，陪他去"), RULES).text == "送了礼，陪他去"


def test_nothing_is_repaired_without_rules():
    assert repaired(turn("礼陪"), RepairRules()) == turn("礼陪")


def test_no_term_can_say_what_a_rule_asks_for():
    """A repair may not turn a missing sentence into one that was said."""
    phrases = load_rulebook(None).lexicon.phrases
    runs = {
        chars
        for phrase in phrases.values()
        for pattern in phrase.say
        for branch in pattern.branches
        for chars, number in branch.numbers.items()
        if number in branch.whole and len(chars) > 4
    }
    assert runs.isdisjoint(RULES.terms)


@example("益宝全", 0.0)
@given(st.text(alphabet="礼陪理赔保全宝泉，。受益寿以人做习我", min_size=1, max_size=14), st.floats(0, 1))
def test_times_lengths_and_marks_stay(text, confidence):
    spoken = turn(text.lstrip("，。") or "好", confidence)
    fixed = repaired(spoken, RULES)
    assert [(w.start_s, w.end_s, len(w.text)) for w in fixed.words] == [
        (w.start_s, w.end_s, len(w.text)) for w in spoken.words
    ]
    assert [char for char in fixed.text if char in "，。"] == [char for char in spoken.text if char in "，。"]
    assert (fixed.raw == "") == (fixed == spoken)
    before, after = ("".join(char for char in one if char not in "，。") for one in (spoken.text, fixed.text))
    written = {
        at
        for term in RULES.terms
        for start in range(len(after))
        if after.startswith(term, start)
        for at in range(start, start + len(term))
    }
    assert {at for at, (a, b) in enumerate(zip(before, after, strict=True)) if a != b} <= written
