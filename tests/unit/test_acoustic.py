"""The audio's own opinion: where it is asked, what it overrules, and what it may not touch."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from models.phrase_scores import _forms
from pipeline.hearing.answers import asked_later, phrase_evidence
from pipeline.hearing.audio import Recording
from pipeline.judging.acoustic import AcousticModel
from pipeline.judging.case import Case
from pipeline.judging.engine import judge
from pipeline.judging.places import Window
from pipeline.judging.questions import questions
from pipeline.judging.rulebook import load_rulebook
from pipeline.ports import PhraseScore
from pipeline.records import CallRecord, Hearing, PhraseEvidence, Turn, Word

BOOK = load_rulebook(None)
CALL = CallRecord("c1", "inbound", datetime(2026, 3, 2, 9, 0, tzinfo=UTC), company="安和人寿")


def turn(text, start=0.0, role="agent"):
    words = tuple(
        Word(char, round(start + 0.2 * at, 3), round(start + 0.2 * at + 0.2, 3), 0.6)
        for at, char in enumerate(text)
    )
    return Turn(role, start, start + 0.2 * len(text), text, confidence=0.6, words=words)


def marks(hearing, phrase, lexicon=BOOK.lexicon):
    case = Case(hearing, CALL, lexicon)
    return [
        (mark.hit.quote, mark.is_sure) for mark in case.marks(phrase, Window(tuple(range(len(case.turns)))))
    ]


def heard(text, *answers):
    return Hearing("", 60.0, "stereo", (turn(text),), phrases=answers)


def answer(phrase, spelling, c_rel, *, start=0.0, end=2.0, alike=0.9):
    return PhraseEvidence(phrase, "agent", start, end, spelling, c_rel, min(0.0, c_rel) - 1.0, alike)


MISHEARD = "感谢您的来定再见"


def test_a_near_miss_is_asked_about_with_the_sentence_it_sounds_like():
    asked = [one for one in questions([turn(MISHEARD)], CALL, BOOK.lexicon) if one.phrase == "thanks_call"]
    assert any("感谢您的来电" in one.spellings for one in asked)
    for one in asked:
        assert one.from_s <= one.start_s < one.end_s <= one.to_s
        assert len(one.alike) == len(one.spellings)


def test_what_was_surely_heard_is_not_asked_about():
    asked = questions([turn("感谢您的来电，再见。")], CALL, BOOK.lexicon)
    assert not [one for one in asked if one.phrase == "thanks_call"]


def test_hits_that_are_chance_are_not_asked_about():
    lexicon = BOOK.lexicon
    turns = [turn("他给了几分钟", role="customer"), turn("您带了带款合同吗，保单带款要带多少")]
    chance = replace(lexicon, acoustic=replace(lexicon.acoustic, ask_above=0.0))
    all_of, worth = questions(turns, CALL, chance), questions(turns, CALL, lexicon)
    assert set(worth) <= set(all_of)
    above = replace(lexicon, acoustic=replace(lexicon.acoustic, ask_above=0.89))
    assert len(questions(turns, CALL, above)) < len(all_of)


def test_questions_are_the_same_every_time():
    turns = [turn(MISHEARD), turn("我再问一下", 5.0, "customer"), turn("请问还有别的需药咨询的吗", 8.0)]
    assert questions(turns, CALL, BOOK.lexicon) == questions(turns, CALL, BOOK.lexicon)


def test_present_makes_a_hit_and_absent_takes_it_away():
    lost = "干些您低"
    assert not any(sure for _, sure in marks(heard(lost), "thanks_call"))
    present = answer("thanks_call", "感谢您的来电", 0.5, end=0.8)
    assert marks(heard(lost, present), "thanks_call") == [(lost, True)]
    absent = answer("thanks_call", "感谢您的来电", -8.0, end=0.8, alike=0.3)
    assert not any(sure for _, sure in marks(heard(lost, absent), "thanks_call"))


def test_an_unsure_answer_is_a_doubt_and_no_more():
    model = BOOK.lexicon.acoustic
    between = next(
        one
        for one in (answer("thanks_call", "感谢您的来电", -c / 20, end=0.8) for c in range(200))
        if model.opinion(one) == "unsure"
    )
    assert marks(heard(MISHEARD, between), "thanks_call") == marks(heard(MISHEARD), "thanks_call")
    assert marks(heard("干些您低"), "thanks_call") == []
    assert marks(heard("干些您低", between), "thanks_call") == [("干些您低", False)]


def test_what_the_audio_is_sure_of_stands_beside_what_was_written_out():
    later = answer("thanks_call", "感谢您的来电", 0.5, start=2.2, end=3.2)
    found = marks(heard("感谢您的来电，再见。干些您低", later), "thanks_call")
    assert [sure for _, sure in found] == [True, True]


def test_a_sure_answer_that_is_excused_by_the_words_around_it_does_not_count():
    said = answer("callback_24h", "今天致电", 0.5, end=0.8)
    assert marks(heard("今天致电是想给您做回访", said), "callback_24h") == []


def test_what_was_written_out_is_not_overruled():
    absent = answer("thanks_call", "感谢您的来电", -9.0, end=1.2)
    assert marks(heard("感谢您的来电", absent), "thanks_call") == marks(heard("感谢您的来电"), "thanks_call")


def test_an_answer_falls_with_the_wording_it_was_asked_for():
    present = answer("thanks_call", "感谢您的来电", 0.5, end=0.8)
    phrase = BOOK.lexicon.phrases["thanks_call"]
    poorer = {**BOOK.lexicon.phrases, "thanks_call": replace(phrase, say=(), like=())}
    assert marks(heard("干些您低", present), "thanks_call", replace(BOOK.lexicon, phrases=poorer)) == []


def test_judging_with_answers_is_pure():
    hearing = heard(MISHEARD, answer("thanks_call", "感谢您的来电", 0.5, end=1.2))
    assert judge(hearing, CALL, BOOK) == judge(hearing, CALL, BOOK)


class Listener:
    """Says how well each spelling fits by its length, and what it was asked."""

    model = None

    def __init__(self):
        self.asked = []

    def transcribe(self, samples, **_):
        return []

    def phrase_scores(self, samples, queries):
        self.asked += queries
        return [tuple(PhraseScore(-float(len(s)), -float(len(s))) for s in q.spellings) for q in queries]


def test_the_better_spelling_is_kept_and_each_role_is_heard_on_its_own_channel():
    asked = questions([turn(MISHEARD)], CALL, BOOK.lexicon)
    listener = Listener()
    side = np.zeros(16000, np.float32)
    got = phrase_evidence(asked, {"agent": side}, listener)
    assert len(got) == len(asked) == len(listener.asked)
    for one, question in zip(got, asked, strict=True):
        assert one.spelling == min(question.spellings, key=len)


def test_a_stored_call_is_asked_about_a_new_phrase_on_the_loudest_channel():
    quiet, loud = np.zeros(4 * 8000, np.float32), np.ones(4 * 8000, np.float32)
    audio = Recording(np.stack([quiet, loud]), 8000, 4.0, "wav")
    old = answer("hello", "您好", 0.0)
    hearing = heard(MISHEARD, old)
    asked = questions(hearing.turns, CALL, BOOK.lexicon)
    listener = Listener()
    later = asked_later(audio, hearing, asked, listener)
    assert old in later.phrases
    assert {one.phrase for one in later.phrases} == {"hello", *(one.phrase for one in asked)}
    assert later == asked_later(audio, later, asked, listener)


def test_a_recogniser_that_cannot_be_asked_answers_nothing():
    class Deaf:
        model = None

        def transcribe(self, samples, **_):
            return []

    assert phrase_evidence(questions([turn(MISHEARD)], CALL, BOOK.lexicon), {}, Deaf()) == ()


@pytest.mark.parametrize(
    ("text", "forms"),
    [
        ("二十四小时", ["二十四小时", "24小时"]),
        ("后四位", ["后四位", "后4位"]),
        ("一百零五", ["一百零五", "105"]),
    ],
)
def test_numbers_are_asked_in_characters_and_in_digits(text, forms):
    assert _forms(text) == forms


def test_probability_rises_with_every_feature():
    model = BOOK.lexicon.acoustic
    assert min(model.c_rel, model.logprob, model.words) > 0
    assert AcousticModel().opinion(answer("x", "y", 9.0)) == "unsure"
