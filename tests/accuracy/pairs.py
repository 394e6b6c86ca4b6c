"""Pairs of what was said and what the recogniser heard, for `tests.accuracy.confusions`.

``python -m tests.accuracy.pairs dialogues HEARD.jsonl OUT.jsonl`` takes what `tests.accuracy.recognise` kept
of the development dialogues; ``… human FOLDER OUT.jsonl`` listens to human recordings with a
``references.json`` (file name to ``S1:…|S2:…`` without punctuation), through a telephone line.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.hearing.activity import activity
from pipeline.hearing.lexicon import load_lexicon
from pipeline.hearing.transcript import cleaned
from pipeline.mandarin import normalised
from tests.accuracy.recognise import whisper_base
from tests.accuracy.speak import spoken_line
from tests.dialogues import loader


def of_dialogues(heard: Path) -> Iterator[dict[str, Any]]:
    """One pair for each turn of the development dialogues that were spoken and recognised."""
    known = {one.id: one for one in loader.load("dev")}
    for line in heard.read_text(encoding="utf-8").splitlines():
        call = json.loads(line)
        if call["id"] not in known:
            continue
        for turn, found in zip(known[call["id"]].hearing.turns, call["turns"], strict=True):
            said = normalised(spoken_line(turn.text))
            raw = "".join(word[0] for word in found["words"])
            yield {
                "call": call["id"],
                "said": said,
                "heard": normalised(raw),
                "raw": raw,
                "words": found["words"],
                "source": "synthetic telephone dialogues",
            }


def of_human(folder: Path) -> Iterator[dict[str, Any]]:
    """One pair for each human recording, band-limited to the telephone and A-law coded."""
    import numpy as np
    import soundfile
    import soxr

    recognizer, lexicon = whisper_base(), load_lexicon()
    references = json.loads((folder / "references.json").read_text(encoding="utf-8"))
    for name, text in references.items():
        if not (folder / name).is_file():
            continue
        samples, rate = soundfile.read(folder / name, dtype="float32", always_2d=True)
        line = soxr.resample(samples.mean(axis=1), rate, 8000)
        level = np.sign(line) * np.log1p(87.6 * np.clip(np.abs(line), 0, 1)) / np.log1p(87.6)
        level = np.round(level * 127) / 127
        line = np.sign(level) * np.expm1(np.abs(level) * np.log1p(87.6)) / 87.6
        audio = soxr.resample(line.astype(np.float32), 8000, 16_000)
        spans = activity(audio).spans
        segments = recognizer.transcribe(
            audio, spans_s=list(spans), prompt=lexicon.prompt, hotwords=lexicon.hotwords
        )
        words = cleaned(segments, speech=spans, rules=lexicon.cleaning).words
        raw = "".join(word.text for word in words)
        said = normalised("".join(part.split(":", 1)[1] for part in text.split("|")))
        yield {
            "call": name.split("/")[0],
            "said": said,
            "heard": normalised(raw),
            "raw": raw,
            "words": [[word.text, 0, 0, round(word.confidence, 3)] for word in words],
            "source": "human recordings",
        }


def main(kind: str, source: Path, out: Path) -> None:
    """Write the pairs of one source."""
    pairs = of_dialogues(source) if kind == "dialogues" else of_human(source)
    with out.open("w", encoding="utf-8") as handle:
        for pair in pairs:
            handle.write(json.dumps(pair, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
