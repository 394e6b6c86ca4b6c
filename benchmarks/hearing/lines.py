"""A telephone line for clean tracks: band, level, crosstalk, noise, codec; and the truth that comes of it.

Conventions
-----------
Tracks are float32 of shape (2, n) at 16 kHz, row 0 the agent; calls come out at 8 kHz, µ-law.

Table of contents: `telephone`, `leaked`, `stitched_call`, `human_sets`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.hearing.human import (
    SR,
    Samples,
    Style,
    Track,
    Voice,
    clip_track,
    load_voices,
    pairs,
    phrase_track,
    sentence_track,
    transfer_track,
)
from benchmarks.hearing.truth import TrueCall, TrueInterruption, TrueTurn
from pipeline.hearing.audio import Recording
from pipeline.hearing.conversation import load_conversation
from pipeline.judging.measures import speech_rate
from pipeline.records import ROLES, CallRecord, Layout, Role, Turn

LINE_HZ = 8000
_SPEECH_DB = -26.0
_STYLES: tuple[Style, Style] = ("call", "textbook")


def telephone(samples: Samples, draw: np.random.Generator, *, noise_db: float) -> Samples:
    """300 to 3400 Hz, noise of the line, 8-bit µ-law at 8 kHz."""
    import soxr

    line = np.asarray(soxr.resample(samples, SR, LINE_HZ), dtype=np.float64)
    spectrum = np.fft.rfft(line)
    at_hz = np.fft.rfftfreq(len(line), 1 / LINE_HZ)
    spectrum[(at_hz < 300) | (at_hz > 3400)] = 0
    line = np.fft.irfft(spectrum, len(line)) + draw.normal(0, 10 ** (noise_db / 20), len(line))
    line = np.clip(line, -1, 1)
    code = np.round(np.sign(line) * np.log1p(255 * np.abs(line)) / np.log1p(255) * 127) / 127
    return np.asarray(np.sign(code) * np.expm1(np.abs(code) * np.log1p(255)) / 255, dtype=np.float32)


def leaked(tracks: Samples, draw: np.random.Generator, *, level_db: float) -> Samples:
    """Both tracks with the other side's speech in them: 20 ms late, through a short room."""
    from scipy.signal import fftconvolve

    path = draw.normal(0, 1, 400) * np.exp(-np.arange(400) / 60)
    path[0] = 2.0
    path *= 10 ** (level_db / 20) / np.sqrt(np.sum(path**2))
    late = int(0.02 * SR)
    result = tracks.copy()
    for side in (0, 1):
        echo = fftconvolve(tracks[1 - side], path)[: tracks.shape[1] - late]
        result[side, late:] += echo.astype(np.float32)
    return result


def _recording(track: Track, layout: Layout, crosstalk_db: float | None, noise_db: float) -> Recording:
    draw = np.random.default_rng(track.seed + 1)
    gains_db = _SPEECH_DB + np.array([draw.uniform(-3, 3), draw.uniform(-5, 3)])
    tracks = np.asarray(track.samples * 10 ** (gains_db / 20)[:, None], dtype=np.float32)
    if layout == "mono":
        lines = telephone(tracks.sum(axis=0), draw, noise_db=noise_db)[None]
    else:
        if crosstalk_db is not None:
            tracks = leaked(tracks, draw, level_db=crosstalk_db)
        lines = np.stack([telephone(one, draw, noise_db=noise_db) for one in tracks])
    return Recording(lines, LINE_HZ, lines.shape[1] / LINE_HZ, "mulaw")


def _interruptions(turns: Sequence[TrueTurn]) -> tuple[TrueInterruption, ...]:
    """Turns that cut in, by the definition of `pipeline.hearing.turns.interruptions`, from true times."""
    limits = load_conversation().interruption
    plain = [t for t in turns if not t.backchannel]
    found = []
    for turn in plain:
        for held in plain:
            together = min(held.end_s, turn.end_s) - turn.start_s
            if (
                held.role != turn.role
                and held.start_s + limits.held_s <= turn.start_s < held.end_s < turn.end_s
                and together >= limits.overlap_s
                and turn.end_s - turn.start_s >= limits.kept_s
            ):
                found.append(TrueInterruption(turn.role, turn.start_s, held.end_s))
                break
    return tuple(found)


def stitched_call(
    track: Track,
    *,
    layout: Layout,
    crosstalk_db: float | None = None,
    noise_db: float = -50.0,
    has_words: bool = False,
) -> TrueCall:
    """Send a stitched call over a telephone line."""
    spoken = [Turn(t.role, t.start_s, t.end_s, t.text or "") for t in track.turns]
    record = CallRecord(
        call_id=f"{track.name}-{layout}",
        direction="inbound",
        started_at=datetime(2026, 3, 2, 2, 0, tzinfo=UTC),
        agent_channel=0 if layout == "stereo" else None,
    )
    return TrueCall(
        id=record.call_id,
        call=record,
        audio=partial(_recording, track, layout, crosstalk_db, noise_db),
        duration_s=track.duration_s,
        layout=layout,
        agent_channel=record.agent_channel,
        turns=tuple(track.turns),
        interruptions=_interruptions(track.turns),
        rate_per_min=speech_rate(spoken, speaker="agent") if has_words else None,
        snr_db=_true_snr(track, noise_db) if has_words and layout == "stereo" else (),
        has_words=has_words,
    )


def _true_snr(track: Track, noise_db: float) -> tuple[tuple[Role, float], ...]:
    """Level of speech inside the pieces over that of the noise added, both after the telephone's band."""
    draw = np.random.default_rng(track.seed + 1)
    gains_db = _SPEECH_DB + np.array([draw.uniform(-3, 3), draw.uniform(-5, 3)])
    found: list[tuple[Role, float]] = []
    for side, role in enumerate(ROLES):
        level = np.float32(10 ** (gains_db[side] / 20))
        clean = telephone(track.samples[side] * level, draw, noise_db=-120.0)
        pieces = [span for t in track.turns if t.role == role for span in t.pieces]
        if not pieces:
            continue
        said = np.concatenate([clean[int(a * LINE_HZ) : int(b * LINE_HZ)] for a, b in pieces])
        found.append((role, float(10 * np.log10(np.mean(said.astype(np.float64) ** 2)) - noise_db)))
    return tuple(found)


def human_sets(folder: Path, *, tuned: bool = False) -> dict[str, list[TrueCall]]:
    """Sets of stitched calls: who speaks when in calls and textbook dialogues, and words.

    Parameters
    ----------
    folder : Path
        See `benchmarks.hearing.human`.
    tuned : bool
        The voices with which limits were chosen, instead of the others.
    """
    voices = load_voices(folder)
    sets: dict[str, list[TrueCall]] = {}
    part = "tuned" if tuned else "human"
    for style in (*_STYLES, "clips"):
        tracks = [
            clip_track(voices[a], voices[b])
            if style == "clips"
            else phrase_track(voices[a], voices[b], style)
            for a, b in pairs(voices, tuned=tuned)
        ]
        sets[f"{part}-{style}"] = [
            call
            for track in tracks
            for call in (
                stitched_call(track, layout="mono"),
                stitched_call(track, layout="stereo", crosstalk_db=-15.0),
            )
        ]
    names = sorted({name for pair in pairs(voices, tuned=tuned) for name in pair})
    trios = list(zip(names, names[1:] + names[:1], names[2:] + names[:2], strict=True)) if names[2:] else []
    sets[f"{part}-transfer"] = [
        stitched_call(transfer_track(voices[a], voices[b], voices[c]), layout="mono") for a, b, c in trios
    ]
    texts = [v for v in voices.values() if any(text for _, text in v.clips)]
    if not tuned and len(texts) > 1:
        agent = max(texts, key=lambda v: len(v.clips))
        others = [clip for v in texts if v is not agent for clip in v.clips]
        # Several people on the customer's line: a sentence said again and again is taken for a loop.
        people = [Voice(f"others{n}", tuple(others[n:] + others[:n])) for n in range(min(len(others), 4))]
        tracks = [sentence_track(agent, voice, skip=8 * n) for n, voice in enumerate(people)]
        sets["human-words"] = [stitched_call(t, layout="stereo", has_words=True) for t in tracks]
    return sets
