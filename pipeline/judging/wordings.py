"""Wordings: many ways to say one thing, compiled so that they are recognised by sound.

Goal
----
Agents rarely say the standard's sentence; they say it in a hundred ways. The phrase matcher
(`pipeline.judging.phrases`) forgives wrong syllables and is made for few, long sentences. A *wording*
is made for many short ones with free gaps: it forgives only homophones and the usual accents, and is
searched as a regular expression over one code point a syllable (`pipeline.judging.soundindex`).

How
---
Every character becomes the code of its toneless syllable (numerals stay themselves), so 理赔 and 礼陪
read alike. A wording becomes a regular expression over these codes.

Table of contents: `SoundCodes`, `sound_codes`, `kindred_codes`, `Wording`, `plain_text`,
`compile_wording`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import product

from pipeline.judging.confusions import INITIALS
from pipeline.judging.matching import BREAK
from pipeline.judging.phonetics import Sounds, split_syllable
from pipeline.judging.wordinglang import parse_wording

_FIRST_CODE = 0xE000
_MIN_RUN = 2
# 《汉语拼音方案》声母、韵母: flat and retroflex, front and back nasals in one, without y and w.
_INITIALS = sorted({*INITIALS, ""} - {"zh", "ch", "sh"})
_FINALS = (
    *("a", "o", "e", "ai", "ei", "ao", "ou", "an", "en", "ang", "ong", "er"),
    *("i", "ia", "ie", "iao", "iou", "ian", "in", "iang", "iong"),
    *("u", "ua", "uo", "uai", "ui", "uan", "uen", "uang", "v", "ve", "van", "vn"),
)
# Code of each syllable; of rare ones (ê, m) given out when first met. Shared by all sounds of a
# process, so that compiled wordings stay true whichever lexicon they came from.
_CODES: dict[tuple[str, str], str] = {
    key: chr(_FIRST_CODE + number) for number, key in enumerate(product(_INITIALS, _FINALS))
}
_MERGED_INITIALS = {"zh": "z", "ch": "c", "sh": "s"}
_MERGED_FINALS = {"ing": "in", "eng": "en", "ueng": "uen"}
_SAME = {"你": "您", "妳": "您", "宁": "您", "她": "他", "它": "他"}
_SAME_TABLE = str.maketrans(_SAME)


class SoundCodes(dict[int, str]):
    """`str.translate` table from characters to one code point a syllable."""

    __hash__ = object.__hash__  # type: ignore[assignment]  # one table for each set of sounds, kept for good

    def __init__(self, sounds: Sounds) -> None:
        super().__init__()
        self.sounds = sounds

    def __missing__(self, code: int) -> str:
        char = chr(code)
        written = _SAME.get(char, char)
        readings = () if char == BREAK else self.sounds.readings(written)
        if readings:
            initial, final = split_syllable(readings[0])
            key = (_MERGED_INITIALS.get(initial, initial), _MERGED_FINALS.get(final, final))
            if written == "您":
                key = ("n", "您")
            coded = _CODES.setdefault(key, chr(_FIRST_CODE + len(_CODES)))
        else:
            coded = char
        self[code] = coded
        return coded


@lru_cache(maxsize=1024)
def kindred_codes(code: str) -> str:
    """All codes of syllables that have the initial or the final of this one, itself too.

    Examples
    --------
    >>> from pipeline.judging.phonetics import load_sounds
    >>> codes = sound_codes(load_sounds())
    >>> near = kindred_codes(codes[ord("登")])
    >>> codes[ord("东")] in near, codes[ord("他")] in near
    (True, False)
    """
    keys = [key for key, known in _CODES.items() if known == code]
    if not keys:
        return code
    initial, final = keys[0]
    final = "in" if final == "您" else final
    kin = [_CODES[one, two] for one, two in product(_INITIALS, _FINALS) if one == initial or two == final]
    return "".join(dict.fromkeys([code, *kin]))


@lru_cache(maxsize=8)
def sound_codes(sounds: Sounds) -> SoundCodes:
    """One table for each set of sounds; it fills itself on demand."""
    return SoundCodes(sounds)


@dataclass(frozen=True, slots=True)
class Wording:
    """A compiled wording; make it with `compile_wording`."""

    source: str
    coded_pattern: str
    written_pattern: str
    by_sound: bool
    weak: bool
    anchors: frozenset[str]
    chars: frozenset[str]
    codes: frozenset[str]
    limits_s: tuple[tuple[float, float], ...]
    numbers: int
    masked: bool

    @property
    def coded(self) -> re.Pattern[str]:
        """The wording over sound codes."""
        return _compiled(self.coded_pattern)

    @property
    def written(self) -> re.Pattern[str]:
        """The wording over characters."""
        return _compiled(self.written_pattern)

    def reads(self, text: str) -> bool:
        """Whether a text, without punctuation, is literally this wording."""
        return self.written.fullmatch(plain_text(text)) is not None


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    # When it is first looked for: a call needs a fraction of them, and compiling all takes half a second.
    return re.compile(pattern)


def plain_text(text: str) -> str:
    """Return a text with characters replaced that are never told apart (你 and 您)."""
    return text.translate(_SAME_TABLE)


@lru_cache(maxsize=8192)
def compile_wording(source: str, sounds: Sounds, *, by_sound: bool = True) -> Wording:
    """Compile a wording.

    Parameters
    ----------
    source : str
        In the language of `pipeline.judging.wordinglang`.
    sounds : Sounds
    by_sound : bool
        Whether homophones count.

    Raises
    ------
    WordingError
        With the column of what is wrong.
    """
    codes = sound_codes(sounds)
    parsed = parse_wording(source, lambda text: text.translate(codes), plain_text)
    return Wording(
        source=source,
        coded_pattern=parsed.coded,
        written_pattern=parsed.written,
        by_sound=by_sound,
        weak=parsed.weakest < _MIN_RUN,
        anchors=parsed.anchors,
        chars=parsed.chars,
        codes=frozenset("".join(parsed.chars).translate(codes)),
        limits_s=parsed.limits_s,
        numbers=parsed.numbers,
        masked=parsed.masked,
    )
