"""Listen to spoken dialogues with the real recogniser and keep what it heard, turn by turn.

``python -m tests.accuracy.recognise AUDIO OUT.jsonl`` reads every call of a folder that
``data_samples/make_samples.py --plain`` filled (``truth.json`` and WAV files) and writes one line a call::

    {"id": "i-basic-01", "model": "whisper-base", "turns": [{"words": [["您好", 0.0, 0.21, 0.98], …]}, …]}

Words are given to the turn (of the speaker whose channel it is) in whose time their middle lies; their
times are shares of that turn, so that a dialogue's own clock stays in force. A turn of which nothing was
heard has no words. Heard twice, the same audio gives the same line.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from pipeline.mandarin import simplified

MODEL = Path(os.environ.get("ZHIJIAN_MODEL_DIR", Path.home() / ".cache/zhijian/models")) / "whisper-base"


def _turn_of(word_middle_s: float, spans: list[tuple[int, float, float]]) -> int | None:
    """The turn whose span holds a time, or the nearest within half a second."""
    best = min(
        spans, key=lambda span: max(span[1] - word_middle_s, word_middle_s - span[2], 0.0), default=None
    )
    if best is None or max(best[1] - word_middle_s, word_middle_s - best[2]) > 0.5:
        return None
    return best[0]


def heard_turns(model: Any, audio: Path, truth: dict[str, Any]) -> list[dict[str, Any]]:
    """Recognise both channels of one call; one entry for each true turn."""
    import soundfile
    import soxr

    samples, rate = soundfile.read(audio, dtype="float32", always_2d=True)
    turns: list[dict[str, Any]] = [{"words": []} for _ in truth["turns"]]
    for channel in range(samples.shape[1]):
        role = "agent" if channel == truth["agent_channel"] else "customer"
        spans = [
            (index, turn["pieces"][0][0], turn["pieces"][-1][1])
            for index, turn in enumerate(truth["turns"])
            if turn["role"] == role
        ]
        segments, _ = model.transcribe(
            soxr.resample(samples[:, channel], rate, 16_000),
            language="zh",
            beam_size=5,
            vad_filter=True,
            vad_parameters={"min_silence_duration_ms": 600, "speech_pad_ms": 200},
            condition_on_previous_text=False,
            word_timestamps=True,
        )
        for segment in segments:
            for word in segment.words or ():
                index = _turn_of((word.start + word.end) / 2, spans)
                if index is None or not word.word.strip():
                    continue
                _, start, end = next(span for span in spans if span[0] == index)
                share = [min(1.0, max(0.0, (at - start) / (end - start))) for at in (word.start, word.end)]
                text = simplified(word.word.strip())
                turns[index]["words"].append(
                    [text, round(share[0], 3), round(share[1], 3), round(word.probability, 3)]
                )
    return turns


def main(folder: Path, out: Path) -> None:
    """Append the calls of ``folder`` that ``out`` does not hold yet."""
    from faster_whisper import WhisperModel

    model = WhisperModel(str(MODEL), device="cpu", compute_type="int8", cpu_threads=1)
    known = (
        {json.loads(line)["id"] for line in out.read_text("utf-8").splitlines()} if out.exists() else set()
    )
    calls = json.loads((folder / "truth.json").read_text(encoding="utf-8"))["calls"]
    for call_id, truth in calls.items():
        if call_id in known:
            continue
        line = {
            "id": call_id,
            "model": MODEL.name,
            "turns": heard_turns(model, folder / truth["file"], truth),
        }
        with out.open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(line, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
