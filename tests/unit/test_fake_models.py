"""The fakes play scripts back, answer the same every time, and refuse a bad script."""

import json

import numpy as np
import pytest
from builders import clip, zhijian

from models import load_diarizer, load_recognizer
from models.fake import FakeDiarizer, FakeRecognizer, FakeTurn
from pipeline.errors import ConfigError

TURNS = [
    {"start_s": 0.5, "end_s": 2.0, "text": "您好请问有什么可以帮您", "speaker": 0},
    {"start_s": 3.0, "end_s": 4.0, "text": "我想查保单", "speaker": 1},
]


def audio(seconds=5.0, seed=1):
    return np.random.default_rng(seed).normal(0, 0.1, round(seconds * 16000)).astype(np.float32)


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "script.json"
    path.write_text(json.dumps({"calls": [{"duration_s": 5.0, "turns": TURNS}]}), encoding="utf-8")
    return f"fake:{path}"


def test_a_script_is_played_back_inside_the_spans(script, tmp_path):
    recognizer = load_recognizer(script, tmp_path)
    both = recognizer.transcribe(audio(), spans_s=[(0.0, 5.0)])
    assert [segment.text for segment in both] == [turn["text"] for turn in TURNS]
    second = recognizer.transcribe(audio(), spans_s=[(2.8, 4.2)])
    assert [segment.text for segment in second] == ["我想查保单"]
    assert (second[0].words[0].start_s, second[0].words[-1].end_s) == (3.0, 4.0)


def test_the_diarizer_plays_the_same_script(script, tmp_path):
    stretches = load_diarizer(script, tmp_path).stretches(audio())
    assert [(s.start_s, s.end_s, s.speaker) for s in stretches] == [(0.5, 2.0, 0), (3.0, 4.0, 1)]


def test_other_durations_are_not_in_the_script(script, tmp_path):
    recognizer = load_recognizer(script, tmp_path)
    assert recognizer.transcribe(audio(7.0), spans_s=[(0.0, 2.0)])[0].text != TURNS[0]["text"]


def test_without_a_script_the_same_audio_gives_the_same_answer():
    first, again = FakeRecognizer(), FakeRecognizer.named("fake")
    spans = [(0.0, 2.0), (3.0, 4.0)]
    assert first.transcribe(audio(), spans_s=spans) == again.transcribe(audio(), spans_s=spans)
    assert FakeDiarizer().stretches(audio()) == FakeDiarizer().stretches(audio(seed=2))


def test_fakes_say_that_they_are_fakes():
    assert FakeRecognizer().model.name == "fake"
    assert [model.name for model in FakeDiarizer().models] == ["fake"]


def test_an_empty_turn_does_not_divide_by_zero():
    fake = FakeRecognizer({1.0: [FakeTurn(0.0, 1.0, "")]})
    assert fake.transcribe(audio(1.0), spans_s=[(0.0, 1.0)])[0].words == ()


@pytest.mark.parametrize("content", [None, "{", "[]", '{"calls": [{"turns": []}]}'])
def test_a_bad_script_is_said(tmp_path, content):
    path = tmp_path / "script.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"script .* cannot be used"):
        load_recognizer(f"fake:{path}", tmp_path)


def test_a_night_with_a_bad_script_ends_before_it_begins(night_folder, tmp_path):
    script = tmp_path / "script.json"
    script.write_text("{", encoding="utf-8")
    night_folder.add_call("a", clip(30.0))
    night_folder.write_calls()
    done = zhijian(
        "score",
        str(night_folder.recordings),
        *("--calls", str(night_folder.root / "calls.csv"), "--out", str(tmp_path / "results")),
        *("--identity", str(night_folder.key), "--model", f"fake:{script}"),
    )
    assert done.returncode == 1
    assert f"script {script} of the fake model cannot be used" in done.stderr
    assert "Broken" not in done.stderr
    assert "Traceback" not in done.stderr
