"""The committed sample calls: complete, decryptable, consistent; no model is loaded."""

import csv
import io
import json
import sys
from pathlib import Path

import pytest
import soundfile

SAMPLES = Path(__file__).parents[2] / "data_samples"
MAX_BYTES = 8_000_000

# Each of these must go both ways somewhere in the set, or the demo could not show a difference.
BOTH_WAYS = (
    "language.speech_rate",
    "language.fillers",
    "language.greeting",
    "language.courtesy",
    "inbound.answered_in_time",
    "inbound.late_answer_apology",
    "inbound.closing_thanks",
    "inbound.paraphrase_cadence",
    "inbound.two_factor_verification",
    "inbound.attentive_listening",
    "inbound.empathy",
    "inbound.further_needs",
    "inbound.transfer_explained",
    "inbound.callback_promised",
    "inbound.no_forced_hangup",
    "outbound.identity_disclosure",
    "outbound.time_window",
    "outbound.do_not_disturb",
    "outbound.vague_identity",
    "outbound.purpose_stated",
    "outbound.inducement",
    "outbound.recommendation_disclaimer",
    "outbound.recommendation_followup",
    "outbound.refusal_response",
    "outbound.no_repeat_pitch",
    "outbound.complaint_recorded",
    "outbound.record_completed",
    "environment.background_noise",
)
ONE_WAY = (
    "language.mandarin",
    "inbound.handling_time",
)  # synthetic speech has no dialect; no call lasts 5 min

TRUTH = json.loads((SAMPLES / "truth.json").read_text("utf-8"))["calls"]
RECORDINGS = sorted((SAMPLES / "recordings").iterdir())
CALL_IDS = sorted(TRUTH)


@pytest.fixture(scope="module", name="script_module")
def _script_module():
    sys.path.insert(0, str(SAMPLES))
    try:
        from synth import script, truth

        yield script, truth
    finally:
        sys.path.remove(str(SAMPLES))


@pytest.fixture(scope="module", name="records")
def _records() -> dict[str, dict[str, str]]:
    with (SAMPLES / "calls.csv").open(encoding="utf-8", newline="") as handle:
        return {row["call_id"]: row for row in csv.DictReader(handle)}


@pytest.fixture(scope="module", name="audio")
def _audio() -> dict[str, tuple]:
    """All recordings, decrypted and decoded once: samples and rate."""
    import pyrage

    lines = (SAMPLES / "keys" / "THROWAWAY-recordings.key").read_text("utf-8").splitlines()
    secrets = [line for line in lines if line and not line.startswith("#")]
    assert len(secrets) == 1
    identity = pyrage.x25519.Identity.from_str(secrets[0])
    public = (SAMPLES / "keys" / "THROWAWAY-recordings.pub").read_text("utf-8").strip()
    assert str(identity.to_public()) == public
    return {
        path.name.split(".")[0]: soundfile.read(
            io.BytesIO(pyrage.decrypt(path.read_bytes(), [identity])), always_2d=True
        )
        for path in RECORDINGS
    }


def test_key_says_that_it_protects_nothing():
    text = (SAMPLES / "keys" / "THROWAWAY-recordings.key").read_text("utf-8")
    assert text.startswith("#")
    assert "PROTECTS NOTHING" in text


def test_every_recording_has_one_record_and_one_truth(records):
    assert len(CALL_IDS) >= 12
    assert [path.name for path in RECORDINGS] == sorted(f"{TRUTH[c]['file']}.age" for c in CALL_IDS)
    assert sorted(records) == CALL_IDS


def test_committed_audio_stays_small():
    assert 0 < sum(path.stat().st_size for path in RECORDINGS) <= MAX_BYTES


@pytest.mark.parametrize("call_id", CALL_IDS)
def test_sound_is_what_truth_says(call_id, audio):
    samples, rate = audio[call_id]
    truth = TRUTH[call_id]
    assert rate == truth["sample_rate_hz"]
    assert samples.shape[1] == {"mono": 1, "stereo": 2}[truth["layout"]]
    assert len(samples) / rate == pytest.approx(truth["duration_s"], abs=0.15)
    assert 30 <= truth["duration_s"] <= 150
    # Where a turn is said there is sound, and it lies on the speaker's own channel.
    for turn in truth["turns"]:
        span = samples[int(turn["start_s"] * rate) : int(turn["end_s"] * rate)]
        power = (span**2).mean(axis=0)
        own = 0 if truth["layout"] == "mono" else truth["agent_channel"] ^ (turn["role"] == "customer")
        assert power[own] > 10**-3.8
        # the other side may talk at the same time, or make noise
        if truth["layout"] == "stereo" and truth["noise"] == "line" and turn["kind"] == "turn":
            overlapped = any(
                o["start_s"] < turn["end_s"] and turn["start_s"] < o["end_s"] for o in truth["overlaps"]
            )
            assert overlapped or power[own] > 10 * power[1 - own]


@pytest.mark.parametrize("call_id", CALL_IDS)
def test_turns_are_sorted_and_inside_the_recording(call_id):
    truth = TRUTH[call_id]
    turns = truth["turns"]
    assert [t["start_s"] for t in turns] == sorted(t["start_s"] for t in turns)
    assert {t["role"] for t in turns} == {"agent", "customer"}
    for turn in turns:
        assert 0 <= turn["start_s"] < turn["end_s"] <= truth["duration_s"]
        assert turn["pieces"][0][0] == turn["start_s"]
        assert turn["pieces"][-1][1] == turn["end_s"]
    for filler in truth["fillers"]:
        assert any(
            t["role"] == filler["role"]
            and [filler["start_s"], filler["end_s"], filler["text"]] in t["pieces"]
            for t in turns
        )


@pytest.mark.parametrize("rule_id", BOTH_WAYS)
def test_rule_goes_both_ways(rule_id):
    verdicts = {call_id: TRUTH[call_id]["verdicts"][rule_id]["verdict"] for call_id in CALL_IDS}
    assert {"pass", "fail"} <= set(verdicts.values()), verdicts


def test_every_call_judges_every_rule():
    for call_id in CALL_IDS:
        assert sorted(TRUTH[call_id]["verdicts"]) == sorted(BOTH_WAYS + ONE_WAY)
        for verdict in TRUTH[call_id]["verdicts"].values():
            assert verdict["verdict"] in ("pass", "fail", "not_applicable", "uncertain")
            assert verdict["reason"]


def test_set_covers_the_kinds_of_sound(records):
    codecs = {truth["codec"] for truth in TRUTH.values()}
    assert {"alaw.wav", "ulaw.wav", "flac", "mp3", "opus.ogg"} <= codecs
    stereo = [c for c in CALL_IDS if TRUTH[c]["layout"] == "stereo"]
    assert {records[c]["agent_channel"] for c in stereo} == {"0", "1", ""}
    assert {TRUTH[c]["agent_channel"] for c in stereo} == {0, 1}
    for call_id in stereo:
        assert records[call_id]["agent_channel"] in ("", str(TRUTH[call_id]["agent_channel"]))
    assert any(TRUTH[c]["layout"] == "mono" and TRUTH[c]["overlaps"] for c in CALL_IDS)
    voices = {TRUTH[c]["voices"]["A"][0] for c in CALL_IDS}
    assert voices == {"f", "m"}
    assert {records[c]["direction"] for c in CALL_IDS} == {"inbound", "outbound"}


def test_truth_was_made_from_the_committed_scripts(script_module, records):
    script, _ = script_module
    scripts = {s.call_id: s for s in script.load_folder(SAMPLES / "scripts")}
    assert sorted(scripts) == CALL_IDS
    for call_id, source in scripts.items():
        truth = TRUTH[call_id]
        assert sorted(line.text for line in source.lines) == sorted(t["text"] for t in truth["turns"])
        assert source.expect == truth["verdicts"]
        for name, value in source.cdr.items():
            assert records[call_id][name] == (str(value).lower() if isinstance(value, bool) else str(value))


def test_labels_agree_with_the_true_times(script_module):
    _, truth_module = script_module
    for call_id, truth in TRUTH.items():
        fillers = {(f["start_s"], f["end_s"]) for f in truth["fillers"]}
        turns = [
            truth_module.PlacedTurn(
                t["speaker"],
                t["role"],
                t["text"],
                tuple(
                    truth_module.PlacedPiece(p[2], p[0], p[1], (p[0], p[1]) in fillers) for p in t["pieces"]
                ),
                frozenset(t["flags"]),
                t["kind"],
            )
            for t in truth["turns"]
        ]
        direction = "inbound" if call_id.startswith("in") else "outbound"
        assert truth_module.measures(turns) == truth["measures"]
        assert truth_module.disagreements(turns, truth["verdicts"], direction) == []


@pytest.mark.parametrize("folder", ["scripts_dev", "scripts_heldout"])
def test_other_scripts_share_neither_words_nor_voices_with_the_samples(script_module, folder):
    script, _ = script_module
    sets = {
        name: script.load_folder(SAMPLES / name) for name in ("scripts", "scripts_dev", "scripts_heldout")
    }
    own = sets.pop(folder)
    assert len(own) >= 10
    voices = {voice for s in own for voice in s.voices.values()}
    long_lines = {line.text for s in own for line in s.lines if len(line.text) > 25}
    for other in sets.values():
        assert voices.isdisjoint(voice for s in other for voice in s.voices.values())
        assert long_lines.isdisjoint(line.text for s in other for line in s.lines)


class TestScripts:
    """The script reader says what is wrong, all of it at once."""

    def test_fillers_and_pauses(self, script_module):
        script, _ = script_module
        line = script.parse_line("C[need rate=1.1]: 我想，{那个}，<0.9>退保。")
        assert line.role == "customer"
        assert line.flags == {"need"}
        assert [(p.text, p.filler) for p in line.pieces] == [("我想", False), ("那个", True), ("退保", False)]
        assert line.pieces[1].pause_s == 0.9

    @pytest.mark.parametrize(
        "text", ["A: 工号1027。", "A: OK。", "Z: 您好。", "A[loud]: 您好。", "A[gap=x]: 您好。"]
    )
    def test_unusable_lines_are_refused(self, script_module, text):
        script, _ = script_module
        with pytest.raises(ValueError, match=r"."):
            script.parse_line(text)

    def test_all_problems_come_at_once(self, script_module, tmp_path):
        script, _ = script_module
        (tmp_path / "x.toml").write_text(
            'dialogue = """\nA: 工号12。\nC: 你好。\n"""\n'
            '[cdr]\ndirection = "up"\nstarted_at = "2026-01-05"\n[audio]\ncodec = "gsm"\n',
            encoding="utf-8",
        )
        with pytest.raises(script.ScriptError) as caught:
            script.load_folder(tmp_path)
        message = str(caught.value)
        for part in (
            "found '工号12'",
            "direction is 'up'",
            "no offset",
            "codec is 'gsm'",
            "no voice for speaker C",
        ):
            assert part in message
        assert message.count("x.toml") >= 5


class TestLedger:
    """Paraphrase opportunities by the standard's own notes."""

    def turn(self, module, role, start_s, seconds, *flags):
        piece = module.PlacedPiece("好", start_s, start_s + seconds, False)
        return module.PlacedTurn(role[0].upper(), role, "好", (piece,), frozenset(flags))

    @pytest.mark.parametrize(
        ("plan", "due", "met", "verdict"),
        [
            ([("customer", 29.0, "need")], 0, 0, "not_applicable"),
            ([("customer", 10.0, "need"), ("agent", 3.0, "paraphrase")], 0, 1, "pass"),
            ([("customer", 31.0, "need"), ("agent", 3.0, "paraphrase")], 1, 1, "pass"),
            ([("customer", 31.0, "need"), ("agent", 3.0)], 1, 0, "fail"),
            ([("customer", 61.0, "need"), ("agent", 3.0, "paraphrase")], 2, 1, "fail"),
            ([("customer", 20.0, "need"), ("agent", 3.0), ("customer", 20.0, "need")], 1, 0, "fail"),
        ],
    )
    def test_known_values(self, script_module, plan, due, met, verdict):
        _, module = script_module
        turns, at_s = [], 0.0
        for role, seconds, *flags in plan:
            turns.append(self.turn(module, role, at_s, seconds, *flags))
            at_s += seconds
        assert module.ledger(turns, only_needs=True) == {"due": due, "met": met, "verdict": verdict}
