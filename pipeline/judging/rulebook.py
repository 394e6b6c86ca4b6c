"""The rulebook: rules as data, read, checked whole, fingerprinted.

Conventions
-----------
A rulebook is a folder: ``rules/*.toml`` (rules), ``rules/ids.toml`` (all ids that were ever given),
``phrases/*.toml``, ``moments.toml``, ``judging.toml``, ``acoustic.toml``, ``scorecard.toml``,
``holidays.toml``. Files a folder leaves out are those that ship. Checking reports every problem with file
and line.

Table of contents: `Rule`, `Rulebook`, `shipped_folder`, `check_rulebook`, `rulebook_around`, `load_rulebook`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from pipeline.errors import RulebookError
from pipeline.judging.acoustic import read_acoustic
from pipeline.judging.conditions import Always, Condition
from pipeline.judging.examples import EXPECTATIONS, Example, read_example
from pipeline.judging.grammar import Scope, condition
from pipeline.judging.holidayfile import read_holidays
from pipeline.judging.lexicon import Lexicon, check_schema, read_limits, read_moments, read_phrases
from pipeline.judging.scoring import Scorecard, read_scorecard
from pipeline.judging.tomlread import Fields, Problem, Source, listed
from pipeline.judging.transcript import MatchModel, load_model
from pipeline.records import SEVERITIES, Direction, Severity

RuleDirection = Literal["inbound", "outbound", "both"]
DIRECTIONS = ("inbound", "outbound", "both")
SHARED_FILES = ("moments.toml", "judging.toml", "acoustic.toml", "scorecard.toml", "holidays.toml")
MATCHING_FILES = ("confusions.toml", "matching.toml", "negation.toml", "heteronyms.csv")
_LOCATED = re.compile(r"^(?P<file>[^:]+):(?P<line>\d+): (?P<message>.*)$")
_RULE_ID = re.compile(r"^[a-z]+(\.[a-z][a-z0-9_]*)+$")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of the standard.

    Attributes
    ----------
    due : Condition
        When the rule applies; not yes means not applicable (or uncertain).
    each : str or None
        Name of a moment: the rule is due once for each time it happens.
    require : Condition
        What then must hold.
    """

    id: str
    clause: str
    clause_text: str
    name_zh: str
    direction: RuleDirection
    group: str
    weight: float
    severity: Severity
    due: Condition
    require: Condition
    each: str | None = None
    reading: str = ""
    not_due_zh: str = ""
    thresholds: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    examples: tuple[Example, ...] = ()
    effective_from: date | None = None
    effective_to: date | None = None
    file: str = ""
    line: int = 0

    def applies_on(self, day: date) -> bool:
        """Whether the rule is in force on a day."""
        return (self.effective_from is None or day >= self.effective_from) and (
            self.effective_to is None or day <= self.effective_to
        )

    def is_about(self, direction: Direction) -> bool:
        """Whether the rule concerns calls of this direction."""
        return self.direction in ("both", direction)


@dataclass(frozen=True, slots=True)
class Rulebook:
    """A whole rulebook, compiled; immutable and shared by all calls.

    Attributes
    ----------
    version : str
        As written in ``rules/ids.toml``.
    hash : str
        sha256 over all files that can change a verdict.
    """

    version: str
    hash: str
    rules: tuple[Rule, ...]
    lexicon: Lexicon
    scorecard: Scorecard

    def rule(self, rule_id: str) -> Rule:
        """One rule by its id."""
        for rule in self.rules:
            if rule.id == rule_id:
                return rule
        raise RulebookError(f"rule {rule_id!r} is not in the rulebook; it holds {len(self.rules)} rules")


def shipped_folder() -> Path:
    """Folder of the lexicons that ship."""
    return Path(__file__).resolve().parents[2] / "lexicons"


def check_rulebook(folder: Path | None = None) -> list[Problem]:
    """Every problem of a rulebook, sorted by file and line; empty means that it can be used.

    Parameters
    ----------
    folder : Path or None
        None is the rulebook that ships.
    """
    return _read(folder)[1]


def rulebook_around(file: Path) -> Path | None:
    """Find the rulebook folder that a file lies in, the nearest one; None if it lies in none."""
    if file.suffix != ".toml":
        return None
    return next((folder for folder in file.parents if any(folder.glob("rules/*.toml"))), None)


def load_rulebook(folder: Path | None = None, *, on: date | None = None) -> Rulebook:
    """Load a rulebook, or refuse it with all of its problems.

    Parameters
    ----------
    folder : Path or None
        None is the rulebook that ships.
    on : date or None
        Keep only rules in force on this day; None keeps all, and judging looks at each call's date.

    Raises
    ------
    RulebookError
        Lists every problem with file and line.
    """
    book, problems = _read(folder)
    if book is None or problems:
        lines = "\n".join(map(str, problems))
        raise RulebookError(f"the rulebook has {len(problems)} problem(s):\n{lines}")
    if on is None:
        return book
    kept = tuple(rule for rule in book.rules if rule.applies_on(on))
    return Rulebook(book.version, book.hash, kept, book.lexicon, book.scorecard)


@dataclass(frozen=True, slots=True)
class _Files:
    """Which file is read for which part; a folder overrides what ships."""

    folder: Path
    shipped: Path

    def many(self, sub: str) -> list[Path]:
        own = sorted((self.folder / sub).glob("*.toml"))
        return own or sorted((self.shipped / sub).glob("*.toml"))

    def one(self, name: str) -> Path:
        own = self.folder / name
        return own if own.is_file() else self.shipped / name

    def name(self, path: Path) -> str:
        base = self.folder if path.is_relative_to(self.folder) else self.shipped
        return f"{base.name}/{path.relative_to(base).as_posix()}"


def _read(folder: Path | None) -> tuple[Rulebook | None, list[Problem]]:
    shipped = shipped_folder()
    files = _Files(folder or shipped, shipped)
    if files.folder.is_file():
        home = rulebook_around(files.folder)
        wanted = f"give the folder {home}" if home else "expected a folder with rules/"
        return None, [Problem(str(files.folder), 1, f"this is a file, a rulebook is a folder; {wanted}")]
    if not files.folder.is_dir():
        return None, [
            Problem(str(files.folder), 1, "the rulebook folder does not exist; expected a folder with rules/")
        ]
    if folder is not None and not (folder / "rules").is_dir():
        return None, [
            Problem(str(folder), 1, "no rules/ in this folder; expected rules/*.toml with [[rule]] tables")
        ]
    read: list[Source] = []

    def source(path: Path) -> Source:
        read.append(Source.read(path, name=files.name(path)))
        return read[-1]

    matching = _read_matching(files, read)
    phrases = read_phrases([source(path) for path in files.many("phrases")], matching)
    moments = read_moments(source(files.one("moments.toml")), phrases)
    limits, interruption, fillers, backchannels = read_limits(source(files.one("judging.toml")))
    lexicon = Lexicon(
        MappingProxyType(phrases),
        MappingProxyType(moments),
        limits,
        interruption,
        fillers,
        backchannels,
        matching,
        read_acoustic(source(files.one("acoustic.toml"))),
    )
    card = read_scorecard(source(files.one("scorecard.toml")))
    calendar = read_holidays(source(files.one("holidays.toml")))
    scope = Scope(lexicon, MappingProxyType({}), calendar)
    basis = tuple(read)
    rules: list[tuple[Rule, Source]] = []
    ids: Source | None = None
    for path in files.many("rules"):
        opened = source(path)
        if path.name == "ids.toml":
            ids = opened
            continue
        rules.extend((rule, opened) for rule in _read_rules(opened, scope, card))
    version = _check_ids(rules, ids, files)
    if ids is None:
        read.append(
            Source(
                "rules/ids.toml",
                problems=[Problem("rules/ids.toml", 1, "file is missing; it lists all rule ids")],
            )
        )
    # What rules refer to is missed everywhere if its file cannot be parsed; then that alone is told.
    told = [opened for opened in (*basis, ids) if opened is not None and opened.broken] or read
    problems = sorted({problem for opened in told for problem in opened.problems})
    if problems:
        return None, problems
    ordered = tuple(rule for rule, _ in rules)
    return Rulebook(version, _fingerprint(files), ordered, lexicon, card), []


def _read_matching(files: _Files, read: list[Source]) -> MatchModel | None:
    """Return the matching data of the folder if it brings its own, else what ships."""
    own = all((files.folder / name).is_file() for name in MATCHING_FILES)
    try:
        return load_model(files.folder) if own else load_model()
    except RulebookError as error:
        problems = []
        for text in str(error).splitlines():
            found = _LOCATED.match(text)
            where = (found["file"], int(found["line"]), found["message"]) if found else ("matching", 1, text)
            problems.append(Problem(*where))
        read.append(Source("matching", problems=problems))
        return None


def _read_rules(source: Source, scope: Scope, card: Scorecard) -> list[Rule]:
    fields = source.top()
    check_schema(fields)
    rules = [_rule(entry, scope, card) for entry in fields.tables("rule", needed=bool(source.data))]
    fields.used |= {"schema", "rule"}
    fields.finish()
    return rules


def _rule(entry: Fields, scope: Scope, card: Scorecard) -> Rule:
    rule_id = entry.text("id")
    if rule_id and not _RULE_ID.match(rule_id):
        entry.complain(
            "id", f"id {rule_id!r}: expected lower-case words joined by a dot, like 'inbound.closing_thanks'"
        )
    table = entry.table("thresholds")
    thresholds = {name: table.number(name) for name in table.data}
    each, due = _due(entry, scope, thresholds)
    inner = Scope(scope.lexicon, MappingProxyType(thresholds), scope.calendar, each is not None)
    if not entry.has("require"):
        entry.complain(None, f"rule {rule_id!r} has no [rule.require]; expected the condition that must hold")
        require: Condition = Always()
    else:
        require = condition(entry.table("require"), inner)
    direction = entry.choice("direction", DIRECTIONS)
    group = entry.text("group")
    if group and group not in card.groups:
        entry.complain("group", f"group {group!r} is unknown; expected one of: {listed(card.groups)}")
    severity = entry.choice("severity", SEVERITIES)
    start, end = entry.day("effective_from"), entry.day("effective_to")
    if start and end and end < start:
        entry.complain("effective_to", f"effective_to {end} is before effective_from {start}")
    rule = Rule(
        id=rule_id,
        clause=entry.text("clause"),
        clause_text=entry.text("clause_text"),
        name_zh=entry.text("name_zh"),
        direction="both" if direction == "both" else "inbound" if direction == "inbound" else "outbound",
        group=group,
        weight=entry.number("weight", low=0.0, high=1000.0),
        severity="fatal" if severity == "fatal" else "major" if severity == "major" else "minor",
        due=due,
        require=require,
        each=each,
        reading=entry.text("reading", ""),
        not_due_zh=entry.text("not_due_zh", ""),
        thresholds=MappingProxyType(thresholds),
        examples=_examples(entry),
        effective_from=start,
        effective_to=end,
        file=entry.source.file,
        line=entry.source.line(entry.path),
    )
    entry.finish()
    return rule


def _due(entry: Fields, scope: Scope, thresholds: Mapping[str, float]) -> tuple[str | None, Condition]:
    if not entry.has("due"):
        return None, Always()
    due = entry.table("due")
    if due.has("each"):
        name = due.text("each")
        due.finish()
        if name not in scope.lexicon.moments:
            due.complain(
                "each", f"moment {name!r} is not defined; expected one of: {listed(scope.lexicon.moments)}"
            )
            return None, Always()
        return name, Always()
    return None, condition(due, Scope(scope.lexicon, MappingProxyType(dict(thresholds)), scope.calendar))


def _examples(entry: Fields) -> tuple[Example, ...]:
    table = entry.table("examples")
    found: list[Example] = []
    for expect in EXPECTATIONS:
        for place, text in enumerate(table.texts(expect)):
            example = read_example(text, expect=expect)
            if isinstance(example, str):
                table.source.complain((*table.path, expect, place), f"example cannot be read: {example}")
            else:
                found.append(example)
    table.finish()
    return tuple(found)


def _check_ids(rules: Sequence[tuple[Rule, Source]], ids: Source | None, files: _Files) -> str:
    seen: dict[str, Rule] = {}
    for rule, source in rules:
        if rule.id in seen:
            other = seen[rule.id]
            message = f"rule id {rule.id!r} stands already at {other.file}:{other.line}; ids are unique"
            source.problems.append(Problem(rule.file, rule.line, message))
        seen[rule.id] = rule
    if ids is None:
        return ""
    fields = ids.top()
    check_schema(fields)
    version = fields.text("version")
    active, retired = fields.texts("active"), fields.texts("retired")
    fields.finish()
    for rule, source in rules:
        if rule.id in retired:
            message = f"rule id {rule.id!r} is retired and may not be used again; give the rule a new id"
            source.problems.append(Problem(rule.file, rule.line, message))
        elif rule.id not in active:
            message = f"rule id {rule.id!r} is not listed in rules/ids.toml; add it to 'active'"
            source.problems.append(Problem(rule.file, rule.line, message))
    for name in active:
        if name not in seen:
            ids.complain(
                ("active",), f"rule id {name!r} has no rule; move it to 'retired', ids are permanent"
            )
        if name in retired:
            ids.complain(("retired",), f"rule id {name!r} is both active and retired")
    return version


def _fingerprint(files: _Files) -> str:
    digest = hashlib.sha256()
    used = [*files.many("rules"), *files.many("phrases"), *map(files.one, (*SHARED_FILES, *MATCHING_FILES))]
    for path in used:
        if path.is_file():
            name = path.parent.name if path.parent.name in ("rules", "phrases") else ""
            digest.update(f"{name}/{path.name}\n".encode())
            digest.update(hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).digest())
    return digest.hexdigest()
