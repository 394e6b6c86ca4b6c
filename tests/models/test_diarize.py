"""The real diarizer: the network is the published one, voices are told apart, nothing leaks out.

Needs the default weights (``zhijian models fetch``). Audio are the sample calls, which are synthetic.
"""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import soxr
from builders import SAMPLES, sample_audio

from pipeline.errors import ModelMissingError
from pipeline.settings import load_settings

pytestmark = pytest.mark.model

CALL = "in02"


@pytest.fixture(scope="module")
def diarizer():
    from models import load_diarizer

    settings, _ = load_settings({})
    return load_diarizer("whisper-base", settings.model_dir, device="cpu", threads=1)


@pytest.fixture(scope="module")
def call():
    """A mixed call at 16 kHz and who truly speaks in it."""
    truth = json.loads((SAMPLES / "truth.json").read_text(encoding="utf-8"))["calls"][CALL]
    audio, rate = sample_audio(CALL)
    return soxr.resample(audio[:, 0], rate, 16000).astype(np.float32), truth["turns"]


@pytest.fixture(scope="module")
def found(diarizer, call):
    return diarizer.stretches(call[0])


def test_both_parties_are_found(found, call):
    assert len({s.speaker for s in found}) == 2
    assert found == sorted(found)
    assert all(0 <= s.start_s < s.end_s <= len(call[0]) / 16000 for s in found)


def test_most_speech_goes_to_the_right_party(found, call):
    seconds = {(who, role): 0.0 for who in (0, 1) for role in ("agent", "customer")}
    total = 0.0
    for turn in call[1]:
        for start, end, _ in turn["pieces"]:
            total += end - start
            for s in found:
                shared = max(0.0, min(s.end_s, end) - max(s.start_s, start))
                seconds[s.speaker, turn["role"]] += shared
    straight = seconds[0, "agent"] + seconds[1, "customer"]
    crossed = seconds[1, "agent"] + seconds[0, "customer"]
    assert max(straight, crossed) > 0.85 * total
    assert min(straight, crossed) < 0.1 * total


def test_the_same_audio_gives_the_same_stretches(diarizer, found, call):
    assert diarizer.stretches(call[0]) == found


def test_silence_holds_nobody(diarizer):
    assert diarizer.stretches(np.zeros(16000 * 3, dtype=np.float32)) == []


def test_a_very_short_recording_is_no_error(diarizer, call):
    assert isinstance(diarizer.stretches(call[0][:1600]), list)


def test_models_say_who_they_are(diarizer):
    assert [m.task for m in diarizer.models] == ["segmentation", "speaker_embedding"]
    assert all(len(m.sha256) == 64 for m in diarizer.models)


def test_filter_bank_is_that_of_kaldi(call):
    import torch

    from models.campplus import filterbank
    from models.diarize_pyannote import import_pyannote

    import_pyannote()  # makes torchaudio's Python parts importable
    from torchaudio.compliance import kaldi

    part = call[0][16000:48000]
    theirs = kaldi.fbank(torch.from_numpy(part)[None], num_mel_bins=80, sample_frequency=16000, dither=0.0)
    np.testing.assert_allclose(filterbank(part).numpy(), theirs.numpy(), atol=2e-3)


def test_one_voice_is_nearer_to_itself_than_to_the_other(diarizer, call):
    from models.campplus import filterbank

    features = filterbank(call[0])
    by_role = {"agent": [], "customer": []}
    for turn in call[1]:
        for start, end, _ in turn["pieces"]:
            if end - start > 1.5:
                by_role[turn["role"]].append((round(start * 100), round(end * 100)))
    agent, customer = (diarizer._embedder.embed(features, by_role[r][:4]) for r in ("agent", "customer"))
    np.testing.assert_allclose(np.linalg.norm(agent, axis=1), 1.0, atol=1e-5)
    assert np.min(agent @ agent.T) > np.max(agent @ customer.T)


def test_embeddings_do_not_depend_on_the_batch(diarizer, call):
    from models.campplus import filterbank

    features = filterbank(call[0])
    spans = [(100, 260), (300, 460), (500, 640)]
    together = diarizer._embedder.embed(features, spans)
    alone = np.concatenate([diarizer._embedder.embed(features, [span]) for span in spans])
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_parts_of_a_stretch_are_embedded_as_if_alone_and_lie_about_its_middle(diarizer, call):
    import torch

    from models.campplus import filterbank

    embedder = diarizer._embedder
    features = filterbank(call[0])
    _, (parts, short) = embedder.embed_with_parts(features, [(100, 260), (300, 330)])
    assert parts.shape == (1 + (160 - 40) // 10, 192)
    assert len(short) == 0
    with torch.inference_mode():
        heard = embedder._network.trunk((features[100:260] - features[100:260].mean(dim=0))[None])
        third = embedder._network.pooled(heard[:, :, 10:30])[0].numpy()
    np.testing.assert_allclose(parts[2], third / np.linalg.norm(third), atol=1e-4)


def test_missing_weights_say_what_to_do(tmp_path):
    from models.diarize_pyannote import PyannoteDiarizer

    with pytest.raises(ModelMissingError, match="models fetch"):
        PyannoteDiarizer(tmp_path, tmp_path)


def test_windows_are_probabilities(diarizer, call):
    windows = diarizer.windows(call[0][: 16000 * 17])
    assert windows.voices.shape[0] == 1 + math.ceil((17 - 10) / windows.step_s)
    assert np.all((windows.both >= 0.0) & (2.0 * windows.both <= windows.voices.sum(axis=2) + 1e-5))
    assert windows.voices.min() >= 0.0
    assert windows.voices.max() <= 1.0 + 1e-6


def test_features_of_a_long_call_are_those_of_its_blocks(call, monkeypatch):
    from models import campplus

    whole = campplus.filterbank(call[0])
    monkeypatch.setattr(campplus, "_BLOCK", 512)
    assert campplus.filterbank(call[0]).equal(whole)
