"""Scripts of calls dense with mandated sentences, other wordings of them, and near misses.

``python -m tests.calibration.phrase_calls OUT`` writes twenty scripts to ``OUT/dev`` and ten, of other
sentences and voices, to ``OUT/heldout``. ``data_samples/make_samples.py --plain`` speaks them, and
``python -m tests.calibration.acoustic collect`` hears the result.

Table of contents: `scripts`, `main`.
"""

from __future__ import annotations

import random
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SENTENCES = Path(__file__).parent / "phrase_calls.toml"
_CALLS, _SEEDS = {"dev": 20, "heldout": 10}, {"dev": 7, "heldout": 8}
_NOISES = (("line", -50), ("babble", -40), ("line", -40), ("babble", -36))
_DIGITS = "零一二三四五六七八九"


def scripts(part: str) -> Iterator[tuple[str, str]]:
    """Call id and script of every call of one part; the same every time."""
    data = tomllib.loads(SENTENCES.read_text(encoding="utf-8"))
    draw = random.Random(_SEEDS[part])
    for index in range(_CALLS[part]):
        call_id = f"{part[0]}p{index:02d}"
        yield call_id, _script(call_id, index, data, data[part], draw)


def _script(
    call_id: str, index: int, data: dict[str, Any], own: dict[str, list[str]], draw: random.Random
) -> str:
    company, agent = draw.choice(data["companies"]), draw.choice(data["agents"])
    number = "".join(draw.choice("0123456789") for _ in range(4))
    lines = draw.sample(own["opening"], 1)
    pairs = zip(draw.sample(own["middle"], 6), draw.sample(own["near_misses"], 6), strict=True)
    lines += [line for pair in pairs for line in pair]
    lines += draw.sample(own["closing"], 2)
    voice = own["agent_voices"][index % len(own["agent_voices"])]
    other = next(name for name in own["customer_voices"] if name != voice)
    noise, level_db = draw.choice(_NOISES)
    spoken = "".join(_DIGITS[int(digit)] for digit in number)
    said = "\n".join(f"A: {line.format(c=company, a=agent, n=spoken)}\nC: 嗯，好的。" for line in lines)
    return f'''note = "phrases"
dialogue = """
{said}
"""
[cdr]
call_id = "{call_id}"
direction = "{"inbound" if index % 2 else "outbound"}"
started_at = "2026-03-10T10:12:05+08:00"
agent_id = "{number}"
agent_name = "{agent}"
company = "{company}"
agent_channel = 0
[audio]
agent_rate = {draw.uniform(0.95, 1.8):.2f}
customer_rate = 1.1
noise = "{noise}"
noise_db = {level_db}.0
[voices]
A = "{voice}"
C = "{other}"
'''


def main(out: Path) -> None:
    """Write both parts."""
    for part in _CALLS:
        folder = out / part
        folder.mkdir(parents=True, exist_ok=True)
        for call_id, text in scripts(part):
            (folder / f"{call_id}.toml").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
