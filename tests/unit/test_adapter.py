"""Adapters: the form of the file, the arithmetic, and what does not fit."""

from __future__ import annotations

import hashlib
import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors.numpy import save_file

from models.adapter import FORMAT, Change, read_adapter, variables, write_adapted
from models.adapting.pack import main, packed, rounded
from pipeline.errors import ModelMissingError

NAME = "decoder/layer_0/self_attention/linear_0/weight"


def model_file(matrices, *, version=6):
    """The bytes of a CTranslate2 model with float16 matrices, written from the form's description."""

    def text(value):
        return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"

    out = struct.pack("<I", version) + text("WhisperSpec") + struct.pack("<II", 3, len(matrices))
    for name, matrix in matrices.items():
        data = matrix.astype("<f2").tobytes()
        out += text(name) + struct.pack(f"<B{matrix.ndim}I", matrix.ndim, *matrix.shape)
        out += struct.pack("<BI", 4, len(data)) + data
    return out + struct.pack("<I", 0)


def adapter_file(path, weights, tensors, **about):
    base = hashlib.sha256(weights).hexdigest()
    written = json.dumps({"format": FORMAT, "base_sha256": base} | about)
    save_file(tensors, path, metadata={"about": written})
    return path


def adapted(weights, adapter, folder):
    """The weights with an adapter over them, by way of files."""
    source, target = folder / "as_they_are", folder / "changed"
    source.write_bytes(weights)
    write_adapted(source, target, adapter)
    assert source.read_bytes() == weights
    return target.read_bytes()


def tensors_for(name=NAME, row=2, a=((1, 2, 3),), b=((1,), (-2,)), scale=0.25):
    return {
        f"{name}@{row}.a": np.array(a, np.int8),
        f"{name}@{row}.b": np.array(b, np.int8),
        f"{name}@{row}.scale": np.array([scale], np.float32),
    }


@pytest.fixture
def weights():
    rng = np.random.default_rng(3)
    return model_file({"encoder/x": rng.normal(size=(5,)), NAME: rng.normal(size=(6, 3)), "z": np.eye(2)})


def test_only_the_named_rows_change(weights, tmp_path):
    adapter = read_adapter(adapter_file(tmp_path / "a.safetensors", weights, tensors_for()))
    changed = adapted(weights, adapter, tmp_path)
    assert len(changed) == len(weights)
    place = variables(weights)[NAME]
    before, after = place.read(weights).astype(np.float32), place.read(changed).astype(np.float32)
    expected = before.copy()
    expected[2:4] += 0.25 * np.array([[1, 2, 3], [-2, -4, -6]])
    np.testing.assert_array_equal(after, expected.astype(np.float16).astype(np.float32))
    untouched = bytearray(changed)
    untouched[place.at : place.at + 36] = weights[place.at : place.at + 36]
    assert bytes(untouched) == weights


def test_several_changes_of_one_matrix(weights, tmp_path):
    tensors = tensors_for(row=0) | tensors_for(row=4, scale=1.0)
    changed = adapted(weights, read_adapter(adapter_file(tmp_path / "a", weights, tensors)), tmp_path)
    place = variables(weights)[NAME]
    moved = (place.read(changed) != place.read(weights)).any(axis=1)
    assert moved.tolist() == [True, True, False, False, True, True]


def test_an_adapter_of_other_weights_is_refused(weights, tmp_path):
    adapter = read_adapter(adapter_file(tmp_path / "a", weights, tensors_for()))
    with pytest.raises(ModelMissingError, match="belongs to weights of sha256"):
        adapted(weights + b"\0", adapter, tmp_path)


@pytest.mark.parametrize(
    ("tensors", "complaint"),
    [
        (tensors_for(name="decoder/other"), "no float16 matrix"),
        (tensors_for(row=5), r"\(2, 3\) from row 5; the matrix is \(6, 3\)"),
        (tensors_for(a=((1, 2),)), r"the matrix is \(6, 3\)"),
    ],
)
def test_a_change_that_does_not_fit_is_refused(weights, tmp_path, tensors, complaint):
    adapter = read_adapter(adapter_file(tmp_path / "a", weights, tensors))
    with pytest.raises(ModelMissingError, match=complaint):
        adapted(weights, adapter, tmp_path)


def test_what_is_no_adapter_is_said(weights, tmp_path):
    with pytest.raises(ModelMissingError, match="cannot be read"):
        read_adapter(tmp_path / "none")
    good = adapter_file(tmp_path / "a", weights, tensors_for())
    with pytest.raises(ModelMissingError, match="the registry says 0000"):
        read_adapter(good, sha256="0" * 64)
    (tmp_path / "cut").write_bytes(good.read_bytes()[:-3])
    with pytest.raises(ModelMissingError, match="damaged or no adapter"):
        read_adapter(tmp_path / "cut")
    adapter_file(tmp_path / "other", weights, tensors_for(), format="lora-7")
    with pytest.raises(ModelMissingError, match="of format 'lora-7'"):
        read_adapter(tmp_path / "other")
    for name, row in ((NAME, -2), ("encoder/layer_0/ffn/linear_0/weight", 0)):
        elsewhere = adapter_file(tmp_path / "elsewhere", weights, tensors_for(name=name, row=row))
        with pytest.raises(ModelMissingError, match="no place in a decoder"):
            read_adapter(elsewhere)
    broken = tensors_for()
    broken.pop(f"{NAME}@2.b")
    with pytest.raises(ModelMissingError, match="damaged or no adapter"):
        read_adapter(adapter_file(tmp_path / "half", weights, broken))
    floats = {key: value.astype(np.float32) for key, value in tensors_for().items()}
    with pytest.raises(ModelMissingError, match="is not int8"):
        read_adapter(adapter_file(tmp_path / "floats", weights, floats))


def test_a_model_file_of_another_form_is_said(weights):
    with pytest.raises(ModelMissingError, match="binary version 5"):
        variables(model_file({}, version=5))
    for length in (2, 9, 40, 80):
        with pytest.raises(ModelMissingError, match=r"cut or no CTranslate2|ends after"):
            variables(weights[:length])


FACTORS = st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 6)).flatmap(
    lambda sizes: st.tuples(
        arrays.arrays(np.float32, (sizes[0], sizes[1]), elements=st.floats(-8, 8, width=32)),
        arrays.arrays(np.float32, (sizes[2], sizes[0]), elements=st.floats(-8, 8, width=32)),
    )
)


@given(FACTORS)
def test_rounded_factors_keep_the_product(factors):
    a, b = factors
    a8, b8, scale = rounded(a, b)
    exact = b.astype(np.float64) @ a.astype(np.float64)
    # Each rank is off by at most half a step of either factor.
    strongest = max(float(np.sqrt(np.abs(a).max(axis=1) * np.abs(b).max(axis=0)).max()), 1e-6)
    bound = len(a) * strongest**2 * (1.01 / 127)
    assert np.abs(Change(0, a8, b8, scale).product() - exact).max() <= bound + 1e-4


def test_the_same_factors_make_the_same_file(tmp_path):
    import torch

    module = "model.decoder.layers.0.fc1"
    factors = {f"{module}.a": torch.ones(1, 4), f"{module}.b": torch.ones(4, 1)}
    about = {"base_sha256": "0" * 64, "recipe_sha256": "1" * 64, "windows_sha256": "2" * 64}
    torch.save({"factors": factors, "about": about}, tmp_path / "factors.pt")
    for name in ("one", "two"):
        main(tmp_path / "factors.pt", tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    adapter = read_adapter(tmp_path / "one")
    assert adapter.base_sha256 == "0" * 64
    np.testing.assert_allclose(
        adapter.changes["decoder/layer_0/ffn/linear_0/weight"][0].product(), 1.0, rtol=0.02
    )


def test_packed_factors_lie_where_the_matrices_are():
    module = "model.decoder.layers.2.self_attn.v_proj"
    tensors = packed({f"{module}.a": np.ones((1, 4), np.float32), f"{module}.b": np.ones((4, 1), np.float32)})
    assert set(tensors) == {
        f"decoder/layer_2/self_attention/linear_0/weight@8.{x}" for x in ("a", "b", "scale")
    }
