"""Which sentences are spoken for the calibration, and which phrase is said in which.

``python -m tests.calibration.corpus OUT`` writes scripts for ``data_samples/make_samples.py``; after it has
spoken them and `tests.accuracy.recognise` has listened, `tests.calibration.collect` makes
``heard.jsonl`` of what was recognised. Everything is drawn from names, so it comes out the same again.

Table of contents: `Phrase`, `load_phrases`, `held_out`, `sentences`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from random import Random

HERE = Path(__file__).parent
VOICES = {
    "train": (("f_clear", "m_mid"), ("f_young", "m_bright"), ("m_old", "f_low"), ("d_f_soft", "d_m_light")),
    "heldout": (("h_f_warm", "h_m_calm"), ("h_m_rough", "h_f_crisp")),
}
NOISES = (("line", -50.0), ("line", -46.0), ("line", -40.0), ("babble", -46.0))
RATES = (1.0, 1.25, 1.5, 1.8)
BEFORE = (
    "", "好的，", "嗯，", "您好，", "那个，", "是这样的，", "我看了一下，", "先生，", "女士，", "麻烦您，",
    "那我跟您说一下，", "刚才查到，", "您听我说，", "王先生您好，", "不好意思，", "对，", "那么，",
)  # fmt: skip
AFTER = (
    "", "。", "，好吗？", "，谢谢。", "，您看可以吗？", "，是这个情况。", "，我记下来了。", "，好的。",
    "，明白了。", "，再见。", "，这样的话。", "，对不对？", "，您放心。",
)  # fmt: skip
TURNS_PER_CALL = 24


@dataclass(frozen=True, slots=True)
class Phrase:
    """A phrase and what is near to it without being it."""

    text: str
    near: tuple[str, ...]


def load_phrases() -> tuple[Phrase, ...]:
    """All phrases of ``phrases.txt``."""
    lines = (HERE / "phrases.txt").read_text("utf-8").splitlines()
    parts = [line.split("|") for line in lines if line and not line.startswith("#")]
    return tuple(Phrase(text, tuple(near)) for text, *near in parts)


def held_out(phrase: str) -> bool:
    """Whether a phrase belongs to the held-out half; drawn from its own name."""
    return sha256(phrase.encode()).digest()[0] % 2 == 1


def sentences(part: str) -> list[str]:
    """What is spoken for one part: every phrase in three surroundings, every near one in one."""
    found: list[str] = []
    for phrase in load_phrases():
        if held_out(phrase.text) != (part == "heldout"):
            continue
        random = Random(phrase.text)
        for words in (phrase.text, phrase.text, phrase.text, *phrase.near):
            found.append(random.choice(BEFORE) + words + random.choice(AFTER))
    Random(part).shuffle(found)
    return found


def scripts(part: str) -> dict[str, str]:
    """Call id to script; two voices take turns, so that each side's channel has pauses."""
    found: dict[str, str] = {}
    lines = sentences(part)
    for number, begin in enumerate(range(0, len(lines), TURNS_PER_CALL)):
        name = f"{part}{number:02d}"
        random = Random(name)
        first, second = VOICES[part][number % len(VOICES[part])]
        noise, level = random.choice(NOISES)
        rate = random.choice(RATES)
        chunk = lines[begin : begin + TURNS_PER_CALL]
        dialogue = "\n".join(
            f"{'AC'[place % 2]}: {line if line[-1] in '。？' else line + '。'}"
            for place, line in enumerate(chunk)
        )
        found[name] = (
            f'note = "calibration"\ndialogue = """\n{dialogue}\n"""\n[cdr]\ncall_id = "{name}"\n'
            'direction = "inbound"\nstarted_at = "2026-03-10T10:00:00+08:00"\nagent_channel = 0\n'
            f'[audio]\nagent_rate = {rate}\nnoise = "{noise}"\nnoise_db = {level}\n'
            f'[voices]\nA = "{first}"\nC = "{second}"\n'
        )
    return found


def main(out: Path) -> None:
    """Write all scripts."""
    out.mkdir(parents=True, exist_ok=True)
    for part in VOICES:
        for name, script in scripts(part).items():
            (out / f"{name}.toml").write_text(script, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
