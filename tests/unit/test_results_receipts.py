"""Receipts: equal for equal inputs, different for any difference that can move a score."""

import json
from dataclasses import dataclass, fields, replace
from types import MappingProxyType

import pytest

from pipeline.records import ModelId, PhraseEvidence, Turn, Word
from pipeline.results.receipts import (
    code_version,
    hearing_hash,
    judgement_hash,
    library_versions,
    receipt,
    receipt_inputs,
)
from pipeline.results.store import Store
from pipeline.results.stored import stored_hearing
from tests.unit.results_builders import make_call, make_hearing, make_judgement, make_scored


def of(call=None, hearing=None, judgement=None):
    return receipt(
        receipt_inputs(call or make_call(), hearing or make_hearing(), judgement or make_judgement())
    )


def test_equal_inputs_give_equal_receipts():
    assert of() == of(hearing=make_hearing(stage_s=MappingProxyType({"asr": 9.0})))


def test_receipt_is_stored_and_can_be_derived_again(tmp_path):
    store = Store.open(tmp_path, write=True)
    store.commit([make_scored()])
    row = store.read("scores").to_pylist()[0]
    hearing, call = stored_hearing(store, "c1")
    assert row["receipt"] == of(call, hearing) == receipt(row["receipt_inputs"])


CHANGES = {
    "recording_sha256": "00" * 32,
    "duration_s": 6.0,
    "layout": "mono",
    "turns": (Turn("agent", 0.0, 1.0, "您好", words=(Word("您好", 0.0, 1.0),)),),
    "events": (),
    "agent_snr_db": 3.0,
    "customer_snr_db": 3.0,
    "clipped_share": 0.5,
    "asr_confidence": 0.5,
    "role_confidence": 0.5,
    "roles_from": "call_record",
    "models": (ModelId("other", "asr", "00"),),
    "settings_hash": "00",
    "notes": (),
    "phrases": (PhraseEvidence("greeting", "agent", 0.0, 1.0, "您好", -0.1, -0.5, 0.9),),
}


@pytest.mark.parametrize("name", CHANGES)
def test_any_change_of_the_hearing_changes_it(name):
    assert of(hearing=replace(make_hearing(), **{name: CHANGES[name]})) != of()


def test_every_field_of_a_hearing_is_tried_above():
    assert set(CHANGES) == {field.name for field in fields(make_hearing())} - {
        "stage_s",
        "recording_payload_sha256",  # new recipients may not change what a receipt says
    }


def test_call_record_and_judgement_count(monkeypatch):
    assert of(call=make_call(ring_s=3.0)) != of()
    assert of(call=make_call(extra={"exported": "tuesday"})) == of()
    for change in (
        {"score": 1.0},
        {"rulebook_hash": "0"},
        {"rulebook_version": "0"},
        {"fatal": True},
        {"verdicts": ()},
    ):
        assert of(judgement=make_judgement(**change)) != of()


def test_inputs_hold_nothing_that_was_said():
    text = receipt_inputs(make_call(agent_name="李明"), make_hearing(), make_judgement())
    assert "您好" not in text
    assert "李明" not in text
    inputs = json.loads(text)
    assert inputs["hearing"]["sha256"] == hearing_hash(make_hearing())
    assert inputs["judgement_sha256"] == judgement_hash(make_judgement())
    assert inputs["code"] == code_version()
    assert inputs["libraries"] == library_versions()
    assert inputs["libraries"]["faster-whisper"] != "absent"
    assert json.dumps(inputs, ensure_ascii=False, sort_keys=True, separators=(",", ":")) == text


def test_code_version_names_release_and_sources():
    version, _, sources = code_version().partition("+")
    assert version != "absent"
    assert len(sources) == 12


def test_a_field_that_a_later_release_adds_moves_no_old_hash():
    """What a record has at its default is not hashed, so a field it never had is no difference."""

    @dataclass(frozen=True)
    class Old:
        text: str

    @dataclass(frozen=True)
    class New:
        text: str
        more: tuple[str, ...] = ()
        mood: str | None = None

    assert judgement_hash(Old("您好")) == judgement_hash(New("您好"))
    assert judgement_hash(New("您好", ("x",))) != judgement_hash(New("您好"))
    assert judgement_hash(New("您好", mood="")) != judgement_hash(New("您好"))
