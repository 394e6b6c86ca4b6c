"""Listen to spoken dialogues as a scored call is heard and keep the words, turn by turn.

``python -m tests.accuracy.recognise AUDIO OUT.jsonl`` reads every call of a folder that
``data_samples/make_samples.py --plain`` filled (``truth.json`` and WAV files) and writes one line a call::

    {"id": "i-basic-01", "model": "whisper-base@0a1b2c3d", "turns": [{"words": [["您好", 0.0, 0.21, 0.98]]}]}

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

from models import load_recognizer
from pipeline.hearing.activity import activity
from pipeline.hearing.audio import decode, to_16k
from pipeline.hearing.lexicon import HearingLexicon, load_lexicon
from pipeline.hearing.transcript import cleaned
from pipeline.ports import Recognizer

MODEL_DIR = Path(os.environ.get("ZHIJIAN_MODEL_DIR", Path.home() / ".cache/zhijian/models"))


def whisper_base() -> Recognizer:
    """The recogniser that ships, on one thread."""
    return load_recognizer("whisper-base", MODEL_DIR, device="cpu", threads=1)


def _turn_of(word_middle_s: float, spans: list[tuple[int, float, float]]) -> int | None:
    """The turn whose span holds a time, or the nearest within 1.5 s."""
    best = min(
        spans, key=lambda span: max(span[1] - word_middle_s, word_middle_s - span[2], 0.0), default=None
    )
    if best is None or max(best[1] - word_middle_s, word_middle_s - best[2]) > 1.5:
        return None
    return best[0]


def heard_turns(
    recognizer: Recognizer, lexicon: HearingLexicon, audio: Path, truth: dict[str, Any]
) -> list[dict[str, Any]]:
    """Recognise both channels of one call; one entry for each true turn."""
    channels = to_16k(decode(audio.read_bytes(), extension=audio.suffix.lstrip(".")))
    turns: list[dict[str, Any]] = [{"words": []} for _ in truth["turns"]]
    for channel, samples in enumerate(channels):
        role = "agent" if channel == truth["agent_channel"] else "customer"
        true_spans = [
            (index, turn["pieces"][0][0], turn["pieces"][-1][1])
            for index, turn in enumerate(truth["turns"])
            if turn["role"] == role
        ]
        spans = activity(samples).spans
        segments = recognizer.transcribe(
            samples, spans_s=list(spans), prompt=lexicon.prompt, hotwords=lexicon.hotwords
        )
        for word in cleaned(segments, speech=spans, rules=lexicon.cleaning).words:
            index = _turn_of((word.start_s + word.end_s) / 2, true_spans)
            if index is None:
                continue
            _, start, end = next(span for span in true_spans if span[0] == index)
            share = [min(1.0, max(0.0, (at - start) / (end - start))) for at in (word.start_s, word.end_s)]
            turns[index]["words"].append(
                [word.text, round(share[0], 3), round(share[1], 3), round(word.confidence, 3)]
            )
    return turns


def main(folder: Path, out: Path) -> None:
    """Append the calls of ``folder`` that ``out`` does not hold yet."""
    recognizer, lexicon = whisper_base(), load_lexicon()
    known = (
        {json.loads(line)["id"] for line in out.read_text("utf-8").splitlines()} if out.exists() else set()
    )
    calls = json.loads((folder / "truth.json").read_text(encoding="utf-8"))["calls"]
    for call_id, truth in calls.items():
        if call_id in known:
            continue
        turns = heard_turns(recognizer, lexicon, folder / truth["file"], truth)
        line = {
            "id": call_id,
            "model": f"{recognizer.model.name}@{recognizer.model.sha256[:8]}",
            "turns": turns,
        }
        with out.open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(line, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
