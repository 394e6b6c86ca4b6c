"""Hostile input ends in its own kind of error: mutations by seed, bombs, paths, models that hold code."""

from __future__ import annotations

import gzip
import importlib.util
import io
import os
import pickle
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.callrecords import call_id_problem, read_call_records
from pipeline.errors import CallRecordError, DecodeError, DecryptError, InputError, RecordingError
from pipeline.hearing.audio import Limits, decode
from pipeline.vault.envelope import decrypt


def fuzz():
    place = Path(__file__).with_name("fuzz.py")
    spec = importlib.util.spec_from_file_location("fuzz", place)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("name", "count"), [("container", 600), ("audio", 600), ("calls", 600), ("rulebook", 12)]
)
def test_a_short_seeded_run_finds_nothing_wrong(name, count):
    module = fuzz()
    outcomes, findings = module.run_many(name, 0, count, seed=20261122)
    assert findings == []
    assert outcomes.total() == count
    assert len(outcomes) >= 2


def test_the_fuzzer_reports_what_is_wrong(monkeypatch):
    module = fuzz()

    def run(data: bytes, _original: bytes) -> str:
        if len(data) % 3 == 0:
            raise KeyError("a defect")
        if len(data) % 3 == 1:
            os.kill(os.getpid(), 9)
        return "fine"

    monkeypatch.setattr(module, "targets", lambda: {"calls": module.Target((bytes(50),), run)})
    _, findings = module.run_many("calls", 0, 6, seed=1)
    assert any("KeyError" in finding for finding in findings)
    assert any("the process died (signal 9)" in finding for finding in findings)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_no_recording(data):
    module = fuzz()
    for head in (b"", b"age-encryption.org/v1\n", b"zhijian-sm4\x01"):
        with pytest.raises(DecryptError):
            decrypt(head + data, module._keys())
    for head in (b"", b"RIFF\xff\xff\xff\xffWAVEfmt ", b"fLaC", b"OggS", b"ID3"):
        with pytest.raises(RecordingError):
            decode(head + data)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=140))
def test_no_call_id_climbs_out_of_a_folder_or_hides(call_id):
    if call_id_problem(call_id) is None:
        assert Path("/results", f"{call_id}.wav.age").parent == Path("/results")
        assert call_id.isprintable()
        assert not set(call_id) & set('/\\"\n\r\0')


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "a/b", ".hidden", "a\nb", "", "x" * 200, "a\u202eb", "a\0b"]
)
def test_tricks_in_call_ids_cost_their_row(tmp_path, name):
    path = tmp_path / "calls.jsonl"
    import json

    path.write_text(
        json.dumps({"call_id": name, "direction": "inbound", "started_at": "2026-01-05T09:30:00+08:00"})
    )
    table = read_call_records(str(path))
    assert table.records == ()
    assert len(table.problems) == 1


def flac_bomb(seconds: int) -> bytes:
    """Hours of silence in a few kilobytes."""
    file = io.BytesIO()
    soundfile.write(file, np.zeros((seconds * 8000, 1), np.int16), 8000, format="FLAC")
    return file.getvalue()


def test_a_small_file_that_unpacks_to_hours_is_refused_before_it_is_unpacked():
    bomb = flac_bomb(1800)
    assert len(bomb) < 200_000
    with pytest.raises(DecodeError):
        decode(bomb, limits=Limits(max_duration_s=600))


def test_more_channels_or_bytes_than_a_call_has_are_refused():
    file = io.BytesIO()
    soundfile.write(file, np.zeros((800, 8)), 8000, format="WAV")
    with pytest.raises(DecodeError):
        decode(file.getvalue())
    with pytest.raises(DecodeError, match=r"more than the 1000 allowed"):
        decode(bytes(2000), limits=Limits(max_bytes=1000))


def test_a_header_that_promises_gigabytes_is_refused():
    head = (
        b"RIFF"
        + struct.pack("<I", 0xFFFFFF00)
        + b"WAVEfmt "
        + struct.pack("<IHHIIHH", 16, 1, 2, 8000, 32000, 4, 16)
    )
    with pytest.raises(RecordingError):
        decode(head + b"data" + struct.pack("<I", 0xFFFFFE00) + bytes(400))


def test_a_parquet_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    import pyarrow as pa
    import pyarrow.parquet as pq

    from pipeline import tablefiles

    monkeypatch.setattr(tablefiles, "_MAX_VALUES", 5_000_000)
    rows = 60_000
    column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), ["x"])
    names = ["call_id", "direction", "started_at", *(f"c{n}" for n in range(90))]
    path = tmp_path / "calls.parquet"
    pq.write_table(pa.table(dict.fromkeys(names, column)), path, compression="zstd")
    assert path.stat().st_size < 100_000
    with pytest.raises(CallRecordError, match=r"more than any call records are"):
        read_call_records(str(path))


def test_compressed_call_records_are_not_unpacked(tmp_path):
    path = tmp_path / "calls.csv"
    path.write_bytes(gzip.compress(b"call_id,direction,started_at\n" + b"0" * 10_000_000))
    with pytest.raises(CallRecordError, match=r"expected UTF-8|required columns"):
        read_call_records(str(path))


def test_deeply_nested_lines_cost_their_row(tmp_path):
    path = tmp_path / "calls.jsonl"
    good = '{"call_id": "a", "direction": "inbound", "started_at": "2026-01-05T09:30:00+08:00"}'
    path.write_text('{"call_id": ' + "[" * 100_000 + "\n" + good + "\n")
    table = read_call_records(str(path))
    assert [record.call_id for record in table.records] == ["a"]
    assert len(table.problems) == 1


class Evil:
    """Runs code when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


def test_model_files_are_never_unpickled_with_code(tmp_path):
    """Loaders of speaker models read weights only; a checkpoint with code is refused and does not run."""
    import torch

    mark = tmp_path / "ran"
    path = tmp_path / "pytorch_model.bin"
    torch.save({"state_dict": Evil(mark)}, path)
    with pytest.raises(pickle.UnpicklingError, match=r"[Ww]eights"):
        torch.load(path, weights_only=True)
    assert not mark.exists()
    from models.checkpoints import safe_bytes
    from models.diarize_pyannote import import_pyannote
    from pipeline.errors import ModelMissingError

    import_pyannote()
    architecture = {"module": "pyannote.audio.models.segmentation", "class": "PyanNet"}
    hostile = {"pyannote.audio": {"versions": {}, "architecture": architecture}, "state_dict": Evil(mark)}
    torch.save(hostile, path)
    with pytest.raises(ModelMissingError, match="no checkpoint of weights alone"):
        safe_bytes(path)
    torch.save({"pyannote.audio": {"architecture": {"module": "antigravity", "class": "x"}}}, path)
    with pytest.raises(ModelMissingError, match="none of pyannote's"):
        safe_bytes(path)
    assert not mark.exists()
    source = (Path(__file__).resolve().parents[2] / "models").rglob("*.py")
    for file in source:
        text = file.read_text(encoding="utf-8")
        assert "weights_only=False" not in text, file
        assert "pickle.load" not in text, file
        assert text.count("torch.load(") == text.count("weights_only=True"), file


def test_rewrap_and_identities_refuse_nonsense(tmp_path):
    from pipeline.vault.rewrap import rewrap

    module = fuzz()
    with pytest.raises(InputError):
        rewrap(b"", module._keys(), [])
    with pytest.raises(DecryptError):
        rewrap(b"age-encryption.org/v1\n" + b"-> X25519 " * 10_000, module._keys(), module._keys().recipients)
