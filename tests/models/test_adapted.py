"""The recogniser with an adapter over its decoder: what changes, and what must not."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import soxr
from builders import SAMPLES, sample_audio
from safetensors.numpy import save_file

from models import load_recognizer
from models.adapter import FORMAT, read_adapter
from models.asr_whisper import WhisperOptions, WhisperRecognizer
from models.encoding import EncodedWindows
from models.fetch import adapter_of
from models.windows import Piece, Window
from pipeline.errors import ModelMissingError
from pipeline.hearing.activity import activity
from pipeline.hearing.lexicon import load_lexicon
from pipeline.records import ModelId
from pipeline.settings import load_settings

pytestmark = pytest.mark.model
PLACES = [f"decoder/layer_{layer}/ffn/linear_1/weight@0" for layer in range(6)]


@pytest.fixture(scope="module")
def folder():
    settings, _ = load_settings({})
    return settings.model_dir / "whisper-base"


@pytest.fixture(scope="module")
def agent():
    truth = json.loads((SAMPLES / "truth.json").read_text(encoding="utf-8"))["calls"]["in01"]
    audio, rate = sample_audio("in01")
    samples = soxr.resample(audio[: rate * 25, truth["agent_channel"]], rate, 16000).astype(np.float32)
    return samples, list(activity(samples).spans)


def recognizer(folder, tmp_path, *, scale, base=None, strengths=(1.0,)):
    """The weights with noise of a size over the decoder."""
    rng = np.random.default_rng(1)
    tensors = {}
    for place in PLACES:
        tensors[f"{place}.a"] = rng.integers(-9, 9, (2, 2048), np.int8)
        tensors[f"{place}.b"] = rng.integers(-9, 9, (512, 2), np.int8)
        tensors[f"{place}.scale"] = np.array([scale], np.float32)
    base = base or hashlib.sha256((folder / "model.bin").read_bytes()).hexdigest()
    path = tmp_path / "adapter"
    save_file(tensors, path, metadata={"about": json.dumps({"format": FORMAT, "base_sha256": base})})
    return WhisperRecognizer(
        folder,
        ModelId("whisper-base", "asr", "0" * 64),
        device="cpu",
        adapter=replace(read_adapter(path), strengths=strengths),
    )


def heard(recognizer, agent, **how):
    samples, spans = agent
    return [s.text for s in recognizer.transcribe(samples, spans_s=spans, **how)]


def test_an_adapter_that_adds_nothing_changes_nothing(folder, agent, tmp_path):
    plain = load_recognizer(str(folder), folder.parent, device="cpu", threads=1)
    assert heard(recognizer(folder, tmp_path, scale=0.0), agent) == heard(plain, agent)


def test_the_reading_that_both_decoders_find_likelier_is_taken(folder, agent, tmp_path):
    """A rival that is noise is never likelier; one that repairs noise is."""
    samples, spans = agent
    plain = heard(load_recognizer(str(folder), folder.parent, device="cpu", threads=1), agent)
    noisy = heard(recognizer(folder, tmp_path, scale=0.1), agent)
    assert noisy != plain
    spoilt = recognizer(folder, tmp_path, scale=0.1, strengths=(1e-12, 1.0))
    assert heard(spoilt, agent) == plain
    mended = recognizer(folder, tmp_path, scale=0.1, strengths=(1.0, 1e-12))
    assert heard(mended, agent) == plain
    again = [s.words for s in mended.transcribe(samples, spans_s=spans)]
    kept = [s.words for s in spoilt.transcribe(samples, spans_s=spans)]
    assert again == kept  # times and confidence are those of the decoder that read it


def test_only_what_the_first_reading_doubts_is_read_again(folder, agent, tmp_path):
    noisy = heard(recognizer(folder, tmp_path, scale=1e-4), agent)
    both = recognizer(folder, tmp_path, scale=1e-4, strengths=(1.0, 1e-12))
    read, generate = [], both._generate
    both._generate = lambda batch, start, **how: (
        read.append((how.get("reader", 0), len(batch.windows))) or generate(batch, start, **how)
    )
    both._options = replace(WhisperOptions(), doubt_logprob=-99.0)
    assert heard(both, agent) == noisy
    assert {reader for reader, _ in read} == {0}
    read.clear()
    both._options = replace(WhisperOptions(), doubt_logprob=0.0)
    heard(both, agent)
    assert [windows for reader, windows in read if reader == 1] == [
        windows for reader, windows in read if reader == 0
    ]


def test_some_windows_of_a_batch_keep_their_sound():
    import ctranslate2

    sound = np.arange(24, dtype=np.float32).reshape(3, 4, 2)
    windows = tuple(Window((Piece(at, at + 1.0),)) for at in (0.0, 2.0, 4.0))
    batch = EncodedWindows(windows, ctranslate2.StorageView.from_array(sound))
    some = batch.rows([0, 2])
    assert some.windows == (windows[0], windows[2])
    np.testing.assert_array_equal(some.array(), sound[[0, 2]])
    assert batch.rows([0, 1, 2]) is batch


def test_a_window_without_text_is_not_filled_by_a_rival(folder, tmp_path):
    """Silence: who reads nothing is not outvoted by who invents."""
    rng = np.random.default_rng(3)
    samples = (rng.standard_normal(16000 * 6) * 1e-4).astype(np.float32)
    both = recognizer(folder, tmp_path, scale=0.1, strengths=(1e-12, 1.0))
    one = recognizer(folder, tmp_path, scale=0.02, strengths=(1e-12,))
    spans = [(0.5, 5.5)]
    assert heard(both, (samples, spans)) == heard(one, (samples, spans))


def test_drafts_are_those_of_the_weights_as_they_are(folder, agent, tmp_path):
    plain = load_recognizer(str(folder), folder.parent, device="cpu", threads=1)
    changed = recognizer(folder, tmp_path, scale=0.02)
    prompt = load_lexicon().verbatim_prompt
    assert heard(changed, agent) != heard(plain, agent)
    assert heard(changed, agent, prompt=prompt, draft=True) == heard(plain, agent, prompt=prompt, draft=True)


def test_an_adapter_of_other_weights_is_refused(folder, tmp_path):
    with pytest.raises(ModelMissingError, match="belongs to weights of sha256 1111"):
        recognizer(folder, tmp_path, scale=0.0, base="1" * 64)


def test_no_room_for_changed_weights_is_said(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with pytest.raises(ModelMissingError, match=r"not be written to .*gone.*TMPDIR"):
        recognizer(folder, tmp_path, scale=0.0)


def test_the_adapter_that_is_shipped_fits_and_is_part_of_the_identity(folder):
    adapter = adapter_of("whisper-base", folder.parent)
    assert adapter is not None
    assert adapter.strengths == (1.0, 0.5)
    named = load_recognizer("whisper-base", folder.parent, device="cpu", threads=1)
    plain = load_recognizer(str(folder), folder.parent, device="cpu", threads=1)
    assert named.model.name == plain.model.name
    assert named.model.sha256 != plain.model.sha256
