"""A small archive of judged calls, made without audio or models."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from functools import cache
from pathlib import Path

from pipeline.judging.engine import judge
from pipeline.judging.rulebook import load_rulebook, shipped_folder
from pipeline.records import CallRecord, Event, Hearing, ModelId, Turn, Word
from pipeline.results import ScoredCall
from pipeline.results.store import Store

CHINA = timezone(timedelta(hours=8))
SHA = "ab" * 32
MODEL = ModelId("whisper-base", "asr", "cd" * 32)


@cache
def shipped():
    return load_rulebook()


def turn(role, start_s, end_s, text):
    """A turn whose characters are words of equal length."""
    step = (end_s - start_s) / max(len(text), 1)
    words = tuple(
        Word(character, start_s + i * step, start_s + (i + 1) * step, 0.95)
        for i, character in enumerate(text)
    )
    return Turn(role, start_s, end_s, text, confidence=0.95, words=words)


def inbound_turns():
    return (
        turn("agent", 0.5, 6.0, "您好请问有什么可以帮您"),
        turn("customer", 7.0, 12.0, "我想查一下我的保单什么时候到期"),
        turn("agent", 13.0, 20.0, "好的请您提供保单号后六位和身份证号后四位"),
        turn("customer", 21.0, 26.0, "三八零二一五一二三四"),
        turn("agent", 27.0, 33.0, "嗯您的保单是明年五月到期"),
        turn("customer", 34.0, 36.0, "好的谢谢"),
        turn("agent", 37.0, 41.0, "请问还有其他需要帮助的吗"),
        turn("customer", 42.0, 43.0, "没有了"),
        turn("agent", 44.0, 49.0, "感谢您的来电祝您生活愉快"),
    )


def make_call(call_id="c1", **values):
    defaults = {
        "direction": "inbound",
        "started_at": datetime(2026, 3, 10, 10, 0, tzinfo=CHINA),
        "ring_s": 19.0,
        "agent_id": "3025",
        "agent_name": "周敏",
        "company": "安禾人寿",
        "business": "query",
        "hangup_by": "customer",
        "agent_hangup_delay_s": 1.0,
    }
    return CallRecord(call_id, **{**defaults, **values})


def make_hearing(turns=None, **values):
    defaults = {
        "duration_s": 50.0,
        "layout": "stereo",
        "turns": inbound_turns() if turns is None else turns,
        "events": (Event("filler", 27.0, 27.4, "agent", "嗯", 0.9),),
        "agent_snr_db": 30.0,
        "customer_snr_db": 28.0,
        "asr_confidence": 0.95,
        "models": (MODEL,),
        "settings_hash": "ef" * 32,
    }
    return Hearing(SHA, **{**defaults, **values})


def scored(call=None, hearing=None, *, rulebook=None, scored_at=None, **values):
    call, hearing = call or make_call(), hearing or make_hearing()
    return ScoredCall(
        call,
        hearing,
        judge(hearing, call, rulebook or shipped()),
        f"/night/{call.call_id}.wav.age",
        scored_at or datetime(2026, 3, 11, 2, 0, tzinfo=CHINA),
        recording_size_bytes=1000,
        recording_stamp="mtime:1",
        **values,
    )


def make_store(place: Path, calls=None) -> Store:
    store = Store.open(place, write=True)
    store.commit(calls or [scored()])
    return store


def changed_rulebook(
    place: Path, *, file="rules/language.toml", old="max_per_min = 150", new="max_per_min = 120"
):
    """A copy of what ships with one text in one file replaced."""
    folder = place / "lexicons"
    shutil.copytree(shipped_folder(), folder, ignore=shutil.ignore_patterns("__pycache__"))
    path = folder / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    ids = folder / "rules" / "ids.toml"
    lines = [
        'version = "test.2"' if line.startswith("version") else line
        for line in ids.read_text(encoding="utf-8").splitlines()
    ]
    ids.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def swapped(hearing):
    """The same words with the two roles exchanged."""
    other = {"agent": "customer", "customer": "agent"}
    return replace(hearing, turns=tuple(replace(t, role=other[t.role]) for t in hearing.turns))
