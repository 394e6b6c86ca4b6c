"""Write dialogues as scripts that ``data_samples/make_samples.py`` can speak (8 kHz A-law, stereo).

``python -m tests.accuracy.speak dev OUT`` makes ``OUT/batch00`` … with twelve scripts each, in an order drawn
from the ids, so that the first batches are a fair sample. The audio environment is described in
``data_samples/make_samples.py``; `tests.accuracy.recognise` then listens to what was spoken.
"""

from __future__ import annotations

import json
import re
import sys
from hashlib import sha256
from pathlib import Path

from tests.dialogues import loader

_DIGITS = "零一二三四五六七八九"
_FILLER = re.compile(r"(?:^|(?<=[，。！？、…]))(嗯|呃|啊|那个)(?=[，…、])")
_UNSPEAKABLE = re.compile(r"[^一-鿿，、；：。！？…{}]")
_VOICES = {
    "dev": (
        ("f_clear", "f_young", "m_mid", "d_f_soft", "d_m_light"),
        ("f_low", "m_bright", "m_old", "d_f_high", "d_m_deep"),
    ),
    "heldout": (("h_f_warm", "h_f_crisp", "h_m_calm"), ("h_m_rough", "h_f_crisp", "h_f_warm", "h_m_calm")),
}
_NOISES = (("line", -50.0), ("line", -48.0), ("line", -42.0), ("babble", -46.0), ("line", -50.0))


def _read(number: str) -> str:
    if len(number) != 2:
        return "".join(_DIGITS[int(digit)] for digit in number)
    tens, ones = int(number[0]), int(number[1])
    return ("" if tens == 1 else _DIGITS[tens]) + "十" + (_DIGITS[ones] if ones else "")


def spoken_line(text: str) -> str:
    """One turn as the synthesiser wants it: digits read aloud, fillers in braces, no dashes or letters."""
    text = re.sub(r"\d+", lambda match: _read(match.group()), text)
    text = text.replace("X", "艾克斯").replace("——", "。")
    text = _UNSPEAKABLE.sub("", _FILLER.sub(r"{\1}", text))
    return re.sub(r"^[，。！？、…]+", "", text) or "嗯。"


def script_of(dialogue: loader.Dialogue) -> str:
    """The dialogue as a script; pauses longer than the ordinary are not spoken."""
    pick = int(sha256(dialogue.id.encode()).hexdigest(), 16)
    agents, customers = _VOICES[dialogue.part]
    agent, customer = agents[pick % len(agents)], customers[pick // 7 % len(customers)]
    if agent == customer:
        customer = customers[(pick // 7 + 1) % len(customers)]
    noise, level = _NOISES[pick // 49 % len(_NOISES)]
    spoken = [turn for turn in dialogue.hearing.turns if turn.role == "agent"]
    rate = sum(len(turn.text) for turn in spoken) / max(0.1, sum(turn.duration_s for turn in spoken)) * 60
    lines = "\n".join(
        f"{'A' if turn.role == 'agent' else 'C'}: {spoken_line(turn.text)}" for turn in dialogue.hearing.turns
    )
    return f'''note = "dialogue {dialogue.id}"
dialogue = """
{lines}
"""
[cdr]
call_id = "{dialogue.id}"
direction = "{dialogue.call.direction}"
started_at = "2026-03-10T10:12:05+08:00"
agent_channel = 0
[audio]
agent_rate = {min(1.8, max(0.95, 250 / rate)):.2f}
customer_rate = {0.95 + pick % 20 / 100:.2f}
noise = "{noise}"
noise_db = {level}
[voices]
A = "{agent}"
C = "{customer}"
'''


def main(part: loader.Part, out: Path) -> None:
    """Write all batches of one part."""
    dialogues = sorted(loader.load(part), key=lambda one: sha256(one.id.encode()).hexdigest())
    for index, dialogue in enumerate(dialogues):
        folder = out / f"batch{index // 12:02d}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{dialogue.id}.toml").write_text(script_of(dialogue), encoding="utf-8")
    sys.stdout.write(json.dumps({"part": part, "dialogues": len(dialogues), "out": str(out)}) + "\n")


if __name__ == "__main__":
    main("heldout" if sys.argv[1] == "heldout" else "dev", Path(sys.argv[2]))
