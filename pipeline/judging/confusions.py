"""What telephone listeners take for one another: reading ``confusions.toml`` and ``heteronyms.csv``.

Costs of confused halves of syllables come from two places: pairs known from phonetics, each with its
reason, and pairs learnt from what the recogniser made of spoken sentences (table ``[learnt]``, written by
``python -m tests.calibration.confusions``). The cheaper one counts.

Table of contents: `INITIALS`, `pair_costs`, `learnt_costs`, `pair_cost`, `classes`, `read_heteronyms`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

from pipeline.errors import RulebookError
from pipeline.judging.lexfile import LexiconFile

INITIALS = (
    "zh", "ch", "sh", "b", "p", "m", "f", "d", "t", "n", "l",
    "g", "k", "h", "j", "q", "x", "r", "z", "c", "s",
)  # fmt: skip


def learnt_costs(file: LexiconFile, half: str) -> dict[tuple[str, str], float]:
    """Costs learnt from the recogniser, both ways round; empty if the file holds none."""
    costs: dict[tuple[str, str], float] = {}
    found = file.raw(("learnt", half))
    for place, entry in enumerate(found if isinstance(found, list) else ()):
        match entry:
            case [str() as first, str() as second, int() | float() as cost] if (
                first != second and 0 <= cost <= 1
            ):
                costs[first, second] = costs[second, first] = cost
            case _:
                file.problem(
                    ("learnt", half, place),
                    f"{entry!r}: expected two sounds that differ and a cost from 0 to 1",
                )
    return costs


def pair_costs(file: LexiconFile, table: str) -> dict[tuple[str, str], float]:
    """Costs of the pairs of all tables of a name, both ways round; problems are noted in ``file``."""
    costs: dict[tuple[str, str], float] = {}
    for key in file.tables(table):
        cost = file.number((*key, "cost"), 0, 1)
        file.text((*key, "why"))
        for first, second in _sound_pairs(file, (*key, "pairs")):
            if (first, second) in costs:
                file.problem(key, f"{table} pair {first!r}/{second!r} is given twice")
            costs[first, second] = costs[second, first] = cost
    return costs


def _sound_pairs(file: LexiconFile, key: tuple[str | int, ...]) -> Iterable[tuple[str, str]]:
    known = file.pairs(key)
    if str(key[0]) == "initial":
        for pair in known:
            for sound in pair:
                if sound and sound not in INITIALS:
                    file.problem(key, f"{sound!r} is no initial; expected '' or one of {' '.join(INITIALS)}")
    return known


def pair_cost(costs: Mapping[tuple[str, str], float], first: str, second: str, default: float) -> float:
    """Cost of one sound for another; 0 for the same."""
    return 0.0 if first == second else costs.get((first, second), default)


def classes(costs: Mapping[tuple[str, str], float], below: float) -> dict[str, str]:
    """Union of all pairs cheaper than ``below``; each sound maps to its class's representative."""
    parent: dict[str, str] = {}

    def root(sound: str) -> str:
        while parent.get(sound, sound) != sound:
            sound = parent[sound]
        return sound

    for (first, second), cost in sorted(costs.items()):
        if cost < below:
            parent[root(first)] = root(second)
    return {sound: root(sound) for pair in costs for sound in pair}


def read_heteronyms(path: Path) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Readings of characters that have several, and the problems of the file."""
    found: dict[str, tuple[str, ...]] = {}
    problems: list[str] = []
    try:
        stream = path.open(encoding="utf-8-sig", newline="")
    except FileNotFoundError as error:
        raise RulebookError(f"{path}: file is missing; restore it from the distribution") from error
    with stream:
        for line, row in enumerate(csv.DictReader(stream), start=2):
            term, readings = row.get("term") or "", tuple((row.get("readings") or "").split())
            if len(term) != 1 or not readings or not all(r.isascii() and r.isalpha() for r in readings):
                problems.append(f"{path.name}:{line}: expected one character and its toneless readings")
            elif term in found:
                problems.append(f"{path.name}:{line}: {term} is listed twice")
            found[term] = readings
    return found, problems
