"""What the encoder makes of spoken tracks: ``python -m models.adapting.heard SHARD SHARDS TRACKS OUT``.

Turns are packed into windows as those of a scored call are, of drawn lengths; a window whose cut goes
through a turn is left out. Writes ``NAME-CHANNEL-NUMBER.npy`` (float16, (frames, width)) and, when a
track is done, ``NAME.windows``: JSON rows with ``key``, ``text``, ``duration_s`` and ``source`` (the
text's file).
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.windows import Window, pack, quietest
from pipeline.ports import SAMPLE_RATE_HZ, Samples

MODEL = "whisper-base"
_NAME = re.compile(r"[0-9a-f]+")
_LINE_HZ = 8_000
_LONGEST_S = (9.0, 14.0, 20.0, 29.0, 29.0, 29.0)
_TOUCHES_S, _CUT_S = 0.05, 0.05

Turn = tuple[float, float, str]


def window_text(window: Window, turns: Sequence[Turn]) -> str | None:
    """Give the text of the turns in a window; None if it holds only a part of one.

    Examples
    --------
    >>> from models.windows import Piece
    >>> window = Window((Piece(0.0, 2.2), Piece(5.0, 6.0, 2.2)))
    >>> window_text(window, [(0.1, 2.0, "您好。"), (5.2, 5.8, "再见。"), (9.0, 9.5, "喂？")])
    '您好。再见。'
    >>> window_text(window, [(0.1, 4.0, "您好。")]) is None
    True
    """
    text = ""
    for start_s, end_s, said in turns:
        pieces = [p for p in window.pieces if min(end_s, p.end_s) - max(start_s, p.start_s) > _TOUCHES_S]
        if not pieces:
            continue
        whole = pieces[0].start_s <= start_s + _CUT_S and pieces[0].end_s >= end_s - _CUT_S
        if len(pieces) > 1 or not whole:
            return None
        text += said
    return text or None


def drawn_windows(samples: Samples, turns: Sequence[Turn], rng: np.random.Generator) -> list[Window]:
    """Windows over turns whose edges are a little off, as found edges are."""
    duration_s = len(samples) / SAMPLE_RATE_HZ
    spans = [
        (max(0.0, start_s - rng.uniform(0, 0.1)), min(duration_s, end_s + rng.uniform(-0.02, 0.15)))
        for start_s, end_s, _ in turns
    ]
    longest_s = float(rng.choice(_LONGEST_S))
    return pack(spans, duration_s, longest_s=longest_s, quietest=quietest(samples), even=True)


def main(shard: int, shards: int, tracks: Path, out: Path) -> None:
    """Hear what this process has to and what is not heard yet."""
    import soxr

    from models.asr_whisper import WhisperRecognizer
    from models.fetch import installed, model_id
    from pipeline.settings import load_settings

    settings, _ = load_settings({})
    recognizer = WhisperRecognizer(
        installed(MODEL, settings.model_dir), model_id(MODEL, settings.model_dir), device="cpu"
    )
    out.mkdir(parents=True, exist_ok=True)
    for about in sorted(tracks.glob("*.json")):
        name = about.stem
        if not _NAME.fullmatch(name) or int(name, 16) % shards != shard or (out / f"{name}.windows").exists():
            continue
        rng = np.random.default_rng(int(name, 16) + 1)
        spoken = json.loads(about.read_text(encoding="utf-8"))
        rows: list[dict[str, Any]] = []
        for number, (line, turns) in enumerate(
            zip(np.load(tracks / f"{name}.npy"), spoken["channels"], strict=True)
        ):
            heard = soxr.resample(line.astype(np.float32) / 32768, _LINE_HZ, SAMPLE_RATE_HZ)
            samples = np.ascontiguousarray(heard, dtype=np.float32)
            for window in drawn_windows(samples, turns, rng):
                text = window_text(window, turns)
                if text is None:
                    continue
                key = f"{name}-{number}-{len(rows)}"
                np.save(out / f"{key}.npy", recognizer.encoded(samples, window).astype(np.float16))
                duration_s = round(window.duration_s, 3)
                rows.append({"key": key, "text": text, "duration_s": duration_s, "source": spoken["text"]})
        part = out / f"{name}.part"
        part.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
        part.replace(out / f"{name}.windows")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]))
