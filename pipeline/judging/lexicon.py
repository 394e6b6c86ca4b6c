"""The words rules speak with: phrase sets, word lists, moments, fillers, and limits of honesty.

Conventions
-----------
``lexicons/phrases/*.toml`` hold word lists and phrase sets, ``lexicons/moments.toml`` the moments a
rule can wait for, ``lexicons/judging.toml`` the limits below which a missing phrase is not proof.
Ids are shared by all rules. Loading never stops at the first problem.

Table of contents: `PhraseSet`, `MomentSource`, `MomentKind`, `FillerForm`, `Limits`, `Lexicon`,
`read_phrases`, `read_moments`, `read_limits`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from types import MappingProxyType
from typing import TypeVar

from pipeline.judging.acoustic import AcousticModel
from pipeline.judging.measures import InterruptionLimits
from pipeline.judging.phrases import Pattern, PatternError, compile_pattern
from pipeline.judging.tomlread import Fields, Source, listed
from pipeline.judging.transcript import MatchModel, load_model
from pipeline.judging.wordinglang import WordingError
from pipeline.judging.wordings import Wording, compile_wording
from pipeline.records import EVENT_KINDS, ROLES, Role

SCHEMA = 1
_ID = re.compile(r"^[a-z][a-z0-9_]*$")
_LIST = re.compile(r"\{list:([a-z0-9_]+)\}")
GUARDS = ("negated", "quoted")
NEAR_POLICIES = ("unsure", "ignore")
_T = TypeVar("_T")
FILLER_PLACES = ("anywhere", "clause_start", "alone", "repeated")


@dataclass(frozen=True, slots=True)
class PhraseSet:
    """Ways of saying one thing.

    Attributes
    ----------
    like : tuple of Wording
        Many short wordings, found by sound; looked for first.
    say : tuple of Pattern
        The standard's own sentences, found even when some syllables were misheard; looked for where
        no wording was found.
    unless : tuple of Wording
        Whatever overlaps one of these does not count.
    guard : tuple of {"negated", "quoted"}
        Hits that are denied, or put in somebody else's mouth, are dropped.
    near : {"unsure", "ignore"}
        What a near miss means: doubt, or nothing.
    own_number : bool
        The number in it is the agent's own, which the call record knows.
    """

    id: str
    name_zh: str
    like: tuple[Wording, ...] = ()
    say: tuple[Pattern, ...] = ()
    unless: tuple[Wording, ...] = ()
    guard: tuple[str, ...] = GUARDS
    near: str = "unsure"
    own_number: bool = False


@dataclass(frozen=True, slots=True)
class MomentSource:
    """One way in which a moment shows: words of a role in a context, or an acoustic event."""

    by: Role | None
    say: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    min_confidence: float = 0.0
    answering: tuple[str, ...] = ()
    not_answering: tuple[str, ...] = ()
    together_with: tuple[str, ...] = ()
    not_together_with: tuple[str, ...] = ()
    at_least: int = 1


@dataclass(frozen=True, slots=True)
class MomentKind:
    """A kind of moment (时刻) that rules wait for: a refusal, agitation, a transfer."""

    id: str
    name_zh: str
    sources: tuple[MomentSource, ...]
    merge_s: float = 0.0
    reported_as: str | None = None


@dataclass(frozen=True, slots=True)
class FillerForm:
    """A filler (口头禅) as transcripts write it, and where it is one."""

    text: str
    place: str


@dataclass(frozen=True, slots=True)
class Limits:
    """Below which quality of hearing something missing is not proven missing."""

    missing_min_confidence: float = 0.5
    role_min_confidence: float = 0.7
    settled_min_confidence: float = 0.0
    wording_accept: float = 0.6
    wording_reject: float = 0.3


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Everything rules share."""

    phrases: Mapping[str, PhraseSet] = field(default_factory=lambda: MappingProxyType({}))
    moments: Mapping[str, MomentKind] = field(default_factory=lambda: MappingProxyType({}))
    limits: Limits = Limits()
    interruption: InterruptionLimits = field(default_factory=InterruptionLimits)
    fillers: tuple[FillerForm, ...] = ()
    backchannels: tuple[str, ...] = ()
    matching: MatchModel | None = None
    acoustic: AcousticModel = field(default_factory=AcousticModel)


def check_schema(fields: Fields) -> None:
    """Complain unless the file says the schema this version reads."""
    found = fields.value("schema")
    if found != SCHEMA:
        fields.complain("schema", f"schema is {found!r}; this version reads schema = {SCHEMA}")


def _identifier(fields: Fields, taken: Mapping[str, object], what: str) -> str:
    name = fields.text("id")
    if name and not _ID.match(name):
        fields.complain(
            "id", f"id {name!r}: expected lower-case letters, digits and _ such as 'thanks_for_call'"
        )
    if name in taken:
        fields.complain("id", f"{what} {name!r} is defined twice; every id must be unique")
    return name


def read_phrases(sources: Iterable[Source], model: MatchModel | None = None) -> dict[str, PhraseSet]:
    """Phrase sets of all files; lists may be used from any file.

    Parameters
    ----------
    sources : iterable of Source
    model : MatchModel or None
        What the phrases are matched by; None is what ships.
    """
    loaded = list(sources)
    used = model or load_model()

    def phrase(written: str) -> Pattern:
        return compile_pattern(written, used)

    def wording(written: str) -> Wording:
        return compile_wording(written, used.sounds)

    def exception(written: str) -> Wording:
        made = wording(written)  # what excuses a hit must be as sure as the hit
        return exact(written) if made.weak else made

    def exact(written: str) -> Wording:
        return compile_wording(written, used.sounds, by_sound=False)

    lists: dict[str, tuple[str, ...]] = {}
    for source in loaded:
        fields = source.top()
        check_schema(fields)
        table = fields.table("lists")
        for name in table.data:
            lists[name] = table.texts(name, needed=True)
    sets: dict[str, PhraseSet] = {}
    for source in loaded:
        fields = source.top()
        for entry in fields.tables("phrases"):
            name = _identifier(entry, sets, "phrase set")
            sets[name] = PhraseSet(
                id=name,
                name_zh=entry.text("name_zh"),
                like=tuple(
                    _compiled(
                        entry, "like", lists, wording if entry.flag("by_sound", default=True) else exact
                    )
                ),
                say=_joined(tuple(_compiled(entry, "say", lists, phrase)), phrase),
                unless=(
                    *_compiled(entry, "unless", lists, exception),
                    *_compiled(entry, "unless_written", lists, exact),
                ),
                guard=_guard(entry),
                near=entry.choice("near", NEAR_POLICIES, "unsure"),
                own_number=entry.flag("own_number"),
            )
            entry.text("note", "")
            entry.text("source", "")
            if not (entry.has("like") or entry.has("say")):
                entry.complain(
                    "id", f"phrase set {name!r} says nothing; expected like = [...] or say = [...]"
                )
            entry.finish()
        fields.used |= {"schema", "lists", "phrases"}
        fields.finish()
    return sets


def _joined(patterns: tuple[Pattern, ...], build: Callable[[str], Pattern]) -> tuple[Pattern, ...]:
    """One pattern of many, where they fit into one: a call is then searched once, not many times."""
    try:
        return (build("|".join(pattern.source for pattern in patterns)),) if len(patterns) > 1 else patterns
    except PatternError:
        return patterns


def _guard(entry: Fields) -> tuple[str, ...]:
    if not entry.has("guard"):
        return GUARDS
    chosen = entry.texts("guard")
    for name in chosen:
        if name not in GUARDS:
            entry.complain("guard", f"guard {name!r} is unknown; expected any of: {listed(GUARDS)}")
    return chosen


def _compiled(
    entry: Fields, key: str, lists: Mapping[str, tuple[str, ...]], build: Callable[[str], _T]
) -> Iterable[_T]:
    for place, written in enumerate(entry.texts(key)):
        path = (*entry.path, key, place)
        unknown = [name for name in _LIST.findall(written) if name not in lists]
        if unknown:
            known = listed(lists) or "none"
            entry.source.complain(path, f"list {unknown[0]!r} is not defined; defined are: {known}")
            continue
        expanded = _LIST.sub(lambda found: "(" + "|".join(lists[found[1]]) + ")", written)
        try:
            yield build(expanded)
        except (PatternError, WordingError) as error:
            entry.source.complain(path, f"phrase cannot be read: {error}")
        except RecursionError:
            entry.source.complain(path, "phrase cannot be read: nested too deeply; split it")


def read_moments(source: Source, phrases: Mapping[str, PhraseSet]) -> dict[str, MomentKind]:
    """Moments of ``moments.toml``."""
    fields = source.top()
    check_schema(fields)
    kinds: dict[str, MomentKind] = {}
    for entry in fields.tables("moment"):
        name = _identifier(entry, kinds, "moment")
        ways = [_moment_source(way, phrases) for way in entry.tables("when", needed=True)]
        reported = entry.text("event", "")
        if reported and not _ID.match(reported):
            entry.complain("event", f"event {reported!r}: expected lower-case letters, digits and _")
        kinds[name] = MomentKind(
            id=name,
            name_zh=entry.text("name_zh"),
            sources=tuple(ways),
            merge_s=entry.number("merge_s", 0.0, low=0.0),
            reported_as=reported or None,
        )
        entry.text("note", "")
        entry.finish()
    fields.used |= {"schema", "moment"}
    fields.finish()
    return kinds


def known_sets(
    fields: Fields, key: str, phrases: Mapping[str, PhraseSet], *, needed: bool = False
) -> tuple[str, ...]:
    """Names of phrase sets; unknown ones are problems."""
    names = fields.texts(key, needed=needed)
    for name in names:
        if name not in phrases:
            alike = get_close_matches(name, phrases, n=3) or sorted(phrases)
            fields.complain(key, f"phrase set {name!r} is not defined; expected one of: {', '.join(alike)}")
    return tuple(name for name in names if name in phrases)


def _moment_source(way: Fields, phrases: Mapping[str, PhraseSet]) -> MomentSource:
    events = way.texts("events")
    for kind in events:
        if kind not in EVENT_KINDS:
            way.complain("events", f"event {kind!r} is unknown; expected one of: {listed(EVENT_KINDS)}")
    by = way.choice("by", (*ROLES, "either"), "customer")
    role: Role | None = "agent" if by == "agent" else "customer" if by == "customer" else None
    made = MomentSource(
        by=role,
        say=known_sets(way, "say", phrases, needed=not events),
        events=events,
        min_confidence=way.number("min_confidence", 0.0, low=0.0, high=1.0),
        answering=known_sets(way, "answering", phrases),
        not_answering=known_sets(way, "not_answering", phrases),
        together_with=known_sets(way, "together_with", phrases),
        not_together_with=known_sets(way, "not_together_with", phrases),
        at_least=int(way.number("at_least", 1, low=1)),
    )
    way.finish()
    return made


def read_limits(source: Source) -> tuple[Limits, InterruptionLimits, tuple[FillerForm, ...], tuple[str, ...]]:
    """Limits, interruption limits, fillers and backchannels of ``judging.toml``."""
    fields = source.top()
    check_schema(fields)
    quality = fields.table("quality")
    like = fields.table("wordings")
    limits = Limits(
        missing_min_confidence=quality.number("missing_min_confidence", low=0.0, high=1.0),
        role_min_confidence=quality.number("role_min_confidence", low=0.0, high=1.0),
        settled_min_confidence=quality.number("settled_min_confidence", low=0.0, high=1.0),
        wording_accept=like.number("accept", low=0.0, high=1.0),
        wording_reject=like.number("reject", low=0.0, high=1.0),
    )
    like.finish()
    if limits.wording_reject > limits.wording_accept:
        like.complain("reject", f"reject {limits.wording_reject:g} is above accept {limits.wording_accept:g}")
    quality.finish()
    cut = fields.table("interruption")
    interruption = InterruptionLimits(
        overlap_s=cut.number("overlap_s", low=0.0),
        held_s=cut.number("held_s", low=0.0),
        min_chars=int(cut.number("min_chars", low=1)),
    )
    cut.finish()
    fillers: list[FillerForm] = []
    for entry in fields.tables("filler"):
        fillers.append(FillerForm(entry.text("text"), entry.choice("place", FILLER_PLACES)))
        entry.text("note", "")
        entry.finish()
    words = fields.texts("backchannels", needed=True)
    fields.text("version", "")
    fields.used |= {"schema", "quality", "wordings", "interruption", "filler"}
    fields.finish()
    return limits, interruption, tuple(fillers), words
