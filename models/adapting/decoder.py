"""Whisper's weights from a CTranslate2 file as a Hugging Face model, and where each matrix lies in that file.

Table of contents: `Place`, `place_of`, `whisper`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.adapter import variables
from models.torchaudio_stand_in import importable_torchaudio

_MATRICES = {
    "self_attn.q_proj": ("self_attention/linear_0", 0),
    "self_attn.k_proj": ("self_attention/linear_0", 1),
    "self_attn.v_proj": ("self_attention/linear_0", 2),
    "self_attn.out_proj": ("self_attention/linear_1", 0),
    "encoder_attn.q_proj": ("attention/linear_0", 0),
    "encoder_attn.k_proj": ("attention/linear_1", 0),
    "encoder_attn.v_proj": ("attention/linear_1", 1),
    "encoder_attn.out_proj": ("attention/linear_2", 0),
    "fc1": ("ffn/linear_0", 0),
    "fc2": ("ffn/linear_1", 0),
}
_NORMS = {
    "self_attn_layer_norm": "self_attention/layer_norm",
    "encoder_attn_layer_norm": "attention/layer_norm",
    "final_layer_norm": "ffn/layer_norm",
}
_LAYER = re.compile(r"(encoder|decoder)\.layers\.(\d+)\.(.+)")


@dataclass(frozen=True, slots=True)
class Place:
    """A matrix of the Hugging Face model in a CTranslate2 file: the variable, and which block of its rows."""

    variable: str
    block: int


def place_of(module: str) -> Place:
    """Say where a linear layer lies.

    Examples
    --------
    >>> place_of("model.decoder.layers.3.self_attn.v_proj")
    Place(variable='decoder/layer_3/self_attention/linear_0', block=2)
    """
    match = _LAYER.search(module)
    if match is None:
        raise KeyError(module)
    side, layer, name = match.groups()
    part, block = _MATRICES[name]
    return Place(f"{side}/layer_{layer}/{part}", block)


def whisper(model_file: Path) -> Any:
    """Load a ``model.bin`` as a `transformers.WhisperForConditionalGeneration` in float32.

    Raises
    ------
    ModelMissingError
        The file is no CTranslate2 model.
    """
    importable_torchaudio()
    import torch
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    weights = model_file.read_bytes()
    found = variables(weights)

    def values(name: str) -> Any:
        return torch.from_numpy(found[name].read(weights).astype(np.float32))

    width = found["encoder/conv1/weight"].shape[0]
    layers = {
        side: sum(1 for name in found if re.fullmatch(rf"{side}/layer_\d+/ffn/linear_0/weight", name))
        for side in ("encoder", "decoder")
    }
    heads = {s: int(found[f"{s}/num_heads"].read(weights).reshape(-1)[0]) for s in ("encoder", "decoder")}
    config = WhisperConfig(
        vocab_size=found["decoder/embeddings/weight"].shape[0],
        d_model=width,
        num_mel_bins=found["encoder/conv1/weight"].shape[1],
        encoder_layers=layers["encoder"],
        decoder_layers=layers["decoder"],
        encoder_attention_heads=heads["encoder"],
        decoder_attention_heads=heads["decoder"],
        encoder_ffn_dim=found["encoder/layer_0/ffn/linear_0/weight"].shape[0],
        decoder_ffn_dim=found["decoder/layer_0/ffn/linear_0/weight"].shape[0],
        max_source_positions=found["encoder/position_encodings/encodings"].shape[0],
        max_target_positions=found["decoder/position_encodings/encodings"].shape[0],
        dropout=0.0,
    )
    model = WhisperForConditionalGeneration(config)
    state = {name: _value(name, values, width) for name in model.state_dict() if name != "proj_out.weight"}
    state["proj_out.weight"] = state["model.decoder.embed_tokens.weight"]
    model.load_state_dict(state)
    return model


def _value(name: str, values: Any, width: int) -> Any:
    """One parameter of the Hugging Face model."""
    owner, _, kind = name.removeprefix("model.").rpartition(".")
    side = owner.partition(".")[0]
    ending = {"weight": "gamma", "bias": "beta"}
    alone = {
        f"{side}.embed_positions": f"{side}/position_encodings/encodings",
        "decoder.embed_tokens": "decoder/embeddings/weight",
        "encoder.conv1": f"encoder/conv1/{kind}",
        "encoder.conv2": f"encoder/conv2/{kind}",
        f"{side}.layer_norm": f"{side}/layer_norm/{ending[kind]}",
    }
    if owner in alone:
        return values(alone[owner])
    match = _LAYER.search(owner)
    if match is None:
        raise KeyError(name)
    layer, inner = match.group(2), match.group(3)
    if inner in _NORMS:
        return values(f"{side}/layer_{layer}/{_NORMS[inner]}/{ending[kind]}")
    place = place_of(owner)
    whole = values(f"{place.variable}/{kind}")
    if inner.endswith(("q_proj", "k_proj", "v_proj")):
        return whole[place.block * width : (place.block + 1) * width]
    return whole
