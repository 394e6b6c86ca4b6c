"""The real recogniser on real audio: words, times, determinism, and what it does with silence.

Needs the default weights (``zhijian models fetch``). Audio are the sample calls, which are synthetic;
the expectations are loose on purpose, because exact text is no contract of a model.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
import soxr
from builders import SAMPLES, sample_audio
from rapidfuzz.distance import Levenshtein

from pipeline.hearing.activity import activity
from pipeline.hearing.fillers import filler_events
from pipeline.hearing.lexicon import load_lexicon
from pipeline.hearing.transcript import cleaned, written
from pipeline.hearing.turns import turns_of
from pipeline.mandarin import normalised
from pipeline.ports import PhraseQuery, TextQuery
from pipeline.settings import load_settings

pytestmark = pytest.mark.model

CALL = "in01"
LEXICON = load_lexicon()


@pytest.fixture(scope="module")
def recognizer():
    from models import load_recognizer

    settings, _ = load_settings({})
    return load_recognizer("whisper-base", settings.model_dir, device="cpu", threads=1)


@pytest.fixture(scope="module")
def agent():
    """The agent's channel of one sample call at 16 kHz, and its true turns."""
    truth = json.loads((SAMPLES / "truth.json").read_text(encoding="utf-8"))["calls"][CALL]
    audio, rate = sample_audio(CALL)
    samples = soxr.resample(audio[:, truth["agent_channel"]], rate, 16000).astype(np.float32)
    return samples, [turn for turn in truth["turns"] if turn["role"] == "agent"]


@pytest.fixture(scope="module")
def heard(recognizer, agent):
    samples, _ = agent
    spans = activity(samples).spans
    return recognizer.transcribe(samples, spans_s=spans), spans


def error_rate(reference, hypothesis):
    reference, hypothesis = normalised(reference), normalised(hypothesis)
    return Levenshtein.distance(reference, hypothesis) / len(reference)


def test_words_are_recognised(heard, agent):
    segments, spans = heard
    words = cleaned(segments, speech=spans, rules=LEXICON.cleaning).words
    reference = "".join(turn["text"] for turn in agent[1])
    assert error_rate(reference, written(words)) < 0.3


def test_times_lie_inside_the_speech(heard):
    segments, spans = heard
    for segment in segments:
        for word in segment.words:
            assert word.start_s <= word.end_s
            middle = (word.start_s + word.end_s) / 2
            assert any(a - 0.3 <= middle <= b + 0.3 for a, b in spans)


def test_words_stand_where_they_are_said(heard, agent):
    """The first and the last turn begin and end within half a second of the truth."""
    segments, _ = heard
    words = sorted((w for s in segments for w in s.words), key=lambda w: w.start_s)
    turns = agent[1]
    assert words[0].start_s == pytest.approx(turns[0]["start_s"], abs=0.5)
    assert words[-1].end_s == pytest.approx(turns[-1]["end_s"], abs=0.5)


def test_the_same_audio_gives_the_same_text(recognizer, heard, agent):
    segments, spans = heard
    recognizer.forget()
    assert recognizer.transcribe(agent[0], spans_s=spans) == segments


def test_a_second_decode_of_the_same_spans_costs_no_encoder(recognizer, agent, heard, monkeypatch):
    samples, spans = agent[0], heard[1]
    recognizer.transcribe(samples, spans_s=spans)
    encoded = []
    real = recognizer._whisper.encode
    monkeypatch.setattr(recognizer._whisper, "encode", lambda f: encoded.append(1) or real(f))
    recognizer.transcribe(samples, spans_s=spans)
    assert encoded == []


def test_nothing_is_said_about_nothing(recognizer):
    assert recognizer.transcribe(np.zeros(16000, np.float32), spans_s=[]) == []


def test_noise_is_not_made_into_words(recognizer):
    """Even when asked about it, noise leaves no words after cleaning: nobody is heard to speak there."""
    noise = np.random.default_rng(1).normal(0, 0.003, 16000 * 6).astype(np.float32)
    segments = recognizer.transcribe(noise, spans_s=[(0.5, 5.5)])
    assert cleaned(segments, speech=activity(noise).spans, rules=LEXICON.cleaning).words == ()


def test_more_fillers_are_heard_with_the_verbatim_prompt(recognizer, agent, heard):
    samples, _ = agent
    segments, spans = heard
    words = cleaned(segments, speech=spans, rules=LEXICON.cleaning).words
    turns = turns_of({"agent": words}, {"agent": spans}, limits=LEXICON.conversation.turns)
    verbatim = recognizer.transcribe(samples, spans_s=spans, prompt=LEXICON.verbatim_prompt)
    alone = filler_events(turns, [], role="agent", rules=LEXICON.fillers)
    both = filler_events(turns, verbatim, role="agent", rules=LEXICON.fillers)
    assert len(both) >= len(alone)


def test_the_model_is_named_with_its_sum(recognizer):
    assert recognizer.model.name == "whisper-base"
    assert len(recognizer.model.sha256) == 64


def test_the_audio_tells_near_phrases_apart(recognizer, agent):
    """What was said scores above what differs in a few syllables, at the place where it was said."""
    samples, turns = agent
    turn = next(t for t in turns if len(t["text"]) >= 12)
    text = normalised(turn["text"])
    other = text[:6] + text[:5:-1]
    ((said, changed),) = recognizer.phrase_scores(
        samples, [PhraseQuery(turn["start_s"], turn["end_s"], "", text, (text, other))]
    )
    assert said.relative == pytest.approx(0.0, abs=1e-6)
    assert changed.relative < -1.0
    assert changed.absolute < said.absolute < 0.0


def test_a_phrase_is_not_sought_where_there_is_no_audio(recognizer, agent):
    past = len(agent[0]) / 16000 + 5
    query = PhraseQuery(past, past + 1, "", "您好", ("您好",))
    ((score,),) = recognizer.phrase_scores(agent[0], [query])
    assert score.relative == float("-inf")


@pytest.mark.parametrize("kept", [True, False], ids=["what the encoder kept", "encoded anew"])
def test_what_was_said_is_more_probable_character_by_character(recognizer, agent, heard, kept):
    samples, turns = agent
    if kept:
        recognizer.transcribe(samples, spans_s=heard[1])
    else:
        recognizer.forget()
    turn = next(t for t in turns if len(t["text"]) >= 12)
    text = normalised(turn["text"])
    other = text[:6] + text[:5:-1]
    ((said, changed),) = recognizer.text_scores(
        samples, [TextQuery(turn["start_s"], turn["end_s"], (text, other))]
    )
    assert len(said) == len(changed) == len(text)
    assert said[:5] == pytest.approx(changed[:5], abs=0.2)  # the same text so far; batches round
    assert sum(said[6:]) > sum(changed[6:]) + 5.0


def test_texts_are_not_scored_where_there_is_no_audio(recognizer, agent):
    past = len(agent[0]) / 16000 + 5
    assert recognizer.text_scores(agent[0], [TextQuery(past, past + 1, ("您好",))]) == [((),)]


def test_a_window_that_is_not_believed_is_decoded_again(recognizer, agent, heard):
    from models.asr_whisper import WhisperOptions

    samples, turns = agent
    patient, recognizer._options = recognizer._options, WhisperOptions(min_avg_logprob=-0.05)
    try:
        segments = recognizer.transcribe(samples, spans_s=heard[1])
    finally:
        recognizer._options = patient
    assert any(segment.attempt > 0 for segment in segments)
    words = cleaned(segments, speech=heard[1], rules=LEXICON.cleaning).words
    assert error_rate("".join(turn["text"] for turn in turns), written(words)) < 0.35
