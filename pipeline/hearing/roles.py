"""Which voice is the agent: from the call record, checked against what is said.

A voice is one channel or one diarized speaker. Cues are data
(``lexicons/role_cues.toml``): phrases with a log-odds for the side that says them, compared
by sound so that the recogniser's homophones count. The sum, damped because cues are
correlated, becomes the confidence.

Conventions
-----------
Log-odds are natural logarithms, positive for "agent". Confidence is in [0.5, 1).

Table of contents: `Cue`, `RoleCues`, `load_role_cues`; `Line`, `Voice`, `agent_log_odds`,
`RoleDecision`, `decide_roles`; `sounds`.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import math
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipeline.errors import InputError, RulebookError
from pipeline.records import ROLES, Direction, Role

SCHEMA = 1
Place = Literal["opening", "closing", "anywhere"]
_EDGE_LINES = 3


@dataclass(frozen=True, slots=True)
class Cue:
    """Phrases that speak for one side; see the header of ``lexicons/role_cues.toml``."""

    id: str
    speaker: Role
    weight: float
    phrases: tuple[str, ...]
    source: str
    most: int = 1
    place: Place = "anywhere"
    direction: Direction | None = None


@dataclass(frozen=True, slots=True)
class RoleCues:
    """All cues and the weights of what is not a phrase; ``digest`` is the sha256 of the file's text."""

    version: str
    digest: str
    cues: tuple[Cue, ...]
    claim_weight: float
    contradiction: float
    scale: float
    nin_weight: float
    nin_most: int
    first_inbound: float
    first_outbound: float
    names_weight: float


_NUMBERS = (
    "claim_weight", "contradiction", "scale", "nin_weight", "nin_most", "first_inbound", "first_outbound",
    "names_weight",
)  # fmt: skip
_CUE_KEYS = {"id", "speaker", "weight", "phrases", "source", "most", "place", "direction"}


def _one_of(
    entry: dict[str, Any], key: str, allowed: tuple[str, ...], complain: list[str], where: str
) -> None:
    if key in entry and entry[key] not in allowed:
        complain.append(f"{where}: {key} {entry[key]!r} is unknown; expected one of: {', '.join(allowed)}")


def _cue(entry: dict[str, Any], where: str, problems: list[str]) -> Cue | None:
    before = len(problems)
    problems.extend(f"{where}: '{key}' is unknown in a cue" for key in sorted(set(entry) - _CUE_KEYS))
    for key in ("id", "speaker", "weight", "phrases", "source"):
        if key not in entry:
            problems.append(f"{where}: '{key}' is missing in a cue")
    _one_of(entry, "speaker", ("agent", "customer"), problems, where)
    _one_of(entry, "place", ("opening", "closing", "anywhere"), problems, where)
    _one_of(entry, "direction", ("inbound", "outbound"), problems, where)
    phrases = entry.get("phrases")
    if not isinstance(phrases, list) or not phrases or not all(isinstance(p, str) and p for p in phrases):
        problems.append(f"{where}: phrases must be a list of one or more non-empty strings")
    weight = entry.get("weight")
    if isinstance(weight, bool) or not isinstance(weight, int | float) or weight <= 0:
        problems.append(f"{where}: weight must be a number above 0; found {weight!r}")
    most = entry.get("most", 1)
    if isinstance(most, bool) or not isinstance(most, int) or most < 1:
        problems.append(f"{where}: most must be a whole number from 1; found {most!r}")
    if len(problems) > before:
        return None
    return Cue(**{**entry, "phrases": tuple(entry["phrases"]), "weight": float(entry["weight"])})


def load_role_cues(path: Path | None = None) -> RoleCues:
    """Read the role cues.

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
    >>> load_role_cues().claim_weight
    4.0
    """
    path = path or Path(__file__).resolve().parents[2] / "lexicons" / "role_cues.toml"
    try:
        source = path.read_text(encoding="utf-8-sig")
        data = tomllib.loads(source)
    except OSError as error:
        raise RulebookError(f"{path}: cannot be read ({error.strerror}); expected the role cues") from error
    except tomllib.TOMLDecodeError as error:
        raise RulebookError(f"{path.name}: not valid TOML: {error}; correct the file") from None
    problems: list[str] = []
    if data.get("schema") != SCHEMA:
        problems.append(f"{path.name}:1: schema {data.get('schema')!r} is not known; expected {SCHEMA}")
    if not isinstance(data.get("version"), str):
        problems.append(f"{path.name}:1: version is missing; give the file a version string")
    for key in _NUMBERS:
        value = data.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            problems.append(f"{path.name}:1: {key} must be a number >= 0; found {value!r}")
    lines = [n for n, line in enumerate(source.splitlines(), start=1) if re.match(r"\s*\[\[cue\]\]", line)]
    entries = data.get("cue", [])
    cues = [_cue(entry, f"{path.name}:{line}", problems) for entry, line in zip(entries, lines, strict=False)]
    seen: set[str] = set()
    for cue, line in zip(cues, lines, strict=False):
        if cue is not None and cue.id in seen:
            problems.append(f"{path.name}:{line}: cue id {cue.id!r} stands twice; ids are unique")
        if cue is not None:
            seen.add(cue.id)
    if not entries:
        problems.append(f"{path.name}:1: no [[cue]] found; roles cannot be decided without any")
    if problems:
        raise RulebookError("\n".join(problems))
    return RoleCues(
        version=data["version"],
        digest=hashlib.sha256(source.encode()).hexdigest(),
        cues=tuple(cue for cue in cues if cue is not None),
        nin_most=int(data["nin_most"]),
        **{key: float(data[key]) for key in _NUMBERS if key != "nin_most"},
    )


@dataclass(frozen=True, slots=True)
class Line:
    """What one voice says in one go."""

    start_s: float
    end_s: float
    text: str


@dataclass(frozen=True, slots=True)
class Voice:
    """One channel or one diarized speaker: its lines, sorted by start."""

    lines: tuple[Line, ...]


_MERGED = (
    (re.compile(r"^(z|c|s)h"), r"\1"),
    (re.compile(r"^l(?!$)"), "n"),
    (re.compile(r"^r(?=e|u|a)"), "n"),
    (re.compile(r"^h(?=u)"), "f"),
    (re.compile(r"ng$"), "n"),
    (re.compile(r"^fu(?=[aeo])"), "f"),
)


@functools.lru_cache(maxsize=4096)
def sounds(text: str) -> str:
    """Toneless syllables of a text with sounds merged that a telephone and Whisper confuse.

    Returns
    -------
    str
        Syllables each preceded and the last followed by ``|``, so that containment compares
        whole syllables.

    Examples
    --------
    >>> sounds("工号") == sounds("公号"), sounds("四十") == sounds("市史")
    (True, True)
    """
    from pypinyin import lazy_pinyin

    syllables = []
    for spelled in lazy_pinyin(re.sub(r"[^\u4e00-\u9fff]", "", text)):
        syllable = spelled
        for pattern, replacement in _MERGED:
            syllable = pattern.sub(replacement, syllable)
        syllables.append(syllable)
    return "|" + "|".join(syllables) + "|" if syllables else "|"


def _count(cue: Cue, heard: Sequence[str]) -> int:
    lines = heard
    if cue.place == "opening":
        lines = heard[:_EDGE_LINES]
    elif cue.place == "closing":
        lines = heard[-_EDGE_LINES:]
    return sum(1 for line in lines if any(sounds(phrase) in line for phrase in cue.phrases))


def agent_log_odds(voice: Voice, *, direction: Direction, cues: RoleCues) -> float:
    """Log-odds from one voice's own phrases that it is the agent's.

    Examples
    --------
    >>> hello = Voice((Line(0.0, 3.0, "您好，请问有什么可以帮您？"),))
    >>> agent_log_odds(hello, direction="inbound", cues=load_role_cues()) > 3
    True
    """
    heard = [sounds(line.text) for line in voice.lines]
    total = 0.0
    for cue in cues.cues:
        if cue.direction in (None, direction):
            sign = 1.0 if cue.speaker == "agent" else -1.0
            total += sign * cue.weight * min(_count(cue, heard), cue.most)
    return total


_CORPORATE = re.compile(r"股份|有限|责任|公司|保险|人寿|财产|养老|健康|中国")


_ASKED_AFTER = re.compile(r"^(的|公司)*(吗|么|吧|不|嘛)")
_ASKED_BEFORE = re.compile(r"(?<![里我们边])是(不是)?$")


def _says_names(voice: Voice, names: Sequence[str]) -> bool:
    """Whether a voice names its own company or itself at the opening, and does not ask for it."""
    parts = {part for name in names for part in (name, _CORPORATE.sub("", name)) if len(part) >= 2}
    for line in voice.lines[:_EDGE_LINES]:
        han, heard = re.sub(r"[^\u4e00-\u9fff]", "", line.text), sounds(line.text)
        for part in parts:
            place = heard.find(sounds(part))
            if place < 0:
                continue
            at = heard[:place].count("|")
            before, after = han[:at], han[at + len(part) :]
            if not (_ASKED_BEFORE.search(before) or _ASKED_AFTER.search(after)):
                return True
    return False


def _nin(voice: Voice) -> int:
    return sum(line.text.count("您") for line in voice.lines)


def _first(voices: Sequence[Voice], direction: Direction, cues: RoleCues) -> list[float]:
    """Log-odds of each voice from who speaks first, and who first speaks at length."""
    odds = [0.0] * len(voices)
    long_s = 2.0
    starts: list[tuple[float, int]] = []
    for index, voice in enumerate(voices):
        lines = [x for x in voice.lines if direction == "inbound" or x.end_s - x.start_s >= long_s]
        if lines:
            starts.append((min(x.start_s for x in lines), index))
    if len(starts) > 1:
        odds[min(starts)[1]] = cues.first_inbound if direction == "inbound" else cues.first_outbound
    return odds


@dataclass(frozen=True, slots=True)
class RoleDecision:
    """Who is who.

    Attributes
    ----------
    roles : tuple of {"agent", "customer"}
        One for each voice.
    confidence : float
        In [0.5, 1).
    roles_from : {"call_record", "content"}
    contradicted : bool
        Whether what is said clearly contradicts the call record.
    log_odds : float
        The content's log-odds for this decision against the opposite one.
    """

    roles: tuple[Role, ...]
    confidence: float
    roles_from: Literal["call_record", "content"]
    contradicted: bool
    log_odds: float


def _sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x)) if x >= 0 else math.exp(x) / (1.0 + math.exp(x))


def decide_roles(
    voices: Sequence[Voice],
    *,
    direction: Direction,
    cues: RoleCues,
    claimed_agent: int | None = None,
    names: Sequence[str] = (),
) -> RoleDecision:
    """Decide which voice is the agent.

    Parameters
    ----------
    voices : sequence of Voice
        One to four. Of several voices at least one is an agent and one a customer; a third
        (after a transfer, an announcement) joins the side that its words fit, by default the agent's.
    claimed_agent : int or None
        Index of the voice that the call record says is the agent.
    names : sequence of str
        The company and the agent as the call record has them: who says them first is the agent.

    Raises
    ------
    InputError
        If there is no voice, or the claim is not among them.

    Examples
    --------
    >>> a = Voice((Line(0.0, 3.0, "您好，请问有什么可以帮您？"),))
    >>> b = Voice((Line(3.5, 6.0, "你好，我想查一下我的保单。"),))
    >>> decide_roles([b, a], direction="inbound", cues=load_role_cues()).roles
    ('customer', 'agent')
    """
    if not 1 <= len(voices) <= 4:
        raise InputError(f"expected 1 to 4 voices, found {len(voices)}")
    if claimed_agent is not None and not 0 <= claimed_agent < len(voices):
        raise InputError(f"agent voice {claimed_agent} is claimed, but there are only {len(voices)}")
    odds = [agent_log_odds(v, direction=direction, cues=cues) for v in voices]
    first = _first(voices, direction, cues)
    total_nin = sum(_nin(v) for v in voices)
    for index, voice in enumerate(voices):
        beyond = max(-cues.nin_most, min(cues.nin_most, 2 * _nin(voice) - total_nin))
        # Halved: the same difference speaks once for either side.
        odds[index] += first[index] + cues.nin_weight * beyond / 2.0
        odds[index] += cues.names_weight * _says_names(voice, names)
    best: tuple[float, tuple[Role, ...]] | None = None
    opposite: dict[tuple[Role, ...], float] = {}
    options: list[tuple[Role, ...]] = [
        option
        for option in itertools.product(ROLES, repeat=len(voices))
        if len(voices) == 1 or len(set(option)) == 2
    ]
    talk = [sum(x.end_s - x.start_s for x in v.lines) for v in voices]
    main = sorted(range(len(voices)), key=lambda i: -talk[i])[:2]
    for option in options:
        score = sum(o if role == "agent" else -o for o, role in zip(odds, option, strict=True)) / 2.0
        if len(voices) > 2:
            # The two who talk most are on different sides, unless words say otherwise;
            # the rest lean to the agent.
            score += 1.5 if option[main[0]] != option[main[1]] else 0.0
            score += sum(0.5 for i, role in enumerate(option) if i not in main and role == "agent")
        opposite[option] = score
        if best is None or score > best[0]:
            best = (score, option)
    if best is None:
        raise InputError("no way to give roles to these voices")
    content = best[1]
    swapped: tuple[Role, ...] = tuple("customer" if r == "agent" else "agent" for r in content)
    gap = best[0] - opposite[swapped]
    if claimed_agent is None or content[claimed_agent] == "agent":
        if claimed_agent is None:
            return RoleDecision(content, _sigmoid(cues.scale * gap), "content", False, gap)
        confidence = _sigmoid(cues.scale * gap + cues.claim_weight)
        return RoleDecision(content, confidence, "call_record", False, gap)
    if gap >= cues.contradiction:
        confidence = max(0.5, _sigmoid(cues.scale * gap - cues.claim_weight))
        return RoleDecision(content, confidence, "content", True, gap)
    allowed = {o: s for o, s in opposite.items() if o[claimed_agent] == "agent"}
    chosen = max(allowed, key=lambda o: (allowed[o], o))
    confidence = max(0.5, _sigmoid(cues.claim_weight - cues.scale * gap))
    return RoleDecision(chosen, confidence, "call_record", False, -gap)
