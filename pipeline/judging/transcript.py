"""One call, indexed once so that hundreds of phrases can be looked up in it.

All turns of a role are laid end to end into one string, the *stream*, with a line break where no
phrase may run on. A second string holds the coarse sound class of every character that is not a
particle; the positions of its neighbouring pairs are what a search starts from.

Table of contents: `Transcript`, `MatchModel`, `load_model`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from operator import add
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.judging.calibration import Confidence, MatchLimits, load_confidence, load_limits
from pipeline.judging.lexfile import LexiconFile, lexicon_folder
from pipeline.judging.negation import Guards, load_guards
from pipeline.judging.patterns import Element, bare, read_aloud
from pipeline.judging.phonetics import UNIT, Sounds, load_sounds
from pipeline.judging.timing import character_times
from pipeline.records import ROLES, Turn

if TYPE_CHECKING:
    from pipeline.judging.matching import Alignment


BREAK = "\n"
"""Ends a stretch of speech; no phrase runs over it."""


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """Numbers of ``lexicons/matching.toml`` that steer the search; costs in hundredths."""

    max_distance: float
    short_len: int
    short_max_distance: float
    max_expansions: int
    group_gap: int
    pause_s: float
    gap_s: float
    backchannel_chars: int
    backchannels: frozenset[str]
    digit_cost: int
    digit_share: float
    name_chars: int
    company_chars: int
    company_endings: tuple[str, ...]
    other_name_cost: int
    other_company_cost: int
    name_distance: float
    company_distance: float
    name_suffixes: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class MatchModel:
    """All data that matching depends on; from one lexicon folder. Equal only to itself."""

    sounds: Sounds
    search: SearchSettings
    guards: Guards
    confidence: Confidence
    limits: MatchLimits


_MODELS: dict[str, MatchModel] = {}
_MODEL_FILES = ("confusions.toml", "heteronyms.csv", "matching.toml", "negation.toml")


def load_model(folder: Path | None = None) -> MatchModel:
    """Everything matching needs from a lexicon folder; the shipped one when ``None``.

    Folders with the same files share one model, so that two rulebooks can be compared by it.

    Raises
    ------
    RulebookError
        With the problems of the first lexicon file that has any, file and line each.
    """
    folder = folder or lexicon_folder()
    digest = sha256()
    for name in _MODEL_FILES:
        path = folder / name
        digest.update(path.read_bytes() if path.is_file() else b"")
        digest.update(b"\0")
    key = digest.hexdigest()
    if key not in _MODELS:
        _MODELS[key] = _read_model(folder)
    return _MODELS[key]


def _read_model(folder: Path) -> MatchModel:
    file = LexiconFile(folder / "matching.toml")
    search = SearchSettings(
        max_distance=file.number(("search", "max_distance"), 0, 1),
        short_len=int(file.number(("search", "short_len"), 0, 10)),
        short_max_distance=file.number(("search", "short_max_distance"), 0, 1),
        max_expansions=int(file.number(("search", "max_expansions"), 1, 5000)),
        group_gap=int(file.number(("search", "group_gap"), 0, 60)),
        pause_s=file.number(("turns", "pause_s"), 0, 60),
        gap_s=file.number(("turns", "gap_s"), 0, 60),
        backchannel_chars=int(file.number(("turns", "backchannel_chars"), 0, 20)),
        backchannels=frozenset(file.texts(("turns", "backchannels"))),
        digit_cost=round(UNIT * file.number(("slots", "digit_by_sound_cost"), 0, 1)),
        digit_share=file.number(("slots", "digit_by_sound_share"), 0, 1),
        name_chars=int(file.number(("slots", "name_chars"), 1, 10)),
        company_chars=int(file.number(("slots", "company_chars"), 2, 30)),
        company_endings=file.texts(("slots", "company_endings")),
        other_name_cost=round(UNIT * file.number(("slots", "other_name_cost"), 0, 5)),
        other_company_cost=round(UNIT * file.number(("slots", "other_company_cost"), 0, 5)),
        name_distance=file.number(("slots", "name_distance"), 0, 1),
        company_distance=file.number(("slots", "company_distance"), 0, 1),
        name_suffixes=file.texts(("slots", "name_suffixes")),
    )
    confidence = load_confidence(file)
    limits = load_limits(file)
    file.finish()
    return MatchModel(load_sounds(folder), search, load_guards(folder), confidence, limits)


@dataclass(slots=True)
class Transcript:
    """The turns of one call, indexed by sound.

    Attributes
    ----------
    turns : tuple of Turn
        As given.
    texts : tuple of str
        Spoken form of each turn without punctuation: digits read aloud, Latin letters in lower case.
    agent_name, company : str or None
        From the call record; what ``{name}`` and ``{company}`` stand for.
    model : MatchModel

    Notes
    -----
    Build it with `Transcript.of`. The other attributes are the index and belong to the search.
    """

    turns: tuple[Turn, ...]
    texts: tuple[str, ...]
    agent_name: str | None
    company: str | None
    model: MatchModel
    name_said: str = ""
    company_said: str = ""
    stream: str = ""
    starts: list[int] = field(default_factory=list)
    order: list[int] = field(default_factory=list)
    turn_starts: frozenset[int] = frozenset()
    coarse: str = ""
    coarse_at: list[int] = field(default_factory=list)
    halves: str = ""
    pairs: dict[str, list[int]] = field(default_factory=dict)
    _spoken: tuple[str, ...] = ()
    _singles: dict[str, list[int]] | None = None
    _times: dict[int, tuple[list[tuple[float, float]], list[float]]] = field(default_factory=dict)
    _stops: dict[int, list[int]] = field(default_factory=dict)
    _where: dict[int, list[int]] = field(default_factory=dict)
    slots: dict[tuple[Element, int], tuple[tuple[int, int], ...]] = field(default_factory=dict)
    names: dict[str, Mapping[int, tuple[tuple[int, int], ...]]] = field(default_factory=dict)
    endings: list[int] | None = None
    short: dict[str, list[Alignment]] = field(default_factory=dict)
    time_spans: dict[int, tuple[int, float]] | None = None

    @classmethod
    def of(
        cls,
        turns: Sequence[Turn],
        *,
        agent_name: str | None = None,
        company: str | None = None,
        model: MatchModel | None = None,
    ) -> Transcript:
        """Index the turns of one call.

        Parameters
        ----------
        turns : sequence of Turn
            Sorted by ``start_s``; may overlap.
        agent_name, company : str, optional
            From the call record.
        model : MatchModel, optional
            Lexicons to match by; the shipped ones when left out.

        Examples
        --------
        >>> Transcript.of([Turn("agent", 0.0, 2.0, "您好，工号 1027。")]).texts
        ('您好工号一零二七',)
        """
        spoken = tuple(turn.spoken or read_aloud(turn.text) for turn in turns)
        texts = tuple(bare(text) for text in spoken)
        made = cls(tuple(turns), texts, agent_name or None, company or None, model or load_model())
        made._spoken = spoken
        made.name_said = bare(agent_name or "")
        made.company_said = bare(read_aloud(company or ""))
        made._lay_out()
        made._index()
        return made

    def _lay_out(self) -> None:
        pieces: list[str] = []
        at = 0
        for role in ROLES:
            previous = -1
            for index, turn in enumerate(self.turns):
                if turn.role != role:
                    continue
                if previous >= 0 and not self._runs_on(previous, index):
                    pieces.append(BREAK)
                    at += 1
                self.starts.append(at)
                self.order.append(index)
                pieces.append(self.texts[index])
                at += len(self.texts[index])
                previous = index
            pieces.append(BREAK)
            at += 1
        self.stream = "".join(pieces)
        self.turn_starts = frozenset(self.starts)

    def _runs_on(self, first: int, second: int) -> bool:
        """Whether a phrase may run from one turn of a speaker into the next one."""
        search = self.model.search
        pause_s = self.turns[second].start_s - self.turns[first].end_s
        if second == first + 1:
            return pause_s <= search.pause_s
        if pause_s > search.gap_s:
            return False
        between = self.texts[first + 1 : second]
        return all(len(text) <= search.backchannel_chars and text in search.backchannels for text in between)

    def _index(self) -> None:
        sounds = self.model.sounds
        light = sounds.light
        stream = self.stream
        at = [place for place, char in enumerate(stream) if char not in light]
        heavy = "".join([stream[place] for place in at])
        coarse = heavy.translate(sounds.coarse_table)
        self.halves = coarse.translate(sounds.halves_table)
        pairs: dict[str, list[int]] = defaultdict(list)
        for place, pair in enumerate(map(add, coarse, coarse[1:])):
            pairs[pair].append(place)
        heteronyms = sounds.heteronyms
        for place in [place for place, char in enumerate(heavy) if char in heteronyms]:
            for other in sounds.coarse(heavy[place])[1:]:
                if place:
                    pairs[coarse[place - 1] + other].append(place - 1)
                if place + 1 < len(coarse):
                    pairs[other + coarse[place + 1]].append(place)
        self.coarse, self.coarse_at, self.pairs = coarse, at, pairs

    @property
    def singles(self) -> dict[str, list[int]]:
        """Positions in `coarse` of every coarse class."""
        if self._singles is None:
            self._singles = defaultdict(list)
            for place, code in enumerate(self.coarse):
                self._singles[code].append(place)
        return self._singles

    def place(self, position: int) -> tuple[int, int]:
        """Turn and offset in its text of a position in the stream."""
        slot = bisect_right(self.starts, position) - 1
        # An empty turn begins where its successor does; the last one that begins here holds the character.
        turn = self.order[slot]
        return turn, position - self.starts[slot]

    def spoken(self, turn: int, start: int, end: int) -> str:
        """What was said from one character of ``texts[turn]`` to before another, with punctuation."""
        text = self._spoken[turn]
        if len(text) == len(self.texts[turn]):
            return text[start:end]
        known = self._where.get(turn)
        if known is None:
            known = self._where[turn] = [place for place, char in enumerate(text) if char.isalnum()]
        return text[known[start] : known[end - 1] + 1]

    def sentence(self, turn: int, offset: int) -> tuple[int, int]:
        """Begin and end, in ``texts[turn]``, of the sentence that a character stands in."""
        stops = self._stops.get(turn)
        if stops is None:
            guards = self.model.guards
            stops, at = [0], 0
            for piece in guards.stops.split(self._spoken[turn]):
                at += len(bare(piece))
                stops.append(at)
            self._stops[turn] = stops
        place = bisect_right(stops, offset)
        return stops[place - 1], stops[place] if place < len(stops) else len(self.texts[turn])

    def begin_s(self, turn: int, offset: int) -> float:
        """When a character of ``texts[turn]`` begins, in seconds."""
        return self._timed(turn)[0][offset][0]

    def end_s(self, turn: int, offset: int) -> float:
        """When a character of ``texts[turn]`` ends, in seconds."""
        return self._timed(turn)[0][offset][1]

    def doubt(self, turn: int, start: int, end: int) -> float:
        """Mean doubt, 1 - probability, of the recogniser over some characters of ``texts[turn]``."""
        if not self.turns[turn].words:
            return 1.0 - min(1.0, max(0.0, self.turns[turn].confidence))
        return sum(self._timed(turn)[1][start:end]) / (end - start)

    def _timed(self, turn: int) -> tuple[list[tuple[float, float]], list[float]]:
        known = self._times.get(turn)
        if known is None:
            known = self._times[turn] = character_times(self.turns[turn], self.texts[turn])
        return known
