"""New recipients for old recordings: only the header changes, and only who may open it may change it."""

from __future__ import annotations

import pyrage
import pytest
from builders import clip, zhijian
from pyrage import x25519

from pipeline.errors import DecryptError, InputError, WrongKeyError
from pipeline.vault.envelope import decrypt, encrypt
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
