"""Precision and recall of the masks over personal numbers, on labelled sentences.

``python -m tests.security.masking_accuracy`` prints the table; ``--write`` puts it into docs/masking.md.

A number counts as masked when every one of its digits is. A false alarm is a masked span that no personal
number touches.
"""

from __future__ import annotations

import random
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CASES = Path(__file__).with_name("masking_cases.toml")
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "masking.md"
SEED = 20261122
FILLS = {"positive": 5, "negative": 5}
KIND = {"id": "ID number", "id4": "last 4 of an ID", "mobile": "mobile", "mobile4": "last 4 of a mobile",
        "card": "bank card", "card4": "last 4 of a card", "policy": "policy number",
        "policy6": "last 6 of a policy"}  # fmt: skip
STYLE = {"a": "Arabic", "c": "Chinese numerals", "y": "with 幺", "g": "in groups", "f": "with fillers",
         "r": "as misheard", "w": "full width"}  # fmt: skip
_PLACE = re.compile(r"\{(\w+):(\w)\}")
_HAN = "零一二三四五六七八九"


@dataclass(frozen=True)
class Case:
    """Turns, and where personal numbers stand: (turn, start, end, kind, style)."""

    turns: tuple[str, ...]
    numbers: tuple[tuple[int, int, int, str, str], ...]


def cases(split: str) -> Iterator[tuple[str, Case]]:
    """Yield (``positive`` or ``negative``, case), the templates filled with numbers of a fixed seed."""
    data = tomllib.loads(CASES.read_text(encoding="utf-8"))[split]
    chance = random.Random(f"{SEED}{split}")
    for label in ("positive", "negative"):
        for template in data[label]:
            varied = label == "positive" or re.search(r"\d{3}|[零一二三四五六七八九]{3}", template)
            fills = FILLS[label] if varied else 1
            for number in range(fills):
                shown = template if label == "positive" or number == 0 else _varied(template, chance)
                yield label, _filled(shown, chance)


def _varied(template: str, chance: random.Random) -> str:
    """Change the digits inside amounts of a negative, not those of years, hotlines and days."""

    def other(found: re.Match[str]) -> str:
        text = found.group()
        return text[0] + "".join(chance.choice("0123456789") for _ in text[1:])

    return re.sub(r"(?<![\d年月:.-])[2-9]\d{3,6}(?=元|块)", other, template)


def _filled(template: str, chance: random.Random) -> Case:
    turns, numbers = [], []
    for index, turn in enumerate(template.split(" | ")):
        text, last = "", 0
        for place in _PLACE.finditer(turn):
            text += turn[last : place.start()]
            said = _said(_number(place[1], chance), place[2], chance)
            numbers.append((index, len(text), len(text) + len(said), place[1], place[2]))
            text += said
            last = place.end()
        turns.append(text + turn[last:])
    return Case(tuple(turns), tuple(numbers))


def _number(kind: str, chance: random.Random) -> str:
    def digits(count: int) -> str:
        return "".join(chance.choice("0123456789") for _ in range(count))

    if kind in {"id4", "mobile4", "card4"}:
        return digits(4)
    if kind == "policy6":
        return digits(6)
    if kind == "policy":
        return (
            chance.choice(["", "P", "GP"])
            + str(chance.randint(1, 9))
            + digits(chance.choice([9, 11, 13, 14]))
        )
    if kind == "mobile":
        return "1" + chance.choice("3456789") + digits(9)
    if kind == "card":
        start = chance.choice(["622202", "621700", "622848", "436742"]) + digits(chance.choice([9, 12]))
        return next(start + d for d in "0123456789" if _luhn(start + d))
    year, month, day = chance.randint(1940, 2015), chance.randint(1, 12), chance.randint(1, 28)
    body = f"{chance.choice(['110105', '320505', '440301', '510107'])}{year}{month:02}{day:02}{digits(3)}"
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)  # GB 11643-1999, table
    return body + "10X98765432"[sum(int(d) * w for d, w in zip(body, weights, strict=True)) % 11]


def _luhn(digits: str) -> bool:
    doubled = [sum(divmod(2 * int(d), 10)) for d in digits[-2::-2]]
    return (sum(doubled) + sum(int(d) for d in digits[-1::-2])) % 10 == 0


def _said(digits: str, style: str, chance: random.Random) -> str:
    han = [_HAN[int(d)] if d.isdigit() else d for d in digits]
    if style == "a":
        return digits
    if style == "w":
        return "".join(chr(ord(d) + 0xFEE0) for d in digits)
    if style == "c":
        return "".join(han)
    yao = ["幺" if d == "一" else d for d in han]
    if style == "y":
        return "".join(yao)
    groups = _grouped(yao if chance.random() < 0.5 else han, chance)
    if style == "g":
        return "，".join(groups)
    if style == "f":
        return "".join(g + (chance.choice(["，嗯，", "，那个", " ", "啊，"]) if i + 1 < len(groups) else "")
                       for i, g in enumerate(groups))  # fmt: skip
    # as a recogniser writes it: some groups in Arabic, some digits as another word of the same sound
    heard = []
    for part in groups:
        group = part
        if chance.random() < 0.5:
            group = "".join(str(_HAN.index(c)) if c in _HAN else ("1" if c == "幺" else c) for c in group)
        elif len(group) > 2:
            middle = group[1:-1].replace("幺", chance.choice("要妖腰")).replace("九", chance.choice("九久"))
            group = group[0] + middle + group[-1]
        heard.append(group)
    return "".join(heard)


def _grouped(digits: list[str], chance: random.Random) -> list[str]:
    groups, place = [], 0
    while place < len(digits):
        size = chance.choice([3, 4, 4])
        groups.append("".join(digits[place : place + size]))
        place += size
    return groups


@dataclass(frozen=True)
class Result:
    """Counts over one split."""

    numbers: Counter
    missed: Counter
    true_spans: int
    false_spans: int
    negatives: int
    alarmed: int
    errors: tuple[tuple[str, str], ...]

    @property
    def recall(self) -> float:
        """Share of personal numbers masked to the last digit."""
        return 1 - sum(self.missed.values()) / sum(self.numbers.values())

    @property
    def precision(self) -> float:
        """Share of masked spans that are personal numbers."""
        return self.true_spans / (self.true_spans + self.false_spans)


def measure(split: str) -> Result:
    """Run the masker over a split."""
    from pipeline.privacy import CallMask

    numbers, missed = Counter(), Counter()
    true_spans = false_spans = negatives = alarmed = 0
    errors: list[tuple[str, str]] = []
    for label, case in cases(split):
        call = CallMask(case.turns)
        for turn, start, end, kind, style in case.numbers:
            for key in (KIND[kind], STYLE[style]):
                numbers[key] += 1
            shown = call.turns[turn].text[start:end]
            if any(c.isdigit() or c in _HAN + "幺" for c in shown):
                missed[KIND[kind]] += 1
                missed[STYLE[style]] += 1
                errors.append(("missed", " | ".join(m.text for m in call.turns)))
        wrong = 0
        for index, masked in enumerate(call.turns):
            for found in re.finditer(r"\*+(?:[^*]{1,4}\*+)*", masked.text):
                touched = any(
                    t == index and s < found.end() and found.start() < e for t, s, e, *_ in case.numbers
                )
                true_spans += touched
                wrong += not touched
        false_spans += wrong
        if label == "negative":
            negatives += 1
            alarmed += bool(wrong)
        if wrong:
            errors.append(("alarm", " | ".join(m.text for m in call.turns)))
    return Result(numbers, missed, true_spans, false_spans, negatives, alarmed, tuple(errors))


def table() -> str:
    """Write the measured figures as Markdown."""
    results = {split: measure(split) for split in ("dev", "heldout")}
    lines = ["| | development | held out |", "|---|---|---|"]

    def row(name: str, value) -> None:
        lines.append(f"| {name} | {' | '.join(value(r) for r in results.values())} |")

    row("personal numbers", lambda r: str(sum(r.numbers[k] for k in KIND.values())))
    row("harmless sentences", lambda r: str(r.negatives))
    row("**recall** (masked to the last digit)", lambda r: f"{100 * r.recall:.1f} %")
    row("**precision** (of masked spans)", lambda r: f"{100 * r.precision:.1f} %")
    row("harmless sentences with a mask", lambda r: f"{r.alarmed} of {r.negatives}")
    for name in (*KIND.values(), *STYLE.values()):
        row(f"recall, {name}", lambda r, n=name: f"{r.numbers[n] - r.missed[n]} of {r.numbers[n]}")
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> None:
    """Print or write the table; ``--errors`` shows the development split's errors."""
    if "--errors" in arguments:
        for kind, text in measure("dev").errors:
            sys.stdout.write(f"{kind} {text}\n")
        return
    text = table()
    sys.stdout.write(text)
    if "--write" in arguments:
        document = DOCUMENT.read_text(encoding="utf-8")
        head, _, rest = document.partition("<!-- figures -->\n")
        tail = rest.partition("<!-- end -->\n")[2]
        DOCUMENT.write_text(f"{head}<!-- figures -->\n{text}<!-- end -->\n{tail}", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
