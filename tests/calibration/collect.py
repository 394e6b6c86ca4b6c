"""What the real recogniser made of the spoken sentences, as the lines that calibration is fitted on.

``python -m tests.calibration.collect spoken HEARD.jsonl...`` pairs what `tests.accuracy.recognise`
heard with the sentences of `corpus` and writes ``heard.jsonl``. ``… collect human FOLDER`` recognises
human readings (a folder with ``references.json`` and audio files, e.g. ``$ZHIJIAN_SPEECH``) over a
simulated telephone and writes ``human.jsonl``; they are measured on, never fitted on.

A line: ``{"part": "train", "said": "…", "words": [["您好", 0.93], …]}``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tests.calibration.corpus import HERE, TURNS_PER_CALL, VOICES, sentences


def spoken(heard_files: list[Path]) -> list[dict[str, Any]]:
    """Lines of the synthetic sentences, in the order of the corpus."""
    said: dict[str, tuple[str, list[str]]] = {}
    for part in VOICES:
        lines = sentences(part)
        for number, begin in enumerate(range(0, len(lines), TURNS_PER_CALL)):
            said[f"{part}{number:02d}"] = (part, lines[begin : begin + TURNS_PER_CALL])
    heard = {
        call["id"]: call["turns"]
        for path in heard_files
        for call in map(json.loads, path.open(encoding="utf-8"))
    }
    found = []
    for call, (part, lines) in said.items():
        if len(heard[call]) != len(lines):
            raise SystemExit(
                f"{call}: {len(heard[call])} turns heard, {len(lines)} spoken; speak the scripts again"
            )
        for line, turn in zip(lines, heard[call], strict=True):
            words = [[word, round(probability, 2)] for word, _, _, probability in turn["words"]]
            found.append({"part": part, "said": line, "words": words})
    return found


def human(folder: Path) -> list[dict[str, Any]]:
    """Lines of human readings with known words, heard over a simulated telephone."""
    import numpy as np
    import soundfile
    import soxr
    from faster_whisper import WhisperModel
    from scipy.signal import butter, sosfilt

    from pipeline.mandarin import simplified
    from tests.accuracy.recognise import MODEL

    model = WhisperModel(str(MODEL), device="cpu", compute_type="int8", cpu_threads=1)
    references = json.loads((folder / "references.json").read_text("utf-8"))
    band = butter(4, [300, 3400], btype="bandpass", fs=8000, output="sos")
    found = []
    for path in sorted(folder.rglob("*")):
        said = (
            references.get(str(path.relative_to(folder)))
            or references.get(path.stem)
            or references.get(path.name)
        )
        if path.suffix not in (".wav", ".flac") or not isinstance(said, str):
            continue
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        narrow = sosfilt(band, soxr.resample(samples.mean(axis=1), rate, 8000))
        noise = np.random.default_rng(len(found)).normal(0, 10 ** (-48 / 20), len(narrow))
        wide = soxr.resample((narrow + noise).astype(np.float32), 8000, 16_000)
        segments, _ = model.transcribe(
            wide,
            language="zh",
            beam_size=5,
            vad_filter=True,
            condition_on_previous_text=False,
            word_timestamps=True,
        )
        words = [
            [simplified(word.word.strip()), round(word.probability, 2)]
            for part in segments
            for word in part.words or ()
        ]
        plain = "".join(piece.split(":", 1)[-1] for piece in said.split("|"))
        found.append(
            {"part": "human", "said": plain, "heard": "".join(word for word, _ in words), "words": words}
        )
    return found


def main(kind: str, paths: list[Path]) -> None:
    """Write the lines of one kind."""
    lines, name = (spoken(paths), "heard.jsonl") if kind == "spoken" else (human(paths[0]), "human.jsonl")
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    (HERE / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], [Path(path) for path in sys.argv[2:]])
