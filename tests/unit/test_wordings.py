"""Wordings: many ways to say one thing, recognised by sound."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.judging.phrases import Transcript
from pipeline.judging.soundindex import SoundIndex, hit_at
from pipeline.judging.transcript import load_model
from pipeline.judging.wordinglang import WordingError
from pipeline.judging.wordings import compile_wording
from pipeline.records import Turn

SOUNDS = load_model().sounds


def found(
    wording: str, text: str, *, company: str | None = None, name: str | None = None, by_sound: bool = True
) -> list[tuple[str, float]]:
    call = Transcript.of([Turn("agent", 0.0, 9.0, text)], company=company, agent_name=name)
    spans = SoundIndex(call).best([compile_wording(wording, SOUNDS, by_sound=by_sound)], "agent")
    return [((hit := hit_at(call, span)).quote, round(hit.confidence, 2)) for span in spans]


@pytest.mark.parametrize(
    ("wording", "text", "quote"),
    [
        ("(感谢|谢谢)[您]的来电", "好的，感谢您的来电。", "感谢您的来电"),
        ("感谢{gap:0-4}来电", "感谢您今天的来电", "感谢您今天的来电"),
        ("工号{digits:4}", "我的工号1027，请讲", "工号一零二七"),
        ("等待{duration<=2min}", "需要等待一分半钟", "等待一分半钟"),
        ("你好", "您好", "您好"),
        ("还有其他需要", "还有，其他需要吗", "还有，其他需要"),
    ],
)
def test_literal(wording: str, text: str, quote: str) -> None:
    assert found(wording, text) == [(quote, 0.97)]


@pytest.mark.parametrize(
    ("wording", "text"),
    [
        ("等待{duration<=2min}", "需要等待五分钟"),
        ("工号{digits:4}", "我的工号是多少"),
        ("感谢{gap:0-2}来电", "感谢您今天的耐心来电"),
        ("感谢来电", "感谢支持"),
    ],
)
def test_absent(wording: str, text: str) -> None:
    assert found(wording, text) == []


def test_homophones_count_less_the_shorter_the_wording() -> None:
    ((_, two),) = found("理解", "李姐")
    ((_, six),) = found("理解您的心情", "李姐您的新情")
    assert two < 0.5 < 0.7 < six < 0.97


def test_a_lone_syllable_between_gaps_proves_nothing_by_its_sound() -> None:
    ((_, sure),) = found("(包|稳){gap:0-3}(赚|赔)", "包你赚")
    assert sure == 0.97
    assert all(confidence < 0.3 for _, confidence in found("(包|稳){gap:0-3}(赚|赔)", "保险服务专线"))


def test_by_characters_only() -> None:
    assert found("侬好", "农好", by_sound=False) == []
    assert found("侬好", "侬好", by_sound=False) == [("侬好", 0.97)]


@pytest.mark.parametrize(
    ("text", "is_said"),
    [
        ("这里是安和人寿保险公司服务专线", True),
        ("这里是安和人寿服务专线", True),
        ("这里是按何人受服务专线", True),
        ("这里是恒信人寿服务专线", False),
        ("这里是服务专线", False),
    ],
)
def test_the_company_must_be_the_records(text: str, is_said: bool) -> None:
    assert bool(found("这里是{company}", text, company="安和人寿保险公司")) is is_said


def test_an_unknown_company_is_any_insurer() -> None:
    assert found("这里是{gap:0-4}{company}", "这里是平安保险公司服务专线")
    assert not found("这里是{gap:0-4}{company}", "这里是客服中心")


def test_the_agents_name_is_the_records() -> None:
    assert found("我是{name}", "我是李静", name="李静")
    assert not found("我是{name}", "我是王芳", name="李静")
    assert not found("我是{name}", "我是李静")


@pytest.mark.parametrize(
    ("wording", "told"),
    [
        ("(感谢|谢谢", "never closed"),
        ("感谢)", "closes nothing"),
        ("(感谢)?您的来电", "may be left out is written"),
        ("感谢您的(来电|，)", "punctuation alone"),
        ("感谢{gap}", "rising range"),
        ("感谢{gap:5-2}", "rising range"),
        ("感谢{number}", "is unknown"),
        ("感谢{gap:0-4", "never closed"),
        ("等{duration<2}", "expected a comparison"),
        ("<感谢&来电>", "cannot stand in a wording"),
        ("谢", "at least two syllables"),
        ("(感谢|)", "nothing stands here"),
        ("", "nothing stands here"),
        ("(" * 30 + "感谢" + ")" * 30, "nested deeper"),
    ],
)
def test_what_is_wrong_is_told_with_its_column(wording: str, told: str) -> None:
    with pytest.raises(WordingError, match=told) as caught:
        compile_wording(wording, SOUNDS)
    assert str(caught.value).startswith("column ")


@settings(deadline=None, max_examples=200)
@given(st.text("感谢您来电()[]|{}:-0129gapdigits<=min&，", max_size=24))
def test_any_text_compiles_or_is_refused(source: str) -> None:
    try:
        wording = compile_wording(source, SOUNDS)
    except WordingError:
        return
    call = Transcript.of([Turn("agent", 0.0, 9.0, "感谢您的来电工号1027")])
    list(SoundIndex(call).search(wording, SoundIndex(call).of_role["agent"]))
