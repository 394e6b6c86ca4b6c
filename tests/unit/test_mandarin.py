"""Digits as read aloud, simplified characters, characters counted."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.mandarin import han_count, normalised, simplified, spoken_form, strip_punctuation

SPOKEN = [
    # numbers that identify: digit by digit, 一 not 幺
    ("我的电话是13800138000", "我的电话是一三八零零一三八零零零"),
    ("13800138000元", "一三八零零一三八零零零元"),
    ("138 0013 8000", "一三八零零一三八零零零"),
    ("1 3 9 2", "一三九二"),
    ("请拨打400-123-4567", "请拨打四零零一二三四五六七"),
    ("95519", "九五五一九"),
    ("12378热线", "一二三七八热线"),
    ("工号1027", "工号一零二七"),
    ("工号：001", "工号：零零一"),
    ("1027号为您服务", "一零二七号为您服务"),
    ("尾号8888", "尾号八八八八"),
    ("后4位是3456", "后四位是三四五六"),
    ("验证码是120", "验证码是一二零"),
    ("身份证11010519491231002X", "身份证一一零一零五一九四九一二三一零零二X"),
    # numbers that count
    ("保单号后6位", "保单号后六位"),
    ("身份证号后4位", "身份证号后四位"),
    ("24小时内回电", "二十四小时内回电"),
    ("2分钟", "两分钟"),
    ("2个工作日", "两个工作日"),
    ("第2次", "第二次"),
    ("2月2号", "二月二号"),
    ("15号", "十五号"),
    ("12000元", "一万二千元"),
    ("1,000,000元", "一百万元"),
    ("10000000元", "一千万元"),
    ("1280块", "一千二百八十块"),
    ("1.5万", "一点五万"),
    ("¥100", "一百元"),
    ("10%", "百分之十"),
    ("3.5％", "百分之三点五"),
    ("20%-30%", "百分之二十到百分之三十"),
    ("1/3", "三分之一"),
    # times and dates
    ("08:30", "八点三十"),
    ("8:05", "八点零五"),
    ("2:00", "两点"),
    ("08:30-17:30", "八点三十到十七点三十"),
    ("10:20:30", "十点二十分三十秒"),
    ("2024年", "二零二四年"),
    ("95年", "九五年"),
    ("30年", "三十年"),
    ("2024-03-05", "二零二四年三月五日"),
    ("2024/3/5", "二零二四年三月五日"),
    # ranges
    ("3-5个工作日", "三到五个工作日"),
    ("2-3天", "两到三天"),
    ("10~15天", "十到十五天"),
    # other scripts and widths
    ("２４小时", "二十四小时"),
    ("٣个", "三个"),
    ("0", "零"),
    ("1.2.3", "一点二点三"),
]


@pytest.mark.parametrize(("written", "said"), SPOKEN)
def test_spoken_form(written, said):
    assert spoken_form(written) == said


@pytest.mark.parametrize(
    ("traditional", "expected"),
    [
        ("請問有什麼可以幫您", "请问有什么可以帮您"),
        ("保單號後六位", "保单号后六位"),
        ("感謝您的來電，祝您生活愉快", "感谢您的来电，祝您生活愉快"),
        ("妳好，甚麼事", "你好，什么事"),
        ("谘詢", "咨询"),
        ("他拿著电话", "他拿着电话"),
    ],
)
def test_traditional_becomes_simplified(traditional, expected):
    assert simplified(traditional) == expected


@pytest.mark.parametrize("text", ["显著", "著名", "名著", "乾坤", "慰藉", "后来", "里程", "了解", "什么", ""])
def test_simplified_text_stays(text):
    assert simplified(text) == text


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("，。？！……", 0),
        ("您好。", 2),
        ("保单号后6位", 6),
        ("13800138000", 11),
        ("24小时", 5),  # 二十四小时
        ("10%", 4),  # 百分之十
        ("VIP", 3),
        ("app和APP", 1 + 1 + 3),
        ("〇", 1),
    ],
)
def test_han_count(text, count):
    assert han_count(text) == count


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("13925800457", "幺三九二五八零零四五七"),
        ("24小時", "二十四小时"),
        ("兩位", "2位"),
        ("Apple Pay", "applepay"),
        ("\ufeff已经成为", "已经成为"),
        ("百分之10", "10%"),
    ],
)
def test_normalised_makes_spellings_one(one, other):
    assert normalised(one) == normalised(other)


def test_different_words_stay_different():
    assert normalised("后六位") != normalised("后四位")


NUMERIC = st.text(alphabet="0123456789.,:-/%年月日号元个位 工电话XxA２٣", max_size=30)


@given(st.text(max_size=60) | NUMERIC)
def test_spoken_form_leaves_no_digit_and_is_stable(text):
    said = spoken_form(text)
    assert not any(char.isdecimal() for char in said)
    assert spoken_form(said) == said


@given(st.text(alphabet="您好请问有什么可以帮，。ABC", max_size=40))
def test_text_without_digits_is_returned_as_is(text):
    assert spoken_form(text) is text


@given(st.text(max_size=60))
def test_simplified_is_stable_and_keeps_length_of_han(text):
    once = simplified(text)
    assert simplified(once) == once


@given(st.text(max_size=40) | NUMERIC, st.text(max_size=40) | NUMERIC)
def test_counts_are_never_negative_and_punctuation_adds_nothing(one, other):
    assert han_count(one) >= 0
    assert han_count(one + "。") == han_count(one)


@given(st.text(max_size=60))
def test_strip_punctuation_is_stable_and_only_removes(text):
    kept = strip_punctuation(text)
    assert strip_punctuation(kept) == kept
    assert len(kept) <= len(text)


@given(st.integers(min_value=0, max_value=99))
def test_small_numbers_before_minutes_count_as_numbers(number):
    from cn2an import cn2an

    said = spoken_form(f"{number}分钟").removesuffix("分钟").replace("两", "二")
    assert cn2an(said, "smart") == number


@given(st.text(alphabet="0123456789", min_size=11, max_size=20))
def test_long_numbers_are_read_digit_by_digit(number):
    assert len(spoken_form("电话" + number)) == 2 + len(number)


def test_imports_nothing_heavy():
    code = (
        "import sys; import pipeline.mandarin as m; m.spoken_form('24小时'); m.simplified('請');"
        "print([n for n in ('numpy', 'pandas', 'torch') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
