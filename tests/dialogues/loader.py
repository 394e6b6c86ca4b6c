"""Labelled dialogues: people following and breaking the service standard, as turns with times.

A file of ``dev/`` or ``heldout/`` is TOML: ``direction`` and a list of ``[[dialogue]]`` with

``script``
    One turn a line, ``坐：`` (agent) or ``客：`` (customer). In brackets after the role: ``[36s]`` how long
    the turn takes, ``[+5]`` extra silence before it, ``[-1.2]`` seconds by which it starts before the
    other has finished. ``{司} {名} {号}`` stand for the call record's company, agent name and 工号.
``pass``, ``fail``, ``na``, ``open``
    Rules (last part of the id) as a reader of the standard judges them; ``open`` = honestly ambiguous,
    not counted. What the clock and the call record decide comes from `tests.dialogues.reference`.
    A rule that is due only on an event (a refusal, a transfer, …) is ``not_applicable`` unless named.
``recommends``, ``refuses``, ``harassment``, ``asks_not_to_be_called``
    What happened, as the reader sees it; makes the rules that depend on it compulsory to label.
``rate``, ``agent_snr_db``
    The agent's characters a minute, otherwise drawn from the id; the speech-to-noise ratio that hearing
    found, otherwise the call is a transcript without audio.

Everything drawn is drawn from the dialogue's id, so a file always loads to the same calls.

Table of contents: `RULES`, `Dialogue`, `DialogueError`, `load`, `load_file`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any, Literal

from pipeline.records import CallRecord, Direction, Hearing, Role, Turn, VerdictKind
from tests.dialogues import reference

FOLDER = Path(__file__).parent
Part = Literal["dev", "heldout"]

INBOUND = (
    "answered_in_time",
    "late_answer_apology",
    "two_factor_verification",
    "paraphrase_cadence",
    "attentive_listening",
    "empathy",
    "handling_time",
    "further_needs",
    "transfer_explained",
    "callback_promised",
    "closing_thanks",
    "no_forced_hangup",
)
OUTBOUND = (
    "time_window",
    "do_not_disturb",
    "identity_disclosure",
    "vague_identity",
    "purpose_stated",
    "inducement",
    "recommendation_disclaimer",
    "recommendation_followup",
    "refusal_response",
    "no_repeat_pitch",
    "complaint_recorded",
    "record_completed",
)
LANGUAGE = ("greeting", "mandarin", "speech_rate", "fillers", "courtesy")
RULES = (
    *(f"inbound.{rule}" for rule in INBOUND),
    *(f"outbound.{rule}" for rule in OUTBOUND),
    *(f"language.{rule}" for rule in LANGUAGE),
    "environment.background_noise",
)
_BY_TAIL = {rule.split(".")[1]: rule for rule in RULES}

_ABSENCE = ("courtesy", "vague_identity", "inducement", "mandarin")  # pass unless somebody offends
_ON_EVENT = (
    "late_answer_apology",
    "two_factor_verification",
    "paraphrase_cadence",
    "empathy",
    "transfer_explained",
    "callback_promised",
    "recommendation_disclaimer",
    "refusal_response",
    "no_repeat_pitch",
)
_LINE = re.compile(r"^(坐|客)(?:\[(?:(\d+(?:\.\d+)?)s|([+-]\d+(?:\.\d+)?))\])?：(.+)$")
_CUSTOMER_CHARS_PER_S = 4.2
_AGENT_RATES = (134, 128, 141, 137, 131, 144, 125, 139, 136, 130, 182, 214, 247, 106)

_POOLS: Mapping[Part, Mapping[str, Sequence[str]]] = {
    "dev": {
        "company": (
            "恒信人寿",
            "华岳保险",
            "永康人寿",
            "东海财险",
            "长宁人寿",
            "金桥保险",
            "北辰人寿",
            "安和健康险",
        ),
        "name": (
            "李雪",
            "王芳",
            "陈志强",
            "刘倩",
            "赵明",
            "孙丽娜",
            "周涛",
            "吴静怡",
            "郑凯",
            "何晓燕",
            "高峰",
            "马婷",
        ),
        "id": ("1027", "3306", "8815", "2094", "5570", "6218", "4403", "7739", "0962", "1158"),
    },
    "heldout": {
        "company": (
            "沧海人寿",
            "鼎诚保险",
            "南粤人寿",
            "云杉健康保险",
            "泰和财产保险",
            "天府人寿",
            "中原养老保险",
        ),
        "name": (
            "林佳",
            "许文博",
            "曹颖",
            "谢东升",
            "韩雨桐",
            "唐磊",
            "冯秀兰",
            "董浩然",
            "萧敏",
            "余欢",
            "潘志远",
        ),
        "id": ("20315", "6607", "90128", "4471", "38846", "5093", "11762", "7204", "65530"),
    },
}
_STARTS = {
    "inbound": (
        "2026-03-12T09:41:20+08:00",
        "2026-04-15T14:03:51+08:00",
        "2026-06-08T20:44:02+08:00",
        "2026-09-13T11:27:33+08:00",
    ),
    "outbound": (
        "2026-03-10T10:20:00+08:00",
        "2026-04-14T15:45:10+08:00",
        "2026-06-24T09:05:42+08:00",
        "2026-08-15T09:50:00+08:00",
    ),
}


class DialogueError(ValueError):
    """A dialogue file is malformed: file, dialogue, and what is wrong."""


@dataclass(frozen=True, slots=True)
class Dialogue:
    """One labelled call.

    Attributes
    ----------
    labels : mapping of rule id to verdict
        Never ``uncertain``; a rule that is honestly ambiguous here is absent.
    by_hand : frozenset of str
        The rule ids that a reader labelled; the rest follows from clock, call record or defaults.
    why : mapping of rule id to str
        Reasons of labels that are not obvious.
    """

    id: str
    about: str
    part: Part
    call: CallRecord
    hearing: Hearing
    labels: Mapping[str, VerdictKind]
    by_hand: frozenset[str]
    why: Mapping[str, str]


def load(part: Part) -> tuple[Dialogue, ...]:
    """All dialogues of one part, sorted by file and place in the file."""
    found = [one for path in sorted((FOLDER / part).glob("*.toml")) for one in load_file(path, part)]
    ids = [one.id for one in found]
    if twice := {one for one in ids if ids.count(one) > 1}:
        raise DialogueError(f"{FOLDER / part}: ids used more than once: {sorted(twice)}")
    return tuple(found)


def load_file(path: Path, part: Part) -> list[Dialogue]:
    """The dialogues of one file; `DialogueError` names the first that is not well formed."""
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    loaded = []
    for raw in content["dialogue"]:
        try:
            loaded.append(_dialogue(raw, content["direction"], part))
        except (KeyError, ValueError) as error:
            raise DialogueError(f"{path}: dialogue {raw.get('id')}: {error}") from error
    return loaded


def _draw(seed: str) -> Random:
    return Random(int.from_bytes(sha256(seed.encode()).digest()[:8], "big"))


def _call(raw: Mapping[str, Any], direction: Direction, part: Part) -> CallRecord:
    draw, pool = _draw(raw["id"]), _POOLS[part]
    given: dict[str, Any] = {
        "agent_id": draw.choice(pool["id"]),
        "agent_name": draw.choice(pool["name"]),
        "company": draw.choice(pool["company"]),
        "started_at": draw.choice(_STARTS[direction]),
        "hangup_by": "customer",
        "agent_hangup_delay_s": draw.choice((0.4, 0.8, 1.1, 1.5, 1.8)),
    }
    if direction == "outbound":
        given |= {"disposition": "有效", "disposition_after_min": draw.choice((0.5, 1.2, 2.0, 3.5, 4.6, 8.0))}
    given |= raw.get("cdr", {})
    if direction == "inbound" and "ring_s" not in given:
        raise DialogueError("cdr lacks ring_s")
    given = {key: None if value == "unknown" else value for key, value in given.items()}
    given["started_at"] = datetime.fromisoformat(given["started_at"])
    if given.get("do_not_call_since"):
        given["do_not_call_since"] = date.fromisoformat(given["do_not_call_since"])
    return CallRecord(call_id=raw["id"], direction=direction, **given)


def _fill(text: str, call: CallRecord, draw: Random) -> str:
    number = call.agent_id or ""
    if draw.random() < 0.5:
        number = "".join("零一二三四五六七八九"[int(digit)] for digit in number)
    return (
        text.replace("{司}", call.company or "")
        .replace("{名}", call.agent_name or "")
        .replace("{号}", number)
    )


def _turns(raw: Mapping[str, Any], call: CallRecord) -> tuple[Turn, ...]:
    draw = _draw(raw["id"] + "/times")
    agent_per_s = raw.get("rate", draw.choice(_AGENT_RATES)) / 60
    turns: list[Turn] = []
    clock = 0.6
    for line in raw["script"].strip().splitlines():
        match = _LINE.match(line.strip())
        if match is None:
            raise DialogueError(f"a line of the script is not '坐：…' or '客：…': {line!r}")
        who, seconds, shift, text = match.groups()
        role: Role = "agent" if who == "坐" else "customer"
        text = _fill(text, call, draw)
        pace = agent_per_s if role == "agent" else _CUSTOMER_CHARS_PER_S * draw.uniform(0.93, 1.07)
        length = float(seconds) if seconds else max(0.4, reference.spoken_length(text) / pace)
        if turns:
            gap = float(shift) if shift and float(shift) < 0 else draw.uniform(0.25, 0.9) + float(shift or 0)
            clock = turns[-1].end_s + gap
        start = round(clock, 2)
        turns.append(Turn(role, start, round(start + length, 2), text))
    return tuple(sorted(turns, key=lambda turn: turn.start_s))


def _hand_labels(raw: Mapping[str, Any]) -> dict[str, VerdictKind | None]:
    verdicts: dict[str, VerdictKind | None] = {
        "pass": "pass",
        "fail": "fail",
        "na": "not_applicable",
        "open": None,
    }  # type: ignore[dict-item]
    labels: dict[str, VerdictKind | None] = {}
    for field, verdict in verdicts.items():
        for rule in raw.get(field, "").split():
            if rule not in _BY_TAIL:
                raise DialogueError(f"{field} names an unknown rule: {rule}")
            if rule in labels:
                raise DialogueError(f"{rule} is labelled twice")
            labels[rule] = verdict
    return labels


def _compulsory(raw: Mapping[str, Any], call: CallRecord, turns: Sequence[Turn]) -> list[str]:
    """Rules that nobody but a reader can label in this dialogue."""
    names = ["greeting"] + (["background_noise"] if "agent_snr_db" in raw else [])
    if call.direction == "outbound":
        names += ["identity_disclosure", "purpose_stated"]
        names += ["recommendation_disclaimer"] if raw.get("recommends") else []
        names += ["refusal_response", "no_repeat_pitch"] if raw.get("refuses") else []
        names += ["do_not_disturb"] if raw.get("asks_not_to_be_called") else []
        return names
    names += ["closing_thanks"]
    names += ["transfer_explained"] if call.transferred_to else ["further_needs"]
    names += ["late_answer_apology"] if call.ring_s and call.ring_s > 15 else []
    names += ["two_factor_verification"] if call.business == "handling" else []
    names += ["callback_promised"] if call.tag == "紧急" else []
    names += ["no_forced_hangup"] if call.hangup_by != "customer" else []
    if max(turn.duration_s for turn in turns if turn.role == "customer") > 25:
        names.append("paraphrase_cadence")
    return names


def _dialogue(raw: Mapping[str, Any], direction: Direction, part: Part) -> Dialogue:
    call = _call(raw, direction, part)
    turns = _turns(raw, call)
    duration = round(max(turn.end_s for turn in turns) + 1.0, 2)
    hand = _hand_labels(raw)
    if missing := [rule for rule in _compulsory(raw, call, turns) if rule not in hand]:
        raise DialogueError(f"needs a label by hand: {', '.join(missing)}")
    snr = raw.get("agent_snr_db")
    labels: dict[str, VerdictKind | None] = dict.fromkeys(_BY_TAIL, "not_applicable")
    labels |= dict.fromkeys(_ABSENCE, "pass")
    labels |= reference.call_record_labels(
        call, recommends=bool(raw.get("recommends")), harassment=bool(raw.get("harassment"))
    )
    labels["speech_rate"] = reference.speech_rate(turns)
    labels["fillers"] = reference.fillers(turns)
    if direction == "inbound":
        labels["attentive_listening"] = reference.attentive_listening(turns)
        labels["handling_time"] = reference.handling_time(call, duration)
        if call.transferred_to:
            labels |= {"no_forced_hangup": None, "further_needs": None}
        if sum(turn.duration_s for turn in turns if turn.role == "customer") > 25:
            labels["paraphrase_cadence"] = None  # how much of it states a need is for a reader to say
    labels |= hand
    for rule in INBOUND if direction == "outbound" else OUTBOUND:
        if rule in hand:
            raise DialogueError(f"{rule} belongs to the other direction")
        labels[rule] = "not_applicable"
    hearing = Hearing(
        recording_sha256="",
        duration_s=duration,
        layout="transcript" if snr is None else "stereo",
        turns=turns,
        agent_snr_db=snr,
        roles_from="transcript",
    )
    return Dialogue(
        id=raw["id"],
        about=raw["about"],
        part=part,
        call=call,
        hearing=hearing,
        labels={_BY_TAIL[rule]: verdict for rule, verdict in labels.items() if verdict is not None},
        by_hand=frozenset(_BY_TAIL[rule] for rule, verdict in hand.items() if verdict is not None),
        why={_BY_TAIL[rule]: text for rule, text in raw.get("why", {}).items()},
    )
