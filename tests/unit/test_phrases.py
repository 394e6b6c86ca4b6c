"""Phrases found by sound: patterns, slots, guards, places, times; and what must hold for any text."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.judging.negation import load_guards
from pipeline.judging.patterns import Duration, Gap, Literal, PatternError, bare, parse_pattern
from pipeline.judging.phonetics import UNIT, load_sounds
from pipeline.judging.phrases import Hit, Transcript, compile_pattern, find
from pipeline.judging.slots import time_spans
from pipeline.judging.timing import character_times
from pipeline.judging.transcript import load_model
from pipeline.records import Turn, Word

COMMON = (
    "的一是了我不人在他有这个上们来到时大地为子中你说生国年着就那和要她出也得里后自以会家可下而过天去能对小多然于心学么之都好"
    "看起发当没成只如事把还用第样道想作种开保单险号请问您感谢电话服务"
)
PHRASES = (
    "感谢您的来电",
    "祝您生活愉快",
    "请问有什么可以帮您",
    "保单号后六位",
    "身份证号后四位",
    "您的保单即将失效",
    "现在方便接听吗",
    "此为服务推荐",
    "随时拨打我们的服务热线",
)
SLOTTED = ("{duration}", "{digits:2-6}", "我是{name}", "{company}", "您{gap:0-5}好")
han_text = st.text(alphabet=COMMON, max_size=30)
any_text = st.text(max_size=40)


def call(*texts: str, roles: str = "", gap_s: float = 0.5, **known: str) -> Transcript:
    """Turns one after another, four characters a second; roles as letters, alternating if left out."""
    turns: list[Turn] = []
    at = 0.0
    for number, text in enumerate(texts):
        letter = roles[number] if roles else "ac"[number % 2]
        length = max(0.25 * len(text), 0.1)
        turns.append(Turn("agent" if letter == "a" else "customer", at, at + length, text))
        at += length + gap_s
    return Transcript.of(turns, **known)


def hits(pattern: str, transcript: Transcript, **where: object) -> list[Hit]:
    return find(compile_pattern(pattern), transcript, **where)


def accepted(pattern: str, *texts: str, **known: str) -> list[Hit]:
    limits = load_model().limits
    return [hit for hit in hits(pattern, call(*texts, **known)) if limits.decide(hit.confidence) == "hit"]


# ---- the pattern language ------------------------------------------------------------------------
def ways(source: str) -> list[str]:
    """Literal ways to say a pattern."""
    branches = parse_pattern(source, max_expansions=500, group_gap=20)
    return [
        "".join(part.chars for part in one if isinstance(part, Literal))
        for branch in branches
        for one in branch
    ]


def test_alternatives_options_and_groups_expand():
    assert ways("您好[请问]") == ["您好请问", "您好"]
    assert ways("(甲|乙|丙)丁") == ["甲丁", "乙丁", "丙丁"]
    assert ways("甲|乙") == ["甲", "乙"]
    assert ways("甲[乙|丙]") == ["甲乙", "甲丙", "甲"]
    assert ways("<甲&乙>") == ["甲乙", "乙甲"]
    assert ways("甲，乙。 丙！") == ["甲乙丙"]
    assert ways("24小时内") == ["二十四小时内"]


def test_a_group_leaves_room_between_its_parts():
    ((first, _),) = parse_pattern("<甲&乙>", max_expansions=500, group_gap=7)
    assert first == (Literal("甲"), Gap(0, 7), Literal("乙"))


def test_duration_bounds():
    ((first,),) = parse_pattern("{duration<2min}", max_expansions=9, group_gap=0)
    assert first == (Duration(0.0, 120.0, high_included=False),)
    ((first,),) = parse_pattern("{duration>=1.5h}", max_expansions=9, group_gap=0)
    assert first == (Duration(5400.0, float("inf")),)


@pytest.mark.parametrize(
    ("source", "column", "message"),
    [
        ("您好(请问", 3, "never closed"),
        ("您好[请问", 3, "never closed"),
        ("<甲&乙", 1, "never closed"),
        ("您好)", 3, "closes nothing"),
        ("您好}", 3, "closes nothing"),
        ("甲||乙", 3, "nothing stands here"),
        ("", 1, "nothing stands here"),
        ("甲()", 3, "nothing stands here"),
        ("[甲]", 1, "can match nothing"),
        ("{gap:0-3}", 1, "can match nothing"),
        ("{nome}", 1, "unknown"),
        ("工号{digits:9-3}", 3, "not rising"),
        ("工号{digits:0}", 3, "at least one digit"),
        ("甲{gap}", 2, "how many characters"),
        ("甲{gap:0-99}", 2, "not rising within 0-60"),
        ("{duration<=2}", 1, "expected a comparison"),
        ("{name:3}", 1, "takes no range"),
        ("{digits", 1, "never closed"),
        ("<甲>", 1, "at least two parts"),
        ("您好（请问）", 3, "full-width"),
        ("您好.*", 4, "optional words are written"),
        ("您?好", 2, "optional words are written"),
        ("(甲|乙)" * 9, 46, "more than 500 ways"),
    ],
)
def test_what_is_wrong_with_a_pattern_is_told_with_its_column(source, column, message):
    with pytest.raises(PatternError, match=message) as caught:
        compile_pattern(source)
    assert caught.value.column == column


@given(st.text(alphabet="您好请问甲乙()[]<>{}|&{digits}{gap:0-3}0123456789-<=min ，。", max_size=25))
def test_any_text_is_a_pattern_or_a_pattern_error(source):
    try:
        pattern = compile_pattern(source)
    except PatternError as error:
        assert 1 <= error.column <= len(source) + 1
    else:
        assert pattern.ways >= 1


# ---- finding by sound ----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("pattern", "heard"),
    [
        ("工号{digits:3-8}", "公号1027"),
        ("现在方便接听吗", "请问现在方便结听吗"),
        ("祝您生活愉快", "祝您生活雨快"),
        ("您的保单即将失效", "您的报单急将失笑"),
        ("感谢您的来电", "感谢你的来店再见"),
        ("请问有什么可以帮您", "请问有什么可以邦您的"),
        ("理解您的选择", "好的李解您的选泽"),
        ("给您回电", "给您会电"),
        ("等两分钟", "请等二分钟"),
        ("工号幺零二七", "工号一零二七"),
        ("还款日", "环款日"),
        ("您的保单", "您得保单"),
        ("一会儿给您回电", "一会给您回电"),
        ("24小时内回电", "会在24小时内回电"),
    ],
)
def test_misheard_phrases_are_found(pattern, heard):
    assert accepted(pattern, heard)


@pytest.mark.parametrize(
    ("pattern", "heard"),
    [
        ("身份证号后四位", "身份证号后六位"),
        ("保单号后六位", "保单号后四位"),
        ("保单号后六位", "保单号前六位"),
        ("身份证号后六位", "身份正好厚似为"),
        ("感谢您的来电", "感谢您的接听"),
        ("感谢您的来电", "感谢您的耐心等待"),
        ("祝您生活愉快", "祝您身体健康"),
        ("二十四小时内回电", "四十八小时内回电"),
        ("等待两分钟", "等待十分钟"),
        ("理解您的选择", "理解您的心情"),
        ("可以报销", "可以注销"),
        ("我不需要", "我需要"),
        ("您可自主选择", "您自己选"),
        ("您好", "你们"),
    ],
)
def test_near_misses_are_not_accepted(pattern, heard):
    assert not accepted(pattern, heard)


def test_a_pattern_with_a_negation_of_its_own_is_found_and_not_denied():
    (hit,) = hits("不会失效", call("您放心，您的保单不会失效"))
    assert hit.score == 1.0
    assert not hit.negated


def test_losing_a_negator_costs_the_hit():
    assert not accepted("我没有兴趣", "我有兴趣")
    assert not accepted("不可以撤销", "可以撤销")


def test_options_that_were_said_belong_to_the_hit():
    (hit,) = hits("您好[请问]有什么可以帮您", call("您好，请问有什么可以帮您？"))
    assert (hit.start, hit.end, hit.score) == (0, 11, 1.0)
    (hit,) = hits("您好[请问]有什么可以帮您", call("您好，有什么可以帮您？"))
    assert (hit.start, hit.end, hit.score) == (0, 9, 1.0)


def test_parts_of_a_group_come_in_any_order():
    pattern = "<保单号后六位&身份证号后四位>"
    assert accepted(pattern, "请您提供保单号后六位以及身份证号后四位")
    assert accepted(pattern, "请您提供身份证号后四位和保单号后六位")
    assert not accepted(pattern, "请您提供身份证号后四位")


def test_hits_are_in_order_of_time_and_do_not_overlap():
    found = hits("保单|保单号|保单号后六位", call("保单号后六位，保单", "保单号"))
    assert [(hit.turn, hit.start, hit.end) for hit in found] == [(0, 0, 6), (0, 6, 8), (1, 0, 3)]


def test_only_the_turns_asked_for_are_searched():
    transcript = call("感谢您的来电", "好的", "感谢您的来电")
    assert [hit.turn for hit in hits("感谢您的来电", transcript)] == [0, 2]
    assert [hit.turn for hit in hits("感谢您的来电", transcript, turns=[1, 2])] == [2]
    assert hits("感谢您的来电", transcript, turns=[]) == []


def test_quotes_keep_punctuation_and_offsets_do_not():
    (hit,) = hits("您好请问", call("喂，您好，请问哪位"))
    assert (hit.quote, hit.start, hit.end) == ("您好，请问", 1, 5)


# ---- turn boundaries -----------------------------------------------------------------------------
def test_a_phrase_runs_on_over_a_backchannel():
    transcript = call("请您提供保单号", "嗯", "后六位", "好")
    (hit,) = hits("保单号后六位", transcript)
    assert (hit.turn, hit.start, hit.end_turn, hit.end) == (0, 4, 2, 3)
    assert hit.quote == "保单号…后六位"
    assert (hit.start_s, hit.end_s) == (transcript.turns[0].start_s + 4 * 0.25, transcript.turns[2].end_s)


def test_a_phrase_runs_on_over_a_short_pause():
    assert hits("保单号后六位", call("请您提供保单号", "后六位", roles="aa"))


def test_a_phrase_does_not_run_over_words_of_the_other_side_or_a_long_pause():
    assert not accepted("保单号后六位", "请您提供保单号", "我没带在身上", "后六位")
    transcript = call("请您提供保单号", "后六位", roles="aa", gap_s=9.0)
    assert not [hit for hit in hits("保单号后六位", transcript) if hit.score == 1.0]


# ---- slots ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("heard", "digits"),
    [
        ("工号1027", "1027"),
        ("工号一零二七", "1027"),
        ("工号幺洞两拐", "1027"),
        ("工号是一零二七", "1027"),
        ("工号一零嗯二七", "1027"),
        ("工号一千零二十七", "1027"),
        ("工号一灵二七", "1027"),
    ],
)
def test_digits_are_read_as_people_say_them(heard, digits):
    (hit,) = hits("工号{digits:3-8}", call(heard))
    assert hit.slots["digits"] == digits


def test_a_number_of_another_length_is_no_hit():
    assert not hits("工号{digits:6}", call("工号一零二七"))
    assert not hits("尾号{digits:4}", call("尾号您看一下"))


def test_two_slots_of_a_kind_are_numbered():
    (hit,) = hits("从{digits:2}到{digits:2}", call("从一二到三四"))
    assert dict(hit.slots) == {"digits": "12", "digits2": "34"}


def test_the_agents_name_is_known_by_its_sound():
    (hit,) = hits("我是坐席{name}", call("我是坐席王晓鸣，请问", agent_name="王小明"))
    assert (hit.slots["name"], hit.score) == ("王晓鸣", 1.0)
    (other,) = hits("我是坐席{name}", call("我是坐席李大海", agent_name="王小明"))
    assert other.score < 1.0
    (unknown,) = hits("我是坐席{name}工号", call("我是坐席李大海工号"))
    assert (unknown.slots["name"], unknown.score) == ("李大海", 1.0)


@pytest.mark.parametrize("name", ["小王", "王小明", "王先生", "小明"])
def test_short_forms_of_the_agents_name_are_known(name):
    (hit,) = hits("我是{name}", call(f"您好我是{name}", agent_name="王小明"))
    assert hit.score == 1.0


@pytest.mark.parametrize(
    "said", ["安和人寿保险股份有限公司", "安和人寿保险公司", "安和人寿", "安和人受保险公司"]
)
def test_the_company_is_known_by_its_sound(said):
    (hit,) = hits(
        "这里是{company}服务专线", call(f"您好这里是{said}服务专线", company="安和人寿保险股份有限公司")
    )
    assert hit.slots["company"] == said
    assert hit.score > 0.95


def test_an_unknown_company_is_known_by_its_ending():
    (hit,) = hits("这里是{company}服务专线", call("这里是东海财险服务专线"))
    assert hit.slots["company"] == "东海财险"
    assert not accepted("这里是{company}服务专线", "这里是我们的服务专线")


@pytest.mark.parametrize(
    ("spoken", "seconds"),
    [
        ("两分钟", 120),
        ("一到两分钟", 120),
        ("一两分钟", 120),
        ("三五分钟", 300),
        ("半分钟", 30),
        ("九十秒", 90),
        ("一分半", 90),
        ("一分半钟", 90),
        ("一分三十秒", 90),
        ("半个小时", 1800),
        ("一个半小时", 5400),
        ("一小时二十分钟", 4800),
        ("两个小时", 7200),
        ("一刻钟", 900),
        ("二十四小时", 86_400),
        ("一点五小时", 5400),
        ("三个工作日", 259_200),
        ("十五天", 1_296_000),
        ("两分种", 120),
    ],
)
def test_time_spans(spoken, seconds):
    (span,) = time_spans(f"大概{spoken}左右")
    assert span.seconds == seconds
    assert f"大概{spoken}左右"[span.start : span.end] == spoken


@pytest.mark.parametrize("text", ["十分感谢", "几分钟", "马上", "分钟", "两份材料", ""])
def test_what_is_no_time_span(text):
    assert time_spans(text) == ()


def test_durations_are_compared():
    assert hits("等待{duration<=2min}", call("请等待1到2分钟"))
    assert hits("等待{duration<=2min}", call("请等待90秒"))
    assert not hits("等待{duration<=2min}", call("请等待5分钟"))
    assert not hits("等待{duration<2min}", call("请等待2分钟"))
    assert hits("{duration<=24h}内给您回电", call("24小时内给您回电"))
    assert not accepted("{duration<=24h}内给您回电", "48小时内给您回电")


def test_gaps_are_bounded():
    assert hits("您的意思是{gap:2-8}对吗", call("您的意思是想要退保对吗"))
    assert not accepted("您的意思是{gap:2-3}对吗", "您的意思是想要马上退保对吗")


# ---- guards --------------------------------------------------------------------------------------
THREAT = "您的保单即将失效"


@pytest.mark.parametrize(
    ("said", "negated"),
    [
        ("您的保单即将失效", False),
        ("这不是说您的保单即将失效", True),
        ("我没有说您的保单即将失效", True),
        ("并不是您的保单即将失效", True),
        ("不好意思，您的保单即将失效", False),
        ("对不起，您的保单即将失效", False),
        ("您知不知道您的保单即将失效", False),
        ("您的保单即将失效是不会的", True),
        ("我没有骗您。您的保单即将失效", False),
        ("并不是没有您的保单即将失效", False),
    ],
)
def test_negation(said, negated):
    found = hits(THREAT, call(said))
    assert [hit.negated for hit in found] == [negated]


@pytest.mark.parametrize(
    ("role", "said", "quoted"),
    [
        ("c", "刚才那个人说您的保单即将失效", True),
        ("c", "你们说您的保单即将失效", True),
        ("a", "您说的是您的保单即将失效吗", True),
        ("a", "我跟您说，您的保单即将失效", False),
        ("a", "您的保单即将失效", False),
        ("a", "也就是说您的保单即将失效", False),
    ],
)
def test_quotation(role, said, quoted):
    (hit,) = hits(THREAT, call(said, roles=role))
    assert hit.quoted == quoted


def test_can_or_cannot_is_a_question():
    (hit,) = hits("帮您查询", call("请问能不能帮您查询"))
    assert not hit.negated
    (hit,) = hits("帮您查询", call("现在不能帮您查询"))
    assert hit.negated


@given(any_text, any_text)
def test_guards_take_any_text(left, right):
    guards = load_guards()
    assert guards.negated(left, right) in (True, False)
    assert guards.quoted(left, "agent") in (True, False)


# ---- times ---------------------------------------------------------------------------------------
def test_times_come_from_words():
    words = (Word("您好", 0.0, 1.0, 0.9), Word("请问", 2.0, 3.0, 0.5))
    spans, doubts = character_times(Turn("agent", 0.0, 3.0, "您好，请问", words=words), "您好请问")
    assert spans == [(0.0, 0.5), (0.5, 1.0), (2.0, 2.5), (2.5, 3.0)]
    assert doubts == pytest.approx([0.1, 0.1, 0.5, 0.5])


def test_digits_read_aloud_share_the_time_of_their_word():
    words = (Word("工号", 0.0, 1.0), Word("1027", 1.0, 3.0))
    transcript = Transcript.of([Turn("agent", 0.0, 3.0, "工号1027", words=words)])
    (hit,) = hits("工号{digits:4}", transcript)
    assert (hit.start_s, hit.end_s) == (0.0, 3.0)


def test_words_that_do_not_spell_the_text_are_aligned_with_it():
    words = (Word("保单", 0.0, 1.0), Word("好", 1.0, 1.5), Word("六位", 2.0, 3.0))
    spans, _ = character_times(Turn("agent", 0.0, 3.0, "", words=words), "保单号后六位")
    assert len(spans) == 6
    assert spans[0] == (0.0, 0.5)
    assert spans[-1] == (2.5, 3.0)
    assert all(first[0] <= second[0] for first, second in pairwise(spans))


# ---- what must hold for any text -----------------------------------------------------------------
@given(st.sampled_from(PHRASES), han_text, han_text)
def test_an_exact_phrase_is_always_found_with_score_1(phrase, before, after):
    transcript = call(before + phrase + after)
    found = [hit for hit in hits(phrase, transcript) if hit.score == 1.0]
    assert any(transcript.texts[0][hit.start : hit.end] == phrase for hit in found)


@given(st.text(alphabet=COMMON, min_size=1, max_size=12), han_text)
def test_any_exact_text_is_found_with_score_1(phrase, before):
    assert any(hit.score == 1.0 for hit in hits(phrase, call(before + phrase)))


@given(st.sampled_from(PHRASES), st.sampled_from("嗯啊呃呢"), st.integers(1, 20))
def test_a_particle_inside_lowers_the_score_but_keeps_the_hit(phrase, particle, place):
    place = 1 + place % (len(phrase) - 1)
    (plain,) = hits(phrase, call(phrase))
    (hit,) = hits(phrase, call(phrase[:place] + particle + phrase[place:]))
    assert 0.9 < hit.score < 1.0 == plain.score
    assert load_model().limits.accept < hit.confidence < plain.confidence


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from("ac"), any_text), max_size=6))
def test_no_text_makes_it_fail(turns):
    transcript = call(*(text for _, text in turns), roles="".join(role for role, _ in turns))
    for pattern in (
        *PHRASES,
        "嗯",
        "{duration}",
        "{digits:2-6}",
        "我是{name}",
        "{company}",
        "<您&好>",
        "(您|你)[好]",
    ):
        for hit in hits(pattern, transcript):
            assert 0.0 <= hit.score <= 1.0
            assert 0.0 < hit.confidence < 1.0
            assert hit.start_s <= hit.end_s
            assert 0 <= hit.start < len(transcript.texts[hit.turn])
            assert 0 < hit.end <= len(transcript.texts[hit.end_turn])


@given(st.lists(st.sampled_from((*PHRASES, "嗯", "", "好的。")), max_size=5), st.floats(0, 1000))
def test_shifting_times_shifts_hits_and_nothing_else(texts, shift_s):
    here = call(*texts)
    later = Transcript.of(
        [Turn(turn.role, turn.start_s + shift_s, turn.end_s + shift_s, turn.text) for turn in here.turns]
    )
    for phrase in PHRASES[:3]:
        first, second = hits(phrase, here), hits(phrase, later)
        assert [(hit.turn, hit.start, hit.end, hit.score) for hit in first] == [
            (hit.turn, hit.start, hit.end, hit.score) for hit in second
        ]
        assert [hit.start_s + shift_s for hit in first] == pytest.approx([hit.start_s for hit in second])


def test_empty_and_one_character_turns():
    assert hits("您好", Transcript.of([])) == []
    assert hits("您好", call("", "。", "！")) == []
    (hit,) = hits("喂", call("", "喂", ""))
    assert (hit.turn, hit.start, hit.end) == (1, 0, 1)
    (hit,) = hits("嗯", call("嗯"))
    assert hit.score == 1.0


# ---- against the plain, slow way -----------------------------------------------------------------
def slow_cost(phrase: str, text: str) -> int:
    """Weighted edit distance of a phrase to any stretch of a text, by the book."""
    sounds = load_sounds()
    row = [0] * (len(text) + 1)
    for char in phrase:
        missed = sounds.delete_cost(char)
        after = [row[0] + missed]
        for place, heard in enumerate(text):
            cheapest = min(
                row[place] + sounds.character_cost(char, heard),
                row[place + 1] + missed,
                after[place] + sounds.insert_cost(heard),
            )
            after.append(cheapest)
        row = after
    return min(row)


def test_the_fast_search_finds_what_the_slow_one_finds():
    sounds = load_sounds()
    alike: dict[str, list[str]] = {}
    for char in COMMON:
        costs = sounds.row(char)
        alike[char] = [other for other in COMMON if 0 < costs[other] <= 60] or [char]
    chance = random.Random(3)
    wanted = same = 0
    for _ in range(400):
        phrase = chance.choice(PHRASES)
        heard = [
            chance.choice(alike.get(char, [char])) if chance.random() < 0.2 else char
            for char in phrase
            if chance.random() > 0.05
        ]
        if chance.random() < 0.3:
            heard.insert(chance.randrange(len(heard)), chance.choice("嗯的就"))
        text = "".join(chance.choices(COMMON, k=8)) + "".join(heard) + "".join(chance.choices(COMMON, k=8))
        slow = slow_cost(phrase, text)
        weight = sum(map(sounds.delete_cost, phrase))
        fast = max((hit.score for hit in hits(phrase, call(text))), default=0.0)
        assert fast <= 1 - slow / weight + 1e-9, "no hit is better than the best there is"
        if slow <= 0.2 * weight:
            wanted += 1
            same += abs(fast - (1 - slow / weight)) < 0.02
    assert wanted > 200
    assert same / wanted >= 0.97


def test_bare_drops_what_is_not_spoken():
    assert bare("您好，VIP 客户！（一）") == "您好vip客户一"
    assert UNIT == 100
