"""The same calls by zhijian and by hand, one after the other on the same cores, with what each got right.

By hand is `benchmarks.byhand`; with the interpreter of an environment that has WhisperX, that too
(`benchmarks.byhand_whisperx`). Both sides are clocked from the start of their process to its end.

Table of contents: `accuracy`, `side_by_side`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.samplenight import EVERY_CALL, SAMPLES, clocked, sample_night, score


def accuracy(heard: Mapping[str, str]) -> dict[str, float]:
    """What was recognised, against the truth, whole calls with both speakers in the order of time.

    Parameters
    ----------
    heard : mapping of str to str
        Sample call to all that was recognised in it.

    Returns
    -------
    dict of str to float
        ``cer``: share of wrong characters. ``phrases_said``: sentences of the standard that an agent says,
        counted once a call; ``phrases_literal`` and ``phrases_by_sound``: how many of them are found by
        their very characters, and by sound as judging does.
    """
    from rapidfuzz.distance import Levenshtein

    from pipeline.judging.phrases import Transcript, compile_pattern, find
    from pipeline.judging.transcript import load_model
    from pipeline.mandarin import normalised
    from pipeline.records import Turn
    from tests.accuracy.keywords import PATTERNS, PHRASES

    truth = json.loads((SAMPLES / "truth.json").read_text(encoding="utf-8"))["calls"]
    patterns = {phrase: compile_pattern(PATTERNS.get(phrase, phrase)) for phrase in PHRASES}
    accept = load_model().limits.accept
    wrong = characters = said = literal = by_sound = 0
    for name, text in heard.items():
        turns = sorted(truth[name]["turns"], key=lambda turn: turn["start_s"])
        reference, recognised = normalised("".join(turn["text"] for turn in turns)), normalised(text)
        wrong += Levenshtein.distance(reference, recognised)
        characters += len(reference)
        agent = [normalised(turn["text"]) for turn in turns if turn["role"] == "agent"]
        transcript = Transcript.of([Turn("agent", 0.0, truth[name]["duration_s"], text)])
        for phrase, pattern in patterns.items():
            if any(phrase in turn for turn in agent):
                said += 1
                literal += phrase in recognised
                by_sound += any(hit.confidence >= accept for hit in find(pattern, transcript))
    return {
        "cer": wrong / characters,
        "phrases_said": said,
        "phrases_literal": literal,
        "phrases_by_sound": by_sound,
    }


def side_by_side(
    folder: Path, *, calls: Sequence[str] = EVERY_CALL, whisperx: str | None = None
) -> dict[str, dict[str, Any]]:
    """Hear the sample calls by zhijian, with a worker a core, and by hand.

    Parameters
    ----------
    folder : Path
        Empty.
    calls : sequence of str
        Sample calls; all of them if not given.
    whisperx : str, optional
        Python interpreter of an environment in which WhisperX is installed.

    Returns
    -------
    dict of str to dict
        By side: seconds of audio, wall and CPU seconds of the whole process, seconds to load (by hand),
        peak memory (zhijian), and `accuracy`.
    """
    from models.fetch import adapter_of, installed
    from pipeline.settings import Settings

    sample_night(folder, calls=calls)
    audio_s = _decrypted(folder / "recordings", folder / "plain", folder / "recordings.key")
    ours = score(folder, "--workers", str(len(os.sched_getaffinity(0))))
    texts = _in_order_of_time(folder / "results")
    found = {
        "zhijian": {
            **{name: ours[name] for name in ("process_wall_s", "process_cpu_s", "others_cores", "peak_mb")},
            **accuracy({_sample(call_id): text for call_id, text in texts.items()}),
            "adapted": adapter_of("whisper-base", Settings.model_validate({}).model_dir) is not None,
        }
    }
    commands = {"byhand": [sys.executable, "-m", "benchmarks.byhand", str(folder / "plain")]}
    if whisperx is not None:
        model = installed("whisper-base", Settings.model_validate({}).model_dir)
        commands["whisperx"] = [
            whisperx, "-m", "benchmarks.byhand_whisperx", str(model), str(folder / "plain")
        ]  # fmt: skip
    for side, command in commands.items():
        said, spent = clocked(command)
        result = json.loads(said.strip().splitlines()[-1])
        words = {_sample(name): text for name, text in result.pop("words").items()}
        found[side] = {**result, **spent, **accuracy(words)}
    return {side: {"audio_s": audio_s, "calls": len(calls), **figures} for side, figures in found.items()}


def _in_order_of_time(results: Path) -> dict[str, str]:
    """All words of each call as they were heard, both speakers together, as one who listens hears them.

    Turns overlap, so putting turn behind turn would count right words as wrong. `pipeline.results.load` masks
    personal numbers, so it is not asked.
    """
    from pipeline.results.store import Store

    words: dict[str, list[tuple[float, str]]] = {}
    for turn in Store.open(results).read("turns", columns=["call_id", "words"]).to_pylist():
        heard = [(float(word["start_s"]), str(word["text"])) for word in turn["words"] or ()]
        words.setdefault(str(turn["call_id"]), []).extend(heard)
    return {
        call_id: "".join(text for _, text in sorted(heard, key=lambda word: word[0]))
        for call_id, heard in words.items()
    }


def _sample(call_id: str) -> str:
    return call_id.rsplit("-", 1)[0]


def _decrypted(recordings: Path, plain: Path, key: Path) -> float:
    """Plain WAV files at 16 kHz for those who work by hand; returns seconds of audio."""
    import numpy as np
    import soundfile

    from pipeline.hearing.audio import decode, to_16k
    from pipeline.vault.envelope import decrypt
    from pipeline.vault.keys import load_identity

    identity = load_identity(key)
    plain.mkdir()
    audio_s = 0.0
    for path in sorted(recordings.iterdir()):
        audio = decode(decrypt(path.read_bytes(), identity))
        audio_s += audio.duration_s
        soundfile.write(plain / f"{path.name.split('.')[0]}.wav", np.asarray(to_16k(audio)).T, 16_000)
    return audio_s
