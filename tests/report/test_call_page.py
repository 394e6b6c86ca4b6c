"""The page about one call: what it says, what it hides, and that nothing in it can run."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.disputes.archive import archive_rulebook
from pipeline.disputes.reviews import appeal, overturn
from pipeline.records import Event, Turn, Word
from pipeline.report.callfacts import gather
from pipeline.report.callpage import call_page, cards
from pipeline.report.clips import cut_clips, evidence_spans
from pipeline.report.timeline import ledger_lines, timeline
from pipeline.report.words import Span, character_spans, runs
from tests.disputes.dispute_builders import (
    inbound_turns,
    make_call,
    make_hearing,
    make_store,
    scored,
    turn,
)

NOW = datetime(2026, 3, 12, tzinfo=UTC)
EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'{{7*7}}</style>&lt;"


class Outline(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text, self.ids = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_data(self, data):
        self.text.append(data)


def page_of(tmp_path, call=None, hearing=None, **options):
    store = make_store(tmp_path / "r", [scored(call, hearing)])
    archive_rulebook(store)
    return call_page(gather(store, (call or make_call()).call_id, made_at=NOW, **options))


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return page_of(tmp_path_factory.mktemp("page"))


def test_the_page_says_why_where_which_rule_and_version(page):
    text = "".join(Outline(page).text)
    assert "15 秒内接起" in text
    assert "振铃时长 19 秒，高于 15" in text
    assert "二(一)1" in text
    assert "坐席须在电话振铃3声内（或15秒内）接起" in text
    assert "第 1 版" in text
    assert "whisper-base" in text
    assert re.search(r"适用的 \d+ 项共 \d+ 分权重", text)


def test_lost_points_add_up_to_what_is_missing(tmp_path):
    store = make_store(tmp_path / "r")
    facts = gather(store, "c1", made_at=NOW)
    lost = sum(card.lost for card in cards(facts))
    assert facts.shown.judgement.score == pytest.approx(100 - lost, abs=0.01)


def test_ids_are_unique_and_every_link_inside_has_its_target(page):
    outline = Outline(page)
    assert len(outline.ids) == len(set(outline.ids))
    targets = {
        attrs["href"][1:] for tag, attrs in outline.tags if tag == "a" and attrs["href"].startswith("#")
    }
    assert targets <= set(outline.ids)


def test_nothing_is_asked_of_anybody(page):
    outline = Outline(page)
    for tag, attrs in outline.tags:
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            value = attrs.get(name) or ""
            assert value.startswith(("#", "data:")) or not value, (tag, name, value)
        assert not any(name.startswith("on") or name == "style" for name in attrs), (tag, attrs)
    (policy,) = (attrs["content"] for tag, attrs in outline.tags if attrs.get("http-equiv"))
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "url(http" not in page
    assert "@import" not in page


def test_text_of_calls_and_records_cannot_run(tmp_path):
    call = make_call(agent_name=EVIL, agent_id=EVIL, business=EVIL, company=EVIL, transferred_to=EVIL)
    words = (Word(EVIL, 1.0, 4.0),)
    turns = (Turn("agent", 1.0, 4.0, EVIL, words=words), *inbound_turns()[1:])
    events = (Event("filler", 1.0, 2.0, "agent", EVIL), Event(EVIL, 3.0, 4.0, "customer", EVIL))
    made = scored(call, make_hearing(turns, events=events, notes=(EVIL,)), scored_by=EVIL, reason=EVIL)
    verdicts = tuple(
        replace(v, reason=EVIL, name_zh=EVIL, evidence=tuple(replace(e, quote=EVIL) for e in v.evidence))
        for v in made.judgement.verdicts
    )
    made = replace(made, judgement=replace(made.judgement, verdicts=verdicts, grade=EVIL))
    store = make_store(tmp_path / "r", [made])
    overturn(store, "c1", "inbound.answered_in_time", "pass", person="qa" + EVIL[:50], comment=EVIL)
    page = call_page(gather(store, "c1", made_at=NOW))
    outline = Outline(page)
    assert [tag for tag, _ in outline.tags].count("script") == 1
    assert "img" not in {tag for tag, _ in outline.tags}
    assert "{{7*7}}" in page
    assert "49" not in re.findall(r"&lt;/style&gt;\D{0,5}(49)", page)
    assert "<script>alert" not in page


def test_personal_numbers_are_masked(tmp_path):
    turns = (
        *inbound_turns()[:3],
        turn("customer", 21.0, 26.0, "我的手机号是13812345678"),
        *inbound_turns()[4:],
    )
    page = page_of(tmp_path, hearing=make_hearing(turns))
    assert "13812345678" not in page
    assert "我的手机号是" in page


def test_a_doubtful_call_says_that_doubts_cost_nothing(tmp_path):
    page = page_of(tmp_path, hearing=make_hearing(role_confidence=0.3))
    assert "机器拿不准" in page
    assert "未扣分" in page.replace("<strong>", "").replace("</strong>", "")


def test_reviews_and_the_effective_score_are_shown_beside_the_machine(tmp_path):
    store = make_store(tmp_path / "r")
    archive_rulebook(store)
    overturn(store, "c1", "inbound.answered_in_time", "pass", person="qa1", comment="系统故障")
    page = call_page(gather(store, "c1", made_at=NOW))
    assert "质检员复核改判：通过" in page
    assert "复核后" in page
    assert "系统故障" in page


def test_an_appeal_is_shown(tmp_path):
    from datetime import timedelta

    store = make_store(tmp_path / "r", [scored(scored_at=datetime.now(UTC) - timedelta(days=1))])
    appeal(store, "c1", "inbound.answered_in_time", agent="3025", reason="振铃时系统故障")
    assert "振铃时系统故障" in call_page(gather(store, "c1", made_at=NOW))


def test_versions_are_compared(tmp_path):
    store = make_store(tmp_path / "r")
    store.commit([scored(make_call(ring_s=3.0), supersedes=1, scored_by="qa", reason="更正振铃")])
    page = call_page(gather(store, "c1", made_at=NOW))
    assert "第 1 版 → 第 2 版" in page
    assert "随录参数" in page
    assert "更正振铃" in page
    assert "第 1 版（共 2 版）" in call_page(gather(store, "c1", version=1, made_at=NOW))


def test_a_call_without_words_or_points_still_has_a_page(tmp_path):
    made = scored(hearing=make_hearing((), events=(), duration_s=0.0))
    store = make_store(
        tmp_path / "r", [replace(made, judgement=replace(made.judgement, verdicts=(), score=None))]
    )
    page = call_page(gather(store, "c1", made_at=NOW))
    assert "没有适用的规则" in page
    assert "没有可显示的通话文本" in page


# The parts ------------------------------------------------------------------------------------------


def test_characters_share_their_words_time():
    spoken = Turn("agent", 0.0, 4.0, "您好吗", words=(Word("您好", 0.0, 1.0), Word("吗", 2.0, 4.0)))
    assert character_spans(spoken) == [(0.0, 0.5), (0.5, 1.0), (2.0, 4.0)]
    other = Turn("agent", 0.0, 3.0, "您好吗", words=(Word("喂", 0.0, 1.0),))
    assert character_spans(other) == [(0.0, 1.0), (1.0, 2.0), (2.0, 3.0)]


def test_runs_follow_the_evidence():
    spoken = turn("agent", 0.0, 6.0, "您好安禾人寿")
    evidence = [Span(1, 0.0, 2.0, "agent"), Span(2, 1.0, 2.0, "agent"), Span(3, 0.0, 6.0, "customer")]
    found = runs(spoken, spoken.text, evidence, [Span(0, 5.0, 6.0, "agent")])
    assert [(run.text, run.keys, run.filler) for run in found] == [
        ("您", (1,), False),
        ("好", (1, 2), False),
        ("安禾人", (), False),
        ("寿", (), True),
    ]
    assert "".join(run.text for run in found) == spoken.text
    (whole,) = runs(spoken, "***", evidence, [])
    assert (whole.text, whole.keys) == ("***", (1, 2))
    assert runs(spoken, spoken.text, [Span(1, 0.0, 6.0, "agent", whole=True)], [])[0].keys == ()


def test_the_timeline_finds_silences_overlaps_and_rates():
    turns = (
        turn("agent", 0.0, 6.0, "您好请问有什么可以帮您"),
        turn("customer", 5.0, 8.0, "喂"),
        turn("agent", 12.0, 13.0, "好"),
    )
    found = timeline(turns, (), duration_s=20.0, band_per_min=(100.0, 120.0))
    assert [(box.start_s, box.end_s) for box in found.silences] == [(8.0, 12.0), (13.0, 20.0)]
    assert [(box.start_s, box.end_s) for box in found.overlaps] == [(5.0, 6.0)]
    assert [(rate.per_min, rate.inside) for rate in found.rates] == [(110.0, True)]
    assert found.width >= 1000
    assert timeline((), (), duration_s=0.0, band_per_min=None).turns == ()


def test_a_due_is_met_by_the_next_confirmation_only():
    due, made = "paraphrase_due", "paraphrase"
    lines = ledger_lines([Event(due, 30, 30), Event(due, 60, 60), Event(made, 70, 72), Event(made, 80, 82)])
    assert [(line.kind, line.at_s, line.met_s) for line in lines] == [
        ("due", 30, None), ("due", 60, 70), ("made", 70, None), ("made", 80, None),
    ]  # fmt: skip


def test_clips_hold_the_evidence_and_no_more():
    import io

    import numpy as np
    import soundfile

    from pipeline.disputes.policy import load_policy
    from pipeline.hearing.audio import Recording

    policy = replace(load_policy(), max_total_s=20.0)
    recording = Recording(np.zeros((2, 50 * 8000), np.float32), 8000, 50.0, "wav/pcm")
    spans = {("a", 0): (10.0, 11.0), ("b", 0): (10.0, 11.0), ("c", 0): (49.5, 60.0), ("d", 0): (0.0, 45.0)}
    clips = cut_clips(recording, spans, policy)
    assert clips["a", 0] is clips["b", 0]
    assert (clips["a", 0].start_s, clips["a", 0].end_s) == pytest.approx((9.4, 11.6))
    assert clips["c", 0].end_s == 50.0
    assert ("d", 0) not in clips  # all clips together would be too long
    samples, rate = soundfile.read(io.BytesIO(clips["a", 0].flac))
    assert (rate, samples.shape[1]) == (8000, 2)
    assert len(samples) == pytest.approx(2.2 * 8000, abs=2)
    order = list(evidence_spans(scored().judgement.verdicts))
    assert order


def test_a_foreign_transcript_has_a_page_without_numbers_that_need_audio(tmp_path):
    turns = tuple(replace(t, words=()) for t in inbound_turns())
    hearing = make_hearing(turns, layout="transcript", models=(), agent_snr_db=None, events=())
    page = page_of(tmp_path, hearing=hearing)
    assert "外部转写" in page
    assert "感谢您的来电" in page


@given(
    st.text("您好谢再见", max_size=12),
    st.lists(
        st.builds(Span, st.integers(1, 4), st.floats(-1, 9), st.floats(-1, 9), st.none(), st.booleans()),
        max_size=6,
    ),
)
def test_runs_lose_no_character_and_never_split_needlessly(text, spans):
    spoken = turn("agent", 0.0, 8.0, text)
    found = runs(spoken, text, spans, spans[:1])
    assert "".join(run.text for run in found) == text
    for before, after in pairwise(found):
        assert (before.keys, before.filler) != (after.keys, after.filler)
        assert before.start_s <= after.start_s
