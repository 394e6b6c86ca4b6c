"""How adapters are made, with the real weights: the same model in two frameworks, and a little training."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import soxr
from builders import SAMPLES, sample_audio

from models.adapting.train import Example, Prompts, examples, load_recipe, trained, whisper_tokens
from models.windows import Piece, Window
from pipeline.settings import load_settings

pytestmark = pytest.mark.model
CALL = "in01"


@pytest.fixture(scope="module")
def weights():
    settings, _ = load_settings({})
    return settings.model_dir / "whisper-base" / "model.bin"


@pytest.fixture(scope="module")
def plain(weights):
    from models import load_recognizer

    return load_recognizer(str(weights.parent), weights.parent, device="cpu", threads=1)


@pytest.fixture(scope="module")
def turns():
    truth = json.loads((SAMPLES / "truth.json").read_text(encoding="utf-8"))["calls"][CALL]
    audio, rate = sample_audio(CALL)
    samples = soxr.resample(audio[:, truth["agent_channel"]], rate, 16000).astype(np.float32)
    said = [turn for turn in truth["turns"] if turn["role"] == "agent"][:3]
    return samples, [(t["pieces"][0][0], t["pieces"][-1][1], t["text"]) for t in said]


@pytest.fixture(scope="module")
def sounds(plain, turns, tmp_path_factory):
    folder = tmp_path_factory.mktemp("windows")
    rows = []
    for number, (start_s, end_s, text) in enumerate(turns[1]):
        np.save(folder / f"{number}.npy", plain.encoded(turns[0], Window((Piece(start_s, end_s),))))
        rows.append({"key": f"{number}", "text": text, "duration_s": end_s - start_s, "source": CALL})
    (folder / "all.windows").write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    return folder


def test_both_frameworks_say_the_same(weights, plain, sounds):
    import ctranslate2
    import torch

    from models.adapting.decoder import whisper

    sound = np.load(sounds / "0.npy")
    start, _ = whisper_tokens(weights.with_name("tokenizer.json"), prompt_tokens=20)("保单 理赔", "")
    model = whisper(weights).eval()
    with torch.no_grad():
        hidden = model.model.decoder(
            input_ids=torch.tensor([start]), encoder_hidden_states=torch.from_numpy(sound[None])
        ).last_hidden_state
        here = model.proj_out(hidden)[0, -1].numpy()
    float32 = ctranslate2.models.Whisper(str(weights.parent), compute_type="float32")
    result = float32.generate(
        ctranslate2.StorageView.from_array(sound[None]),
        [start],
        beam_size=1,
        max_length=len(start) + 2,
        suppress_tokens=[],
        suppress_blank=False,
        return_logits_vocab=True,
    )[0]
    there = np.array(result.logits[0][0]).reshape(-1)
    assert np.abs(here - there).max() < 0.05
    assert here.argmax() == there.argmax()


def test_training_learns_and_leaves_the_encoder(weights, sounds):
    from models.adapting.decoder import whisper

    rows = examples(sounds)
    assert [row.text for row in rows] == [row.text for row in sorted(rows, key=lambda row: row.sound)]
    recipe = replace(load_recipe(), epochs=2, batch=2, rank=2, warmup_steps=1, learning_rate=2e-3)
    tokens = whisper_tokens(weights.with_name("tokenizer.json"), prompt_tokens=20)
    said: list[str] = []
    factors = trained(
        whisper(weights),
        [*rows, *rows],
        recipe=recipe,
        tokens=tokens,
        prompts=Prompts("保单 理赔", recipe),
        keep=lambda _: None,
        say=said.append,
    )
    losses = [float(line.split()[2]) for line in said if line.startswith("epoch")]
    assert len(losses) == 2
    assert losses[1] < losses[0]
    assert all(".decoder." in name for name in factors)
    assert {tuple(value.shape) for name, value in factors.items() if name.endswith(".a")} == {
        (2, 512),
        (2, 2048),
    }
    assert any(float(value.abs().max()) > 0 for name, value in factors.items() if name.endswith(".b"))


def test_prompts_are_drawn_from_the_recipe(weights):
    recipe = load_recipe()
    rng = np.random.default_rng(5)
    drawn = [Prompts("保单 理赔", recipe).drawn(rng) for _ in range(400)]
    assert abs(sum(p is None for p in drawn) / 400 - recipe.no_prompt) < 0.1
    assert abs(sum(p == "保单 理赔" for p in drawn) / 400 - recipe.terms_alone) < 0.1
    assert all(p.endswith(" 保单 理赔") for p in drawn if p not in (None, "保单 理赔"))
    start, text = whisper_tokens(weights.with_name("tokenizer.json"), prompt_tokens=6)(
        "保单 理赔 受益人 回访", "您好。"
    )
    assert len(start) <= 6 + 5
    assert len(text) > 1


def test_rows_without_sound_are_named(tmp_path):
    (tmp_path / "x.windows").write_text(
        json.dumps([{"key": "x-0-0", "text": "您好。", "duration_s": 1.0, "source": "t"}]), encoding="utf-8"
    )
    assert examples(tmp_path) == [Example(tmp_path / "x-0-0.npy", "您好。", 1.0)]
