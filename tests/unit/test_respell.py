"""Words spelled as language and audio prefer: candidates, what the audio settles, what is never touched."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.kenlm_words import KenlmWords
from pipeline.errors import ModelMissingError
from pipeline.hearing.lexicon import load_lexicon
from pipeline.hearing.respell import Speller
from pipeline.records import ModelId, Turn, Word

ID = ModelId("words", "language", "0" * 64)
ARPA = """\\data\\
ngram 1={count}
ngram 2=1

\\1-grams:
-9\t<unk>\t0
-9\t<s>\t0
-9\t</s>\t0
{unigrams}

\\2-grams:
-0.1\t本身 的

\\end\\
"""
FREQUENT = {
    "本身": -4.0,
    "的": -1.5,
    "原因": -3.5,
    "导致": -3.5,
    "远": -4.5,
    "音": -4.5,
    "三": -3.0,
    "山": -3.0,
}


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    file = tmp_path_factory.mktemp("words") / "words.arpa"
    unigrams = "\n".join(f"{log10}\t{word}\t0" for word, log10 in FREQUENT.items())
    file.write_text(ARPA.format(count=len(FREQUENT) + 3, unigrams=unigrams), encoding="utf-8")
    return KenlmWords(file, ID)


@pytest.fixture(scope="module")
def speller(words):
    return Speller(words, load_lexicon().spelling)


class Audio:
    """Gives each character the value of the first text fragment that covers it."""

    def __init__(self, **liked):
        self.liked, self.asked = liked, []

    def text_scores(self, samples, queries):
        self.asked += queries
        return [tuple(self._scores(text) for text in query.texts) for query in queries]

    def _scores(self, text):
        scores = [-1.0] * len(text)
        for part, value in self.liked.items():
            at = text.find(part)
            if at >= 0:
                scores[at : at + len(part)] = [value] * len(part)
        return tuple(scores)


def turn(text, sure=0.4, pace_s=0.2):
    chars = [text[at] for at in range(len(text))]
    words = []
    for char in chars:
        if char in "，。" and words:
            words[-1] = replace(words[-1], text=words[-1].text + char)
        else:
            at = len(words) * pace_s
            words.append(Word(char, at, at + pace_s, sure))
    return Turn("agent", 0.0, len(words) * pace_s, text, words=tuple(words))


SAMPLES = {"agent": np.zeros(16_000 * 30, np.float32)}


def respelled(speller, one, audio, terms=()):
    return speller.respelled([one], SAMPLES, audio, terms)[0]


def test_a_word_that_fits_language_and_audio_is_written_and_the_heard_one_kept(speller):
    heard = turn("本身的远音导致的，")
    new = respelled(speller, heard, Audio())
    assert (new.text, new.raw) == ("本身的原因导致的，", "本身的远音导致的，")
    assert [(w.start_s, w.end_s, w.confidence) for w in new.words] == [
        (w.start_s, w.end_s, w.confidence) for w in heard.words
    ]


def test_the_audio_can_refuse(speller):
    heard = turn("本身的远音导致的")
    assert respelled(speller, heard, Audio(原因=-30.0)) == heard


def test_sure_words_terms_and_recognisers_that_cannot_be_asked_leave_a_turn_alone(speller):
    audio = Audio()
    for one, listener, terms in (
        (turn("本身的远音导致的", sure=0.99), audio, ()),
        (turn("本身的远音导致的"), audio, ("远音",)),
        (turn("本身的远音导致的"), object(), ()),
    ):
        assert respelled(speller, one, listener, terms) == one
    assert audio.asked == []


def test_numbers_stay(speller):
    assert respelled(speller, turn("的三的"), Audio()).text == "的三的"


def test_punctuation_parts_words(speller):
    assert respelled(speller, turn("本身的远，音导致的"), Audio()).text == "本身的远，音导致的"


def test_a_long_turn_is_asked_about_in_stretches_of_bounded_length(speller):
    audio = Audio()
    new = respelled(speller, turn("本身的远音导致的" * 12, pace_s=0.3), audio)
    assert new.text == "本身的原因导致的" * 12
    assert len(audio.asked) > 3
    for query in audio.asked:
        assert query.end_s - query.start_s <= speller.rules.longest_s + 1.0
        assert len(query.texts) <= speller.rules.most_texts + 1
        assert len({len(text) for text in query.texts}) == 1


@given(
    st.text("本身的原因导致远音三山，。", min_size=1, max_size=40),
    st.floats(0.0, 1.0),
)
def test_lengths_marks_and_times_never_change(speller, text, sure):
    heard = turn(text.lstrip("，。") or "的", sure=sure)
    new = respelled(speller, heard, Audio())
    assert len(new.text) == len(heard.text)
    assert [c if c in "，。" else "" for c in new.text] == [c if c in "，。" else "" for c in heard.text]
    assert [(w.start_s, w.end_s) for w in new.words] == [(w.start_s, w.end_s) for w in heard.words]
    assert new == respelled(speller, heard, Audio())


def test_a_word_model_tells_its_words_and_their_probability(words):
    vocabulary = dict(words.vocabulary())
    assert set(vocabulary) == set(FREQUENT)
    assert math.isclose(vocabulary["原因"], -3.5, abs_tol=1e-3)
    _, state = words.log10(words.start(), "本身")
    assert math.isclose(words.log10(state, "的")[0], -0.1, abs_tol=1e-3)
    assert words.model == ID


def test_what_is_no_word_model_is_refused(tmp_path):
    file = tmp_path / "words.lm"
    file.write_bytes(b"nothing of the kind")
    with pytest.raises(ModelMissingError, match="no word model"):
        KenlmWords(file, ID)
