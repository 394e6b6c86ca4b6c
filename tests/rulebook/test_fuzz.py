"""Spoilt rulebooks and odd calls neither crash nor hang: a rulebook is refused, or it judges."""

from __future__ import annotations

import random
import shutil
import time
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import RulebookError
from pipeline.judging.engine import judge
from pipeline.judging.rulebook import Rulebook, check_rulebook, load_rulebook, shipped_folder
from pipeline.records import EVENT_KINDS, VERDICTS, CallRecord, Event, Hearing, Turn

START = datetime.fromisoformat("2026-03-10T10:00:00+08:00")
SAID = """
您好，请问有什么可以帮您？
我不需要，别再打了
给您推荐一款重疾险
嗯
好的好的
，。！
1027
工号13800138000
您的保单即将失效
感谢您的来电
祝您生活愉快
帮您转接理赔部，等两分钟
Hello VIP
😀
我要投诉你们
您的意思是理赔款没有到账对吗
請問現在方便接聽嗎
{gap:0-4}
二十四小时内给您回电
气死我了到底什么时候赔
"""
FRAGMENTS = (*SAID.splitlines(), "\n", "一" * 400)
SPOILERS = """{gap:0-9} ( ) [ ] " = [[rule]] true -1 1e400 nan say any=[] \\ schema=2 {}"""
WORDS = tuple(SPOILERS.split())


@pytest.fixture(scope="module")
def book() -> Rulebook:
    return load_rulebook()


@st.composite
def odd_calls(draw: st.DrawFn) -> tuple[Hearing, CallRecord]:
    turns = []
    for _ in range(draw(st.integers(0, 14))):
        start_s = draw(st.floats(0.0, 400.0))
        role = draw(st.sampled_from(["agent", "customer"]))
        text = "".join(draw(st.lists(st.sampled_from(FRAGMENTS), max_size=4)))
        turns.append(
            Turn(role, start_s, start_s + draw(st.floats(0.0, 60.0)), text, confidence=draw(st.floats(0, 1)))
        )
    turns.sort(key=lambda turn: turn.start_s)
    events = tuple(
        Event(
            draw(st.sampled_from(EVENT_KINDS)),
            at_s,
            at_s + 1.0,
            draw(st.sampled_from(["agent", "customer", None])),
        )
        for at_s in draw(st.lists(st.floats(0.0, 400.0), max_size=5))
    )
    hearing = Hearing(
        "",
        draw(st.floats(0.0, 500.0)),
        draw(st.sampled_from(["stereo", "mono", "transcript"])),
        tuple(turns),
        events,
        role_confidence=draw(st.floats(0, 1)),
        asr_confidence=draw(st.floats(0, 1)),
        agent_snr_db=draw(st.none() | st.floats(-20, 60)),
    )
    call = CallRecord(
        "x",
        draw(st.sampled_from(["inbound", "outbound"])),
        START,
        ring_s=draw(st.none() | st.floats(0, 100)),
        agent_name=draw(st.sampled_from([None, "李静", "A", "，"])),
        company=draw(st.sampled_from([None, "安和人寿保险公司", "，", "X"])),
        business=draw(st.sampled_from([None, "handling", "complaint", "?"])),
        hangup_by=draw(st.sampled_from([None, "agent", "customer", "system", "?"])),
        transferred_to=draw(st.sampled_from([None, "理赔部"])),
        tag=draw(st.sampled_from([None, "紧急", "拒绝呼出"])),
    )
    return hearing, call


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(odd_calls())
def test_any_call_is_judged(book: Rulebook, made: tuple[Hearing, CallRecord]) -> None:
    begun = time.process_time()
    judged = judge(*made, book)
    assert time.process_time() - begun < 5.0
    assert [verdict.rule_id for verdict in judged.verdicts] == [rule.id for rule in book.rules]
    for verdict in judged.verdicts:
        assert verdict.verdict in VERDICTS
        assert 0.0 <= verdict.points <= verdict.weight + 1e-9
        assert 0.0 <= verdict.confidence <= 1.0
        assert verdict.reason
        assert 0 <= verdict.met <= max(verdict.due, verdict.met)
    assert judged.score is None or 0.0 <= judged.score <= 100.0
    assert judged == judge(*made, book)


@pytest.mark.parametrize("seed", range(12))
def test_a_spoilt_rulebook_is_refused_or_judges(seed: int, tmp_path: Path) -> None:
    draw = random.Random(seed)
    folder = tmp_path / "book"
    shutil.copytree(shipped_folder(), folder)
    names = [
        "rules/*.toml",
        "phrases/*.toml",
        "moments.toml",
        "scorecard.toml",
        "judging.toml",
        "holidays.toml",
    ]
    path = draw.choice([found for name in names for found in sorted(folder.glob(name))])
    text = path.read_text(encoding="utf-8")
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(text))
        change = draw.choice(("delete", "insert", "double", "swap"))
        if change == "delete":
            text = text[:at] + text[at + draw.randint(1, 40) :]
        elif change == "insert":
            text = text[:at] + draw.choice(WORDS) + text[at:]
        elif change == "double":
            lines = text.splitlines(keepends=True)
            line = draw.randrange(len(lines))
            text = "".join([*lines[:line], lines[line], *lines[line:]])
        else:
            other = draw.randrange(len(text))
            low, high = sorted((at, other))
            text = (
                text[:low]
                + text[high : high + 3]
                + text[low + 3 : high]
                + text[low : low + 3]
                + text[high + 3 :]
            )
    path.write_text(text, encoding="utf-8")
    problems = check_rulebook(folder)
    if problems:
        assert all(problem.line >= 1 and problem.message for problem in problems)
        with pytest.raises(RulebookError):
            load_rulebook(folder)
        return
    turns = tuple(
        Turn("agent" if n % 2 else "customer", n * 5.0, n * 5.0 + 4, words)
        for n, words in enumerate(FRAGMENTS)
    )
    judged = judge(
        Hearing("", 200.0, "stereo", turns), CallRecord("x", "outbound", START), load_rulebook(folder)
    )
    assert all(verdict.verdict in VERDICTS for verdict in judged.verdicts)


@pytest.mark.parametrize(
    "require",
    [
        "all = [" * 40 + "{ always = true }" + "]" * 40,
        'say = "hello"\nat = { after = "this" }',
        "cases = [{ when = 3, then = { always = true } }]",
        "some = []\nat_least = 2",
        "not = 5",
        'record = "ring_s"\none_of = ["a"]',
        'call_time = { workday = ["25:00", "26:00"], rest_day = "banned", holiday = "banned" }',
        "ledger = { every_s = 0, confirmed_by = [] }",
        'measure = "duration_s"\nat_least = inf',
        'say = "hello"\nat = { opening_turns = 1, closing_turns = 1 }',
        'events = "explosion"\nname_zh = "爆炸"\nat_most = 1',
    ],
)
def test_nonsense_conditions_are_refused(require: str, tmp_path: Path) -> None:
    folder = tmp_path / "book"
    shutil.copytree(shipped_folder(), folder)
    path = folder / "rules" / "language.toml"
    text = path.read_text(encoding="utf-8")
    head, tail = text.split('[rule.require.for_a_person]\nabsent = "dialect_words"\n', 1)
    path.write_text(f"{head}[rule.require]\n{require}\n{tail}", encoding="utf-8")
    assert check_rulebook(folder)
