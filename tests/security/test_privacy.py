"""Personal numbers are masked, everything else is left alone, and cells hold no formulas."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import AccessRefusedError, ConfigError
from pipeline.privacy import CallMask, mask, mask_turns, may_unmask, safe_cell
from pipeline.privacy.lexicon import load_privacy_lexicon
from pipeline.privacy.numbers import is_bank_card, is_id_number
from pipeline.records import Turn, Word
from pipeline.settings import Settings


def accuracy():
    place = Path(__file__).with_name("masking_accuracy.py")
    spec = importlib.util.spec_from_file_location("masking_accuracy", place)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("split", ["dev", "heldout"])
def test_recall_and_precision_on_labelled_sentences(split):
    result = accuracy().measure(split)
    assert result.recall >= 0.95
    assert result.precision >= 0.95


def test_the_labelled_set_is_as_large_as_it_says():
    results = [accuracy().measure(split) for split in ("dev", "heldout")]
    assert sum(r.true_spans for r in results) >= 200
    assert sum(r.negatives for r in results) >= 200


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("11010519491231002X", "id_number"),
        ("幺幺零幺零五幺九四九幺二三幺零零二叉", "id_number"),
        ("110105 19491231 002x，对的", "id_number"),
        ("110105194912310020", "id_number"),  # misheard check digit, but region and birthday fit
        ("13800138000", "mobile"),
        ("+8613800138000", "mobile"),
        ("6222021234567890128", "bank_card"),
        ("PICC20261234567", "policy_number"),
        ("73951840263", "long_number"),
    ],
)
def test_strong_numbers_need_no_context(text, kind):
    masked = mask(text)
    assert [span.kind for span in masked.spans] == [kind]
    assert not any(c.isdigit() for c in masked.text)
    assert len(masked.text) == len(text)


def test_spans_say_that_a_factor_was_given():
    first, second = mask_turns(
        ["请报身份证后四位和保单号后六位", "身份证后四位四四一六，保单号后六位三八零二一五"]
    )
    assert not first.spans
    assert [(s.kind, s.digits) for s in second.spans] == [("id_number", 4), ("policy_number", 6)]
    assert second.secrets == ("4416", "380215")
    assert "4416" not in repr(second)


def test_what_was_asked_for_turns_ago_is_still_known():
    texts = ["麻烦报一下卡号", "你等一下我找找", "好的不急", "六二一七", "嗯", "零零三三八"]
    assert [m.text for m in mask_turns(texts)][3:] == ["****", "嗯", "*****"]
    assert mask_turns(["你好", "四四一六"])[1].text == "四四一六"


def test_a_call_masks_quotes_words_and_read_backs():
    turns = (
        Turn("agent", 0, 1, "请报一下保单号后六位"),
        Turn("customer", 1, 2, "三八零二一五", spoken="三八零二一五", raw="380215",
             words=(Word("三八零", 1, 1.5), Word("二一五", 1.5, 2))),
        Turn("agent", 2, 3, "三八零二一五，对吗"),
    )  # fmt: skip
    call = CallMask.of_turns(turns)
    masked = call.turn(1, turns[1])
    assert (masked.text, masked.spoken, masked.raw) == ("******",) * 3
    assert [word.text for word in masked.words] == ["***", "***"]
    assert call.turn(2, turns[2]).text == "******，对吗"
    rows = [{"text": t.text, "words": [{"text": w.text, "start_s": 0.0} for w in t.words]} for t in turns]
    assert CallMask.of_rows(rows).turn_rows(rows)[1]["words"][0]["text"] == "***"
    (verdict,) = call.verdict_rows([{"reason": "客户报了380215", "evidence": [{"quote": "三八零二一五"}]}])
    assert verdict == {"reason": "客户报了******", "evidence": [{"quote": "******"}]}
    assert call.event_rows([{"text": "二一五"}]) == [{"text": "二一五"}], "three digits give nothing away"


TEXTS = st.text(
    alphabet="零一二三四五六七八九幺0123456789Xx，。 嗯个元年月日身份证手机保单卡号后四位是我的", max_size=60
)


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_masks_keep_length_and_everything_outside_the_spans(text):
    masked = mask(text)
    assert len(masked.text) == len(text)
    inside = {i for s in masked.spans for i in range(s.start, s.end)}
    assert all(masked.text[i] == c for i, c in enumerate(text) if i not in inside)
    assert mask(masked.text).text == masked.text


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_any_text_can_be_masked(text):
    assert len(mask(text).text) == len(text)


@settings(max_examples=100, deadline=None)
@given(TEXTS, st.integers(10**10, 10**10 - 1 + 9 * 10**9), TEXTS)
def test_a_mobile_number_never_survives_among_other_words(before, number, after):
    digits = "1" + str(number)[:10].replace("0", "3", 1)
    digits = "13" + digits[2:11]
    shown = mask(f"我在说，{before}吧：{digits}。谢谢{after}").text
    assert digits not in shown


def test_long_hostile_texts_take_no_time():
    import time

    started = time.perf_counter()
    mask("一，" * 5000)
    mask("、" * 20_000 + "1")
    mask("三个" * 5000)
    assert time.perf_counter() - started < 3


def test_checksums_against_published_examples():
    assert is_id_number("11010519491231002X")  # GB 11643-1999, annex
    assert is_id_number("34052419800101001X")
    assert not any(is_id_number(f"11010519491231002{d}") for d in "0123456789")
    assert is_bank_card("4111111111111111")
    assert not any(is_bank_card(f"411111111111111{d}") for d in "023456789")


def test_masks_are_lifted_only_with_the_dispute_key(tmp_path, monkeypatch):
    from pipeline.errors import KeyMaterialError
    from pipeline.vault.providers import new_secret

    with pytest.raises(AccessRefusedError, match="need the dispute key"):
        may_unmask(Settings())
    new_secret(tmp_path / "dispute.key")
    assert may_unmask(Settings(dispute_key=f"file:{tmp_path / 'dispute.key'}"))
    (tmp_path / "dispute.key").chmod(0o644)
    with pytest.raises(KeyMaterialError, match="mode 0644"):
        may_unmask(Settings(dispute_key=f"file:{tmp_path / 'dispute.key'}"))


def test_problems_of_the_data_are_all_named(tmp_path):
    path = tmp_path / "privacy.toml"
    path.write_text(
        'schema = 1\n[digits]\n"ab" = "1"\n[inside]\n[units]\n[pauses]\n[harmless]\n[tail]\n[[cue]]\n'
    )
    with pytest.raises(ConfigError) as caught:
        load_privacy_lexicon(path)
    assert str(caught.value).count("\n") >= 5


FORMULAS = (
    "=1+1",
    "+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    " =1",
    "＝1+1",
    "＠SUM",
    "|x",
    "%0a=1",
)


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_is_a_formula(text):
    assert safe_cell(text).startswith("'")


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=50))
def test_cells_are_accepted_by_office_formats(text):
    from openpyxl import Workbook

    sheet = Workbook().active
    sheet.append([safe_cell(text)])
    assert sheet["A1"].data_type != "f"


def test_plain_cells_stay_as_they_are():
    for text in ("您好，请问有什么可以帮您？", "-12.5", "+3", "95%", "20260105-0017", "a=b"):
        assert safe_cell(text) == text


@given(
    st.text(st.sampled_from("一三八0幺两洞个X嗯，.-  再 机号卡元a"), max_size=24),
    st.sampled_from(["", "手机号", "后四位"]),
)
def test_the_quick_look_never_overlooks_a_number(text, cue):
    from pipeline.privacy.digits import digit_runs, may_hold_number

    longest = max((len(run.digits) for run in digit_runs(cue + text)), default=0)
    assert may_hold_number(cue + text) or longest < 3
