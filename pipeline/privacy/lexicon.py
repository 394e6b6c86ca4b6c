"""The words that tell what a spoken number is, read from ``lexicons/privacy.toml``.

Table of contents: `Cue`, `PrivacyLexicon`, `load_privacy_lexicon`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.checkedtoml import read_checked

KINDS: tuple[str, ...] = (
    "id_number",
    "mobile",
    "bank_card",
    "policy_number",
    "verification_code",
    "partial_number",
    "long_number",
)
"""``long_number``: eleven digits or more that nothing explains; masked, since it could be any of them."""
FEWEST_DIGITS = 3
"""Nothing shorter is ever masked."""
_SHIPPED = Path(__file__).resolve().parents[2] / "lexicons" / "privacy.toml"


@dataclass(frozen=True, slots=True)
class Cue:
    """Digits within ``window`` characters after the cue are of this kind, if there are ``min_digits``."""

    kind: str
    window: int
    min_digits: int


@dataclass(frozen=True, slots=True)
class PrivacyLexicon:
    """What ``privacy.toml`` holds, ready for searching.

    Attributes
    ----------
    cues : mapping of str to Cue
        By the cue's words; ``kind`` is empty for words after which numbers are harmless.
    cue_pattern : re.Pattern
        Finds any of these words, the longest first.
    tails : frozenset of str
        Words that keep the kind that was spoken of before (尾号, 后四位).
    digits, inside : mapping of str to str
        Spoken digits; ``inside`` count only between other digits.
    digit_like : re.Pattern
        Any character that can stand for a digit. A text with fewer than two of them holds no number: the
        shortest has three digits, and 三个八 is written with two.
    digit_like_re2 : str
        The same for Arrow's regular expressions.
    number_like : re.Pattern
        Found wherever as many digits as the shortest number has stand in a row; elsewhere, too.
    tail_cues : frozenset of Cue
        Those of ``tails``.
    """

    cues: dict[str, Cue]
    cue_pattern: re.Pattern[str]
    tails: frozenset[str]
    units: re.Pattern[str]
    amounts: re.Pattern[str]
    hotlines: tuple[str, ...]
    hotline_digits: int
    digits: dict[str, str]
    inside: dict[str, str]
    pauses: re.Pattern[str]
    digit_like: re.Pattern[str]
    digit_like_re2: str
    number_like: re.Pattern[str]
    tail_cues: frozenset[Cue]


@cache
def load_privacy_lexicon(path: Path | None = None) -> PrivacyLexicon:
    """Read and check the file.

    Raises
    ------
    ConfigError
        Listing every problem.
    """
    place = path or _SHIPPED
    data = read_checked(place, _problems)
    cues: dict[str, Cue] = {}
    for entry in data["cue"]:
        for word in entry["words"]:
            cues[word] = Cue(entry["kind"], entry["window"], entry["min_digits"])
    tail, harmless, pauses = data["tail"], data["harmless"], data["pauses"]
    for word in tail["words"]:
        cues[word] = Cue(tail["kind"], tail["window"], tail["min_digits"])
    for word in harmless["words"]:
        cues[word] = Cue("", harmless["window"], 0)
    gap = "|".join(map(re.escape, sorted(pauses["words"], key=len, reverse=True)))
    pause = (
        rf"[\s　]{{0,4}}(?:[-－—–‐·~～、，,。…]|(?:{gap}))?"
        rf"(?:[\s　、，,。…-]{{0,4}}(?:{gap})?){{0,{pauses['max_in_a_row']}}}"
        r"[\s　、，,。…-]{0,4}"
    )
    letters = "".join(sorted({*data["digits"], *data["inside"], "两"}))
    digit = rf"[\d{letters}]"
    return PrivacyLexicon(
        cues=cues,
        cue_pattern=_any_of(list(cues)),
        tails=frozenset(tail["words"]),
        units=_any_of(data["units"]["words"]),
        amounts=re.compile(f"(?:{_any_of(data['units']['before']).pattern})[是为了有]?$"),
        hotlines=tuple(harmless["hotlines"]),
        hotline_digits=harmless["max_digits"],
        digits=data["digits"],
        inside=data["inside"],
        pauses=re.compile(pause),
        digit_like=re.compile(digit),
        digit_like_re2=rf"[\p{{Nd}}{letters}]",
        number_like=re.compile(rf"{digit}(?:个{digit}|(?:(?:个|\.|{pause}){digit}){{{FEWEST_DIGITS - 1}}})"),
        tail_cues=frozenset(cues[word] for word in tail["words"]),
    )


def _any_of(words: list[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, sorted(words, key=len, reverse=True))))


def _problems(data: Mapping[str, Any]) -> list[str]:
    found = [] if data.get("schema") == 1 else [f"schema is {data.get('schema')!r}, expected 1"]
    needed = ("cue", "tail", "harmless", "units", "digits", "inside", "pauses")
    found += [f"table {name} is missing" for name in needed if name not in data]
    if found:
        return found
    for number, cue in enumerate([*data["cue"], data["tail"]], 1):
        if cue.get("kind") not in KINDS:
            found.append(f"cue {number}: kind {cue.get('kind')!r} is none of: {', '.join(KINDS)}")
        if not cue.get("words"):
            found.append(f"cue {number}: holds no words")
        for name, least in (("window", 1), ("min_digits", FEWEST_DIGITS)):
            if not isinstance(cue.get(name), int) or cue[name] < least:
                found.append(
                    f"cue {number}: {name} is {cue.get(name)!r}, expected a whole number from {least}"
                )
    for name in ("digits", "inside"):
        found += [
            f"{name}: {word!r} = {digit!r}, expected one character = one digit"
            for word, digit in data[name].items()
            if len(word) != 1 or digit not in set("0123456789")
        ]
    return found
