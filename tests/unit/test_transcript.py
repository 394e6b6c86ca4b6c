"""What nobody said is taken out and counted; what was said stays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.hearing.lexicon import load_lexicon
from pipeline.hearing.transcript import cleaned, leaked, written
from pipeline.ports import HeardSegment, HeardWord
from pipeline.records import Word

RULES = load_lexicon().cleaning


def segment(text, start=0.0, *, pace=0.25, probability=0.9, logprob=-0.2, no_speech=0.01):
    """One word a character; marks stay with the character before."""
    words, at = [], start
    for char in text:
        if char in "，。？！,.?!" and words:
            last = words.pop()
            words.append(HeardWord(last.text + char, last.start_s, last.end_s, probability))
        else:
            words.append(HeardWord(char, round(at, 3), round(at + pace, 3), probability))
            at += pace
    return HeardSegment(start, at, text, tuple(words), logprob, no_speech, 1.0)


def clean(*segments, speech=((0.0, 100.0),)):
    return cleaned(segments, speech=speech, rules=RULES)


def text_of(*segments, **options):
    return written(clean(*segments, **options).words)


def test_what_was_said_stays():
    result = clean(segment("您好，请问有什么可以帮您？"))
    assert written(result.words) == "您好，请问有什么可以帮您？"
    assert result.removed == {}
    assert result.confidence == pytest.approx(0.9)
    assert [word.text for word in result.words[:3]] == ["您", "好，", "请"]


def test_traditional_characters_are_simplified_by_the_sentence():
    assert text_of(segment("請問保單號後六位")) == "请问保单号后六位"


def test_marks_become_full_width():
    assert text_of(segment("您好,请问?好.")) == "您好，请问？好。"


def test_digits_and_letters_become_words():
    result = clean(segment("电话13800138000谢谢"))
    assert [word.text for word in result.words] == ["电", "话", "13800138000", "谢", "谢"]
    number = result.words[2]
    assert (number.start_s, number.end_s) == (0.5, 3.25)


def test_decimals_and_percent_stay_together():
    assert [w.text for w in clean(segment("利率3.5%左右")).words] == ["利", "率", "3.5%", "左", "右"]


def test_latin_words_keep_their_space():
    words = [HeardWord(" apple", 0.0, 0.4, 0.9), HeardWord(" pay", 0.4, 0.7, 0.9)]
    assert text_of(HeardSegment(0.0, 1.0, " apple pay", tuple(words), -0.1, 0.0, 1.0)) == "apple pay"


@pytest.mark.parametrize(
    "invented",
    [
        "中文字幕志愿者",
        "請不吝點贊訂閱轉發打賞支持明鏡與點點欄目",
        "优优独播剧场",
        "谢谢观看",
        "字幕由Amara.org社群提供",
        "作词作曲",
    ],
)
def test_credits_are_taken_out(invented):
    result = clean(segment("好的" + invented))
    assert written(result.words).startswith("好的")
    assert invented[:2] not in written(result.words)
    assert result.removed["invented"] >= 4


def test_a_customer_may_thank():
    assert text_of(segment("谢谢，再见。")) == "谢谢，再见。"


def test_doubtful_phrases_go_only_when_improbable():
    assert text_of(segment("谢谢大家", probability=0.9)) == "谢谢大家"
    assert text_of(segment("谢谢大家", probability=0.3)) == ""


def test_text_over_silence_goes():
    result = clean(segment("您好您好", start=50.0), speech=[(0.0, 10.0)])
    assert result.words == ()
    assert result.removed == {"silence": 4}
    assert result.confidence == 0.0


def test_text_that_the_recogniser_itself_doubts_goes():
    assert text_of(segment("您好", logprob=-1.5, no_speech=0.9)) == ""
    assert text_of(segment("您好", logprob=-1.5, no_speech=0.1)) == "您好"


def test_a_prompt_that_came_back_goes():
    result = clean(segment("以下是普通话通话录音的逐字记录"))
    assert result.removed == {"leak": 15}


def test_more_than_anybody_says_goes():
    assert text_of(segment("您好请问有什么可以帮您" * 3, pace=0.02)) == ""


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("好" * 20, "好"),
        ("谢谢您" * 6, "谢谢您"),
        ("是的是的是的是的是的是的", "是的"),
        ("您好请稍等" * 5, "您好请稍等"),
    ],
)
def test_loops_are_cut_to_their_first_saying(said, kept):
    result = clean(segment(said))
    assert written(result.words) == kept
    assert result.removed["loop"] == len(said) - len(kept)


@pytest.mark.parametrize("said", ["对对对对", "好的好的好的", "尾号8888", "喂喂喂", "六六六六六", "谢谢谢谢"])
def test_people_do_repeat_themselves(said):
    assert text_of(segment(said)) == said


def test_a_fast_loop_is_one_sooner():
    assert text_of(segment("您好请问" * 3, pace=0.09)) == "您好请问"


def test_leaked_ignores_marks_and_script():
    assert leaked("以下是…逐字記錄。", ["逐字记录"])
    assert not leaked("我记录一下", ["逐字记录"])


CHARS = st.text(alphabet="您好请问对是的谢字幕製作13.,，。 aA", max_size=40)


@given(st.lists(CHARS, max_size=4), st.floats(0.05, 0.5))
def test_cleaning_never_fails_never_adds_and_is_stable(texts, pace):
    segments = [segment(text, start=20.0 * i, pace=pace) for i, text in enumerate(texts)]
    result = clean(*segments)
    assert len(written(result.words)) <= sum(len(text) for text in texts) + len(result.words)
    assert list(result.words) == sorted(result.words, key=lambda w: (w.start_s, w.end_s))
    assert all(isinstance(word, Word) and word.end_s >= word.start_s for word in result.words)
    assert 0.0 <= result.confidence <= 1.0
    again = [
        HeardSegment(
            w.start_s, w.end_s, w.text, (HeardWord(w.text, w.start_s, w.end_s, w.confidence),), 0, 0, 1
        )
        for w in result.words
    ]
    assert len(written(clean(*again).words)) <= len(written(result.words))
