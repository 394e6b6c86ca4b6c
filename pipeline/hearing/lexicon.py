"""The language data of hearing: prompts, terms, fillers, invented phrases, role cues.

Conventions
-----------
Data lies in ``lexicons/``; a rulebook folder may hold its own copy of any of the files. Loading reports
every problem of every file at once, as ``file:line: message``, and stops.

Table of contents: `HearingLexicon`, `load_lexicon`.
"""

from __future__ import annotations

import csv
import hashlib
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from pipeline.errors import RulebookError
from pipeline.hearing.conversation import Conversation, load_conversation
from pipeline.hearing.fillers import KINDS, WHENS, FillerRule, FillerRules, spoken_fillers, syllables
from pipeline.hearing.repair import RepairRules
from pipeline.hearing.roles import RoleCues, load_role_cues
from pipeline.hearing.spelling import SpellingRules
from pipeline.hearing.transcript import CleaningRules
from pipeline.mandarin import strip_punctuation
from pipeline.records import Word

SHIPPED = Path(__file__).resolve().parents[2] / "lexicons"
FILES = (
    "hearing.toml",
    "fillers.toml",
    "hallucinations.csv",
    "insurance_terms.csv",
    "conversation.toml",
    "role_cues.toml",
)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class HearingLexicon:
    """All language data that hearing uses.

    Attributes
    ----------
    version, digest : str
        Version of ``hearing.toml``; sha256 over all files, for the hearing's settings hash.
    prompt, hotwords : str or None
        What every window of the first decode is told; None for nothing.
    verbatim_prompt : str
        What the second decode is told; its text is used for fillers only.
    terms : tuple of str
        Insurance terms, for repair and statistics.
    repair : RepairRules
        When a term is written instead of a word of its sound.
    spelling : SpellingRules
        When any other word is.
    """

    version: str
    digest: str
    prompt: str | None
    hotwords: str | None
    verbatim_prompt: str
    terms: tuple[str, ...]
    repair: RepairRules
    spelling: SpellingRules
    cleaning: CleaningRules
    fillers: FillerRules
    conversation: Conversation
    role_cues: RoleCues


def load_lexicon(folder: Path | None = None) -> HearingLexicon:
    """Load and check the language data.

    Parameters
    ----------
    folder : Path or None
        A rulebook folder; files that it does not hold are taken from the shipped lexicons.

    Raises
    ------
    RulebookError
        Listing every problem of every file.

    Examples
    --------
    >>> load_lexicon().verbatim_prompt.startswith("以下是")
    True
    """
    paths = {name: _choose(folder, name) for name in FILES}
    problems: list[str] = []
    hearing = _Toml(paths["hearing.toml"], problems)
    prompt, hotwords = hearing.text("recognition", "prompt"), hearing.flag("recognition", "hotwords")
    verbatim, leaks = hearing.text("verbatim", "prompt"), hearing.texts("verbatim", "leaks")
    phrases = _table(paths["hallucinations.csv"], ("text", "kind", "note", "source"), problems)
    for line, row in phrases:
        if row["kind"] not in ("always", "doubtful"):
            problems.append(f"hallucinations.csv:{line}: kind '{row['kind']}'; expected always or doubtful")
    terms = _table(paths["insurance_terms.csv"], ("term", "category", "hotword", "note", "source"), problems)
    marked = [row["term"] for _, row in terms if row["hotword"] == "yes"] if hotwords else []
    cleaning = _cleaning(hearing, [row for _, row in phrases], leaks, marked)
    repair = _repair(hearing, [row["term"] for _, row in terms])
    spelling = _spelling(hearing, repair)
    fillers = _fillers(_Toml(paths["fillers.toml"], problems), leaks)
    conversation = _attempt(load_conversation, paths["conversation.toml"], problems)
    role_cues = _attempt(load_role_cues, paths["role_cues.toml"], problems)
    if problems or cleaning is None or fillers is None or conversation is None or role_cues is None:
        raise RulebookError("\n".join(problems))
    digest = hashlib.sha256()
    for name in FILES:
        digest.update(f"{name} {hashlib.sha256(paths[name].read_bytes()).hexdigest()}\n".encode())
    return HearingLexicon(
        version=hearing.text_at("version"),
        digest=digest.hexdigest(),
        prompt=prompt or None,
        hotwords=" ".join(marked) or None,
        verbatim_prompt=verbatim,
        terms=tuple(row["term"] for _, row in terms),
        repair=repair,
        spelling=spelling,
        cleaning=cleaning,
        fillers=fillers,
        conversation=conversation,
        role_cues=role_cues,
    )


def _choose(folder: Path | None, name: str) -> Path:
    own = folder / name if folder is not None else None
    return own if own is not None and own.is_file() else SHIPPED / name


def _attempt(load: Callable[[Path], _T], path: Path, problems: list[str]) -> _T | None:
    try:
        return load(path)
    except RulebookError as error:
        problems.append(str(error))
        return None


class _Toml:
    """One TOML file; values are checked as they are taken, problems collected."""

    def __init__(self, path: Path, problems: list[str]) -> None:
        self.name, self.problems = path.name, problems
        self.data: Mapping[str, Any] = {}
        self.lines: Sequence[str] = ()
        try:
            source = path.read_text(encoding="utf-8-sig")
            self.lines = source.splitlines()
            self.data = tomllib.loads(source)
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            problems.append(f"{path.name}:1: cannot be read as TOML: {error}")
            return
        if self.data.get("schema") != 1:
            problems.append(f"{path.name}:1: schema {self.data.get('schema')!r} is unknown; expected 1")

    def problem(self, section: str, key: str, message: str, *, number: int = 0) -> None:
        """Note a problem at the line where the key of a section (or of its n-th table) stands."""
        headers = (f"[{section}]", f"[[{section}]]")
        line, seen = 1, -1
        for index, text in enumerate(self.lines, start=1):
            stripped = text.strip()
            if stripped in headers:
                seen += 1
                if seen == number:
                    line = index
            elif seen == number and stripped.partition("=")[0].strip() == key:
                line = index
                break
        self.problems.append(f"{self.name}:{line}: {message}")

    def value(self, section: str, key: str) -> Any:
        table = self.data.get(section)
        return table.get(key) if isinstance(table, Mapping) else None

    def text_at(self, key: str) -> str:
        return str(self.data.get(key, ""))

    def text(self, section: str, key: str) -> str:
        value = self.value(section, key)
        if isinstance(value, str):
            return value
        self.problem(section, key, f"'{key}' of [{section}] must be a text; found {value!r}")
        return ""

    def flag(self, section: str, key: str) -> bool:
        value = self.value(section, key)
        if isinstance(value, bool):
            return value
        self.problem(section, key, f"'{key}' of [{section}] must be true or false; found {value!r}")
        return False

    def texts(self, section: str, key: str) -> tuple[str, ...]:
        value = self.value(section, key)
        if isinstance(value, list) and all(isinstance(one, str) and one for one in value):
            return tuple(value)
        self.problem(section, key, f"'{key}' of [{section}] must be a list of texts; found {value!r}")
        return ()

    def number(self, section: str, key: str, low: float, high: float) -> float:
        value = self.value(section, key)
        if isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high:
            return float(value)
        self.problem(section, key, f"'{key}' of [{section}] is {value!r}; expected {low:g} to {high:g}")
        return low


def _table(path: Path, columns: Sequence[str], problems: list[str]) -> list[tuple[int, dict[str, str]]]:
    """Read a CSV of terms: its columns, no empty or repeated first column; rows with their line."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if tuple(reader.fieldnames or ()) != tuple(columns):
                problems.append(f"{path.name}:1: columns must be {','.join(columns)}")
                return []
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        problems.append(f"{path.name}:1: cannot be read: {error}")
        return []
    good, seen = [], set()
    for line, row in rows:
        if None in row or None in row.values():
            problems.append(f"{path.name}:{line}: expected {len(columns)} columns")
            continue
        first = row[columns[0]]
        if not first or strip_punctuation(first).lower() != first:
            problems.append(f"{path.name}:{line}: '{columns[0]}' must be a text without marks or capitals")
        if first in seen:
            problems.append(f"{path.name}:{line}: '{first}' stands here twice")
        if not row["source"]:
            problems.append(f"{path.name}:{line}: the source of '{first}' is missing")
        seen.add(first)
        good.append((line, row))
    return good


def _repair(file: _Toml, terms: Sequence[str]) -> RepairRules:
    """Rules of the table [repair]; a file without it repairs nothing."""
    if "repair" not in file.data:
        return RepairRules()
    pairs = [tuple(one.split("/")) for one in file.texts("repair", "confusions")]
    if any(len(pair) != 2 for pair in pairs):
        file.problem("repair", "confusions", "'confusions' must be pairs like 'zh/z'")
    return RepairRules(
        terms=tuple(term for term in terms if len(term) > 1),
        max_cost=file.number("repair", "max_cost", 0.0, 1.0),
        max_confidence=file.number("repair", "max_confidence", 0.0, 1.0),
        near=file.number("repair", "near", 0.0, 1.0),
        confusions=tuple((pair[0], pair[-1]) for pair in pairs),
    )


def _spelling(file: _Toml, repair: RepairRules) -> SpellingRules:
    """Rules of the table [spelling]; a file without it has those that ship."""
    if "spelling" not in file.data:
        return SpellingRules(kept=frozenset(), confusions=repair.confusions)

    def number(key: str, low: float, high: float) -> float:
        return file.number("spelling", key, low, high)

    return SpellingRules(
        max_confidence=number("max_confidence", 0.0, 1.0),
        same=number("same", 0.0, 20.0),
        near=number("near", 0.0, 20.0),
        word_weight=number("word_weight", 0.0, 10.0),
        min_gain=number("min_gain", 0.0, 20.0),
        audio_weight=number("audio_weight", 0.0, 10.0),
        accept=number("accept", 0.0, 20.0),
        beam=int(number("beam", 1, 64)),
        most=int(number("most", 1, 64)),
        after_chars=int(number("after_chars", 0, 20)),
        longest_s=number("longest_s", 1.0, 28.0),
        most_texts=int(number("most_texts", 1, 16)),
        least_log10=number("least_log10", -9.0, 0.0),
        least_log10_alone=number("least_log10_alone", -9.0, 0.0),
        kept=frozenset("".join(file.texts("spelling", "kept"))),
        confusions=repair.confusions,
    )


def _cleaning(
    file: _Toml, phrases: Sequence[Mapping[str, str]], leaks: tuple[str, ...], hotwords: Sequence[str]
) -> CleaningRules:
    # Three hotwords in the order of the list were read off the list, not said.
    listed = tuple("".join(hotwords[at : at + 3]) for at in range(len(hotwords) - 2))
    repeats = file.value("cleaning", "loop_repeats")
    if not (
        isinstance(repeats, list)
        and len(repeats) == 3
        and all(isinstance(n, int) and n >= 2 for n in repeats)
    ):
        file.problem("cleaning", "loop_repeats", "'loop_repeats' must be three whole numbers of 2 or more")
        repeats = [2, 2, 2]
    return CleaningRules(
        always=(*(row["text"] for row in phrases if row["kind"] == "always"), *listed),
        doubtful=tuple(row["text"] for row in phrases if row["kind"] == "doubtful"),
        leaks=leaks,
        min_activity_share=file.number("cleaning", "min_activity_share", 0.0, 1.0),
        min_avg_logprob=file.number("cleaning", "min_avg_logprob", -10.0, 0.0),
        max_no_speech_prob=file.number("cleaning", "max_no_speech_prob", 0.0, 1.0),
        max_chars_per_s=file.number("cleaning", "max_chars_per_s", 5.0, 50.0),
        loop_repeats=cast(tuple[int, int, int], tuple(repeats)),
        loop_chars_per_s=file.number("cleaning", "loop_chars_per_s", 5.0, 50.0),
        doubtful_probability=file.number("cleaning", "doubtful_probability", 0.0, 1.0),
    )


def _fillers(file: _Toml, leaks: tuple[str, ...]) -> FillerRules:
    entries = file.data.get("filler", [])
    rules = [rule for rule in (_filler(file, n, raw) for n, raw in enumerate(entries)) if rule]
    if not rules:
        file.problem("filler", "text", "no [[filler]] is described")
    known = FillerRules(
        rules=tuple(rules),
        max_displaced=int(file.number("checks", "max_displaced", 0, 3)),
        min_s=file.number("checks", "min_s", 0.0, 1.0),
        max_s=file.number("checks", "max_s", 0.2, 5.0),
        pause_s=file.number("checks", "pause_s", 0.05, 2.0),
        same_within_s=file.number("checks", "same_within_s", 0.0, 2.0),
        min_turn_chars=int(file.number("checks", "min_turn_chars", 1, 20)),
        confidence_once=file.number("checks", "confidence_once", 0.0, 1.0),
        confidence_twice=file.number("checks", "confidence_twice", 0.0, 1.0),
        leaks=leaks,
    )
    for number, rule in enumerate(rules):
        for sentence, wanted in [(s, True) for s in rule.filler] + [(s, False) for s in rule.plain]:
            row = syllables(_as_words(sentence), pause_s=known.pause_s)
            found = any(name == rule.text for _, _, name in spoken_fillers(row, known))
            if found != wanted:
                key = "filler" if wanted else "plain"
                says = "is not found in" if wanted else "is found in"
                file.problem("filler", key, f"{rule.text} {says} its example '{sentence}'", number=number)
    return known


def _as_words(sentence: str) -> list[Word]:
    """One word a character at an even pace; marks stay with the character before them."""
    words: list[Word] = []
    for char in sentence:
        if strip_punctuation(char) or not words:
            at = len(words) * 0.2
            words.append(Word(char, at, at + 0.2))
        else:
            last = words.pop()
            words.append(Word(last.text + char, last.start_s, last.end_s))
    return words


_FILLER_LISTS = ("also", "when", "not_after", "not_before", "filler", "plain")
_FILLER_KEYS = frozenset({"text", "kind", "source", "within_chars", "inside_only", *_FILLER_LISTS})


def _filler(file: _Toml, number: int, raw: Mapping[str, Any]) -> FillerRule | None:
    def bad(key: str, message: str) -> None:
        file.problem("filler", key, f"{raw.get('text', 'filler')}: {message}", number=number)

    before = len(file.problems)
    for key in sorted(set(raw) - _FILLER_KEYS):
        bad(key, f"unknown key '{key}'; expected {', '.join(sorted(_FILLER_KEYS))}")
    for key in ("text", "kind", "source"):
        if not isinstance(raw.get(key), str) or not raw[key]:
            bad(key, f"'{key}' is missing")
    lists = {key: raw.get(key, []) for key in _FILLER_LISTS}
    for key, value in lists.items():
        if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
            bad(key, f"'{key}' must be a list of texts")
    if raw.get("kind") not in KINDS:
        bad("kind", f"kind {raw.get('kind')!r} is unknown; expected one of {', '.join(KINDS)}")
    for when in lists["when"]:
        if when not in WHENS:
            bad("when", f"condition '{when}' is unknown; expected one of {', '.join(WHENS)}")
    if raw.get("kind") == "word" and not lists["when"]:
        bad("kind", "a word needs at least one condition in 'when'")
    if not lists["filler"] or not lists["plain"]:
        bad("filler", "examples are missing: give 'filler' and 'plain' sentences")
    if len(file.problems) > before:
        return None
    return FillerRule(
        text=raw["text"],
        kind=raw["kind"],
        within_chars=int(raw.get("within_chars", 0)),
        inside_only=raw.get("inside_only", False) is True,
        also=tuple(lists["also"]),
        when=tuple(lists["when"]),
        not_after=tuple(lists["not_after"]),
        not_before=tuple(lists["not_before"]),
        filler=tuple(lists["filler"]),
        plain=tuple(lists["plain"]),
    )
