"""Two-party telephone calls stitched from recordings of people.

The folder (setting ``ZHIJIAN_SPEECH`` or ``--speech``) holds audio files and ``references.json`` (file
name to ``S1:text|S2:text`` without punctuation; a file without an entry has no text). A file, or a folder
of files, is one voice; files of a folder that are named ``a_1``, ``a_2``, ``b_1`` … are the voices a, b, ….
Files in which two people speak are left out: nobody knows when.

Three kinds of calls are made. *Phrases*: recordings cut at their pauses, put together as a call (overlaps
where the floor changes, backchannels, pauses of 0.1 to 0.8 s), as a textbook dialogue (no overlap), or as a
call that is transferred to a second agent, to measure who speaks when. *Clips*: whole recordings, and the
truth is that one speaks from its first to its last sound, pauses inside included. *Sentences*: whole
recordings with their text, to measure words.

Conventions
-----------
Truth is taken from each voice's own clean track: a frame counts as speech within 25 dB of the recording's
loud frames and 10 dB above its quiet ones (some were made in noisy rooms: what is no louder than the room is
not speech), pauses under 0.25 s are filled. Everything is drawn from seeds made of names.

Table of contents: `Voice`, `load_voices`, `active`, `Phrase`, `phrases`, `TUNED`, `pairs`, `Track`,
`phrase_track`, `transfer_track`, `clip_track`, `sentence_track`.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.hearing.truth import TrueTurn
from pipeline.records import ROLES

SR = 16_000
Samples = NDArray[np.float32]
Style = Literal["call", "textbook"]
# Voices with which limits were chosen; figures are reported on all others.
TUNED = frozenset({"a", "x", "aishell_s0150", "moss_f1"})
_FRAME = 160


@dataclass(frozen=True, slots=True, eq=False)
class Voice:
    """One person's recordings at 16 kHz and their texts ("" = unknown)."""

    name: str
    clips: tuple[tuple[Samples, str], ...]


def load_voices(folder: Path) -> dict[str, Voice]:
    """Every voice of a folder by name, sorted."""
    import soundfile
    import soxr

    file = folder / "references.json"
    texts: dict[str, str] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    clips: dict[str, list[tuple[Samples, str]]] = {}
    for path in sorted(p for p in folder.rglob("*") if p.suffix in (".wav", ".flac")):
        name = path.relative_to(folder).as_posix()
        lines = texts.get(name, "").split("|")
        if len({line.split(":", 1)[0] for line in lines if line}) > 1:
            continue
        text = "".join(line.split(":", 1)[-1] for line in lines)
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        mono = np.asarray(soxr.resample(samples.mean(axis=1), rate, SR), dtype=np.float32)
        clips.setdefault(_voice_name(path, folder), []).append((mono, text))
    return {name: Voice(name, tuple(own)) for name, own in sorted(clips.items())}


def _voice_name(path: Path, folder: Path) -> str:
    if path.parent == folder:
        return path.stem
    first, mark, rest = path.stem.partition("_")
    return first if mark and rest.isdigit() else path.parent.name


def _levels_db(samples: Samples) -> NDArray[np.float64]:
    count = len(samples) // _FRAME
    frames = samples[: count * _FRAME].reshape(count, _FRAME).astype(np.float64)
    return np.asarray(10.0 * np.log10(np.mean(frames**2, axis=1) + 1e-10), dtype=np.float64)


def speech_bar_db(samples: Samples) -> float:
    """Level from which a frame of a recording is speech."""
    levels = _smoothed_db(samples)
    return float(max(np.percentile(levels, 95) - 25.0, np.percentile(levels, 5) + 10.0))


def _smoothed_db(samples: Samples) -> NDArray[np.float64]:
    power = np.convolve(10.0 ** (_levels_db(samples) / 10.0), np.ones(3) / 3, "same")
    return np.asarray(10.0 * np.log10(power), dtype=np.float64)


def active(
    samples: Samples, *, bar_db: float | None = None, close_s: float = 0.25, least_s: float = 0.15
) -> list[tuple[float, float]]:
    """Stretches of speech in a clean recording of one voice.

    Parameters
    ----------
    bar_db : float, optional
        Of the whole recording, where ``samples`` is a part of it: a part may hold no silence at all.
    """
    loud = _smoothed_db(samples) > (speech_bar_db(samples) if bar_db is None else bar_db)
    edges = np.flatnonzero(np.diff(np.r_[0, loud.astype(int), 0]))
    spans: list[tuple[float, float]] = []
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        if spans and begin / 100 - spans[-1][1] < close_s:
            spans[-1] = (spans[-1][0], end / 100)
        else:
            spans.append((begin / 100, end / 100))
    return [(float(a), float(b)) for a, b in spans if b - a >= least_s]


@dataclass(frozen=True, slots=True, eq=False)
class Phrase:
    """A cut-out part of a recording at unit level, and where it holds speech."""

    samples: Samples
    spans: tuple[tuple[float, float], ...]

    def begun(self, seconds: float, gain: float) -> Phrase:
        """Its first seconds, as a backchannel."""
        part = _faded(self.samples[: int(seconds * SR)].copy() * np.float32(gain))
        end_s = len(part) / SR
        return Phrase(part, tuple((a, min(b, end_s)) for a, b in self.spans if a < end_s))


def phrases(voice: Voice, *, pause_s: float = 0.25, most_s: float = 3.2) -> list[Phrase]:
    """Cut recordings at pauses, and long stretches where they are quietest; unit level, soft edges."""
    found = []
    for samples, _ in voice.clips:
        bar_db = speech_bar_db(samples)
        for begin_s, end_s in active(samples, close_s=pause_s):
            for a, b in _halved(samples, begin_s, end_s, most_s):
                part = samples[max(int((a - 0.03) * SR), 0) : int((b + 0.03) * SR)]
                spans = active(part, bar_db=bar_db)
                if spans and len(part) > 0.3 * SR:
                    found.append(Phrase(_unit(_faded(part.copy())), tuple(spans)))
    return found


def _faded(part: Samples) -> Samples:
    size = min(len(part) // 2, 240)
    part[:size] *= np.linspace(0, 1, size, dtype=np.float32)
    part[-size:] *= np.linspace(1, 0, size, dtype=np.float32)
    return part


def _unit(part: Samples) -> Samples:
    return np.asarray(part / np.sqrt(np.mean(part.astype(np.float64) ** 2)), dtype=np.float32)


def _halved(samples: Samples, a: float, b: float, most_s: float) -> list[tuple[float, float]]:
    if b - a <= most_s:
        return [(a, b)]
    power = 10.0 ** (_levels_db(samples[int(a * SR) : int(b * SR)]) / 10.0)
    inner = np.convolve(power, np.ones(5) / 5, "same")[100:-100]
    cut = a + (100 + int(np.argmin(inner))) / 100 if len(inner) else (a + b) / 2
    return _halved(samples, a, cut, most_s) + _halved(samples, cut, b, most_s)


def pairs(voices: Iterable[str], *, tuned: bool) -> list[tuple[str, str]]:
    """All pairs of voices of one part; no voice is in both parts."""
    return list(combinations(sorted(v for v in voices if (v in TUNED) == tuned), 2))


@dataclass(slots=True, eq=False)
class Track:
    """A call being put together: one clean track a role (0 agent, 1 customer) and the true turns."""

    name: str
    samples: Samples
    turns: list[TrueTurn]
    seed: int

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return float(self.samples.shape[1] / SR)


def _seed(name: str) -> int:
    return zlib.crc32(name.encode())


class _Builder:
    """Puts parts of two voices one after another and remembers what is said when."""

    def __init__(self, seconds: float, names: Sequence[str]) -> None:
        self.tracks = np.zeros((2, int((seconds + 25) * SR)), dtype=np.float32)
        self.names = names
        self.turns: list[TrueTurn] = []

    def put(self, side: int, at_s: float, part: Phrase) -> tuple[float, list[tuple[float, float]]]:
        begin = int(at_s * SR)
        samples = part.samples[: self.tracks.shape[1] - begin]
        self.tracks[side, begin : begin + len(samples)] += samples
        return at_s + len(samples) / SR, [(at_s + a, at_s + b) for a, b in part.spans]

    def say(
        self,
        side: int,
        pieces: list[tuple[float, float]],
        text: str | None = None,
        *,
        backchannel: bool = False,
    ) -> None:
        if pieces:
            self.turns.append(
                TrueTurn(
                    role=ROLES[side],
                    voice=self.names[side],
                    start_s=pieces[0][0],
                    end_s=pieces[-1][1],
                    text=text,
                    pieces=tuple(pieces),
                    backchannel=backchannel,
                )
            )

    def rename(self, voice: str) -> None:
        """Say who spoke the last turn."""
        self.turns[-1] = replace(self.turns[-1], voice=voice)

    def track(self, name: str, end_s: float) -> Track:
        turns = sorted(self.turns, key=lambda t: (t.start_s, t.end_s))
        return Track(name, self.tracks[:, : int((end_s + 0.5) * SR)], turns, _seed(name))


def phrase_track(a: Voice, b: Voice, style: Style, *, seconds: float = 90.0) -> Track:
    """Stitch phrases of two voices; texts are unknown."""
    name = f"{style}-{a.name}-{b.name}"
    draw = np.random.default_rng(_seed(name))
    stock = (phrases(a), phrases(b))
    queue = [list(draw.permutation(len(parts))) for parts in stock]
    builder = _Builder(seconds, (a.name, b.name))
    short = [min(parts, key=lambda p: len(p.samples)).begun(0.5, 0.8) for parts in stock]
    at_s, side = 0.5, 0
    while at_s < seconds:
        runs = int(draw.integers(1, 4 if style == "call" and side == 0 else 3))
        said: list[tuple[float, float]] = []
        for run in range(runs):
            if not queue[side]:
                queue[side].extend(draw.permutation(len(stock[side])))
            part = stock[side][queue[side].pop(0)]
            began = at_s
            at_s, pieces = builder.put(side, at_s, part)
            said += pieces
            if style == "call" and len(part.samples) > 2.5 * SR and draw.random() < 0.25:
                when = began + draw.uniform(0.8, len(part.samples) / SR - 0.8)
                _, heard = builder.put(1 - side, when, short[1 - side])
                builder.say(1 - side, heard, backchannel=True)
            if run < runs - 1:
                at_s += draw.uniform(0.15, 0.5)
        builder.say(side, said)
        overlaps = style == "call" and draw.random() < 0.2
        at_s = max(at_s + (draw.uniform(-1.0, -0.2) if overlaps else draw.uniform(0.1, 0.8)), 0.0)
        side = 1 - side
    return builder.track(name, at_s)


def transfer_track(first: Voice, customer: Voice, second: Voice, *, seconds: float = 90.0) -> Track:
    """Stitch phrases of a customer and of two agents, the second from the middle on."""
    name = f"transfer-{first.name}-{customer.name}-{second.name}"
    draw = np.random.default_rng(_seed(name))
    voices = (first, customer, second)
    stock = [phrases(voice) for voice in voices]
    queue = [list(draw.permutation(len(parts))) for parts in stock]
    builder = _Builder(seconds, (first.name, customer.name))
    at_s, side = 0.5, 0
    while at_s < seconds:
        who = side if side or at_s < 0.55 * seconds else 2
        said: list[tuple[float, float]] = []
        for _ in range(int(draw.integers(1, 4))):
            if not queue[who]:
                queue[who].extend(draw.permutation(len(stock[who])))
            at_s, pieces = builder.put(side, at_s, stock[who][queue[who].pop(0)])
            said += pieces
            at_s += draw.uniform(0.15, 0.5)
        builder.say(side, said)
        builder.rename(voices[who].name)
        at_s += draw.uniform(0.1, 0.8)
        side = 1 - side
    return builder.track(name, at_s)


def clip_track(a: Voice, b: Voice, *, seconds: float = 90.0) -> Track:
    """Stitch whole recordings, one or two a turn; pauses inside a recording count as speech."""
    name = f"clips-{a.name}-{b.name}"
    draw = np.random.default_rng(_seed(name))
    builder = _Builder(seconds, (a.name, b.name))
    place = [0, 0]
    at_s, side = 0.5, 0
    while at_s < seconds:
        clips = (a, b)[side].clips
        said: list[tuple[float, float]] = []
        for _ in range(int(draw.integers(1, 3))):
            samples = clips[place[side] % len(clips)][0]
            place[side] += 1
            spans = active(samples)
            first_s = max(spans[0][0] - 0.05, 0.0)
            part = samples[int(first_s * SR) : int((spans[-1][1] + 0.05) * SR)].copy()
            whole = ((spans[0][0] - first_s, spans[-1][1] - first_s),)
            at_s, pieces = builder.put(side, at_s, Phrase(_unit(_faded(part)), whole))
            said += pieces
            at_s += draw.uniform(0.15, 0.6)
        builder.say(side, said)
        at_s += draw.uniform(-1.0, -0.2) if draw.random() < 0.2 else draw.uniform(0.0, 0.5)
        side = 1 - side
    return builder.track(name, at_s)


def sentence_track(agent: Voice, customer: Voice, *, seconds: float = 60.0, skip: int = 0) -> Track:
    """Stitch whole recordings with known texts; the agent cuts in on the customer once.

    Parameters
    ----------
    skip : int
        Where in the agent's recordings to begin, so that calls differ.
    """
    name = f"sentences-{agent.name}-{customer.name}"
    draw = np.random.default_rng(_seed(name))
    builder = _Builder(seconds, (agent.name, customer.name))
    stock = [[clip for clip in voice.clips if clip[1]] for voice in (agent, customer)]
    place = [skip, 0]
    at_s, side = 0.5, 0
    while at_s < seconds:
        said: list[tuple[float, float]] = []
        text = ""
        for _ in range(2 if side == 0 else 1):
            samples, words = stock[side][place[side] % len(stock[side])]
            place[side] += 1
            spans = active(samples)
            first_s = max(spans[0][0] - 0.25, 0.0)
            part = samples[int(first_s * SR) : int((spans[-1][1] + 0.25) * SR)].copy()
            inside = tuple((a - first_s, b - first_s) for a, b in spans)
            at_s, pieces = builder.put(side, at_s, Phrase(_unit(_faded(part)), inside))
            said += pieces
            text += words
            at_s += draw.uniform(0.3, 0.6)
        builder.say(side, said, text)
        cut_in = side == 1 and draw.random() < 0.5
        at_s += -draw.uniform(1.3, 1.9) if cut_in else draw.uniform(0.0, 0.4)
        side = 1 - side
    return builder.track(name, at_s + 2.0)
