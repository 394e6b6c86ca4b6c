"""Every kind of bad input ends in a clear line and, where it is one call's fault, in one quarantine row."""

import io
import os
import shutil

import numpy as np
import pytest
import soundfile
from builders import ROOT, SEED, clip, zhijian


def wav(samples: np.ndarray, rate: int = 8000) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, samples, rate, format="WAV", subtype="PCM_16")
    return out.getvalue()


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def one_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.startswith("zhijian:")]
    assert len(lines) == 1, text
    assert "Traceback" not in text
    return lines[0]


def test_a_night_of_broken_calls_loses_none(night_folder):
    night = night_folder
    night.add_call("good")
    path = night.add_call("flipped_bit")
    path.write_bytes(flipped(path.read_bytes(), path.stat().st_size // 2))
    path = night.add_call("cut_container")
    path.write_bytes(path.read_bytes()[:-5])
    night.add_call("cut_audio", clip()[:-4000])
    night.add_call("not_audio", b"this is no audio at all" * 50)
    night.add_call("zero_seconds", wav(np.zeros(0)))
    night.add_call("only_silence", wav(np.zeros(8000 * 5)))
    night.add_call("hum", wav(0.003 * np.random.default_rng(SEED).standard_normal(8000 * 5)))
    night.add_call("unknown_codec", b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x99\x99" + bytes(60))
    night.add_row("not_age")
    (night.recordings / "not_age.wav.age").write_bytes(b"plain text")
    night.add_row("no_recording")
    night.add_recording("no_row", clip())
    night.add_row("plain_file")
    (night.recordings / "plain_file.wav").write_bytes(clip())
    night.add_row("sideways", direction="sideways")
    night.add_recording("sideways", clip())
    night.add_row("good", agent_id="7")  # a second, different row for a call of its own id
    night.rows[-1]["call_id"] = "twice"
    night.add_row("twice", agent_id="8")
    night.add_recording("twice", clip())
    night.write_calls()

    done = night.score("--json")

    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    quarantine = night.table("quarantine")
    kinds = {row.call_id or row.path: row.kind for row in quarantine.itertuples()}
    assert kinds["flipped_bit"] == "decrypt_failed"
    assert kinds["cut_container"] == "decrypt_failed"
    assert kinds["cut_audio"] == "decode_failed"
    assert kinds["not_audio"] == "decode_failed"
    assert kinds["unknown_codec"] == "decode_failed"
    assert kinds["zero_seconds"] == "empty_audio"
    assert kinds["only_silence"] == "silent_audio"
    assert kinds["hum"] == "silent_audio"
    assert kinds["not_age"] == "decrypt_failed"
    assert kinds["no_recording"] == "recording_missing"
    assert kinds["no_row"] == "call_record_missing"
    assert kinds["plain_file"] == "bad_recording"
    assert kinds["sideways"] == "bad_call_record"
    assert kinds["twice"] == "duplicate_call_record"
    assert list(night.table("scores").call_id) == ["good"]
    run = night.table("runs").iloc[-1]
    assert run.calls_in == run.scored + run.quarantined + run.skipped
    assert (run.calls_in, run.scored) == (16, 1)

    again = night.score("--json")
    assert again.returncode == 3
    assert len(night.table("quarantine", latest=False)) == len(quarantine)
    run = night.table("runs").sort_values("started_at").iloc[-1]
    assert (run.scored, run.skipped, run.quarantined) == (0, 1, 15)


def test_the_wrong_key_quarantines_and_the_right_key_heals(night_folder, tmp_path):
    from pipeline.vault.keys import new_pair

    night_folder.add_call("a")
    other = new_pair(tmp_path / "other")
    done = night_folder.score("--identity", str(other.identity_path))
    assert done.returncode == 3
    assert list(night_folder.table("quarantine").kind) == ["wrong_key"]
    healed = night_folder.score()
    assert healed.returncode == 0, healed.stderr
    assert list(night_folder.table("scores").call_id) == ["a"]
    assert night_folder.table("quarantine").empty


def test_the_same_night_again_changes_nothing(night_folder):
    night_folder.add_call("a")
    night_folder.add_call("b", direction="outbound")
    assert night_folder.score().returncode == 0
    before = {p: p.read_bytes() for p in night_folder.results.rglob("*.parquet") if "runs" not in p.parts}
    assert len(before) >= 4
    again = night_folder.score()
    assert again.returncode == 0
    assert "2 skipped" in again.stdout
    after = {p: p.read_bytes() for p in night_folder.results.rglob("*.parquet") if "runs" not in p.parts}
    assert before == after


def test_a_key_that_others_can_read_is_refused(night_folder):
    night_folder.add_call("a")
    night_folder.key.chmod(0o644)
    done = night_folder.score()
    assert done.returncode == 1
    assert "chmod 600" in one_line(done.stderr)
    assert not night_folder.results.exists()


def test_missing_models_name_the_command_that_brings_them(night_folder):
    night_folder.add_call("a")
    empty = night_folder.root / "no_models"
    done = night_folder.score(model="whisper-base", env={"ZHIJIAN_MODEL_DIR": str(empty)})
    assert done.returncode == 1
    assert "zhijian models fetch" in one_line(done.stderr)


def test_an_unwritable_results_folder_stops_before_hearing(night_folder):
    night_folder.add_call("a")
    night_folder.results.write_text("a file, not a folder")
    done = night_folder.score()
    assert done.returncode == 1
    assert "cannot be kept here" in one_line(done.stderr)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda n: (n.root / "calls.csv").unlink(), "no such file"),
        (lambda n: (n.root / "calls.csv").write_text("id,when\n1,2\n"), "call_id"),
        (lambda n: (n.root / "calls.csv").write_bytes("call_id,公司\n1,平安\n".encode("gbk")), "UTF-8"),
        (lambda n: shutil.rmtree(n.recordings), "no such folder"),
    ],
)
def test_what_stops_the_whole_night_is_one_line(night_folder, change, said):
    night_folder.add_call("a")
    night_folder.write_calls()
    change(night_folder)
    arguments = ["score", str(night_folder.recordings), "--calls", str(night_folder.root / "calls.csv")]
    done = zhijian(
        *arguments, "--out", str(night_folder.results), "--identity", str(night_folder.key), "--model", "fake"
    )
    assert done.returncode == 1
    assert said in one_line(done.stderr)


def test_a_rule_with_a_typo_stops_the_night_with_file_and_line(night_folder):
    night_folder.add_call("a")
    lexicons = night_folder.root / "lexicons"
    shutil.copytree(ROOT / "lexicons", lexicons)
    rule = next(lexicons.glob("rules/language*.toml"))
    text = rule.read_text(encoding="utf-8")
    rule.write_text(text.replace('severity = "', 'severity = "very-', 1), encoding="utf-8")
    done = night_folder.score("--rulebook", str(lexicons))
    assert done.returncode == 1
    assert f"{rule.name}:" in done.stderr
    assert "expected one of" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="2026-11-22: root may read every file; run as a user to see it")
def test_a_recording_that_may_not_be_read_is_quarantined(night_folder):
    path = night_folder.add_call("a")
    path.chmod(0)
    done = night_folder.score()
    assert done.returncode == 3
    assert list(night_folder.table("quarantine").kind) == ["bad_recording"]


def test_a_repeated_row_is_scored_once_and_its_repetition_stays_visible(night_folder):
    night_folder.add_call("a")
    night_folder.rows.append(dict(night_folder.rows[0]))
    for again in (False, True):
        done = night_folder.score()
        assert done.returncode == 3, done.stderr
        run = night_folder.table("runs").sort_values("started_at").iloc[-1]
        assert (run.calls_in, run.scored, run.skipped, run.quarantined) == (2, 1 - again, int(again), 1)
        assert list(night_folder.table("quarantine").kind) == ["duplicate_call_record"]
        assert list(night_folder.table("scores").call_id) == ["a"]
