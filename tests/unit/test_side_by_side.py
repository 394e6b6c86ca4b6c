"""The comparison with doing it by hand says what was measured, and no more."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import soundfile
from builders import SAMPLES

from benchmarks import byhand_whisperx
from benchmarks.against import accuracy
from benchmarks.nightpage import page

TRUTH = json.loads((SAMPLES / "truth.json").read_text(encoding="utf-8"))["calls"]


def said(name: str) -> str:
    return "".join(turn["text"] for turn in sorted(TRUTH[name]["turns"], key=lambda turn: turn["start_s"]))


def test_who_hears_everything_makes_no_error_and_who_hears_nothing_only_errors():
    perfect = accuracy({"in03": said("in03")})
    assert perfect["cer"] == 0.0
    assert perfect["phrases_said"] == perfect["phrases_literal"] == perfect["phrases_by_sound"] > 0
    deaf = accuracy({"in03": ""})
    assert (deaf["cer"], deaf["phrases_literal"], deaf["phrases_by_sound"]) == (1.0, 0, 0)
    # The same sounds in other characters: nothing literally, all by sound.
    near = accuracy({"in03": said("in03").replace("您的意思是", "您的意思时")})
    assert near["phrases_literal"] == perfect["phrases_literal"] - 1
    assert near["phrases_by_sound"] == perfect["phrases_by_sound"]


def side(wall_s: float, others_cores: float) -> dict[str, float]:
    measured = {"process_wall_s": wall_s, "process_cpu_s": 2 * wall_s, "others_cores": others_cores}
    return {"audio_s": 60.0, "calls": 1, **measured, **accuracy({"in03": said("in03")})}


@pytest.mark.parametrize("others_cores", [0.05, 0.8])
def test_wall_times_are_compared_only_where_the_cores_were_free(others_cores):
    text = page({"cores": 2, "byhand": {"zhijian": side(10.0, 0.01), "byhand": side(25.0, others_cores)}})
    assert "1/2.50 of the CPU time" in text
    assert ("**2.50 times as fast**" in text) == (others_cores < 0.15)
    assert ("not to be compared" in text) == (others_cores > 0.15)


def test_whisperx_is_asked_as_its_command_line_would(tmp_path, monkeypatch, capsys):
    asked = {}

    class Pipeline:
        def transcribe(self, audio, **options):
            asked.update(options, seconds=len(audio) / 16_000, loudest=float(np.abs(audio).max()))
            return {"segments": [{"text": "您好"}, {"text": "再见"}]}

    whisperx = types.ModuleType("whisperx")
    whisperx.load_model = lambda *place, **options: asked.update(options, place=place) or Pipeline()
    monkeypatch.setitem(sys.modules, "whisperx", whisperx)
    both = np.stack([np.full(16_000, 0.5), np.zeros(16_000)], axis=1)
    soundfile.write(tmp_path / "c1-0.wav", both, 16_000)
    monkeypatch.setattr(sys, "argv", ["byhand_whisperx", "/models/base", str(tmp_path)])
    byhand_whisperx.main()
    assert json.loads(capsys.readouterr().out)["words"] == {"c1-0": "您好再见"}
    assert asked["place"] == ("/models/base", "cpu")
    assert (asked["language"], asked["seconds"], asked["batch_size"]) == ("zh", 1.0, 8)
    assert asked["loudest"] == pytest.approx(0.25, abs=1e-3)


def test_a_file_of_another_rate_is_refused(tmp_path: Path):
    soundfile.write(tmp_path / "a.wav", np.zeros(800), 8_000)
    with pytest.raises(ValueError, match="expected 16 kHz"):
        byhand_whisperx.samples_of(tmp_path / "a.wav")
