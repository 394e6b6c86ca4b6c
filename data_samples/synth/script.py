"""Dialogue scripts (TOML) and their checks.

Conventions
-----------
A script is one call. Digits are written as they are read aloud (一三八, never 138), so the
text that is spoken, counted and stored as truth is one and the same. ``{呃}`` marks a filler
(口头禅), ``<0.8>`` a pause of 0.8 s. The whole format is described in ``data_samples/README.md``.

Table of contents: `ScriptError`; `Piece`, `Line`, `Script`; `parse_line`, `load_script`,
`load_folder`.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

PAUSE_S = {"，": 0.22, "、": 0.10, "；": 0.32, "：": 0.22, "。": 0.38, "！": 0.36, "？": 0.36, "…": 0.55}
SPEAKERS = {"A": "agent", "B": "agent", "C": "customer", "D": "customer"}
LAYOUTS = ("stereo", "mono")
CODECS = ("alaw.wav", "ulaw.wav", "pcm.wav", "flac", "mp3", "opus.ogg")
NOISES = ("none", "line", "babble", "music", "street")
VERDICTS = ("pass", "fail", "not_applicable", "uncertain")
FLAGS = ("paraphrase", "need", "agitated", "interruption")
NUMBERS = ("gap", "cut", "at", "rate", "pitch", "gain")
CDR_COLUMNS = (
    "call_id",
    "direction",
    "started_at",
    "ring_s",
    "agent_id",
    "agent_name",
    "company",
    "agent_channel",
    "business",
    "hangup_by",
    "agent_hangup_delay_s",
    "transferred_to",
    "tag",
    "escalated_after_min",
    "disposition",
    "disposition_after_min",
    "do_not_call_since",
    "sms_followup",
    "harassment_complaint_after_min",
    "customer_ref",
)

_LINE = re.compile(r"^([A-D])(?:\[([^\]]*)\])?:\s*(.+)$")
_TOKEN = re.compile(r"\{([^{}]+)\}|<(\d+(?:\.\d+)?)>|([，、；：。！？…]+)|([^，、；：。！？…{}<>]+)")
_SPEAKABLE = re.compile(r"[\u4e00-\u9fff]+")


class ScriptError(ValueError):
    """A script cannot be used; the message lists everything that is wrong with it."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch that is spoken in one go, then a pause.

    Attributes
    ----------
    text : str
        Han characters only.
    mark : str
        The punctuation that follows in the written text.
    pause_s : float
        Silence after it, at normal speed.
    filler : bool
    """

    text: str
    mark: str
    pause_s: float
    filler: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """One turn of the script, not yet placed in time."""

    speaker: str
    pieces: tuple[Piece, ...]
    options: dict[str, float] = field(default_factory=dict)
    flags: frozenset[str] = frozenset()

    @property
    def role(self) -> str:
        """``agent`` or ``customer``."""
        return SPEAKERS[self.speaker]

    @property
    def text(self) -> str:
        """What a careful listener would write down, fillers and punctuation included."""
        return "".join(piece.text + piece.mark for piece in self.pieces)


@dataclass(frozen=True, slots=True)
class Script:
    """One call: call record, sound, voices, lines and the verdicts that a person expects."""

    call_id: str
    note: str
    cdr: dict[str, Any]
    audio: dict[str, Any]
    voices: dict[str, str]
    lines: tuple[Line, ...]
    expect: dict[str, dict[str, str]]


def parse_line(source: str) -> Line:
    """Read one line ``A[gap=0.5 paraphrase]: text``.

    Examples
    --------
    >>> line = parse_line("A[gap=0.5]: 您好，{呃}请稍等。")
    >>> line.role, line.text, line.options
    ('agent', '您好，呃请稍等。', {'gap': 0.5})
    >>> [piece.text for piece in line.pieces if piece.filler]
    ['呃']
    """
    match = _LINE.match(source)
    if match is None:
        raise ScriptError(f"not a line of the form 'A: text': {source[:30]!r}")
    speaker, raw_options, text = match.groups()
    options: dict[str, float] = {}
    flags: set[str] = set()
    for item in (raw_options or "").split():
        name, _, value = item.partition("=")
        if value and name in NUMBERS:
            options[name] = float(value)
        elif not value and name in FLAGS:
            flags.add(name)
        else:
            raise ScriptError(f"unknown option {item!r}; expected one of {NUMBERS + FLAGS}")
    return Line(speaker, _pieces(text), options, frozenset(flags))


def _pieces(text: str) -> tuple[Piece, ...]:
    pieces: list[Piece] = []
    position = 0
    for match in _TOKEN.finditer(text):
        if match.start() != position:
            raise ScriptError(f"cannot read {text[position : match.start()]!r}")
        position = match.end()
        filler, pause, mark, plain = match.groups()
        if filler is not None or plain is not None:
            spoken = (filler or plain or "").strip()
            if not _SPEAKABLE.fullmatch(spoken):
                raise ScriptError(f"only Han characters can be spoken, found {spoken!r}")
            pieces.append(Piece(spoken, "", 0.12 if filler else 0.0, filler is not None))
            continue
        if not pieces:
            raise ScriptError("a line must begin with words")
        last = pieces[-1]
        if pause is not None:
            pieces[-1] = Piece(last.text, last.mark, float(pause), last.filler)
        else:
            pieces[-1] = Piece(last.text, last.mark + mark, max(PAUSE_S[m] for m in mark), last.filler)
    if position != len(text):
        raise ScriptError(f"cannot read {text[position:]!r}")
    return tuple(pieces)


def load_script(path: Path, *, defaults: dict[str, dict[str, str]] | None = None) -> Script:
    """Read and check one script; all problems come in one error.

    Parameters
    ----------
    path : Path
    defaults : dict, optional
        Per direction, the verdict that a rule has unless the script says otherwise.

    Raises
    ------
    ScriptError
    """
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    problems: list[str] = []
    cdr = dict(table.get("cdr", {}))
    call_id = str(cdr.get("call_id", path.stem))
    cdr["call_id"] = call_id
    audio = {"layout": "stereo", "codec": "alaw.wav", "noise": "line", "noise_db": -50.0, "seed": 0}
    audio |= table.get("audio", {})
    voices = dict(table.get("voices", {}))
    lines: list[Line] = []
    for source in table.get("dialogue", "").splitlines():
        if not source.strip() or source.lstrip().startswith("#"):
            continue
        try:
            lines.append(parse_line(source.strip()))
        except (ScriptError, ValueError) as error:
            problems.append(f"{error}")
    problems += _record_problems(cdr)
    for name, allowed in (("layout", LAYOUTS), ("codec", CODECS), ("noise", NOISES)):
        if audio[name] not in allowed:
            problems.append(f"audio.{name} is {audio[name]!r}; expected one of {allowed}")
    problems += [f"no voice for speaker {who}" for who in sorted({x.speaker for x in lines} - set(voices))]
    if not lines:
        problems.append("no dialogue")
    expect = _expectations(table.get("expect", {}), (defaults or {}).get(str(cdr.get("direction")), {}))
    for rule, given in expect.items():
        if given["verdict"] not in VERDICTS:
            problems.append(f"expect.{rule}: verdict {given['verdict']!r}; expected one of {VERDICTS}")
    if problems:
        raise ScriptError("\n".join(f"{path}: {problem}" for problem in problems))
    return Script(call_id, str(table.get("note", "")), cdr, audio, voices, tuple(lines), expect)


def _record_problems(cdr: dict[str, Any]) -> list[str]:
    problems = [
        f"cdr.{name} is no column of the call records" for name in sorted(set(cdr) - set(CDR_COLUMNS))
    ]
    if cdr.get("direction") not in ("inbound", "outbound"):
        problems.append(f"cdr.direction is {cdr.get('direction')!r}; expected inbound or outbound")
    try:
        if datetime.fromisoformat(str(cdr.get("started_at"))).utcoffset() is None:
            problems.append("cdr.started_at has no offset; expected ISO 8601 with +08:00")
    except ValueError:
        problems.append(f"cdr.started_at is {cdr.get('started_at')!r}; expected ISO 8601 with +08:00")
    return problems


def _expectations(given: dict[str, str], defaults: dict[str, str]) -> dict[str, dict[str, str]]:
    """Split ``"fail: why"``; rules that a script does not name take the default of the direction."""
    result = {}
    for rule, value in {**defaults, **given}.items():
        verdict, _, reason = value.partition(":")
        result[rule] = {"verdict": verdict.strip(), "reason": reason.strip()}
    return dict(sorted(result.items()))


def load_folder(folder: Path) -> list[Script]:
    """All scripts of a folder, sorted by name; ``defaults.toml`` there or beside ``synth/`` is no script.

    Raises
    ------
    ScriptError
        With the problems of all scripts.
    """
    shipped = Path(__file__).parent.parent / "scripts" / "defaults.toml"
    own = folder / "defaults.toml"
    defaults = tomllib.loads((own if own.exists() else shipped).read_text(encoding="utf-8"))
    scripts: list[Script] = []
    problems: list[str] = []
    for path in sorted(folder.glob("*.toml")):
        if path.name == "defaults.toml":
            continue
        try:
            scripts.append(load_script(path, defaults=defaults))
        except (ScriptError, tomllib.TOMLDecodeError) as error:
            problems.append(str(error) if isinstance(error, ScriptError) else f"{path}: {error}")
    seen: set[str] = set()
    for script in scripts:
        if script.call_id in seen:
            problems.append(f"{folder}: call_id {script.call_id!r} twice")
        seen.add(script.call_id)
    if not scripts and not problems:
        problems.append(f"{folder}: no *.toml scripts here")
    if problems:
        raise ScriptError("\n".join(problems))
    return scripts
