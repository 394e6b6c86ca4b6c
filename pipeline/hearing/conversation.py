"""The limits by which hearing cuts a call into turns and events (``lexicons/conversation.toml``).

Conventions
-----------
Times in seconds, levels in decibels. The file must name every value: nothing is defaulted
silently, and all problems are reported at once with file and line.

Table of contents: `TurnLimits`, `InterruptionLimits`, `Backchannels`, `LineLimits`,
`HoldLimits`, `AnnouncementCues`, `AgitationLimits`, `Conversation`; `load_conversation`.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from pipeline.errors import RulebookError

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class TurnLimits:
    """When a speaker's words belong to one turn."""

    pause_s: float
    floor_s: float
    answer_s: float
    reach_s: float


@dataclass(frozen=True, slots=True)
class InterruptionLimits:
    """What makes cutting in an interruption (抢话)."""

    held_s: float
    overlap_s: float
    kept_s: float


@dataclass(frozen=True, slots=True)
class Backchannels:
    """附和: short words that leave the floor to the other side."""

    max_s: float
    words: frozenset[str]


@dataclass(frozen=True, slots=True)
class LineLimits:
    """Clipping and noise."""

    clip_level: float
    clip_run: int
    noise_above_db: float
    noise_min_s: float
    noise_below_speech_db: float


@dataclass(frozen=True, slots=True)
class HoldLimits:
    """What makes a sound one of these; see `pipeline.hearing.hold`.

    Attributes
    ----------
    tone_hz, tone_within_hz : float
        Frequency of signalling tones and how far they may be off.
    tone_purity : float
        Share of the energy that must stand there.
    ring_on_s, ring_off_s, busy_on_s, within : float
        Cadences, and the share by which they may be off.
    modulation_most, low_share_most, peakiness_least : float
        Sustained and in peaks: music.
    tonal_share : float
        Share of the energy in peaks that stay, over 2 s, from which a sound is music whatever its rhythm.
    least_s : float
        Music is at least this long.
    """

    tone_hz: float
    tone_within_hz: float
    tone_purity: float
    ring_on_s: float
    ring_off_s: float
    busy_on_s: float
    within: float
    modulation_most: float
    low_share_most: float
    peakiness_least: float
    tonal_share: float
    least_s: float


@dataclass(frozen=True, slots=True)
class AnnouncementCues:
    """What recorded announcements say (语音播报), compared by sound; see `pipeline.hearing.announcements`.

    Attributes
    ----------
    within_s : float
        Announcements begin this soon in a recording.
    line_pause_s : float
        A pause at which one thing said ends and another begins.
    reply_s : float
        Speech of another voice this long is a conversation: no announcement follows.
    sure : frozenset of str
        Said by machines only.
    with_greeting : frozenset of str
        Said by machines and by agents: an announcement only when somebody greets after it.
    greeting : frozenset of str
        How a person then begins.
    """

    within_s: float
    line_pause_s: float
    reply_s: float
    sure: frozenset[str]
    with_greeting: frozenset[str]
    greeting: frozenset[str]


@dataclass(frozen=True, slots=True)
class AgitationLimits:
    """When a turn stands out of the speaker's own calm ones."""

    threshold: float
    min_turn_s: float
    min_turns: int
    min_rise_db: float
    min_rise_semitones: float


@dataclass(frozen=True, slots=True)
class Conversation:
    """All limits of one file; ``digest`` is the sha256 of its text."""

    version: str
    digest: str
    turns: TurnLimits
    interruption: InterruptionLimits
    dead_air_min_s: float
    backchannel: Backchannels
    line: LineLimits
    hold: HoldLimits
    announcement: AnnouncementCues
    agitation: AgitationLimits


def _line_of(source: str, section: str, key: str | None = None) -> int:
    """Line of a section, or of a key within it; the section's when the key is absent."""
    here, found = "", 0
    for number, line in enumerate(source.splitlines(), start=1):
        header = re.match(r"\s*\[([^\]]+)\]", line)
        if header:
            here = header.group(1).strip()
            if here == section:
                found = number
        elif key is not None and here == section and re.match(rf"\s*{re.escape(key)}\s*=", line):
            return number
    return found or 1


class _Reader:
    """Takes sections out of a parsed file and collects what is wrong with them."""

    def __init__(self, source: str, name: str) -> None:
        self.source, self.name = source, name
        self.problems: list[str] = []
        try:
            self.data: dict[str, Any] = tomllib.loads(source)
        except tomllib.TOMLDecodeError as error:
            raise RulebookError(f"{name}: not valid TOML: {error}; correct the file") from None

    def complain(self, section: str, key: str | None, message: str) -> None:
        self.problems.append(f"{self.name}:{_line_of(self.source, section, key)}: {message}")

    def section(self, section: str, wanted: Mapping[str, type]) -> dict[str, Any]:
        """Values of one section, each of the wanted type and not negative."""
        table = self.data.get(section)
        if not isinstance(table, dict):
            self.complain(section, None, f"section [{section}] is missing; it needs {', '.join(wanted)}")
            return {}
        for key in sorted(set(table) - set(wanted)):
            self.complain(section, key, f"'{key}' is unknown in [{section}]; known: {', '.join(wanted)}")
        values: dict[str, Any] = {}
        for key, kind in wanted.items():
            value = table.get(key)
            if kind is frozenset:
                if not isinstance(value, list) or not value or not all(isinstance(v, str) for v in value):
                    self.complain(section, key, f"'{key}' must be a list of one or more strings")
                else:
                    values[key] = frozenset(value)
            elif isinstance(value, bool) or not isinstance(value, int | float):
                self.complain(section, key, f"'{key}' must be a number; found {type(value).__name__}")
            elif value < 0 or (kind is int and not isinstance(value, int)):
                self.complain(section, key, f"'{key}' must be a {kind.__name__} >= 0; found {value}")
            else:
                values[key] = kind(value)
        return values


_KINDS: Mapping[str, type] = {"float": float, "int": int, "frozenset[str]": frozenset}


def _wanted(record: type) -> dict[str, type]:
    return {f.name: _KINDS[str(f.type)] for f in fields(record)}


def load_conversation(path: Path | None = None) -> Conversation:
    """Read the limits.

    Parameters
    ----------
    path : Path or None
        None = the file that ships.

    Raises
    ------
    RulebookError
        Listing every problem as ``file:line: message``.

    Examples
    --------
    >>> load_conversation().dead_air_min_s
    3.0
    """
    path = path or Path(__file__).resolve().parents[2] / "lexicons" / "conversation.toml"
    try:
        source = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise RulebookError(f"{path}: cannot be read ({error.strerror}); expected the turn limits") from error
    reader = _Reader(source, path.name)
    if reader.data.get("schema") != SCHEMA:
        found = reader.data.get("schema")
        reader.problems.append(f"{path.name}:1: schema {found!r} is not known; expected {SCHEMA}")
    version = reader.data.get("version")
    if not isinstance(version, str) or not version:
        reader.problems.append(f"{path.name}:1: version is missing; give the file a version string")
    known = {"schema", "version", "turns", "interruption", "dead_air", "backchannel", "line", "hold"}
    known |= {"announcement", "agitation"}
    for name in sorted(set(reader.data) - known):
        reader.complain(name, None, f"[{name}] is unknown; known: {', '.join(sorted(known))}")
    turns = reader.section("turns", _wanted(TurnLimits))
    interruption = reader.section("interruption", _wanted(InterruptionLimits))
    dead_air = reader.section("dead_air", {"min_s": float})
    backchannel = reader.section("backchannel", _wanted(Backchannels))
    line = reader.section("line", _wanted(LineLimits))
    hold = reader.section("hold", _wanted(HoldLimits))
    announcement = reader.section("announcement", _wanted(AnnouncementCues))
    agitation = reader.section("agitation", _wanted(AgitationLimits))
    if reader.problems:
        raise RulebookError("\n".join(reader.problems))
    return Conversation(
        version=str(version),
        digest=hashlib.sha256(source.encode()).hexdigest(),
        turns=TurnLimits(**turns),
        interruption=InterruptionLimits(**interruption),
        dead_air_min_s=dead_air["min_s"],
        backchannel=Backchannels(**backchannel),
        line=LineLimits(**line),
        hold=HoldLimits(**hold),
        announcement=AnnouncementCues(**announcement),
        agitation=AgitationLimits(**agitation),
    )
