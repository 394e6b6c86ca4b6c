"""The plain alternative: looking for a phrase's very characters in the transcript.

Two comparisons with matching by sound, on the same transcripts.

`phrase_finding`
    A mandated or banned phrase of the standard that stands in the clean turn should be found in what was
    heard of that turn (recall); found in a turn that does not hold it is a false hit.
`keyword_verdict`
    A rule that asks for one phrase, judged by whether its keywords stand anywhere in the agent's words.

Table of contents: `PHRASES`, `KEYWORDS`, `Found`, `phrase_finding`, `keyword_verdict`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.mandarin import normalised
from pipeline.records import VerdictKind
from tests.accuracy.conditions import Case

# The standard's own words, cut to the part that carries the meaning; with each, what says the same in near
# words: a turn that holds that is neither a find nor a false hit.
PHRASES = {
    "有什么可以帮您": "(什么|其他|哪些).{0,6}(帮|效劳)",
    "让您久等": "久等",
    "保单号后六位": "保单号.{0,5}六位",
    "身份证号后四位": "身份证.{0,6}四位",
    "您的意思是": "您的意思",
    "理解您的心情": "(理解|体会).{0,8}心情|心情.{0,6}理解",
    "还有其他需要帮助的吗": "(其他|别的).{0,6}(需要|帮|问题|办)",
    "二十四小时内": "二十四小时.?内",
    "感谢您的来电": "谢.{0,3}(来电|致电|打电话)",
    "祝您生活愉快": "祝您.{0,6}愉快",
    "服务专线": "服务热线",
    "我是坐席": "坐席",
    "工号": "工号",
    "现在方便接听": "方便.{0,2}(接|听|通话|说话)",
    "此为服务推荐": "服务.?推荐|推荐.?服务",
    "您可自主选择": "自主选择",
    "理解您的选择": "理解.{0,6}选择",
    "如有需要可随时拨打我们的服务热线": "需要.*热线",
    "即将失效": "即将失效",
    "客服中心": "客服中心",
}

# A phrase that means nothing without its value: how a rule writes it, and what of it counts as said.
PATTERNS = {"工号": "工号{digits}"}
VALUED = {"工号": "工号.{0,3}[零幺一二两三四五六七八九]{2}"}

# Per rule, groups of which each must stand in the agent's words: any one of a group is enough.
KEYWORDS: dict[str, tuple[tuple[str, ...], ...]] = {
    "inbound.late_answer_apology": (("让您久等了",),),
    "inbound.two_factor_verification": (("保单号后六位", "保单号"), ("身份证号后四位", "身份证")),
    "inbound.paraphrase_cadence": (("您的意思是",),),
    "inbound.empathy": (("我理解您",),),
    "inbound.further_needs": (("还有其他需要帮助的吗",),),
    "inbound.callback_promised": (("二十四小时内",),),
    "inbound.closing_thanks": (("感谢您的来电",), ("祝您生活愉快",)),
    "outbound.identity_disclosure": (("服务专线",), ("坐席",), ("工号",), ("现在方便接听吗",)),
    "outbound.recommendation_disclaimer": (("此为服务推荐",), ("您可自主选择",)),
    "outbound.refusal_response": (("理解您的选择",), ("如有需要可随时拨打我们的服务热线",)),
}


@dataclass(slots=True)
class Found:
    """Counts over phrases and turns; add cases with `phrase_finding`."""

    said: int = 0
    by_keyword: int = 0
    by_sound: int = 0
    false_by_keyword: int = 0
    false_by_sound: int = 0


def phrase_finding(cases: Sequence[Case]) -> Found:
    """How many of the phrases said are found in what was heard, by characters and by sound.

    A hit belongs to the turns of its own speaker that it runs over, never to a listener's between them.
    It is false when none of them says the phrase, or nearly.
    """
    from pipeline.judging.phrases import Transcript, compile_pattern, find
    from pipeline.judging.transcript import load_model

    accept = load_model().limits.accept
    patterns = {phrase: compile_pattern(PATTERNS.get(phrase, phrase)) for phrase in PHRASES}
    found = Found()
    for case in cases:
        call = case.dialogue.call
        said = {turn.start_s: normalised(turn.text) for turn in case.dialogue.hearing.turns}
        heard = {turn.start_s: normalised(turn.text) for turn in case.hearing.turns}
        transcript = Transcript.of(case.hearing.turns, agent_name=call.agent_name, company=call.company)
        for phrase, pattern in patterns.items():
            hits = find(pattern, transcript)
            spans = [
                {
                    case.hearing.turns[index].start_s
                    for index in range(hit.turn, hit.end_turn + 1)
                    if case.hearing.turns[index].role == hit.role
                }
                for hit in hits
                if hit.confidence >= accept
            ]
            by_sound = {start_s for span in spans for start_s in span}
            near = re.compile(PHRASES[phrase])
            exact = re.compile(VALUED.get(phrase, phrase))
            for start_s, text in said.items():
                literally = phrase in heard.get(start_s, "")
                if exact.search(text):
                    found.said += 1
                    found.by_keyword += literally
                    found.by_sound += start_s in by_sound
                elif not near.search(text):
                    found.false_by_keyword += literally
            found.false_by_sound += sum(
                not any(phrase in said[start_s] or near.search(said[start_s]) for start_s in span)
                for span in spans
            )
    return found


def keyword_verdict(rule_id: str, case: Case) -> VerdictKind:
    """``pass`` when every group of the rule's keywords stands in the agent's words, else ``fail``."""
    words = "|".join(normalised(turn.text) for turn in case.hearing.turns if turn.role == "agent")
    return "pass" if all(any(word in words for word in group) for group in KEYWORDS[rule_id]) else "fail"
