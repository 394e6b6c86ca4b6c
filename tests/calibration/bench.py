"""How many five-minute calls a second can be searched for a rulebook's worth of phrases, on one core.

``python -m tests.calibration.bench`` makes calls of 60 turns and about 1,200 characters out of the labelled
dialogues, with every twelfth character written as another one of the same sound, and looks up patterns
of about 250 alternatives in each of them. 200 calls fill the tables, as the first minutes of a night do;
200 others are measured. The input is the same every time.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from random import Random

from pipeline.judging.phonetics import load_sounds
from pipeline.judging.phrases import Pattern, Transcript, compile_pattern, find
from pipeline.records import Turn
from tests.calibration.corpus import load_phrases
from tests.dialogues import loader

CALLS = 200
TURNS = 60
STRUCTURED = (
    "(您好|你好|您早)(这里是|我们是|我这边是){company}[的][客户]服务专线",
    "[我][这边]是[你们的](坐席|客服){name}",
    "[我的](工号|坐席号)[是]{digits:3-8}",
    "[请问][您]现在(方便|有空)(接听|接电话|说话)[吗]",
    "(请问|您看)[还][有](什么|哪些)[可以|能](帮您|帮到您|帮助您)[的]",
    "<保单号[后(六|几)位]&身份证[号][后(四|几)位]>",
    "(预留|登记)[的](手机号|电话|手机号码)",
    "[请](稍等|等待)[大概|大约|预计]{duration<=2min}",
    "{duration<=24h}[之|以]内[给您|为您](回电|回复|答复|联系您)",
    "(感谢|谢谢)您的(来电|致电|支持)[再见]",
    "祝您(生活愉快|一切顺利|身体健康)",
    "您的意思是{gap:2-30}(对吗|是吗|是这样吗|对不对)",
    "[也就是说]您(是想|想要|希望|需要){gap:2-30}(对吗|是吗|对吧)",
    "[非常|很](抱歉|对不起)[让您]久等[了]",
    "我[非常|很|特别|十分](理解|明白|体谅)您[的|着急的|现在的](心情|感受|难处)",
    "您[先]别(着急|生气|激动)",
    "[请问]还有(其他|别的|什么)[的](需要|需求|问题)[吗|帮助的吗|可以帮您的吗]",
    "[我]帮您转接[到](核保|理赔|保全|投诉)(部门|专员|同事)",
    "[此|这]为服务推荐您[可|可以]自主选择",
    "理解您的选择如(有|果有)需要[可|可以]随时拨打[我们的]服务热线",
    "您的保单(即将|马上|快要)(失效|作废|终止)",
    "(最后|仅剩)(一天|两天|三天)[的](优惠|机会|名额)",
    "[我|我们](不需要|不想要|不考虑|没兴趣|不感兴趣)[谢谢]",
    "(不要|别)[再][给我]打(电话|过来)[了]",
    "(为什么|为啥|怎么)(不要|不买|不考虑|拒绝)",
    "(给您|向您)推荐[一款|一个](产品|保险|计划)",
    "[我要|我想]投诉[你们]",
    "(说了|讲了)(多少遍|好几遍)[了]",
    "(这不归|不归)我[们]管",
    "(你自己|您自己)(看|查)[一下][合同|短信]",
)


def patterns() -> list[Pattern]:
    """Thirty structured patterns and a hundred and ten phrases with one near one each."""
    words = [f"{phrase.text}|{phrase.near[0]}" for phrase in load_phrases()]
    return [compile_pattern(source) for source in (*STRUCTURED, *words)]


def calls() -> list[list[Turn]]:
    """The calls, drawn from a fixed seed."""
    turns = [turn for dialogue in loader.load("dev") for turn in dialogue.hearing.turns]
    alike = _same_sound("".join(turn.text for turn in turns))
    random = Random(20_261)
    found: list[list[Turn]] = []
    for _ in range(2 * CALLS):
        call: list[Turn] = []
        at = 0.0
        for number in range(TURNS):
            text = random.choice(turns).text
            heard = "".join(
                random.choice(alike[char]) if char in alike and random.random() < 1 / 12 else char
                for char in text
            )
            length = 0.25 * len(text)
            call.append(Turn("customer" if number % 2 else "agent", at, at + length, heard, confidence=0.8))
            at += length + 0.4
        found.append(call)
    return found


def _same_sound(text: str) -> dict[str, list[str]]:
    sounds = load_sounds()
    by_sound: dict[str, set[str]] = defaultdict(set)
    for char in set(text):
        for reading in sounds.readings(char)[:1]:
            by_sound[reading].add(char)
    groups = {char: sorted(group - {char}) for group in by_sound.values() for char in group}
    return {char: others for char, others in sorted(groups.items()) if others}


def main() -> None:
    """Print calls a second, and what the two halves cost."""
    compiled = patterns()
    material = calls()
    chars = sum(len(turn.text) for call in material for turn in call) / len(material)
    ways = sum(pattern.ways for pattern in compiled)
    for call in map(Transcript.of, material[:CALLS]):
        for pattern in compiled:
            find(pattern, call)
    start = time.process_time()
    indexed = [
        Transcript.of(call, agent_name="王小明", company="安和人寿保险股份有限公司")
        for call in material[CALLS:]
    ]
    built = time.process_time()
    hits = sum(len(find(pattern, call)) for call in indexed for pattern in compiled)
    done = time.process_time()
    index_ms, search_ms = (1000 * (end - begin) / CALLS for begin, end in ((start, built), (built, done)))
    sys.stdout.write(
        f"{len(compiled)} patterns, {ways} ways to say them; "
        f"{CALLS} calls of {TURNS} turns, {chars:.0f} characters\n"
        f"index {index_ms:.2f} ms, search {search_ms:.2f} ms a call: "
        f"{1000 / (index_ms + search_ms):.0f} calls/s; {hits / CALLS:.1f} hits a call\n"
    )


if __name__ == "__main__":
    main()
