"""Places that sound nearly like a wording: one word misheard is forgiven, another sentence is not."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.judging.nearly import heads_of_number, near_places, near_wording
from pipeline.judging.phrases import Transcript
from pipeline.judging.questions import questions
from pipeline.judging.rulebook import load_rulebook
from pipeline.judging.soundindex import SoundIndex
from pipeline.judging.transcript import load_model
from pipeline.judging.wordings import compile_wording
from pipeline.records import CallRecord, Turn, Word

SOUNDS = load_model().sounds
BOOK = load_rulebook(None)
CALL = CallRecord("c1", "outbound", datetime(2026, 3, 2, 9, 0, tzinfo=UTC), agent_id="1186")


def near(source, text, alike=0.7):
    index = SoundIndex(Transcript.of([Turn("agent", 0.0, 5.0, text)]))
    found = near_places(compile_wording(source, SOUNDS), index, range(len(index.segments)), alike=alike)
    return {(text[one.start : one.end], one.text) for one in found}


def asked(text, phrase, call=CALL, probability=0.5):
    words = tuple(
        Word(char, round(0.2 * at, 3), round(0.2 * at + 0.2, 3), probability) for at, char in enumerate(text)
    )
    turn = Turn("agent", 0.0, 0.2 * len(text), text, confidence=probability, words=words)
    return [one for one in questions([turn], call, BOOK.lexicon) if one.phrase == phrase]


@pytest.mark.parametrize(
    ("source", "heard", "place", "reads"),
    [
        ("(打扰|耽误)(您|你)[了]", "好的那打教您祝您工作愉快", "打教您", "打扰您"),
        ("感谢{gap:0-4}(来电|致电)", "感谢您拒电再见", "感谢您拒电", "感谢您致电"),
        ("给您(介绍|推荐)", "您推荐一款产品", "您推荐", "给您推荐"),
        ("(理解|体谅)(您|你)的心情", "我了解您的心情", "了解您的心情", "理解您的心情"),
        # Both syllables wrong, each with the initial or the final that was said.
        ("我(登记|备注)一下", "好的我东西一下您的情况", "我东西一下", "我登记一下"),
        ("我(记录|备注)一下", "好的我进入一下您的情况", "我进入一下", "我记录一下"),
        # A syllable that stands alone.
        ("让(您|你){gap:0-2}久等", "将您久等吗", "将您久等", "让您久等"),
        ("给(您|你)(介绍|推荐)", "您推荐一款产品", "您推荐", "给您推荐"),
    ],
)
def test_one_misheard_word_is_forgiven(source, heard, place, reads):
    assert (place, reads) in near(source, heard)


def test_what_sounds_the_same_or_quite_different_is_not_proposed():
    assert not near("感谢(您|你)的来电", "感谢您的来电")
    assert not near("感谢(您|你)的来电", "今天天气不错")
    assert not near("感谢(您|你)的来电", "感谢您的来定", alike=1.0)


def test_both_syllables_of_another_sound_are_another_word():
    assert not near("我(登记|备注)一下", "好的我出门一下")


def test_a_long_gap_is_no_likeness():
    assert not near("感谢{gap:0-20}来电", "感谢您拨打我们公司的客服热线拒电")


def test_wordings_with_slots_are_left_out():
    assert near_wording("工号{digits:2-8}", SOUNDS) is None
    assert not near("工号{digits:2-8}", "公告一一八六")


def test_only_wordings_that_end_in_a_number_have_heads():
    assert heads_of_number(["(工号|工后)[是]{digits:2-10}", "我是{digits:3-8}号", "工号"]) == ["工号", "工后"]


def test_the_numbers_of_the_record_are_asked_for_where_something_else_was_heard():
    (one,) = asked("您好工号医疗险请问方便吗", "says_number")
    assert one.spellings[0] == "工号一一八六"
    assert one.heard.startswith("工号医疗")
    assert not asked("您好工号医疗险请问方便吗", "says_number", replace(CALL, agent_id=None))
    assert not asked("您好工号医疗险请问方便吗", "says_number", replace(CALL, agent_id="zhang.wei"))


def test_doubtful_words_only_are_asked_about():
    text = "好的那打照您祝您工作愉快"
    assert any("打扰您" in one.spellings for one in asked(text, "polite_answer"))
    assert not asked(text, "polite_answer", probability=0.99)


def test_a_guess_that_sounds_like_nothing_is_not_asked_about():
    assert not asked("好的那哎呀您祝您工作愉快", "polite_answer", probability=0.1)


def test_readings_of_overlapping_places_are_asked_about_once_each():
    said = [text for one in asked("好的我把您的诉求登进下来", "notes_demand") for text in one.spellings]
    assert any("诉求登记" in text for text in said)
    assert len(said) == len(set(said))


@given(st.text(alphabet="打扰耽误您了的好不祝感谢来电拒", min_size=1, max_size=30))
def test_places_lie_in_the_text_and_read_as_the_wording(text):
    source = "(打扰|耽误){gap:0-2}(您|你)[了]"
    wording = compile_wording(source, SOUNDS)
    for place, reads in near(source, text, alike=0.3):
        assert place in text
        assert wording.reads(reads)
