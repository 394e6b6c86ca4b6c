"""Characters get believable times and keep their punctuation."""

import pytest

from models.whisper_words import merged_marks, trimmed
from pipeline.ports import HeardWord


def aligned(*rows):
    return [{"word": w, "start": a, "end": b, "probability": 0.9} for w, a, b in rows]


def test_ordinary_times_stay():
    words = trimmed(aligned(("您", 0.0, 0.2), ("好", 0.2, 0.45)))
    assert [(w.text, w.start_s, w.end_s) for w in words] == [("您", 0.0, 0.2), ("好", 0.2, 0.45)]


def test_the_silence_before_a_phrase_is_not_its_first_character():
    words = trimmed(aligned(("您", 0.0, 3.0), ("好", 3.0, 3.2), ("请", 3.2, 3.4), ("问", 3.4, 3.6)))
    assert (words[0].start_s, words[0].end_s) == pytest.approx((2.5, 3.0))


def test_the_silence_after_a_phrase_is_not_its_last_character():
    words = trimmed(aligned(("您", 0.0, 0.2), ("好", 0.2, 0.4), ("吗", 0.4, 4.0), ("请", 4.0, 4.2)))
    assert (words[2].start_s, words[2].end_s) == pytest.approx((0.4, 0.9))


def test_blank_tokens_go():
    assert trimmed(aligned((" ", 0.0, 0.2))) == []
    assert trimmed([]) == []


def words(*texts):
    return [HeardWord(text, i * 0.2, i * 0.2 + 0.2, 0.9) for i, text in enumerate(texts)]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["您", "好", "，", "请"], ["您", "好，", "请"]),
        (["“", "好", "”"], ["“好”"]),
        (["好", "。", "…"], ["好。…"]),
        (["，", "好"], ["好"]),
        ([" apple", " pay"], [" apple", " pay"]),
        ([], []),
    ],
)
def test_marks_join_their_character(texts, expected):
    assert [word.text for word in merged_marks(words(*texts))] == expected


def test_a_mark_adds_no_time():
    merged = merged_marks(words("好", "。"))
    assert (merged[0].start_s, merged[0].end_s) == (0.0, 0.2)
