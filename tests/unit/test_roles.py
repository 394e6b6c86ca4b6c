"""Which voice is the agent: content, call record, contradiction; and the data file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import InputError, RulebookError
from pipeline.hearing.roles import Line, Voice, agent_log_odds, decide_roles, load_role_cues, sounds

CUES = load_role_cues()
SHIPPED = Path(__file__).resolve().parents[2] / "lexicons" / "role_cues.toml"


def voice(*texts: str, first_s: float = 0.0) -> Voice:
    return Voice(tuple(Line(first_s + 6.0 * i, first_s + 6.0 * i + 2.5, t) for i, t in enumerate(texts)))


AGENT = voice("您好，请问有什么可以帮您？", "请您提供保单号后六位。", "感谢您的来电，祝您生活愉快。")
CUSTOMER = voice("你好，我想查一下我的理赔。", "后六位是三三二一。", "没有了，谢谢。", first_s=3.0)


def test_what_is_said_decides() -> None:
    decision = decide_roles([CUSTOMER, AGENT], direction="inbound", cues=CUES)
    assert decision.roles == ("customer", "agent")
    assert decision.roles_from == "content"
    assert decision.confidence > 0.95


def test_order_of_the_voices_does_not_matter() -> None:
    one = decide_roles([CUSTOMER, AGENT], direction="inbound", cues=CUES)
    other = decide_roles([AGENT, CUSTOMER], direction="inbound", cues=CUES)
    assert one.roles == other.roles[::-1]
    assert one.confidence == pytest.approx(other.confidence)


def test_recogniser_homophones_count() -> None:
    assert agent_log_odds(voice("您好请问有什么可以邦您"), direction="inbound", cues=CUES) > 3
    assert agent_log_odds(voice("感谢您的来店，祝您生火愉快"), direction="inbound", cues=CUES) > 3


def test_an_agreeing_call_record_makes_it_surer() -> None:
    without = decide_roles([AGENT, CUSTOMER], direction="inbound", cues=CUES)
    claimed = decide_roles([AGENT, CUSTOMER], direction="inbound", cues=CUES, claimed_agent=0)
    assert claimed.roles_from == "call_record"
    assert claimed.confidence > without.confidence
    assert not claimed.contradicted


def test_content_overrules_a_call_record_that_it_clearly_contradicts() -> None:
    decision = decide_roles([AGENT, CUSTOMER], direction="inbound", cues=CUES, claimed_agent=1)
    assert decision.roles == ("agent", "customer")
    assert decision.roles_from == "content"
    assert decision.contradicted


def test_a_weak_contradiction_only_lowers_the_confidence() -> None:
    a, b = voice("好的。", "嗯，请问。"), voice("我知道了。", "行。", first_s=3.0)
    agreeing = decide_roles([a, b], direction="inbound", cues=CUES, claimed_agent=0)
    against = decide_roles([a, b], direction="inbound", cues=CUES, claimed_agent=1)
    assert against.roles == ("customer", "agent")
    assert not against.contradicted
    assert 0.5 <= against.confidence < agreeing.confidence


def test_nothing_said_is_nothing_known() -> None:
    decision = decide_roles([voice(), voice()], direction="outbound", cues=CUES)
    assert decision.confidence == pytest.approx(0.5)


def test_outbound_the_customer_picks_up() -> None:
    customer = Voice((Line(0.5, 1.0, "喂？"), Line(8.0, 9.0, "方便，你说吧。")))
    agent = Voice((Line(1.5, 7.5, "您好，这里是平安保险公司服务专线，我是坐席王芳，工号一零二七。"),))
    assert decide_roles([customer, agent], direction="outbound", cues=CUES).roles == ("customer", "agent")


def test_a_third_voice_after_a_transfer_is_another_agent() -> None:
    colleague = voice("您好，我是理赔部的小李，请问您需要咨询什么？", first_s=60.0)
    decision = decide_roles([AGENT, CUSTOMER, colleague], direction="inbound", cues=CUES)
    assert decision.roles == ("agent", "customer", "agent")


def test_one_voice_alone_can_be_the_agent() -> None:
    assert decide_roles([AGENT], direction="inbound", cues=CUES).roles == ("agent",)


@pytest.mark.parametrize("count", [0, 5])
def test_too_few_or_too_many_voices(count: int) -> None:
    with pytest.raises(InputError, match="1 to 4 voices"):
        decide_roles([voice()] * count, direction="inbound", cues=CUES)


def test_a_claim_must_be_a_voice() -> None:
    with pytest.raises(InputError, match="claimed"):
        decide_roles([AGENT, CUSTOMER], direction="inbound", cues=CUES, claimed_agent=2)


@given(st.text(max_size=60))
def test_sounds_survive_any_text(text: str) -> None:
    heard = sounds(text)
    assert heard.startswith("|")
    assert heard.endswith("|")


def test_every_phrase_can_be_heard() -> None:
    for cue in CUES.cues:
        sign = 1 if cue.speaker == "agent" else -1
        for phrase in cue.phrases:
            direction = cue.direction or "inbound"
            odds = agent_log_odds(voice(phrase), direction=direction, cues=CUES)
            assert len(sounds(phrase)) > 1
            assert cue.speaker in ("agent", "customer")
            assert odds != 0, (cue.id, phrase, sign)


def test_all_problems_of_a_file_are_reported_at_once(tmp_path: Path) -> None:
    bad = tmp_path / "role_cues.toml"
    bad.write_text(
        SHIPPED.read_text(encoding="utf-8")
        .replace('speaker = "agent"', 'speaker = "boss"', 1)
        .replace("claim_weight = 4.0", 'claim_weight = "much"'),
        encoding="utf-8",
    )
    with pytest.raises(RulebookError) as caught:
        load_role_cues(bad)
    message = str(caught.value)
    assert "'boss' is unknown; expected one of: agent, customer" in message
    assert "claim_weight must be a number" in message
    assert "role_cues.toml:" in message


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(RulebookError, match="cannot be read"):
        load_role_cues(tmp_path / "none.toml")


@pytest.mark.parametrize("company", ["安和人寿保险公司", "安和财产保险股份有限公司"])
def test_who_names_the_company_first_is_the_agent(company: str) -> None:
    voices = [
        Voice((Line(0.0, 1.0, "喂。"), Line(4.0, 6.0, "你说。"))),
        Voice((Line(1.2, 3.8, "我是安和的李静。"),)),
    ]
    without, named = (
        decide_roles(voices, direction="outbound", cues=CUES, names=names)
        for names in ((), (company, "李静"))
    )
    assert named.roles == ("customer", "agent")
    assert named.confidence > without.confidence


@pytest.mark.parametrize("asked", ["呃，是安和人寿不？", "你好，是安和保险吗？", "你们是不是安和保险？"])
def test_who_asks_for_the_company_is_not_it(asked: str) -> None:
    voices = [Voice((Line(0.0, 1.0, "喂。"),)), Voice((Line(1.2, 3.8, asked),))]
    without, named = (
        decide_roles(voices, direction="inbound", cues=CUES, names=names)
        for names in ((), ("安和人寿保险公司",))
    )
    assert named == without
