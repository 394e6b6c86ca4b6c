"""The morning inspection finds what is planted, says so in a table and in its exit status, and no more."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from builders import clip, sample_audio, zhijian

from pipeline.hearing.audio import Recording, decode
from pipeline.hearing.conversation import load_conversation
from pipeline.night.soundness import faults

LINE = load_conversation().line
RATE = 8000


def encoded(samples, subtype="PCM_16"):
    out = io.BytesIO()
    soundfile.write(out, samples, RATE, format="WAV", subtype=subtype)
    return out.getvalue()


def kinds(samples, call=None):
    audio = Recording(np.asarray(samples, np.float32), RATE, np.shape(samples)[1] / RATE, "wav/pcm_16")
    return [fault.kind for fault in faults(audio, call, line=LINE)]


@pytest.fixture(scope="module")
def speech():
    data, rate = sample_audio("in01")
    assert rate == RATE
    return data[: 30 * rate].T


def test_a_sound_call_has_no_fault(speech):
    assert kinds(speech) == []
    assert kinds(speech.mean(axis=0, keepdims=True)) == []


def test_silence_and_hum_are_silent():
    rng = np.random.default_rng(1)
    assert kinds(np.zeros((2, 80000))) == ["silent"]
    assert kinds(0.003 * rng.standard_normal((1, 80000))) == ["silent"]


def test_an_empty_or_noisy_channel_is_one_sided_whichever_it_is(speech):
    noise = 0.002 * np.random.default_rng(2).standard_normal(speech.shape[1])
    for empty in (0, 1):
        for filling in (np.zeros_like(noise), noise):
            half = np.array(speech)
            half[empty] = filling
            assert kinds(half) == ["one_sided"]


def test_a_missing_side_is_named_when_the_call_record_says_whose_it_is(speech):
    from datetime import UTC, datetime

    from pipeline.records import CallRecord

    half = np.array(speech, np.float32)
    half[1] = 0.0
    audio = Recording(half, RATE, half.shape[1] / RATE, "wav/pcm_16")
    for channel, said in ((0, "（客户）"), (1, "（坐席）")):
        call = CallRecord("a", "inbound", datetime.now(UTC), agent_channel=channel)
        (fault,) = faults(audio, call, line=LINE)
        assert said in fault.detail


@pytest.mark.parametrize("subtype", ["PCM_16", "ULAW", "ALAW"])
def test_clipping_is_seen_in_every_telephone_codec(speech, subtype):
    loud = np.clip(speech / np.abs(speech).max() * 4.0, -1.0, 1.0)
    audio = decode(encoded(loud.T, subtype))
    assert [fault.kind for fault in faults(audio, None, line=LINE)] == ["clipped"]
    fair = decode(encoded((speech / np.abs(speech).max() * 0.9).T, subtype))
    assert faults(fair, None, line=LINE) == ()


@pytest.fixture
def morning(night_folder):
    night = night_folder
    night.add_call("good", clip(30.0))
    night.add_row("missing")
    night.add_recording("stray", clip(30.0))
    night.add_call("not_audio", b"this is no audio at all" * 50)
    night.add_call("quiet", encoded(np.zeros((80000, 2))))
    data, _ = soundfile.read(io.BytesIO(clip(30.0)), always_2d=True)
    half = data.copy()
    half[:, 1] = 0.0
    night.add_call("half", encoded(half))
    night.add_call("loud", encoded(np.clip(half[:, :1] / np.abs(half).max() * 6.0, -1.0, 1.0)))
    cut = night.add_call("cut")
    cut.write_bytes(cut.read_bytes()[:-5])
    night.add_row("plain")
    (night.recordings / "plain.wav").write_bytes(clip(30.0))
    night.add_row("sideways", direction="sideways")
    night.write_calls()
    return night


def run(night, *more):
    return zhijian(
        "health",
        "--calls",
        str(night.root / "calls.csv"),
        "--recordings",
        str(night.recordings),
        *more,
        env={"XDG_STATE_HOME": str(night.root.parent / f"{night.root.name}-state")},
    )


def test_every_planted_fault_is_found_and_nothing_is_written(morning):
    before = sorted(morning.root.rglob("*"))
    done = run(morning, "--identity", str(morning.key), "--json")
    assert done.returncode == 3, done.stderr
    report = json.loads(done.stdout)
    found = {(f["kind"], f["call_id"]) for f in report["findings"]}
    assert found == {
        ("missing", "missing"),
        ("no_call_record", "stray"),
        ("unreadable", "not_audio"),
        ("unreadable", "cut"),
        ("unreadable", "plain"),
        ("silent", "quiet"),
        ("one_sided", "half"),
        ("clipped", "loud"),
        ("bad_call_record", "sideways"),
    }
    assert (report["calls"], report["sound"]) == (9, 1)
    assert sorted(morning.root.rglob("*")) == before
    table = run(morning, "--identity", str(morning.key))
    assert table.returncode == 3
    assert "单边" in table.stdout
    assert "随录 9 条，录音 8 个" in table.stdout


def test_without_a_key_what_was_not_done_is_said(morning):
    done = run(morning)
    assert done.returncode == 1
    assert "not opened" in done.stderr
    assert "缺录音" in done.stdout
    assert run(morning, "--presence-only").returncode == 3


def test_a_sound_morning_ends_with_zero(night_folder):
    night_folder.add_call("a", clip(30.0))
    night_folder.write_calls()
    done = run(night_folder, "--identity", str(night_folder.key))
    assert (done.returncode, done.stderr) == (0, "")
    assert "正常 1 个，未发现问题" in done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="2026-11-23: finds the workers under /proc")
def test_ctrl_c_while_the_workers_start_says_so_and_nothing_else(night_folder):
    for number in range(3):
        night_folder.add_call(f"c{number}", clip(30.0))
    night_folder.write_calls()
    command = [
        *(sys.executable, "-m", "pipeline.cli", "health", "--identity", str(night_folder.key)),
        *("--calls", str(night_folder.root / "calls.csv"), "--recordings", str(night_folder.recordings)),
    ]
    env = {k: v for k, v in os.environ.items() if not k.startswith("ZHIJIAN_")}
    env["XDG_STATE_HOME"] = str(night_folder.root.parent / "state")
    # A group of its own, as on a terminal: Ctrl-C goes to every process of it.
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env, start_new_session=True)
    until = time.monotonic() + 60.0
    while not _workers_of(process.pid) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err


def _workers_of(pid):
    """Its children that multiprocessing has spawned to work."""
    found = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            for child in children.read_text().split():
                if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text():
                    found.append(child)
        except OSError:  # ended meanwhile
            continue
    return found
