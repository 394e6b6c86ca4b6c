"""Fillers where they carry no meaning, and only there."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.errors import RulebookError
from pipeline.hearing.fillers import filler_events, spoken_fillers, syllables
from pipeline.hearing.lexicon import FILES, SHIPPED, load_lexicon
from pipeline.ports import HeardSegment, HeardWord
from pipeline.records import Turn, Word

RULES = load_lexicon().fillers
MARKS = "，。？！"


def words(sentence, start=0.0, pace=0.2):
    """One word a character; a space is a pause of 0.4 s without a mark."""
    row, at = [], start
    for char in sentence:
        if char == " ":
            at += 0.4
        elif char in MARKS and row:
            row[-1] = replace(row[-1], text=row[-1].text + char)
        else:
            row.append(Word(char, round(at, 3), round(at + pace, 3), 0.9))
            at += pace
    return tuple(row)


def turn(sentence, start=0.0, role="agent"):
    row = words(sentence, start)
    return Turn(role, row[0].start_s, row[-1].end_s, sentence.replace(" ", ""), words=row)


def verbatim(sentence, start=0.0):
    row = tuple(HeardWord(w.text, w.start_s, w.end_s, 0.8) for w in words(sentence, start))
    return HeardSegment(row[0].start_s, row[-1].end_s, sentence, row, -0.3, 0.0, 1.0)


def names(sentence):
    return [name for *_, name in spoken_fillers(syllables(words(sentence), pause_s=RULES.pause_s), RULES)]


def heard(turns, *segments, role="agent"):
    return [(e.text, round(e.start_s, 2)) for e in filler_events(turns, segments, role=role, rules=RULES)]


@pytest.mark.parametrize("rule", RULES.rules, ids=lambda rule: rule.text)
def test_every_rule_has_sentences_both_ways(rule):
    assert rule.filler and rule.plain
    assert all(rule.text in names(sentence) for sentence in rule.filler)
    assert all(rule.text not in names(sentence) for sentence in rule.plain)


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("好的，嗯请您提供保单号", ["嗯"]),
        ("我想问一下 那个 我的理赔呃到哪一步了", ["那个", "呃"]),
        ("那个那个我查一下", ["那个"]),
        ("那个保单是去年的", []),
        ("先登录，然后点我的保单", []),
        ("免赔额是一万元", []),
        ("好啊", []),
        ("嗯", []),
        ("嗯嗯", []),
        ("", []),
    ],
)
def test_fillers_of_a_sentence(sentence, expected):
    assert names(sentence) == expected


def test_a_pause_in_time_serves_as_a_mark():
    assert names("那个 我想问一下") == ["那个"]
    assert names("那个我想问一下") == []


def test_a_lone_answer_is_no_filler():
    assert heard([turn("嗯"), turn("嗯，好")]) == []


def test_the_second_hearing_adds_what_the_first_left_out():
    turns = [turn("好的请您提供保单号")]
    assert heard(turns, verbatim("好的嗯请您提供保单号")) == [("嗯", 0.4)]


def test_one_displaced_syllable_is_allowed():
    assert heard([turn("好的本请您提供保单号")], verbatim("好的嗯请您提供保单号")) == [("嗯", 0.4)]


def test_a_misheard_word_is_not():
    assert heard([turn("您好请问有什么可以帮您")], verbatim("嗯，请问有什么可以帮您")) == []


def test_a_segment_in_which_the_prompt_came_back_is_not_used():
    turns = [turn("好的请您提供保单号")]
    assert heard(turns, verbatim("以下是普通话通话录音，好的嗯请您提供保单号")) == []


def test_both_hearings_make_one_event():
    turns = [turn("好的，嗯，请您提供保单号")]
    found = filler_events(turns, [verbatim("好的，嗯，请您提供保单号")], role="agent", rules=RULES)
    assert [(e.text, e.confidence) for e in found] == [("嗯", RULES.confidence_twice)]


def test_a_particle_of_the_second_hearing_counts_only_alone():
    turns = [turn("系统里显示还没有收到")]
    assert heard(turns, verbatim("系统里，啊，显示还没有收到")) == [("啊", 0.6)]
    assert heard(turns, verbatim("系统里显示还没有收到啊")) == []


def test_a_word_of_the_second_hearing_counts_where_a_filler_may_stand():
    turns = [turn("猜一下你这个扣了两笔")]
    assert heard(turns, verbatim("猜一下，那个，你这个扣了两笔")) == [("那个", 0.6)]
    assert heard(turns, verbatim("猜一下那个你这个扣了两笔")) == []
    misheard = [turn("用心我们有个新产品")]
    assert heard(misheard, verbatim("就是，我们有个新产品")) == [("就是", 0.0)]
    assert heard([turn("保险的用心之处我们有个新产品")], verbatim("就是，我们有个新产品")) == []


def test_only_the_asked_side_is_looked_at():
    turns = [turn("好的，嗯，我查一下"), turn("我想，呃，问一下", 10.0, role="customer")]
    assert [text for text, _ in heard(turns)] == ["嗯"]
    assert [text for text, _ in heard(turns, role="customer")] == ["呃"]


def test_a_second_hearing_elsewhere_changes_nothing():
    turns = [turn("好的请您提供保单号")]
    assert heard(turns, verbatim("嗯那个嗯我想一下", start=30.0)) == []


SENTENCE = st.text(alphabet="嗯呃啊那个就是说然后我你好的，。 ", min_size=1, max_size=30).filter(
    lambda text: text[0] not in MARKS + " "
)


@given(SENTENCE, SENTENCE, st.floats(0, 100))
@example("个个 个个个", "个个个个个个个呃", 0.0)  # begins where the turn ends, as far as words tell
def test_events_lie_in_the_turn_and_move_with_it(first, second, shift):
    turns, later = [turn(first)], [turn(first, start=shift)]
    found = filler_events(turns, [verbatim(second)], role="agent", rules=RULES)
    moved = filler_events(later, [verbatim(second, start=shift)], role="agent", rules=RULES)
    assert [e.text for e in found] == [e.text for e in moved]
    assert all(event.start_s <= event.end_s for event in found)
    middles = [(event.start_s + event.end_s) / 2 for event in found]
    assert all(turns[0].start_s - 0.151 <= middle <= turns[0].end_s + 0.151 for middle in middles)
    assert found == sorted(found, key=lambda e: (e.start_s, e.end_s))


@given(SENTENCE)
def test_more_plain_words_never_lower_the_count(sentence):
    assert len(names("保单合同，" + sentence)) >= len(names(sentence)) - 1


# --- the data files ---------------------------------------------------------------------------------


def test_the_shipped_lexicon_loads_and_is_whole():
    lexicon = load_lexicon()
    assert len(lexicon.terms) >= 40
    assert len(lexicon.digest) == 64
    assert lexicon.cleaning.always
    assert {rule.text for rule in lexicon.fillers.rules} >= {"嗯", "啊", "呃", "那个", "就是", "然后"}


@pytest.mark.parametrize("name", FILES)
def test_any_file_can_be_replaced_and_changes_the_digest(tmp_path, name):
    text = (SHIPPED / name).read_text(encoding="utf-8")
    (tmp_path / name).write_text(
        text + ("\n# changed\n" if name.endswith(".toml") else "\n"), encoding="utf-8"
    )
    assert load_lexicon(tmp_path).digest != load_lexicon().digest


@pytest.mark.parametrize(
    ("name", "old", "new", "says"),
    [
        (
            "fillers.toml",
            'kind = "sound"\nalso',
            'kind = "noise"\nalso',
            r"fillers\.toml:\d+: 嗯: kind 'noise' is unknown",
        ),
        ("fillers.toml", 'filler = ["好的，嗯，', 'filler = ["好的，', r"is not found in its example"),
        ("fillers.toml", 'plain = ["嗯"', 'plain = ["好，嗯，请讲"', "is found in its example"),
        ("fillers.toml", "max_displaced = 1", "max_displaced = 99", r"fillers\.toml:\d+: 'max_displaced'"),
        ("fillers.toml", "schema = 1", "schema = 9", "schema 9 is unknown"),
        ("hearing.toml", "hotwords = true", 'hotwords = "yes"', "must be true or false"),
        ("hearing.toml", "loop_repeats = [7, 5, 4]", "loop_repeats = [7]", "three whole numbers"),
        ("hallucinations.csv", "谢谢观看,always", "谢谢观看,often", r"hallucinations\.csv:\d+: kind 'often'"),
        ("hallucinations.csv", "text,kind", "word,kind", "columns must be text,kind,note,source"),
        (
            "insurance_terms.csv",
            "退保,service,yes,解除合同,",
            "续保,service,yes,解除合同,",
            "stands here twice",
        ),
        (
            "insurance_terms.csv",
            "险种,product,no,,行业用语",
            "险种,product,no,,",
            "source of '险种' is missing",
        ),
    ],
)
def test_problems_of_the_data_are_named_with_their_line(tmp_path, name, old, new, says):
    text = (SHIPPED / name).read_text(encoding="utf-8")
    assert old in text
    (tmp_path / name).write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(RulebookError, match=says):
        load_lexicon(tmp_path)


def test_hotwords_that_come_back_as_a_list_are_known_as_invented():
    lexicon = load_lexicon()
    terms = (lexicon.hotwords or "").split()
    assert 6 <= len(terms) <= 20
    assert "".join(terms[3:6]) in lexicon.cleaning.always
    assert "".join(terms[3:5]) not in lexicon.cleaning.always  # two terms in a row are ordinary speech


def test_problems_of_several_files_come_together(tmp_path: Path):
    for name in ("hearing.toml", "fillers.toml"):
        (tmp_path / name).write_text("schema = 1\n", encoding="utf-8")
    with pytest.raises(RulebookError) as caught:
        load_lexicon(tmp_path)
    assert "hearing.toml:" in str(caught.value)
    assert "fillers.toml:" in str(caught.value)


def test_a_silence_in_the_audio_parts_words_whose_times_leave_no_gap():
    """就是 sounds from 1.2 to 1.6 s; its word is said to begin in the silence before it and to last."""
    row = (
        Word("您", 0.4, 0.6), Word("说", 0.6, 0.8), Word("呢", 0.8, 1.0),
        Word("就是", 1.0, 1.5), Word("可", 1.5, 2.3), Word("能", 2.3, 2.5),
    )  # fmt: skip
    spoken = Turn("agent", 0.4, 2.5, "您说呢就是可能", words=row)
    assert filler_events([spoken], [], role="agent", rules=RULES) == []
    silent = [(1.0, 1.2), (1.6, 2.1)]
    (event,) = filler_events([spoken], [], role="agent", rules=RULES, silences=silent)
    assert (event.text, event.start_s, event.end_s) == ("就是", 1.2, 1.5)


@given(
    st.lists(st.tuples(st.floats(0, 5), st.floats(0.05, 1.0)), max_size=8),
    st.text(alphabet="您好就是那个嗯呃说", min_size=1, max_size=12),
)
def test_silences_move_no_word_out_of_its_time(gaps, sentence):
    silent, at = [], 0.0
    for gap, length in gaps:
        silent.append((at + gap, at + gap + length))
        at = silent[-1][1]
    row = words(sentence)
    parted = syllables(row, pause_s=RULES.pause_s, silences=silent)
    assert [one.char for one in parted] == list(sentence)
    assert all(one.start_s <= one.end_s for one in parted)
    assert all(row[0].start_s <= one.start_s and one.end_s <= row[-1].end_s for one in parted)
