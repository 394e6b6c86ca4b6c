"""The standard's own phrases, spoken on a poor line: what the recogniser's confusions are learnt from.

``python -m tests.calibration.standard OUT`` writes scripts for ``data_samples/make_samples.py``, in which
the development voices say sentences that an agent says all day, with names and numbers drawn anew each
time. ``python -m tests.calibration.standard collect HEARD.jsonl…`` keeps what `tests.accuracy.recognise`
heard of them as ``standard.jsonl``. `tests.calibration.confusions` learns from it; nothing is measured on it.

Table of contents: `sentences`, `scripts`, `collected`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from tests.calibration.corpus import HERE, NOISES, RATES, TURNS_PER_CALL

VOICES = (
    ("f_clear", "m_mid"), ("f_young", "m_bright"), ("m_old", "f_low"), ("d_f_soft", "d_m_light"),
    ("d_f_high", "d_m_deep"),
)  # fmt: skip
HEARD = HERE / "standard.jsonl"
COMPANIES = ("恒信人寿", "安和健康险", "东海财险", "永康人寿", "金桥保险", "北辰人寿", "华岳保险", "长宁人寿")
NAMES = (
    "王芳",
    "陈志强",
    "李雪",
    "赵明",
    "孙丽娜",
    "周涛",
    "吴静怡",
    "郑凯",
    "何晓燕",
    "马婷",
    "刘倩",
    "高峰",
)
SURNAMES = ("张先生", "王女士", "刘先生", "陈女士", "杨先生", "黄女士", "吴先生", "林女士")
THINGS = ("重疾险", "医疗险", "意外险", "养老年金", "车险", "教育金")
TEMPLATES = (
    "您好，这里是{company}服务专线，我是坐席{name}，工号{number}，请问现在方便接听吗？",
    "{who}您好，我是{company}服务专线的坐席{name}，工号{number}，您现在方便接听电话吗？",
    "您好，{company}服务专线，工号{number}为您服务，请问有什么可以帮您？",
    "您好，请问有什么可以帮您？",
    "{who}，让您久等了，请问有什么可以帮您？",
    "不好意思让您久等了，我这边已经查到了。",
    "非常抱歉，让您久等了。",
    "为了您的信息安全，请提供一下保单号后六位和身份证号后四位。",
    "请您报一下保单号后六位，还有身份证号后四位。",
    "麻烦核对一下您的身份证号后四位。",
    "您的意思是想退掉这份{thing}，对吗？",
    "{who}，您的意思是理赔款还没有到账，是这样吧？",
    "我非常理解您的心情，我马上为您查询。",
    "{who}，我理解您的心情，换成是我也会着急的。",
    "请问您还有其他需要帮助的吗？",
    "除了这件事，还有其他需要帮助的吗？",
    "我们会在二十四小时内给您回电。",
    "专员二十四小时内会联系您，请您保持电话畅通。",
    "感谢您的来电，祝您生活愉快，再见。",
    "好的，感谢您的来电，祝您生活愉快。",
    "那就这样，感谢您的来电，再见。",
    "祝您生活愉快，{who}再见。",
    "给您推荐一款{thing}，此为服务推荐，您可自主选择。",
    "我说明一下，此为服务推荐，您可自主选择是否了解。",
    "好的，理解您的选择，如有需要可随时拨打我们的服务热线。",
    "没关系，我理解您的选择，后面如有需要可随时拨打我们的服务热线。",
    "您的保单即将失效，请您尽快缴费。",
    "您好，这里是{company}客服中心。",
    "我是客服中心的，跟您确认一下{thing}的情况。",
    "我是坐席{name}，工号{number}，由我来为您办理。",
)
TIMES_EACH = 6
_DIGITS = "零一二三四五六七八九"


def sentences() -> list[str]:
    """All sentences, in an order of their own; every template several times."""
    random = Random("standard")
    found = [
        template.format(
            company=random.choice(COMPANIES),
            name=random.choice(NAMES),
            who=random.choice(SURNAMES),
            thing=random.choice(THINGS),
            number="".join(random.choice(_DIGITS) for _ in range(4)),
        )
        for template in TEMPLATES
        for _ in range(TIMES_EACH)
    ]
    random.shuffle(found)
    return found


def _calls() -> dict[str, list[str]]:
    lines = sentences()
    return {
        f"standard{number:02d}": lines[begin : begin + TURNS_PER_CALL]
        for number, begin in enumerate(range(0, len(lines), TURNS_PER_CALL))
    }


def scripts() -> dict[str, str]:
    """Call id to script; two voices take turns."""
    found: dict[str, str] = {}
    for number, (name, lines) in enumerate(_calls().items()):
        random = Random(name)
        first, second = VOICES[number % len(VOICES)]
        noise, level = random.choice(NOISES)
        rate = random.choice(RATES)
        dialogue = "\n".join(f"{'AC'[place % 2]}: {line}" for place, line in enumerate(lines))
        found[name] = (
            f'note = "calibration"\ndialogue = """\n{dialogue}\n"""\n[cdr]\ncall_id = "{name}"\n'
            'direction = "inbound"\nstarted_at = "2026-03-10T10:00:00+08:00"\nagent_channel = 0\n'
            f'[audio]\nagent_rate = {rate}\nnoise = "{noise}"\nnoise_db = {level}\n'
            f'[voices]\nA = "{first}"\nC = "{second}"\n'
        )
    return found


def collected(heard_files: Sequence[Path]) -> list[dict[str, Any]]:
    """Lines of what was heard, ``{"said": …, "words": [[text, probability], …]}``."""
    heard = {
        call["id"]: call["turns"]
        for path in heard_files
        for call in map(json.loads, path.open(encoding="utf-8"))
    }
    return [
        {"call": call, "said": line, "words": [[word, round(sure, 2)] for word, _, _, sure in turn["words"]]}
        for call, lines in _calls().items()
        for line, turn in zip(lines, heard[call], strict=True)
    ]


def main(arguments: Sequence[str]) -> int:
    """Write the scripts, or keep what was heard of them."""
    if arguments[0] == "collect":
        lines = collected([Path(name) for name in arguments[1:]])
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        HEARD.write_text(text, encoding="utf-8")
        return 0
    out = Path(arguments[0])
    out.mkdir(parents=True, exist_ok=True)
    for name, script in scripts().items():
        (out / f"{name}.toml").write_text(script, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
