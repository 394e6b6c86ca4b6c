"""Speak texts to train with: ``python data_samples/speak_texts.py SHARD SHARDS OUT [TEXT …]``.

Texts are those of ``models/adapting/texts`` if none is given. A dialogue becomes a stereo recording, or a
mono one three times in ten; single sentences become a recording of one voice. Voices, speed, noise, codec
and leaks between the channels are drawn for each from a digest of its text. Writes ``NAME.npy`` (int16,
(channels, n), 8 kHz) and ``NAME.json``: per channel the turns in it as ``[start_s, end_s, text]``. What
lies there already is left.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from synth import telephone
from synth.script import Line, parse_line
from synth.voice import SPEECH_HZ, Speaker, VoiceSetting

TEXTS = Path(__file__).parents[1] / "models" / "adapting" / "texts"

_LINE = re.compile(r"^(坐|客|句)[：:]\s*(.+)$")
_DROPPED = re.compile("[“”‘’《》（）()「」『』·～]")
_ALIKE = str.maketrans({"—": "，", ";": "；", "!": "！", "?": "？", ",": "，", ":": "："})
_NEUTRAL = VoiceSetting(1, 1, 1, 0, 1, 0, -22)
_SENTENCES = 8


def blocks(text: str) -> Iterator[list[tuple[str, Line]]]:
    """Dialogues, and up to eight single sentences at a time."""
    block: list[tuple[str, Line]] = []
    for raw in [*text.splitlines(), ""]:
        match = _LINE.match(raw.strip())
        if match is None:
            if block:
                yield block
            block = []
            continue
        cleaned = _DROPPED.sub("", match.group(2)).replace("……", "…").translate(_ALIKE)
        block.append((match.group(1), parse_line("A: " + re.sub(r"^[，。！？、…：；]+", "", cleaned))))
        if match.group(1) == "句" and len(block) >= _SENTENCES:
            yield block
            block = []


def drawn_voice(rng: np.random.Generator) -> VoiceSetting:
    """A voice that no test call has, by chance."""
    if rng.random() < 0.5:
        timbre = (rng.uniform(0.78, 0.88), rng.uniform(95, 155), rng.uniform(0.8, 1.2))
    elif rng.random() < 0.3:
        timbre = (1.0, 0, 1.0)
    else:
        timbre = (rng.uniform(0.92, 1.1), rng.uniform(185, 285), rng.uniform(0.8, 1.3))
    return VoiceSetting(
        pitch=rng.uniform(0.9, 1.1),
        rate=rng.uniform(0.9, 1.3),
        formant=timbre[0],
        median_hz=timbre[1],
        range=timbre[2],
        tilt_db=rng.uniform(-4, 4),
        level_db=rng.uniform(-30, -19),
    )


def spoken(
    block: list[tuple[str, Line]], speaker: Speaker, rng: np.random.Generator
) -> tuple[np.ndarray, list[list[tuple[float, float, str]]]]:
    """One recording, before the codec, and the turns of each of its channels."""
    roles = sorted({role for role, _ in block})
    voices = {role: drawn_voice(rng) for role in roles}
    mono = len(roles) < 2 or rng.random() < 0.3
    sounds: dict[str, list[tuple[int, np.ndarray]]] = {role: [] for role in roles}
    turns: list[tuple[str, tuple[float, float, str]]] = []
    at_s = 0.6
    for role, line in block:
        start_s, rate = at_s, rng.uniform(0.93, 1.07)
        for index, piece in enumerate(line.pieces):
            sound = speaker.say(
                piece.text, voices[role], rate=rate * rng.uniform(0.96, 1.05), pitch=rng.uniform(0.97, 1.03)
            )
            sounds[role].append((round(at_s * SPEECH_HZ), sound))
            at_s += len(sound) / SPEECH_HZ
            end_s = at_s
            if index < len(line.pieces) - 1:
                at_s += piece.pause_s * rng.uniform(0.5, 1.3)
        turns.append((role, (start_s, end_s, line.text)))
        at_s = end_s + rng.uniform(0.25, 1.2)
    length = int((at_s + 0.5) * SPEECH_HZ)
    sides = np.stack([_side(sounds[role], voices[role], length, speaker, rng) for role in roles])
    if mono:
        return sides.sum(axis=0, keepdims=True), [[turn for _, turn in turns]]
    if rng.random() < 0.2:
        sides = telephone.crosstalk(sides, rng.uniform(-32, -22))
    return sides, [[turn for whose, turn in turns if whose == role] for role in roles]


def _side(
    sounds: list[tuple[int, np.ndarray]],
    voice: VoiceSetting,
    length: int,
    speaker: Speaker,
    rng: np.random.Generator,
) -> np.ndarray:
    track = np.zeros(length, np.float32)
    for at, sound in sounds:
        track[at : at + len(sound)] += sound[: length - at]
    kind = str(rng.choice(["none", "line", "line", "line", "babble", "street"]))
    if kind != "none":
        level_db = voice.level_db - rng.uniform(14, 32)
        track += telephone.background(
            kind, length, level_db, rng, lambda text, pitch: speaker.say(text, _NEUTRAL, pitch=pitch)
        )
    return telephone.telephone(track, voice.tilt_db)


def main(shard: int, shards: int, out: Path, texts: list[Path]) -> None:
    """Speak what this process has to and what is not spoken yet."""
    import soundfile

    out.mkdir(parents=True, exist_ok=True)
    speaker = None
    for path in texts:
        for block in blocks(path.read_text(encoding="utf-8")):
            name = hashlib.sha256("".join(line.text for _, line in block).encode()).hexdigest()[:16]
            if int(name, 16) % shards != shard or (out / f"{name}.json").exists():
                continue
            speaker = speaker or Speaker()
            rng = np.random.default_rng(int(name, 16))
            sides, channels = spoken(block, speaker, rng)
            codec = str(rng.choice(["alaw.wav", "ulaw.wav", "pcm.wav"]))
            samples, _ = soundfile.read(
                io.BytesIO(telephone.encode(sides, codec)), dtype="int16", always_2d=True
            )
            np.save(out / f"{name}.npy", samples.T)
            about = {"text": path.stem, "channels": channels}
            part = out / f"{name}.part"
            part.write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")
            part.replace(out / f"{name}.json")


if __name__ == "__main__":
    main(
        int(sys.argv[1]),
        int(sys.argv[2]),
        Path(sys.argv[3]),
        [Path(name) for name in sys.argv[4:]] or sorted(TEXTS.glob("*.txt")),
    )
