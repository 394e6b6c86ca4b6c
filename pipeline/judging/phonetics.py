"""How alike two Mandarin characters sound on the telephone.

Goal
----
Compare what a script says with what a recogniser wrote. Recognisers replace characters by others of
the same or a neighbouring sound, so characters are compared by their toneless syllables, and
syllables by the confusability of their halves: initial (声母) and final (韵母).

Conventions
-----------
A *syllable* is pinyin without tone, ü written v (``nv``). Its final is written without y and w:
``yan`` = ("", "ian"), ``wang`` = ("", "uang"), ``yu`` = ("", "v"), ``ju`` = ("j", "v").
Costs are whole hundredths (100 = a different syllable), so that sums are exact; 0 means that the two
cannot be told apart. All weights come from ``lexicons/confusions.toml`` and
``lexicons/heteronyms.csv``, with their reasons.

Table of contents: `split_syllable`, `Sounds`, `load_sounds`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from pipeline.judging.confusions import (
    INITIALS,
    classes,
    learnt_costs,
    pair_cost,
    pair_costs,
    read_heteronyms,
)
from pipeline.judging.lexfile import LexiconFile, lexicon_folder

# 《汉语拼音方案》: y and w only mark that a syllable begins with i, u or ü.
_Y = {"yi": "i", "yu": "v", "yue": "ve", "yuan": "van", "yun": "vn", "you": "iou", "yin": "in", "ying": "ing",
      "yong": "iong", "yo": "o"}  # fmt: skip
_W = {"wu": "u", "wei": "ui", "wen": "uen", "weng": "ueng"}
_FULL = {"iu": "iou", "un": "uen"}

UNIT = 100
"""Cost of a different syllable; all costs are whole parts of it."""

NEVER = 1_000_000
"""Cost of crossing something that no phrase may cross."""

# Syllables up to this cost are one sound with different accents.
_ALIKE = 10
# Private-use code points of coarse classes and of their halves.
_COARSE = 0xE000
_HALVES = 0xF000


@lru_cache(maxsize=2048)
def split_syllable(syllable: str) -> tuple[str, str]:
    """Split a toneless syllable into initial and final; the final is written without y and w.

    Examples
    --------
    >>> split_syllable("zhong"), split_syllable("yan"), split_syllable("xue"), split_syllable("liu")
    (('zh', 'ong'), ('', 'ian'), ('x', 've'), ('l', 'iou'))
    """
    for initial in INITIALS:
        if syllable.startswith(initial):
            final = syllable[len(initial) :]
            if initial in ("j", "q", "x") and final.startswith("u"):
                final = "v" + final[1:]
            return initial, _FULL.get(final, final)
    if syllable.startswith("y"):
        return "", _Y.get(syllable, "i" + syllable[1:])
    if syllable.startswith("w"):
        return "", _W.get(syllable, "u" + syllable[1:])
    return "", syllable


class _Row(dict[str, int]):
    """Costs of hearing one pattern character as each text character, filled as they are asked for."""

    __slots__ = ("char", "sounds")

    def __init__(self, sounds: Sounds, char: str) -> None:
        super().__init__()
        self.sounds = sounds
        self.char = char

    def __missing__(self, heard: str) -> int:
        cost = self[heard] = self.sounds.character_cost(self.char, heard)
        return cost


class _Inserts(dict[str, int]):
    """Costs of a text character that the phrase does not have."""

    __slots__ = ("sounds",)

    def __init__(self, sounds: Sounds) -> None:
        super().__init__()
        self.sounds = sounds

    def __missing__(self, heard: str) -> int:
        cost = self[heard] = self.sounds.insert_cost(heard)
        return cost


class _CoarseTable(dict[int, str]):
    """`str.translate` table from characters to coarse sound classes."""

    __slots__ = ("sounds",)

    def __init__(self, sounds: Sounds) -> None:
        super().__init__()
        self.sounds = sounds

    def __missing__(self, code: int) -> str:
        coarse = self[code] = self.sounds.coarse(chr(code))[0]
        return coarse


class Sounds:
    """The sounds of characters and what their differences cost.

    Built by `load_sounds`. All methods are pure; tables fill themselves on demand and are shared by
    all patterns and transcripts of a process.

    Attributes
    ----------
    light : frozenset of str
        Particles and hesitations that come and go.
    numerals, negators : frozenset of str
        Content-critical characters.
    heteronyms : frozenset of str
        Characters with more than one sound (多音字, and 一/幺 and the like).
    onset : int
        How much less it costs when the first syllable that is missing would have begun a turn.
    inserts : mapping of str to int
        Cost of a heard character that the phrase does not have.
    coarse_table : dict
        For `str.translate`: character to its coarse class (one private-use code point).
    halves_table : dict
        For `str.translate`: coarse class to the classes of its initial and its final.
    """

    def __init__(self, file: LexiconFile, heteronyms: Mapping[str, tuple[str, ...]]) -> None:
        self._heteronyms = heteronyms
        self._readings: dict[str, tuple[str, ...]] = {}
        self._pinyin: Mapping[int, str] | None = None
        self._initial = pair_costs(file, "initial")
        self._final = pair_costs(file, "final")
        self._initial_default = file.number(("default", "initial"), 0, 1)
        self._final_default = file.number(("default", "final"), 0, 1)
        self._initial_class = classes(self._initial, file.number(("default", "coarse_initial_below"), 0, 1))
        self._final_class = classes(self._final, file.number(("default", "coarse_final_below"), 0, 1))
        # Classes come before what was learnt: chained together, learnt pairs would make all sounds one.
        for half, costs in (("initial", self._initial), ("final", self._final)):
            for pair, cost in learnt_costs(file, half).items():
                costs[pair] = min(cost, costs.get(pair, 1.0))
        self._coarse_codes: dict[tuple[str, str], str] = {}
        self._half_codes: dict[str, str] = {}
        self._coarse: dict[str, tuple[str, ...]] = {}
        groups = [file.text((*key, "chars")) for key in file.tables("alike")]
        self._alike = {char: group for group in groups for char in group}
        self.heteronyms = frozenset(heteronyms) | frozenset(self._alike)
        self.light = frozenset(file.text(("light", "chars")))
        self._light_insert = _hundredths(file.number(("light", "insert"), 0, 1))
        self._light_delete = _hundredths(file.number(("light", "delete"), 0, 1))
        self._light_substitute = _hundredths(file.number(("light", "substitute"), 0, 1))
        self._insert = _hundredths(file.number(("content", "insert"), 0, 2))
        self._delete = _hundredths(file.number(("content", "delete"), 0, 2))
        self.onset = self._delete - _hundredths(file.number(("content", "onset"), 0, 2))
        self._critical_from, self._critical = UNIT, UNIT  # of rulebooks that do not say
        if file.raw(("content", "critical")) is not None:
            self._critical_from = _hundredths(file.number(("content", "critical_from"), 0, 1))
            self._critical = _hundredths(file.number(("content", "critical"), 0, 3))
        self._fixed: dict[tuple[str, str], int] = {}
        self.numerals = frozenset(file.text(("numerals", "chars")))
        self._read_numerals(file)
        self.negators = frozenset(file.text(("negators", "chars")))
        self._negator_delete = _hundredths(file.number(("negators", "delete"), 0, 3))
        self._negator_insert = _hundredths(file.number(("negators", "insert"), 0, 3))
        self._negator_substitute = _hundredths(file.number(("negators", "substitute"), 0, 3))
        self._opposed: dict[str, list[tuple[str, int]]] = {}
        for key in file.tables("opposed"):
            cost = _hundredths(file.number((*key, "cost"), 0, 3))
            for first, second in file.pairs((*key, "pairs")):
                self._fixed[first, second] = cost
                self._opposed.setdefault(first, []).append((second, cost))
        self.inserts: dict[str, int] = _Inserts(self)
        self.coarse_table: dict[int, str] = _CoarseTable(self)
        self.halves_table: dict[int, str] = {}
        self._rows: dict[str, dict[str, int]] = {}
        self.between: dict[tuple[str, str], tuple[int, int]] = {}
        self.heads: dict[tuple[str, str], tuple[int, int, int]] = {}
        self.tails: dict[tuple[str, str], tuple[int, int, int]] = {}
        self._syllable_costs: dict[tuple[str, str], int] = {}

    def _read_numerals(self, file: LexiconFile) -> None:
        between = _hundredths(file.number(("numerals", "between"), 0, 3))
        for first in self.numerals:
            for second in self.numerals:
                if first != second and self._group(first) != self._group(second):
                    self._fixed[first, second] = between
        close = _hundredths(file.number(("numerals", "close_cost"), 0, 3))
        self._close_numerals: set[tuple[str, str]] = set()
        for first, second in file.pairs(("numerals", "close")):
            self._fixed[first, second] = self._fixed[second, first] = close
            self._close_numerals |= {(first, second), (second, first)}
        self._numeral_by_sound = _hundredths(file.number(("numerals", "by_sound"), 0, 3))
        self._close_by_sound = _hundredths(file.number(("numerals", "by_sound_close"), 0, 3))

    def _group(self, char: str) -> str:
        """Characters that are alike, as one text; the character itself if it has no like."""
        return self._alike.get(char, char)

    def readings(self, char: str) -> tuple[str, ...]:
        """Toneless syllables of a character, the most usual first; empty if it has none."""
        known = self._readings.get(char)
        if known is None:
            known = self._heteronyms.get(char) or self._first_reading(char)
            self._readings[char] = known
        return known

    def _first_reading(self, char: str) -> tuple[str, ...]:
        if len(char) != 1 or char.isascii():
            return ()
        if self._pinyin is None:
            from pypinyin.pinyin_dict import pinyin_dict

            self._pinyin = pinyin_dict
        marked = self._pinyin.get(ord(char), "").split(",")[0]
        return (_without_tone(marked),) if marked else ()

    def syllable_cost(self, first: str, second: str) -> int:
        """Cost, 0 to `UNIT`, of taking one toneless syllable for another."""
        if first == second:
            return 0
        known = self._syllable_costs.get((first, second))
        if known is None:
            (initial_a, final_a), (initial_b, final_b) = split_syllable(first), split_syllable(second)
            initial = pair_cost(self._initial, initial_a, initial_b, self._initial_default)
            final = pair_cost(self._final, final_a, final_b, self._final_default)
            known = _hundredths(1 - (1 - initial) * (1 - final))
            self._syllable_costs[first, second] = self._syllable_costs[second, first] = known
        return known

    def character_cost(self, said: str, heard: str) -> int:
        """Cost of a recogniser writing ``heard`` where a phrase has ``said``.

        Parameters
        ----------
        said, heard : str
            One character each.

        Returns
        -------
        int
            0 for the same character or sound, `UNIT` for a different syllable, more where the
            difference changes the meaning (numerals, negators, opposed words).
        """
        if said == heard or heard in self._group(said):
            return 0
        if heard == "\n":
            return NEVER
        fixed = self._fixed.get((said, heard))
        return self._different_cost(said, heard) if fixed is None else fixed

    def _different_cost(self, said: str, heard: str) -> int:
        """Cost of two characters that are neither the same nor listed as opposites."""
        cost = min((self._sound_cost(like, heard) for like in self._group(said)), default=UNIT)
        if said in self.light and heard in self.light:
            return min(cost, self._light_substitute)
        if cost and (said in self.negators or heard in self.negators):
            return max(cost, self._negator_substitute)
        if cost and said in self.numerals:
            return max(cost, self._other_numeral(said, heard, cost))
        for other, opposed in self._opposed.get(said, ()) if cost > _ALIKE else ():
            if self._sound_cost(other, heard) <= _ALIKE:
                return max(cost, opposed)
        if said in self._opposed and cost >= self._critical_from:
            return max(cost, self._critical)
        return cost

    def _sound_cost(self, said: str, heard: str) -> int:
        """Cost by sound alone, over all readings."""
        mine, theirs = self.readings(said), self.readings(heard)
        return min((self.syllable_cost(a, b) for a in mine for b in theirs), default=UNIT)

    def _other_numeral(self, said: str, heard: str, cost: int) -> int:
        """Cost of a word that sounds like a numeral, but rather like another one; else 0."""
        rivals = [other for other in self.numerals if self._group(other) != self._group(said)]
        nearest = min(rivals, key=lambda other: (self._sound_cost(other, heard), other))
        rival = self._sound_cost(nearest, heard)
        if rival > _ALIKE or rival >= cost:
            return 0
        return self._close_by_sound if (said, nearest) in self._close_numerals else self._numeral_by_sound

    def insert_cost(self, heard: str) -> int:
        """Cost of a heard character inside a phrase that does not have it."""
        if heard == "\n":
            return NEVER
        if heard in self.light:
            return self._light_insert
        return self._negator_insert if heard in self.negators else self._insert

    def delete_cost(self, said: str) -> int:
        """Cost of a phrase's character that was not heard; also its weight in the phrase."""
        if said in self.light:
            return self._light_delete
        return self._negator_delete if said in self.negators else self._delete

    def row(self, said: str) -> dict[str, int]:
        """Costs of hearing ``said`` as any character, as a mapping that fills itself."""
        known = self._rows.get(said)
        if known is None:
            known = self._rows[said] = _Row(self, said)
        return known

    def coarse(self, char: str) -> tuple[str, ...]:
        """Coarse classes of a character's readings as private-use code points, main reading first."""
        known = self._coarse.get(char)
        if known is None:
            readings = self.readings(char)
            if char in self._alike:
                readings = tuple(reading for like in self._alike[char] for reading in self.readings(like))
            known = tuple(dict.fromkeys(self._coarse_code(reading) for reading in readings))
            known = known or (self._coarse_code(char),)
            self._coarse[char] = known
        return known

    def _coarse_code(self, syllable: str) -> str:
        # Latin letters and the like stand for themselves, in both halves.
        initial, final = (
            split_syllable(syllable) if len(syllable) > 1 or syllable in "aeo" else (syllable,) * 2
        )
        key = (self._initial_class.get(initial, initial), self._final_class.get(final, final))
        code = self._coarse_codes.get(key)
        if code is None:
            code = self._coarse_codes[key] = chr(_COARSE + len(self._coarse_codes))
            halves = (f"{key[0]}-", f"-{key[1]}")
            self.halves_table[ord(code)] = "".join(
                self._half_codes.setdefault(half, chr(_HALVES + len(self._half_codes))) for half in halves
            )
        return code


def _without_tone(marked: str) -> str:
    bare = unicodedata.normalize("NFD", marked).replace("u\u0308", "v").replace("e\u0302", "e")
    return "".join(char for char in bare if not unicodedata.combining(char))


def _hundredths(cost: float) -> int:
    return round(cost * UNIT)


@lru_cache(maxsize=8)
def load_sounds(folder: Path | None = None) -> Sounds:
    """Sounds and confusions from a lexicon folder; the shipped one when ``None``.

    Raises
    ------
    RulebookError
        With all problems of ``confusions.toml`` and ``heteronyms.csv``, file and line each.

    Examples
    --------
    >>> sounds = load_sounds()
    >>> sounds.character_cost("工", "公"), sounds.character_cost("六", "四")
    (0, 200)
    """
    folder = folder or lexicon_folder()
    file = LexiconFile(folder / "confusions.toml")
    heteronyms, problems = read_heteronyms(folder / "heteronyms.csv")
    sounds = Sounds(file, heteronyms)
    file.problems.extend(problems)
    file.finish()
    return sounds
