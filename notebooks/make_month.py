"""A generated month of scored calls, to learn, to try and to test the notebooks on.

``python notebooks/make_month.py month/`` writes 20,000 calls of 120 agents into ``month/``. Nobody is heard:
dialogues from ``month.toml`` get invented times, and become hearings. Everything after that is real: each
distinct dialogue is judged by the rulebook that ships, and stored through the same store as any night.

Agents differ on purpose, so that there is something to find: see `PLANTED`. The same seed gives the
same calls.

Table of contents: `PLANTED`, `Agent`, `make_month`, `main`.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import random
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from pipeline.disputes.reviews import Decision, add_reviews
from pipeline.disputes.sampling import draw, store_sample
from pipeline.judging.engine import judge
from pipeline.judging.rulebook import Rulebook, load_rulebook
from pipeline.mandarin import han_count
from pipeline.records import CallRecord, Event, Hearing, Judgement, ModelId, Role, Turn, VerdictKind
from pipeline.results import QuarantineRow, RunRow, ScoredCall
from pipeline.results.store import Store

HERE = Path(__file__).resolve().parent
CHINA = timezone(timedelta(hours=8))
FIRST_DAY, DAYS = date(2026, 3, 1), 31
SEED = 20260301
PLANTED: Mapping[str, tuple[str, ...]] = {
    "fast_afternoon": ("2005", "2031", "2060"),  # 14 点以后比上午快约 35 字/分钟
    "fast": ("2012", "2044"),  # 全天快约 45 字/分钟
    "no_verification": ("2048", "2055"),  # 多数不做双因素验证
    "fillers": ("2017", "2071", "2099"),  # 口头禅多
    "rare": tuple(str(2112 + n) for n in range(8)),  # 新人，一个月不到二十通
}
REVIEWED: tuple[str, ...] = (
    "language.fillers",
    "language.greeting",
    "language.speech_rate",
    "inbound.paraphrase_cadence",
    "inbound.two_factor_verification",
    "inbound.closing_thanks",
    "outbound.identity_disclosure",
)
_HOURS_IN = {8: 4, 9: 10, 10: 12, 11: 9, 12: 5, 13: 6, 14: 9, 15: 10, 16: 9, 17: 6, 18: 4, 19: 3, 20: 2}
_HOURS_OUT = {9: 12, 10: 14, 11: 10, 13: 5, 14: 12, 15: 12, 16: 9}
_RATE_STEP = 8.0
_ASKS_POLICY = ("claims", "query", "handling")
_DIGITS = "零一二三四五六七八九"


@dataclass(frozen=True)
class Agent:
    """An invented agent: habits as probabilities, speech rate in characters a minute."""

    agent_id: str
    name: str
    team: str
    direction: str
    mix: Mapping[str, int]
    skills: Mapping[str, float]
    rate_per_min: float
    afternoon_per_min: float
    fillers: float
    load: float


@dataclass(frozen=True)
class _Kind:
    """What makes a call what it is; calls of one kind share their words, times and verdicts."""

    business: str
    agent: str  # only where the agent's name is said
    rate: int
    length: int
    fillers: int
    flags: frozenset[str] = field(default_factory=frozenset)

    @property
    def seed(self) -> int:
        parts = (self.business, self.agent, self.rate, self.length, self.fillers)
        text = "|".join([*map(str, parts), *sorted(self.flags)])
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])


def make_month(
    results: str | Path, *, calls: int = 20_000, seed: int = SEED, rulebook: Rulebook | None = None
) -> int:
    """Fill an empty results folder with a month of calls.

    Parameters
    ----------
    results : path
        Made if missing; must hold no results yet.
    calls : int
        About so many; a few more stand in quarantine.
    seed : int
    rulebook : Rulebook, optional
        The one that ships by default.

    Returns
    -------
    int
        Calls scored.
    """
    store = Store.open(results, write=True)
    if not store.is_empty():
        raise SystemExit(f"{results}: holds results already; choose an empty folder")
    data = tomllib.loads((HERE / "month.toml").read_text(encoding="utf-8"))
    book = rulebook or load_rulebook()
    random_ = random.Random(seed)  # noqa: S311
    agents = _agents(data, random_)
    known: dict[_Kind, tuple[Hearing, CallRecord, Judgement]] = {}
    number = 0
    for day, share in _days(random_):
        entries: list[ScoredCall] = []
        scored_at = datetime(day.year, day.month, day.day, 1, 30, tzinfo=CHINA) + timedelta(days=1)
        run_id = f"month-{day:%Y%m%d}"
        for agent, started_at in _day(agents, day, round(calls * share), random_):
            number += 1
            kind = _kind(agent, started_at, random_)
            if kind not in known:
                hearing, call = _call(kind, agent, data)
                known[kind] = hearing, call, judge(hearing, call, book)
            hearing, call, judgement = known[kind]
            call_id = f"M{day:%m%d}-{number:05d}"
            extra = {"team": agent.team, "line": random_.choices(("mobile", "landline"), (78, 22))[0]}
            call = replace(
                call, call_id=call_id, started_at=started_at, agent_id=agent.agent_id,
                agent_name=agent.name, extra=extra, customer_ref=f"c-{random_.randrange(9_000):04d}",
            )  # fmt: skip
            hearing = replace(hearing, recording_sha256=hashlib.sha256(call_id.encode()).hexdigest())
            at = scored_at + timedelta(seconds=2 * len(entries))
            uri = f"/recordings/{day:%Y%m%d}/{call_id}.wav.age"
            entries.append(ScoredCall(call, hearing, judgement, uri, at, run_id=run_id))
        _store_night(store, run_id, day, entries, random_)
    _review(store, seed)
    return number


def _review(store: Store, seed: int) -> None:
    """Two invented reviewers look at a sample of the last week; they agree often, not always."""
    random_ = random.Random(seed + 1)  # noqa: S311
    last_week = [str(FIRST_DAY + timedelta(days=n)) for n in range(DAYS - 7, DAYS)]
    sizes: dict[VerdictKind, int] = {"fail": 15, "uncertain": 10, "pass": 15, "not_applicable": 3}
    sample = draw(store, seed=seed, dates=last_week, rules=REVIEWED, sizes=sizes)
    store_sample(store, sample)
    at = datetime(2026, 4, 1, 9, 0, tzinfo=CHINA)
    decisions = []
    for index, unit in enumerate(sample.units):
        # what is true: the machine errs more often on some rules, and says "uncertain" of either kind
        errs = {"language.fillers": 0.14, "inbound.paraphrase_cadence": 0.10}.get(unit.rule_id, 0.04)
        errs = errs if unit.stratum == "fail" else 0.0 if unit.stratum == "not_applicable" else errs / 3
        said: VerdictKind = "fail" if unit.stratum == "pass" else "pass"
        true = said if random_.random() < errs else unit.stratum
        true = random_.choice(("pass", "fail")) if unit.stratum == "uncertain" else true
        for person, share, slips in (("qa.wang", 1.0, 0.02), ("qa.li", 0.6, 0.05)):
            if random_.random() < share:
                other: VerdictKind = "fail" if true == "pass" else "pass"
                verdict = other if random_.random() < slips else true
                decisions.append(
                    Decision(
                        unit.call_id, unit.rule_id, verdict, person, version=unit.version,
                        comment="" if verdict == unit.stratum else "听音后改判",
                        at=at + timedelta(seconds=40 * index), sample_id=sample.sample_id,
                    )
                )  # fmt: skip
    add_reviews(store, decisions)


def _store_night(
    store: Store, run_id: str, day: date, entries: Sequence[ScoredCall], random_: random.Random
) -> None:
    began = entries[0].scored_at if entries else datetime(day.year, day.month, day.day, tzinfo=CHINA)
    causes = (
        ("decrypt", "wrong_key", "the identity is none of the container's recipients"),
        ("recording", "recording_missing", "the call record has no recording"),
        ("hear", "silent_audio", "nobody speaks in any channel"),
        ("decode", "decode_failed", "the decrypted bytes are no audio of a known kind"),
    )
    failures = []
    for index in range(sum(random_.random() < 0.008 for _ in entries)):
        stage, kind, message = random_.choices(causes, (1, 6, 4, 2))[0]
        call_id = f"Q{day:%m%d}-{index:03d}"
        path = f"/recordings/{day:%Y%m%d}/{call_id}.wav.age"
        failures.append(
            QuarantineRow(call_id, path, stage, kind, message, began, began, call_date=day, run_id=run_id)
        )
    store.commit(entries, failures)
    audio_s = sum(entry.hearing.duration_s for entry in entries)
    total = len(entries) + len(failures)
    store.record_run(
        RunRow(run_id, began, began + timedelta(seconds=audio_s / 60), total, len(entries), len(failures),
               0, audio_s, audio_s / 60)
    )  # fmt: skip


def _agents(data: Mapping[str, Any], random_: random.Random) -> list[Agent]:
    people, found, taken = data["people"], [], set()
    for team in data["team"]:
        for _ in range(team["agents"]):
            agent_id = str(2001 + len(found))
            name = random_.choice(people["surnames"]) + random_.choice(people["given"])
            while name in taken:
                name = random_.choice(people["surnames"]) + random_.choice(people["given"])
            taken.add(name)
            skills = {
                skill: _moved(base, team.get("skills", {}).get(skill, 0.0) + random_.gauss(0, 0.6))
                for skill, base in data["skills"].items()
            }
            if agent_id in PLANTED["no_verification"]:
                skills["verification"] = 0.15
            planted = {key: agent_id in ids for key, ids in PLANTED.items()}
            found.append(
                Agent(
                    agent_id, name, team["name"], team["direction"], team["mix"], skills,
                    rate_per_min=random_.gauss(140, 9) + 45 * planted["fast"],
                    afternoon_per_min=35.0 if planted["fast_afternoon"] else random_.gauss(3, 3),
                    fillers=1.7 if planted["fillers"] else random_.betavariate(1.5, 5),
                    load=0.06 if planted["rare"] else random_.lognormvariate(0, 0.25),
                )
            )  # fmt: skip
    return found


def _moved(probability: float, logits: float) -> float:
    return 1 / (1 + math.exp(-(math.log(probability / (1 - probability)) + logits)))


def _days(random_: random.Random) -> Iterator[tuple[date, float]]:
    days = [FIRST_DAY + timedelta(days=n) for n in range(DAYS)]
    weights = [
        (0.45 if day.weekday() >= 5 else 1.15 if day.weekday() == 0 else 1.0) * random_.uniform(0.93, 1.07)
        for day in days
    ]
    for day, weight in zip(days, weights, strict=True):
        yield day, weight / sum(weights)


def _day(
    agents: Sequence[Agent], day: date, calls: int, random_: random.Random
) -> Iterator[tuple[Agent, datetime]]:
    at_work = [a for a in agents if a.direction == "inbound" or day.weekday() < 5]
    moments = []
    for agent in random_.choices(at_work, [a.load for a in at_work], k=calls):
        hours = _HOURS_IN if agent.direction == "inbound" else _HOURS_OUT
        hour = random_.choices(list(hours), list(hours.values()))[0]
        if agent.direction == "outbound" and random_.random() < 0.006:
            hour = 20  # 超出呼出时段
        started_at = datetime(day.year, day.month, day.day, hour, tzinfo=CHINA) + timedelta(
            seconds=random_.randrange(3600)
        )
        moments.append((agent, started_at))
    yield from sorted(moments, key=lambda moment: (moment[1], moment[0].agent_id))


def _kind(agent: Agent, started_at: datetime, random_: random.Random) -> _Kind:
    business = random_.choices(list(agent.mix), list(agent.mix.values()))[0]
    inbound = agent.direction == "inbound"
    rate = agent.rate_per_min + agent.afternoon_per_min * (started_at.hour >= 14) + random_.gauss(0, 7)
    rate += {"complaint": 8.0, "sales": 6.0}.get(business, 0.0)
    flags = {name for name, chance in agent.skills.items() if random_.random() < chance}
    facts = {
        "late": inbound and random_.random() < 0.05,
        "verify": business in _ASKS_POLICY,
        "hold": business in ("claims", "handling") and random_.random() < 0.5,
        "callback": business == "complaint" and random_.random() < 0.85,
        "refuse": business == "sales" and random_.random() < 0.55,
        "evening": not inbound and started_at.hour == 20,
        "noisy": random_.random() < 0.03,
        "interrupts": inbound and random_.random() < 0.06,
        "cut_off": random_.random() < 0.01,
    }
    flags |= {name for name, holds in facts.items() if holds}
    relevant = {
        "greeting", "verification", "paraphrase", "empathy", "further", "closing",
    } if inbound else {"identity", "purpose", "disclaimer", "refusal", "closing"}  # fmt: skip
    relevant |= set(facts)
    relevant -= set() if business in ("complaint", "claims") else {"empathy"}
    relevant -= set() if business in _ASKS_POLICY else {"verification"}
    relevant -= set() if business == "sales" else {"disclaimer", "refusal"}
    length = random_.choices((0, 1, 2), (5, 3, 2))[0] if inbound else 0
    if inbound and length == 0:
        relevant.discard("paraphrase")
    said = "" if inbound or "identity" not in flags else agent.agent_id
    fillers = 0 if random_.random() > agent.fillers else random_.choices((1, 2), (2, 1 + agent.fillers))[0]
    return _Kind(
        business, said, round(rate / _RATE_STEP), length, fillers, frozenset(flags & relevant)
    )  # fmt: skip


def _call(kind: _Kind, agent: Agent, data: Mapping[str, Any]) -> tuple[Hearing, CallRecord]:
    """Words, times and call record of a kind of call; call id, date and recording come later."""
    random_ = random.Random(kind.seed)  # noqa: S311
    inbound = kind.business in ("claims", "query", "handling", "complaint")
    turns, events = _turns(kind, agent, data, random_, inbound=inbound)
    noisy = "noisy" in kind.flags
    hearing = Hearing(
        recording_sha256="",
        duration_s=round(turns[-1].end_s + random_.uniform(0.5, 1.5), 2),
        layout="stereo",
        turns=tuple(turns),
        events=tuple(sorted(events, key=lambda event: event.start_s)),
        agent_snr_db=round(random_.gauss(11 if noisy else 29, 2), 1),
        customer_snr_db=round(random_.gauss(8 if noisy else 24, 3), 1),
        asr_confidence=round(random_.uniform(0.42, 0.55) if noisy else random_.uniform(0.78, 0.95), 3),
        role_confidence=1.0,
        roles_from="call_record",
        models=(ModelId("fake", "asr", "0" * 64),),
        settings_hash="0" * 64,
    )
    evening = datetime(2026, 3, 4, 20, 10, tzinfo=CHINA)
    call = CallRecord(
        "-", "inbound" if inbound else "outbound",
        evening if "evening" in kind.flags else datetime(2026, 3, 4, 10, 30, tzinfo=CHINA),
        ring_s=21.0 if "late" in kind.flags else float(random_.randrange(3, 13)),
        company=data["company"], agent_channel=0, business=kind.business,
        hangup_by="agent" if "cut_off" in kind.flags else "customer",
        agent_hangup_delay_s=None if "cut_off" in kind.flags else round(random_.uniform(0.4, 1.8), 1),
        tag="紧急" if "callback" in kind.flags else None,
        escalated_after_min=6.0 if "callback" in kind.flags else None,
        disposition="拒绝" if "refuse" in kind.flags else "有效",
        disposition_after_min=float(random_.choices((2, 4, 9), (8, 4, 1))[0]),
        sms_followup=None if kind.business != "sales" else random_.random() < 0.9,
    )  # fmt: skip
    return hearing, call


def _turns(
    kind: _Kind, agent: Agent, data: Mapping[str, Any], random_: random.Random, *, inbound: bool
) -> tuple[list[Turn], list[Event]]:
    scene = next(s for s in data["scene"] if s["business"] == ("inbound" if inbound else kind.business))
    need = next((n for n in data["need"] if n["business"] == kind.business), None)
    slots = {
        "company": data["company"], "name": agent.name, "surname": agent.name[0],
        "id_spoken": "".join(_DIGITS[int(digit)] for digit in agent.agent_id),
        "need": random_.choice(need["short"]) if need else "",
        "long1": need["long"][0] if need else "", "long2": need["long"][1] if need else "",
        "wait": str(random_.randrange(12, 40)) if "hold" in kind.flags else "1",
    }  # fmt: skip
    shown = kind.flags | ({"long"} if kind.length else set())
    turns: list[Turn] = []
    events: list[Event] = []
    at_s = random_.uniform(0.3, 1.0)
    rate_per_min = (kind.rate + random_.uniform(-0.5, 0.5)) * _RATE_STEP
    fillers = {0: 0, 1: random_.randrange(1, 4), 2: random_.randrange(4, 8)}[kind.fillers]
    sure = 0.48 if "noisy" in kind.flags else 0.9
    for role, silence_s, text in _lines(scene["script"].format(**slots), shown, kind.length):
        gap_s = random_.uniform(0.35, 0.9) + silence_s
        if "interrupts" in kind.flags and role == "agent" and len(turns) == 2:
            gap_s = -1.6
        if gap_s > 8:
            events.append(Event("dead_air", at_s, at_s + gap_s))
        start_s = max(at_s + gap_s, 0.0)
        steady = rate_per_min if role == "agent" else 235.0
        per_min = steady * random_.uniform(0.96, 1.04)
        end_s = start_s + 60 * han_count(text) / per_min
        if gap_s < 0:
            events.append(Event("interruption", round(start_s, 2), round(at_s, 2), role))
        if role == "agent" and fillers and han_count(text) > 8:
            here = min(fillers, 3)
            fillers -= here
            for n in range(here):
                at = start_s + (end_s - start_s) * (n + 0.5) / 3.5
                events.append(Event("filler", round(at, 2), round(at + 0.3, 2), role, "嗯", 0.8))
        turns.append(
            Turn(role, round(start_s, 2), round(end_s, 2), text, confidence=sure,
                 loudness_db=-24.0, pitch_hz=190.0)
        )  # fmt: skip
        at_s = end_s
    return turns, events


def _lines(script: str, flags: frozenset[str] | set[str], length: int) -> Iterator[tuple[Role, float, str]]:
    """Lines of a script that are said in a call with these flags: role, silence before, text."""
    for line in script.strip().splitlines():
        head, _, text = line.partition(": ")
        conditions = head[2:-1].split(",") if len(head) > 1 else []
        if not all(
            length >= int(c[1:]) if c[0] == "*" else (c[1:] not in flags) if c[0] == "!" else c in flags
            for c in conditions
        ):
            continue
        silence_s = 0.0
        if text.startswith("<"):
            seconds, _, text = text[1:].partition(">")
            silence_s = float(seconds)
        yield ("agent" if head[0] == "A" else "customer"), silence_s, text


def main() -> None:
    """Make the month from the command line."""
    parser = argparse.ArgumentParser(description="A generated month of scored calls.")
    parser.add_argument("results", help="folder to make")
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=SEED)
    given = parser.parse_args()
    scored = make_month(given.results, calls=given.calls, seed=given.seed)
    print(f"{scored} calls in {given.results}")  # noqa: T201


if __name__ == "__main__":
    main()
