"""One script becomes placed turns and two voice tracks.

Table of contents: `Call`; `make_call`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from synth import telephone, truth
from synth.script import Line, Script
from synth.truth import PlacedPiece, PlacedTurn
from synth.voice import SPEECH_HZ, Speaker, VoiceSetting


@dataclass(frozen=True, slots=True)
class Call:
    """A finished call.

    Attributes
    ----------
    tracks : float32 array, shape (channels, n)
        At `telephone.LINE_HZ`, before the codec.
    file_name : str
        ``<call_id>.<audio ext>``.
    truth : dict
        JSON-ready.
    warnings : list of str
        Labels that the true times contradict.
    """

    script: Script
    tracks: np.ndarray
    file_name: str
    truth: dict[str, Any]
    warnings: list[str]


def make_call(script: Script, speaker: Speaker, voices: dict[str, VoiceSetting]) -> Call:
    """Synthesise one script; the same script gives the same call."""
    digest = hashlib.sha256(f"{script.call_id}/{script.audio['seed']}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    turns, sounds, length = _place(script, speaker, voices, rng)
    tracks = {role: np.zeros(length, np.float32) for role in ("agent", "customer")}
    for role, at, samples in sounds:
        tracks[role][at : at + len(samples)] += samples
    tilts = {turn.role: voices[script.voices[turn.speaker]].tilt_db for turn in reversed(turns)}
    channels = _line(script, tracks, tilts, speaker, voices, rng=rng)
    duration_s = channels.shape[1] / telephone.LINE_HZ
    codec = script.audio["codec"]
    extension = {"opus.ogg": "opus"}.get(codec, codec.rsplit(".", 1)[-1])
    facts = {
        "file": f"{script.call_id}.{extension}",
        "note": script.note,
        "duration_s": round(duration_s, 3),
        "sample_rate_hz": telephone.LINE_HZ,
        "samples_sha256": hashlib.sha256(np.round(channels * 32767).astype("<i2").tobytes()).hexdigest(),
        "layout": script.audio["layout"],
        "codec": codec,
        "agent_channel": _agent_channel(script) if script.audio["layout"] == "stereo" else None,
        "noise": script.audio["noise"],
        "noise_db": script.audio["noise_db"],
        "crosstalk_db": script.audio.get("crosstalk_db"),
        "voices": script.voices,
    }
    direction = script.cdr["direction"]
    facts |= truth.truth_of(turns, script.expect, direction)
    warnings = truth.disagreements(turns, script.expect, direction)
    return Call(script, channels, facts["file"], facts, warnings)


def _agent_channel(script: Script) -> int:
    return int(script.audio.get("agent_on", script.cdr.get("agent_channel", 0) or 0))


def _place(
    script: Script, speaker: Speaker, voices: dict[str, VoiceSetting], rng: np.random.Generator
) -> tuple[list[PlacedTurn], list[tuple[str, int, np.ndarray]], int]:
    """Speak every line and put it in time."""
    turns: list[PlacedTurn] = []
    sounds: list[tuple[str, int, np.ndarray]] = []
    floor: PlacedTurn | None = None  # the last turn that held the floor
    end_s = float(rng.uniform(0.5, 1.1))
    speed = {"agent": float(script.audio.get("agent_rate", 1.0)), "customer": 1.0}
    speed["customer"] = float(script.audio.get("customer_rate", 1.0))
    slack = {role: float(script.audio.get(f"{role}_pause", 1.0)) for role in speed}
    for line in script.lines:
        start_s, kind = _start(line, floor, end_s, rng)
        pieces = []
        at_s = start_s
        rate = line.options.get("rate", speed[line.role])
        for index, piece in enumerate(line.pieces):
            voice = voices[script.voices[line.speaker]]
            # people do not keep one speed and pitch: a little wander, more drawl on a filler
            wander = float(rng.uniform(0.95, 1.06)) * (1.5 if piece.filler else 1.0)
            tone = float(rng.uniform(0.97, 1.03)) * line.options.get("pitch", 1.0)
            samples = speaker.say(piece.text, voice, rate=rate * wander, pitch=tone)
            samples = samples * 10 ** (line.options.get("gain", 0.0) / 20)
            at = round(at_s * SPEECH_HZ)
            sounds.append((line.role, at, samples))
            stop_s = (at + len(samples)) / SPEECH_HZ
            pieces.append(PlacedPiece(piece.text, round(at / SPEECH_HZ, 3), round(stop_s, 3), piece.filler))
            at_s = stop_s
            if index < len(line.pieces) - 1:
                at_s += piece.pause_s * slack[line.role] * float(rng.uniform(0.85, 1.2))
        turn = PlacedTurn(line.speaker, line.role, line.text, tuple(pieces), line.flags, kind)
        turns.append(turn)
        if kind != "backchannel":
            floor = turn
            end_s = max(end_s, turn.end_s)
    tail_s = float(script.audio.get("tail_s", rng.uniform(0.6, 1.2)))
    total_s = max(turn.end_s for turn in turns) + tail_s
    return sorted(turns, key=lambda t: t.start_s), sounds, int(total_s * SPEECH_HZ)


def _start(line: Line, floor: PlacedTurn | None, end_s: float, rng: np.random.Generator) -> tuple[float, str]:
    options = line.options
    if floor is not None and "at" in options:
        return floor.start_s + options["at"] * (floor.end_s - floor.start_s), "backchannel"
    if floor is not None and "cut" in options:
        kind = "interruption" if "interruption" in line.flags else "turn"
        return max(floor.start_s + 0.3, floor.end_s - options["cut"]), kind
    return end_s + options.get("gap", float(rng.uniform(0.25, 0.8)) if floor else 0.0), "turn"


def _line(
    script: Script,
    tracks: dict[str, np.ndarray],
    tilts: dict[str, float],
    speaker: Speaker,
    voices: dict[str, VoiceSetting],
    *,
    rng: np.random.Generator,
) -> np.ndarray:
    """Background, band, layout, crosstalk."""
    audio = script.audio
    sides = {
        "agent": (audio["noise"], float(audio["noise_db"])),
        "customer": (audio.get("customer_noise", "line"), float(audio.get("customer_noise_db", -52.0))),
    }
    colleague = voices["f_clear"]
    done = {}
    for role, (kind, level_db) in sides.items():
        length = len(tracks[role])
        noise = telephone.background(
            kind, length, level_db, rng, lambda text, pitch: speaker.say(text, colleague, pitch=pitch)
        )
        done[role] = telephone.telephone(tracks[role] + noise, tilts.get(role, 0.0))
    if audio["layout"] == "mono":
        return (done["agent"] + done["customer"])[None, :]
    order = ("agent", "customer") if _agent_channel(script) == 0 else ("customer", "agent")
    channels = np.stack([done[role] for role in order])
    if audio.get("crosstalk_db") is not None:
        channels = telephone.crosstalk(channels, float(audio["crosstalk_db"]))
    return channels
