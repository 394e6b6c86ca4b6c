"""Syllables, their confusions, and what a difference costs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import RulebookError
from pipeline.judging.lexfile import lexicon_folder
from pipeline.judging.phonetics import NEVER, UNIT, Sounds, load_sounds, split_syllable

HAN = st.characters(min_codepoint=0x4E00, max_codepoint=0x9FA5)


@pytest.fixture(scope="module")
def sounds() -> Sounds:
    return load_sounds()


@pytest.mark.parametrize(
    ("syllable", "initial", "final"),
    [
        # 《汉语拼音方案》 声母表, 韵母表; y and w mark a missing initial, ü after j q x is written u
        ("bo", "b", "o"),
        ("zhi", "zh", "i"),
        ("yi", "", "i"),
        ("ya", "", "ia"),
        ("yan", "", "ian"),
        ("ying", "", "ing"),
        ("yong", "", "iong"),
        ("yu", "", "v"),
        ("yuan", "", "van"),
        ("wu", "", "u"),
        ("wang", "", "uang"),
        ("wen", "", "uen"),
        ("weng", "", "ueng"),
        ("ju", "j", "v"),
        ("xue", "x", "ve"),
        ("qun", "q", "vn"),
        ("lv", "l", "v"),
        ("lun", "l", "uen"),
        ("liu", "l", "iou"),
        ("an", "", "an"),
        ("er", "", "er"),
    ],
)
def test_split_syllable(syllable, initial, final):
    assert split_syllable(syllable) == (initial, final)


@pytest.mark.parametrize(
    ("said", "heard"),
    ["工公", "结接", "您你", "一幺", "二两", "零〇", "不部", "六刘", "还环", "重虫", "行航", "得的"],
)
def test_one_sound_costs_nothing(sounds, said, heard):
    assert sounds.character_cost(said, heard) == 0


@pytest.mark.parametrize(
    ("said", "heard"),
    [("事", "丝"), ("周", "邹"), ("难", "蓝"), ("福", "湖"), ("心", "星"), ("陈", "成"), ("干", "刚")],
)
def test_confusable_sounds_cost_little(sounds, said, heard):
    assert 0 < sounds.character_cost(said, heard) <= 0.3 * UNIT


def test_a_heteronym_matches_any_of_its_readings(sounds):
    assert sounds.readings("行") == ("xing", "hang")
    assert sounds.character_cost("行", "航") == sounds.character_cost("行", "型") == 0


@pytest.mark.parametrize(
    ("said", "heard", "why"),
    [
        ("四", "六", "another numeral"),
        ("六", "四", "another numeral"),
        ("六", "似", "sounds like another numeral"),
        ("前", "后", "opposed"),
        ("前", "厚", "sounds like the opposed word"),
        ("来", "接", "opposed"),
        ("不", "可", "a negator is lost"),
        ("可", "不", "a negator appears"),
    ],
)
def test_content_critical_syllables_cost_more_than_any_other(sounds, said, heard, why):
    assert sounds.character_cost(said, heard) > UNIT, why


def test_numerals_that_recognisers_confuse_cost_less_than_others(sounds):
    assert UNIT < sounds.character_cost("四", "十") < sounds.character_cost("四", "六")


def test_particles_are_light(sounds):
    assert sounds.insert_cost("嗯") < sounds.insert_cost("好") < sounds.insert_cost("不")
    assert sounds.delete_cost("的") < sounds.delete_cost("好") < sounds.delete_cost("没")


def test_nothing_crosses_a_break(sounds):
    assert sounds.character_cost("好", "\n") == sounds.insert_cost("\n") == NEVER


@given(HAN, HAN)
def test_costs_of_syllables_are_symmetric_and_bounded(first, second):
    sounds = load_sounds()
    for a in sounds.readings(first):
        for b in sounds.readings(second):
            assert sounds.syllable_cost(a, b) == sounds.syllable_cost(b, a)
            assert 0 <= sounds.syllable_cost(a, b) <= UNIT


@given(st.characters())
def test_every_character_is_itself(char):
    sounds = load_sounds()
    assert sounds.character_cost(char, char) == 0
    assert len(sounds.coarse(char)) >= 1
    assert sounds.coarse(char)[0].translate(sounds.halves_table) != sounds.coarse(char)[0]


def test_confusable_sounds_share_a_coarse_class(sounds):
    assert sounds.coarse("周") == sounds.coarse("邹")
    assert sounds.coarse("难") == sounds.coarse("狼")
    assert sounds.coarse("周") != sounds.coarse("班")


def test_all_problems_are_reported_with_file_and_line(tmp_path):
    for name in ("confusions.toml", "heteronyms.csv"):
        (tmp_path / name).write_text((lexicon_folder() / name).read_text("utf-8"), encoding="utf-8")
    source = (tmp_path / "confusions.toml").read_text("utf-8")
    broken = source.replace('pairs = [["n", "l"]]', 'pairs = [["n", "lh"]]').replace(
        "insert = 0.75", 'insert = "x"'
    )
    (tmp_path / "confusions.toml").write_text(broken, encoding="utf-8")
    with (tmp_path / "heteronyms.csv").open("a", encoding="utf-8") as lines:
        lines.write("好,hao3,\n")
    with pytest.raises(RulebookError) as caught:
        load_sounds(tmp_path)
    message = str(caught.value)
    assert "'lh' is no initial" in message
    assert "content.insert is 'x'" in message
    assert "heteronyms.csv:" in message
    assert all(":" in line for line in message.splitlines())
