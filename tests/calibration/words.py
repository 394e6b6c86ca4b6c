"""Is a word as right as its confidence says? Counts, and the reliability curve of the accuracy document.

``python -m tests.calibration.words collect PART AUDIO`` hears every call of a folder that
``data_samples/make_samples.py --plain`` filled, aligns what was heard with what was said, and adds the
characters, right or wrong, to the counts of that part in ``words.json``, by confidence in steps of 0.05.

``python -m tests.calibration.words`` rewrites the table of ``docs/accuracy.md``; with ``--check`` it says
only whether that would change anything.

Table of contents: `judged`, `counted`, `collect`, `expected_error`, `section`, `main`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.document import with_section
from pipeline.mandarin import normalised
from pipeline.records import ROLES, Hearing

HERE = Path(__file__).parent
COUNTS = HERE / "words.json"
DOCUMENT = HERE.parents[1] / "docs" / "accuracy.md"
STEPS = 20
Counts = dict[str, list[list[int]]]


def judged(heard: Hearing, truth: Mapping[str, Any]) -> list[tuple[float, bool]]:
    """Confidence of every character heard, and whether it is one that was said there."""
    from rapidfuzz.distance import Levenshtein

    found: list[tuple[float, bool]] = []
    for role in ROLES:
        said = normalised("".join(turn["text"] for turn in truth["turns"] if turn["role"] == role))
        turns = sorted((turn for turn in heard.turns if turn.role == role), key=lambda turn: turn.start_s)
        text, sure = "", []
        for word in (word for turn in turns for word in turn.words):
            written = normalised(word.text)
            text += written
            sure += [word.confidence] * len(written)
        right = [False] * len(text)
        for code in Levenshtein.opcodes(said, text):
            if code.tag == "equal":
                right[code.dest_start : code.dest_end] = [True] * (code.dest_end - code.dest_start)
        found += zip(sure, right, strict=True)
    return found


def counted(pairs: Iterable[tuple[float, bool]], into: list[list[int]]) -> list[list[int]]:
    """Add characters to counts of (all, right) by confidence."""
    for sure, right in pairs:
        row = into[min(STEPS - 1, int(sure * STEPS))]
        row[0] += 1
        row[1] += right
    return into


def collect(part: str, folder: Path) -> None:
    """Hear the calls of a folder and add their characters to the counts."""
    from models import load_diarizer
    from pipeline.callrecords import read_call_records
    from pipeline.hearing.audio import decode
    from pipeline.hearing.hear import hear
    from pipeline.hearing.lexicon import load_lexicon
    from tests.accuracy.recognise import MODEL_DIR, whisper_base

    counts: Counts = json.loads(COUNTS.read_text(encoding="utf-8")) if COUNTS.exists() else {}
    recognizer, lexicon = whisper_base(), load_lexicon()
    calls = {call.call_id: call for call in read_call_records(folder / "calls.csv").records}
    truths = json.loads((folder / "truth.json").read_text(encoding="utf-8"))["calls"]
    for call_id, truth in truths.items():
        heard = hear(
            decode((folder / truth["file"]).read_bytes(), extension="wav"),
            calls[call_id],
            recognizer=recognizer,
            diarizer=lambda: load_diarizer("whisper-base", MODEL_DIR, device="cpu", threads=1),
            lexicon=lexicon,
            recording_sha256="",
        )
        counted(judged(heard, truth), counts.setdefault(part, empty()))
    COUNTS.write_text(json.dumps(counts) + "\n", encoding="utf-8")


def empty() -> list[list[int]]:
    """Counts of nothing."""
    return [[0, 0] for _ in range(STEPS)]


def expected_error(rows: Sequence[Sequence[int]]) -> float:
    """Mean distance between confidence and share that is right (expected calibration error), in [0, 1].

    Examples
    --------
    >>> rows = empty()
    >>> rows[18] = [100, 92]
    >>> round(expected_error(rows), 3)
    0.005
    """
    total = sum(every for every, _ in rows)
    gaps = (
        abs((step + 0.5) / STEPS - right / every) * every for step, (every, right) in enumerate(rows) if every
    )
    return sum(gaps) / total if total else 0.0


def section(counts: Counts) -> str:
    """Table of the reliability curve, two steps a row."""
    parts = sorted(counts)
    head = " | ".join(f"{part}: characters | right" for part in parts)
    lines = [
        "Characters of spoken dialogues and calls by the confidence of their word "
        "(`python -m tests.calibration.words`):",
        "",
        f"| confidence | {head} |",
        "|---|" + "---|---|" * len(parts),
    ]
    for step in range(0, STEPS, 2):
        cells = []
        for part in parts:
            every, right = (sum(row[at] for row in counts[part][step : step + 2]) for at in (0, 1))
            cells.append(f"{every} | {100 * right / every:.0f} %" if every else "0 | –")
        lines.append(f"| {step / STEPS:.1f} – {(step + 2) / STEPS:.1f} | {' | '.join(cells)} |")
    told = ", ".join(f"{part} {expected_error(counts[part]):.3f}" for part in parts)
    lines += ["", f"Mean distance between confidence and share right (expected calibration error): {told}."]
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Collect, or publish; see the module."""
    if arguments[:1] == ["collect"]:
        collect(arguments[1], Path(arguments[2]))
        return 0
    old = DOCUMENT.read_text(encoding="utf-8")
    new = with_section(old, "words", section(json.loads(COUNTS.read_text(encoding="utf-8"))))
    if "--check" in arguments:
        return int(old != new)
    DOCUMENT.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
