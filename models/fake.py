"""A recogniser and a diarizer without weights, for tests of everything around them.

They answer the same for the same audio, at once. Selected by the setting ``model = "fake"``: speech is
found by the caller's own activity detection and given filler sentences; or ``model = "fake:FILE"``,
where FILE is a JSON script that says which words a recording holds. Never for scoring real calls:
results carry the model name ``fake``.

Conventions
-----------
A script is ``{"calls": [{"duration_s": 34.0, "turns": [TURN, …]}]}`` with turns as `FakeTurn`. The entry
whose ``duration_s`` is that of the audio (within 0.02 s) is played back: the turns that lie for the most
part inside the spans that are asked for, so each channel of a stereo call answers with its own.

Table of contents: `FakeTurn`, `FakeRecognizer`, `FakeDiarizer`.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pipeline.errors import ConfigError
from pipeline.ports import SAMPLE_RATE_HZ, HeardSegment, HeardWord, Samples, SpeakerStretch
from pipeline.records import ModelId

_SENTENCES = (
    "您好请问有什么可以帮您",
    "我想问一下我的理赔进度",
    "好的请您提供保单号后六位",
    "感谢您的来电祝您生活愉快",
    "没有了谢谢",
)
_TOLERANCE_S = 0.02


@dataclass(frozen=True, slots=True)
class FakeTurn:
    """One line of a script: who says what when, and how the model fails there.

    Attributes
    ----------
    fault : {"", "exit", "hang"}
        ``exit``: the process ends as if the kernel had killed it; ``hang``: the model never answers.
    """

    start_s: float
    end_s: float
    text: str
    speaker: int = 0
    fault: str = ""


Script = Mapping[float, Sequence[FakeTurn]]
"""Duration of a recording in seconds to what is said in it."""


def _load_script(name: str) -> Script:
    """Read the script of a setting like ``fake:/path/script.json``; plain ``fake`` has none."""
    _, _, file = name.partition(":")
    if not file:
        return {}
    try:
        data = json.loads(Path(file).read_text(encoding="utf-8"))
        return {
            float(call["duration_s"]): tuple(FakeTurn(**turn) for turn in call["turns"])
            for call in data["calls"]
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"script {file} of the fake model cannot be used ({type(error).__name__}); expected JSON "
            '{"calls": [{"duration_s": 1.0, "turns": [{"start_s": 0, "end_s": 1, "text": "您好", '
            '"speaker": 0}]}]}'
        ) from error


def _turns(script: Script, samples: Samples) -> Sequence[FakeTurn] | None:
    duration_s = len(samples) / SAMPLE_RATE_HZ
    nearest = min(script, key=lambda known: abs(known - duration_s), default=None)
    if nearest is None or abs(nearest - duration_s) > _TOLERANCE_S:
        return None
    return script[nearest]


def _fail(turns: Sequence[FakeTurn]) -> None:
    for turn in turns:
        if turn.fault == "exit":
            os.kill(os.getpid(), signal.SIGKILL)
        if turn.fault == "hang":
            threading.Event().wait()


def _covered(turn: FakeTurn, spans_s: Sequence[tuple[float, float]]) -> float:
    return sum(max(0.0, min(end, turn.end_s) - max(start, turn.start_s)) for start, end in spans_s)


def _segment(start_s: float, end_s: float, text: str) -> HeardSegment:
    """Spread the characters evenly over the time."""
    step = (end_s - start_s) / max(1, len(text))
    words = tuple(
        HeardWord(char, round(start_s + i * step, 3), round(start_s + (i + 1) * step, 3), 0.95)
        for i, char in enumerate(text)
    )
    return HeardSegment(start_s, end_s, text, words, -0.05, 0.01, 1.0)


@dataclass(frozen=True, slots=True)
class FakeRecognizer:
    """A `pipeline.ports.Recognizer` that plays back a script, or makes sentences up.

    Examples
    --------
    >>> recognizer = FakeRecognizer({1.0: [FakeTurn(0.0, 1.0, "您好")]})
    >>> recognizer.transcribe(np.zeros(16000, np.float32), spans_s=[(0.0, 1.0)])[0].text
    '您好'
    """

    script: Script = field(default_factory=dict)

    @classmethod
    def named(cls, name: str) -> FakeRecognizer:
        """Make the one that a setting names."""
        return cls(_load_script(name))

    @property
    def model(self) -> ModelId:
        """Say that this is no real model."""
        return ModelId("fake", "asr", hashlib.sha256(b"fake").hexdigest())

    def transcribe(
        self,
        samples: Samples,
        *,
        spans_s: Sequence[tuple[float, float]],
        prompt: str | None = None,
        hotwords: str | None = None,
        draft: bool = False,
    ) -> list[HeardSegment]:
        """Play back the turns inside ``spans_s``; without a script, one sentence a span."""
        turns = _turns(self.script, samples)
        if turns is not None:
            _fail(turns)
            return [
                _segment(turn.start_s, turn.end_s, turn.text)
                for turn in turns
                if _covered(turn, spans_s) >= 0.5 * (turn.end_s - turn.start_s)
            ]
        return [_segment(start, end, self._sentence(samples, start, end)) for start, end in spans_s]

    def forget(self) -> None:
        """Nothing is kept."""

    @staticmethod
    def _sentence(samples: Samples, start_s: float, end_s: float) -> str:
        heard = samples[round(start_s * SAMPLE_RATE_HZ) : round(end_s * SAMPLE_RATE_HZ)]
        digest = hashlib.sha256(np.ascontiguousarray(heard).tobytes()).digest()
        sentence = _SENTENCES[digest[0] % len(_SENTENCES)]
        return sentence[: max(1, round(4 * (end_s - start_s)))]


@dataclass(frozen=True, slots=True)
class FakeDiarizer:
    """A `pipeline.ports.Diarizer` that plays back a script, or gives every other 3 s to the other voice."""

    script: Script = field(default_factory=dict)

    @classmethod
    def named(cls, name: str) -> FakeDiarizer:
        """Make the one that a setting names."""
        return cls(_load_script(name))

    @property
    def models(self) -> tuple[ModelId, ...]:
        """Say that these are no real models."""
        return (ModelId("fake", "diarization", hashlib.sha256(b"fake").hexdigest()),)

    def stretches(self, samples: Samples) -> list[SpeakerStretch]:
        """Speech stretches of two speakers, sorted by start."""
        turns = _turns(self.script, samples)
        if turns is not None:
            return sorted(SpeakerStretch(turn.start_s, turn.end_s, turn.speaker) for turn in turns)
        duration_s = len(samples) / SAMPLE_RATE_HZ
        return [
            SpeakerStretch(float(at), min(at + 3.0, duration_s), (at // 3) % 2)
            for at in range(0, int(np.ceil(duration_s)), 3)
        ]
