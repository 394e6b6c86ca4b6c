"""Judging one call: honesty about what was heard, evidence, reasons."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.judging.engine import judge
from pipeline.judging.rulebook import Rulebook, load_rulebook
from pipeline.judging.swapping import exchanged
from pipeline.records import CallRecord, Event, Hearing, Judgement, Turn, Verdict

START = datetime.fromisoformat("2026-03-10T10:00:00+08:00")
INBOUND = CallRecord("c1", "inbound", START, ring_s=5.0, agent_name="李静", company="安和人寿保险公司")
OUTBOUND = replace(INBOUND, direction="outbound")


@pytest.fixture(scope="module")
def book() -> Rulebook:
    return load_rulebook()


def hearing(*lines: str, confidence: float = 0.95, **fields: object) -> Hearing:
    """Turns from ``a:`` and ``c:`` lines, four characters a second."""
    turns, clock = [], 0.5
    for line in lines:
        role, _, text = line.partition(":")
        end_s = clock + max(len(text), 1) / 4
        turns.append(
            Turn("agent" if role == "a" else "customer", clock, end_s, text.strip(), confidence=confidence)
        )
        clock = end_s + 0.3
    given = {"layout": "stereo", "agent_snr_db": 30.0, **fields}
    return Hearing("", clock, turns=tuple(turns), **given)  # type: ignore[arg-type]


def one(judged: Judgement, rule_id: str) -> Verdict:
    (found,) = [verdict for verdict in judged.verdicts if verdict.rule_id == rule_id]
    return found


CLOSING = ("a: 您好，请问有什么可以帮您？", "c: 查保单。", "a: 感谢您的来电，祝您生活愉快！")


def test_every_rule_gives_one_verdict_in_the_order_of_the_rulebook(book: Rulebook) -> None:
    judged = judge(hearing(*CLOSING), INBOUND, book)
    assert [verdict.rule_id for verdict in judged.verdicts] == [rule.id for rule in book.rules]
    assert judged.rulebook_hash == book.hash
    assert judged.rulebook_version == "2026.1"


def test_a_pass_carries_seconds_role_and_words(book: Rulebook) -> None:
    found = one(judge(hearing(*CLOSING), INBOUND, book), "inbound.closing_thanks")
    assert found.verdict == "pass"
    said = [evidence.quote for evidence in found.evidence]
    assert "感谢您的来电" in said[0]
    assert all(evidence.role == "agent" for evidence in found.evidence)
    assert all(evidence.end_s > evidence.start_s > 5.0 for evidence in found.evidence)


def test_a_fail_says_what_is_missing_and_where(book: Rulebook) -> None:
    found = one(
        judge(hearing("a: 您好。", "c: 查保单。", "a: 感谢您的来电，再见。"), INBOUND, book),
        "inbound.closing_thanks",
    )
    assert found.verdict == "fail"
    assert found.reason == "未听到“祝您生活愉快”（坐席最后 3 个话轮或结束前 30 秒内）"
    assert (found.due, found.met, found.points) == (1, 0, 0.0)


def test_a_number_is_told_with_the_rule_value(book: Rulebook) -> None:
    found = one(judge(hearing(*CLOSING), INBOUND, book), "language.speech_rate")
    assert found.verdict == "fail"
    assert "高于 150（规则值 120–150）" in found.reason
    assert found.evidence


def test_a_number_beyond_its_limit_never_looks_like_it(book: Rulebook) -> None:
    for over, told in (
        (15.04, "15.04 秒，高于 15"),
        (15.0004, "15.0004 秒，高于 15"),
        (16, "16 秒，高于 15"),
    ):
        found = one(judge(hearing(*CLOSING), replace(INBOUND, ring_s=over), book), "inbound.answered_in_time")
        assert f"振铃时长 {told}（规则值 ≤ 15）" in found.reason
    needs = "我想问一下我的保单什么时候到期然后怎么续保"
    turns = (
        Turn("customer", 1.0, 30.96, needs, confidence=0.9),
        Turn("agent", 31.0, 33.0, "好的", confidence=0.9),
    )
    found = one(judge(replace(hearing(*CLOSING), turns=turns), INBOUND, book), "inbound.paraphrase_cadence")
    assert "客户陈述需求 29.96 秒，不足 30 秒" in found.reason


def test_coded_values_of_the_call_record_are_told_in_chinese(book: Rulebook) -> None:
    forced = judge(hearing(*CLOSING), replace(INBOUND, hangup_by="agent", business="query"), book)
    assert "挂机方：坐席" in one(forced, "inbound.no_forced_hangup").reason
    other = judge(hearing(*CLOSING), replace(INBOUND, business="complaint"), book)
    for verdict in (*forced.verdicts, *other.verdicts):
        assert not any(code in verdict.reason for code in ("query", "complaint", "agent", "customer"))


def test_the_other_directions_rules_do_not_apply(book: Rulebook) -> None:
    judged = judge(hearing(*CLOSING), INBOUND, book)
    found = one(judged, "outbound.identity_disclosure")
    assert (found.verdict, found.weight, found.points) == ("not_applicable", 0.0, 0.0)
    assert found.reason == "呼入通话不适用"


def test_badly_heard_speech_proves_nothing_missing(book: Rulebook) -> None:
    found = one(
        judge(hearing("a: 完好", "c: 嗯嗯好", "a: 在间", confidence=0.3), INBOUND, book),
        "inbound.closing_thanks",
    )
    assert found.verdict == "uncertain"
    assert "识别置信度仅 0.30（低于 0.5）" in found.reason
    assert found.points == found.weight > 0


def test_only_what_an_exchange_of_roles_would_turn_is_doubted(book: Rulebook) -> None:
    lines = ("a: 喂，查一下保单。", "c: 您好，请问有什么可以帮您？", "a: 就这些。")
    sure, unsure = (judge(hearing(*lines, role_confidence=c), INBOUND, book) for c in (0.95, 0.5))
    assert one(sure, "language.greeting").verdict == "fail"
    assert one(unsure, "language.greeting").verdict == "uncertain"
    assert "按现有区分为“不合格”，若两方互换则为“合格”" in one(unsure, "language.greeting").reason
    # Nobody asked for further needs or said thanks, and the record alone tells of the ringing.
    for rule_id in ("inbound.further_needs", "inbound.closing_thanks", "inbound.answered_in_time"):
        assert one(unsure, rule_id).verdict == one(sure, rule_id).verdict != "uncertain"


def test_exchanging_the_roles_twice_changes_nothing(book: Rulebook) -> None:
    events = (Event("interruption", 1.0, 2.0, "agent"), Event("dead_air", 3.0, 7.0))
    heard = hearing(*CLOSING, events=events, customer_snr_db=12.0, role_confidence=0.6)
    assert exchanged(exchanged(heard)) == heard
    assert exchanged(heard) != heard
    one_way, other_way = (judge(h, INBOUND, book) for h in (heard, exchanged(heard)))
    for verdict, mirrored in zip(one_way.verdicts, other_way.verdicts, strict=True):
        assert verdict.verdict == mirrored.verdict


@settings(max_examples=8, deadline=None)
@given(st.floats(0.0, 0.79))
def test_how_unsure_the_roles_are_does_not_matter_below_the_limit(confidence: float) -> None:
    book = load_rulebook()
    kinds = [v.verdict for v in judge(hearing(*CLOSING, role_confidence=confidence), INBOUND, book).verdicts]
    assert kinds == [v.verdict for v in judge(hearing(*CLOSING, role_confidence=0.1), INBOUND, book).verdicts]


def test_an_uncertain_fatal_is_not_fatal(book: Rulebook) -> None:
    rude = ("a: 急什么急，你听不懂吗？", "c: 什么态度！")
    assert judge(hearing(*rude), INBOUND, book).fatal
    doubted = judge(hearing(*rude, role_confidence=0.5), INBOUND, book)
    assert not doubted.fatal
    assert one(doubted, "language.courtesy").verdict == "uncertain"
    mumbled = judge(hearing(*rude, confidence=0.5), INBOUND, book)
    assert not mumbled.fatal
    assert "须人工复核" in one(mumbled, "language.courtesy").reason


def test_a_fatal_fail_caps_the_score(book: Rulebook) -> None:
    judged = judge(hearing("a: 急什么急，你听不懂吗？", "c: 什么态度！"), INBOUND, book)
    assert judged.score is not None and judged.score <= 59
    assert judged.grade == "D"


def test_no_data_never_fails(book: Rulebook) -> None:
    bare = CallRecord("c2", "inbound", START)
    found = one(judge(hearing(*CLOSING), bare, book), "inbound.answered_in_time")
    assert found.verdict == "not_applicable"
    assert found.reason == "无数据（no data）：振铃时长"
    for direction in ("inbound", "outbound"):
        judged = judge(hearing(*CLOSING), replace(bare, direction=direction), book)
        from_record = (
            "answered_in_time",
            "no_forced_hangup",
            "record_completed",
            "handling_time",
            "followup",
        )
        for verdict in judged.verdicts:
            if verdict.rule_id.split(".")[1].endswith(from_record):
                assert verdict.verdict == "not_applicable", verdict.rule_id


def test_a_transcript_has_no_noise_and_still_a_rate(book: Rulebook) -> None:
    judged = judge(hearing(*CLOSING, layout="transcript", agent_snr_db=None), INBOUND, book)
    found = one(judged, "environment.background_noise")
    assert (found.verdict, found.reason) == ("not_applicable", "无录音（no audio）")
    assert one(judged, "language.speech_rate").verdict == "fail"


def test_fillers_and_cutting_in_are_derived_for_transcripts_only(book: Rulebook) -> None:
    turns = (
        Turn("agent", 0.0, 3.0, "嗯，您好，呃，请讲。"),
        Turn("customer", 3.0, 9.0, "我想查一下保单什么时候到期。"),
        Turn("agent", 6.0, 9.5, "您先把保单号报一下。"),
    )
    heard = Hearing("", 10.0, "transcript", turns)
    judged = judge(heard, INBOUND, book)
    assert [event.text for event in judged.events if event.kind == "filler"] == ["嗯", "呃"]
    assert judged.measures.filler_count == 2
    assert judged.measures.interruptions == 1
    recorded = judge(replace(heard, layout="stereo"), INBOUND, book)
    assert (recorded.measures.filler_count, recorded.measures.interruptions) == (0, 0)


def test_ledger_and_moments_become_events(book: Rulebook) -> None:
    turns = (
        Turn("agent", 0.0, 3.0, "您好，请问有什么可以帮您？"),
        Turn("customer", 3.0, 40.0, "急死我了，我上个月报的案子到现在也没有消息，我打了两次电话都说在审核。"),
        Turn("agent", 41.0, 47.0, "我理解您着急的心情，您的意思是理赔款一直没有到账，对吗？"),
    )
    judged = judge(Hearing("", 50.0, "stereo", turns), INBOUND, book)
    kinds = {event.kind: event for event in judged.events}
    assert set(kinds) == {"agitation", "paraphrase_due", "paraphrase"}
    assert kinds["paraphrase_due"].start_s == pytest.approx(33.0)
    assert kinds["paraphrase"].start_s > 41.0
    assert kinds["agitation"].role == "customer"


def test_a_do_not_call_request_is_noted_as_an_event(book: Rulebook) -> None:
    judged = judge(hearing("a: 您好，给您推荐一款医疗险。", "c: 以后别再给我打电话了。"), OUTBOUND, book)
    assert [event.kind for event in judged.events] == ["do_not_call"]


def test_each_refusal_of_agitation_counts_its_opportunities(book: Rulebook) -> None:
    lines = ["a: 您好。", "c: 急死我了！", "a: 我理解您的心情。", "c: 好吧。"]
    filler = ["c: 我在看合同上面的条款写的内容是什么意思。", "a: 您慢慢看，有不明白的地方告诉我就可以。"] * 12
    judged = judge(hearing(*lines, *filler, "c: 什么态度！", "a: 保单号报一下。"), INBOUND, book)
    found = one(judged, "inbound.empathy")
    assert (found.verdict, found.due, found.met) == ("fail", 2, 1)
    assert found.points == pytest.approx(found.weight / 2)


def test_judging_is_pure_and_repeatable(book: Rulebook) -> None:
    heard = hearing(*CLOSING)
    assert judge(heard, INBOUND, book) == judge(heard, INBOUND, book)


def test_a_rule_out_of_force_on_the_day_of_the_call_does_not_apply(book: Rulebook) -> None:
    rules = tuple(replace(rule, effective_to=START.date().replace(day=9)) for rule in book.rules)
    judged = judge(hearing(*CLOSING), INBOUND, replace(book, rules=rules))
    assert {verdict.verdict for verdict in judged.verdicts} == {"not_applicable"}
    assert judged.score is None


@pytest.mark.parametrize(
    "heard",
    [
        Hearing("", 0.0, "stereo", ()),
        Hearing("", 10.0, "mono", (Turn("customer", 0.0, 3.0, "喂，有人吗？"),)),
        Hearing("", 10.0, "mono", (Turn("agent", 0.0, 3.0, "您好，请问有人吗？"),)),
        Hearing("", 1.0, "transcript", (Turn("agent", 0.0, 0.0, "好"), Turn("customer", 0.0, 1.0, ""))),
        Hearing(
            "", 5.0, "stereo", (Turn("agent", 0.0, 5.0, "，。！"),), (Event("filler", 9.0, 9.0, "agent"),)
        ),
    ],
    ids=["empty", "customer alone", "agent alone", "zero length", "punctuation only"],
)
def test_odd_calls_are_judged_without_a_false_fatal(heard: Hearing, book: Rulebook) -> None:
    for call in (INBOUND, OUTBOUND):
        judged = judge(heard, call, book)
        assert len(judged.verdicts) == len(book.rules)
        assert not judged.fatal
        assert all(verdict.reason for verdict in judged.verdicts)


def test_nobody_fails_for_what_a_silent_agent_did_not_say(book: Rulebook) -> None:
    judged = judge(Hearing("", 10.0, "mono", (Turn("customer", 0.0, 3.0, "喂，有人吗？"),)), INBOUND, book)
    found = one(judged, "language.greeting")
    assert (found.verdict, "录音中没有坐席的话音" in found.reason) == ("uncertain", True)
