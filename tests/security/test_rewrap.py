"""New recipients for old recordings: only the header changes, and only who may open it may change it."""

from __future__ import annotations

import pyarrow.parquet as pq
import pyrage
import pytest
from builders import clip, zhijian
from pyrage import x25519

from pipeline.errors import DecryptError, InputError, WrongKeyError
from pipeline.vault.envelope import decrypt, encrypt, payload_sha256
from pipeline.vault.keys import Identity
from pipeline.vault.rewrap import rewrap

PIPELINE, QA, DISPUTE, STRANGER = (Identity([x25519.Identity.generate()], source=n) for n in "abcd")
DATA = bytes(range(256)) * 600


@pytest.mark.parametrize("kind", ["age", "sm4"])
def test_recipients_change_and_the_payload_does_not(kind):
    old = encrypt(DATA, [*PIPELINE.recipients, *QA.recipients], envelope=kind)
    new = rewrap(old, PIPELINE, [*PIPELINE.recipients, *DISPUTE.recipients])
    assert decrypt(new, PIPELINE) == decrypt(new, DISPUTE) == DATA
    with pytest.raises(WrongKeyError):
        decrypt(new, QA)
    assert decrypt(old, QA) == DATA, "what somebody kept stays open to them: this is what rewrap says"
    assert new[-len(DATA) :] == old[-len(DATA) :]


@pytest.mark.parametrize("kind", ["age", "sm4"])
def test_only_a_recipient_may_add_others(kind):
    old = encrypt(DATA, PIPELINE.recipients, envelope=kind)
    with pytest.raises(WrongKeyError):
        rewrap(old, STRANGER, STRANGER.recipients)
    with pytest.raises(InputError, match="could never be opened"):
        rewrap(old, PIPELINE, [])
    with pytest.raises(DecryptError, match="no encrypted container"):
        rewrap(b"RIFF", PIPELINE, PIPELINE.recipients)


@pytest.mark.parametrize("kind", ["age", "sm4"])
def test_an_altered_header_is_refused_and_an_altered_payload_stays_noticed(kind):
    old = encrypt(b"hello", PIPELINE.recipients, envelope=kind)
    header = len(old) - (16 + 5 + 16 if kind == "age" else 5 + 16)
    for position in range(header):
        damaged = bytearray(old)
        damaged[position] ^= 1
        with pytest.raises(DecryptError):
            rewrap(bytes(damaged), PIPELINE, QA.recipients)
    damaged = bytearray(old)
    damaged[-1] ^= 1
    with pytest.raises(DecryptError):
        decrypt(rewrap(bytes(damaged), PIPELINE, QA.recipients), QA)


def test_the_age_library_reads_what_is_rewrapped():
    secret = x25519.Identity.generate()
    new = rewrap(encrypt(DATA, PIPELINE.recipients), PIPELINE, [str(secret.to_public())])
    assert pyrage.decrypt(new, [secret]) == DATA


def test_the_command_rewraps_a_folder_and_says_what_it_does_not_do(night_folder, tmp_path):
    from pipeline.vault.keys import load_identity, new_pair

    night = night_folder
    paths = [night.add_call(name) for name in ("a", "b")]
    qa = new_pair(tmp_path / "qa")
    public = night.root / "keys" / "recordings.pub"
    env = {"XDG_STATE_HOME": str(tmp_path / "state")}
    recipients = ("--recipient", str(public), "--recipient", str(qa.public_path))
    command = ("keys", "rewrap", str(night.recordings), "--identity", str(night.key), "--by", "li.lei")
    done = zhijian(*command, *recipients, env=env)
    assert done.returncode == 0, done.stderr
    assert "still open for their old recipients" in done.stdout
    for path in paths:
        assert decrypt(path.read_bytes(), load_identity(qa.identity_path)) == clip()
        assert decrypt(path.read_bytes(), load_identity(night.key)) == clip()
    assert not [p for p in night.recordings.iterdir() if p.name.endswith(".part")]
    (log,) = (p for p in night.root.rglob("audit-*.jsonl"))
    assert '"event":"rewrap"' in log.read_text()
    assert '"who":"li.lei"' in log.read_text()


@pytest.mark.parametrize("kind", ["age", "sm4"])
def test_the_payload_keeps_its_hash_and_a_change_of_it_does_not(kind):
    old = encrypt(DATA, PIPELINE.recipients, envelope=kind)
    new = rewrap(old, PIPELINE, [*QA.recipients, *DISPUTE.recipients])
    assert payload_sha256(old) == payload_sha256(new) != ""
    assert payload_sha256(encrypt(DATA, PIPELINE.recipients, envelope=kind)) != payload_sha256(old)
    assert payload_sha256(old[:-1] + bytes([old[-1] ^ 1])) != payload_sha256(old)
    assert payload_sha256(old[:20]) == payload_sha256(b"RIFF") == ""


@pytest.fixture
def scored(night_folder, tmp_path, monkeypatch):
    """A night over three calls; ``a`` was rescored by a person. Settings, and how to plan another night."""
    from pipeline.disputes.rescore import rescore
    from pipeline.night.run import open_night, run_night
    from pipeline.settings import load_settings

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name in "abc":
        night_folder.add_call(name)
    calls = night_folder.write_calls()
    settings, _ = load_settings(
        {"recordings": str(night_folder.recordings), "calls": str(calls),
         "results": str(night_folder.results), "identity": night_folder.key, "model": "fake", "workers": 1}
    )  # fmt: skip
    assert run_night(open_night(settings)).scored == 3
    assert rescore(settings, "a", who="li.lei", why="申诉").version == 2
    return night_folder, settings


def rewrap_all(night):
    from pipeline.vault.keys import load_identity
    from pipeline.vault.rewrap import rewrap_files

    key = load_identity(night.key)
    assert len(list(rewrap_files(str(night.recordings), key, [*key.recipients, *QA.recipients]))) == 3


def test_a_night_after_rewrapping_hears_nothing_and_a_true_change_leaves_the_rescored_version(scored):
    from pipeline.disputes.recheck import check_audio, check_scores
    from pipeline.night.run import open_night
    from pipeline.results.store import Store

    night, settings = scored
    rewrap_all(night)
    plan = open_night(settings).plan
    assert (len(plan.tasks), plan.skipped, plan.refused) == (0, 3, ())
    check = check_audio(settings, "b")
    assert (check.problem, check.identical) == (None, True)
    assert check_scores(Store.open(night.results)).problem is None
    for name in "ab":  # other audio under the same names
        night.add_recording(name, clip(8.0))
    plan = open_night(settings).plan
    assert [task.call.call_id for task in plan.tasks] == ["b"]
    (row,) = plan.refused
    assert (row.call_id, row.kind) == ("a", "changed_after_rescore")
    store = Store.open(night.results, write=True)
    store.commit(quarantined=plan.refused)
    again = open_night(settings).plan
    assert (again.refused, again.waiting) == ((), 1), "said once, not every night"
    asked = open_night(settings, retry_quarantined=True).plan
    assert sorted(task.call.call_id for task in asked.tasks) == ["a", "b"]
    assert "another one" in check_audio(settings, "b").problem


def test_results_of_an_earlier_release_stay_valid(night_folder):
    """Their files have no column for the payload: unchanged recordings are not heard again."""
    from unit.results_builders import make_hearing, make_scored

    from pipeline.callrecords import read_call_records
    from pipeline.night.plan import plan_night
    from pipeline.results.store import Store
    from pipeline.results.stored import stored_hearing
    from pipeline.vault.recordings import list_recordings, read_recording

    night_folder.add_call("a")
    (call,) = read_call_records(night_folder.write_calls()).records
    listed = list_recordings(night_folder.recordings)
    sha256 = read_recording(listed.refs[0]).sha256
    store = Store.open(night_folder.results, write=True)
    store.commit([make_scored(call=call, hearing=make_hearing(sha256), recording_stamp="touched")])
    (path,) = night_folder.results.glob("hearings/*/*.parquet")
    table = pq.read_table(path, partitioning=None).drop_columns(["recording_payload_sha256"])
    pq.write_table(table, path, write_page_checksum=True)
    store = Store.open(night_folder.results)
    assert store.scored_fingerprints(["a"])["a"].recording_payload_sha256 == ""
    assert stored_hearing(store, "a")[0] == make_hearing(sha256)
    plan = plan_night(
        read_call_records(night_folder.root / "calls.csv"), listed, calls_path="calls.csv",
        recordings_path="r", scored=store.scored_fingerprints(["a"]), quarantined={}, seen={}, key_id="k",
        hashes=lambda ref: (read_recording(ref).sha256, read_recording(ref).payload_sha256),
        scored_by=store.scored_by, now=call.started_at, run_id="r",
    )  # fmt: skip
    assert (plan.tasks, plan.skipped) == ((), 1)
