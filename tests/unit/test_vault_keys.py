"""Key pairs and the rules about who may read them."""

import os

import pytest

from pipeline.errors import KeyMaterialError
from pipeline.vault.envelope import decrypt, encrypt
from pipeline.vault.keys import identity_from_environment, load_identity, load_recipients, new_pair


@pytest.fixture
def pair(tmp_path):
    return new_pair(tmp_path / "keys")


def secret_of(pair):
    return pair.identity_path.read_text().splitlines()[-1]


def test_new_pair_works_and_only_the_owner_reads_the_secret(pair):
    assert pair.public_path.name == "recordings.pub"
    assert pair.identity_path.name == "recordings.key"
    assert pair.identity_path.stat().st_mode & 0o777 == 0o600
    identity = load_identity(pair.identity_path)
    assert identity.recipients == load_recipients(pair.public_path) == (pair.recipient,)
    assert decrypt(encrypt(b"audio", load_recipients(pair.public_path)), identity) == b"audio"


def test_a_public_key_as_identity_is_said_to_be_one_before_its_mode(tmp_path):
    pair = new_pair(tmp_path)
    with pytest.raises(KeyMaterialError, match="is a public key") as caught:
        load_identity(pair.public_path)
    assert str(pair.identity_path) in str(caught.value)
    assert "chmod" not in str(caught.value)
    pair.identity_path.unlink()
    with pytest.raises(KeyMaterialError, match="made with it"):
        load_identity(pair.public_path)


def test_mode_holds_under_a_strange_umask(tmp_path):
    before = os.umask(0)
    try:
        pair = new_pair(tmp_path)
    finally:
        os.umask(before)
    assert pair.identity_path.stat().st_mode & 0o777 == 0o600
    assert pair.public_path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("present", ["recordings.pub", "recordings.key"])
def test_nothing_is_overwritten(tmp_path, present):
    (tmp_path / present).write_text("precious")
    with pytest.raises(KeyMaterialError, match=f"{present}: exists already"):
        new_pair(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [present]
    assert (tmp_path / present).read_text() == "precious"


def test_dangling_link_counts_as_present(tmp_path):
    (tmp_path / "recordings.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeyMaterialError, match="exists already"):
        new_pair(tmp_path)


def test_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(KeyMaterialError, match="cannot be written"):
        new_pair(tmp_path / "file")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o610])
def test_identity_open_to_others_is_refused(pair, mode):
    pair.identity_path.chmod(mode)
    with pytest.raises(KeyMaterialError, match=rf"mode {mode:04o}.*run: chmod 600 .*recordings\.key"):
        load_identity(pair.identity_path)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_identity_of_the_owner_alone_is_accepted(pair, mode):
    pair.identity_path.chmod(mode)
    assert load_identity(pair.identity_path).recipients == (pair.recipient,)


def test_missing_empty_and_malformed_identities(tmp_path, pair):
    with pytest.raises(KeyMaterialError, match="no such identity file"):
        load_identity(tmp_path / "none.key")
    for content, message in [
        (b"", "holds no secret key"),
        (b"# only a comment\n", "holds no secret key"),
        (b"AGE-SECRET-KEY-1QQQQ\n", "line 1 is no age secret key"),
        (pair.recipient.encode(), "is a public key"),
        (b"\xff\xfe\x00", "is no text"),
        (b"#" * 100_000, "larger than"),
    ]:
        path = tmp_path / "bad.key"
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(KeyMaterialError, match=message) as caught:
            load_identity(path)
        assert "SECRET-KEY-1QQQQ" not in str(caught.value)
    with pytest.raises(KeyMaterialError, match="something else"):
        load_identity(tmp_path)


def test_several_keys_in_one_file(tmp_path, pair):
    second = new_pair(tmp_path / "second")
    path = tmp_path / "both.key"
    path.write_text(f"{secret_of(pair)}\r\n\n{secret_of(second)}\n")
    path.chmod(0o600)
    identity = load_identity(path)
    assert identity.recipients == (pair.recipient, second.recipient)
    assert decrypt(encrypt(b"x", [second.recipient]), identity) == b"x"
    assert identity.key_id not in (
        load_identity(pair.identity_path).key_id,
        load_identity(second.identity_path).key_id,
    )


def test_key_id_is_stable_and_follows_the_key(pair):
    assert load_identity(pair.identity_path).key_id == load_identity(pair.identity_path).key_id


def test_identity_from_environment(pair):
    text = pair.identity_path.read_text()
    assert identity_from_environment({}) is None
    assert identity_from_environment({"ZHIJIAN_IDENTITY_TEXT": " \n"}) is None
    assert identity_from_environment({"ZHIJIAN_IDENTITY_TEXT": text}).recipients == (pair.recipient,)
    assert identity_from_environment({"ZHIJIAN_IDENTITY_TEXT": secret_of(pair)}).recipients == (
        pair.recipient,
    )
    with pytest.raises(KeyMaterialError, match="ZHIJIAN_IDENTITY_TEXT: line 1") as caught:
        identity_from_environment({"ZHIJIAN_IDENTITY_TEXT": "hunter2"})
    assert "hunter2" not in str(caught.value)


def test_recipients_from_text_and_files(tmp_path, pair):
    assert load_recipients(pair.recipient) == (pair.recipient,)
    path = tmp_path / "all.pub"
    path.write_text(f"\ufeff# QA\n{pair.recipient}\n{pair.recipient}\n", encoding="utf-8")
    assert load_recipients(path) == (pair.recipient,)


def test_bad_recipients(tmp_path, pair):
    path = tmp_path / "bad.pub"
    path.write_text("# nothing\n")
    with pytest.raises(KeyMaterialError, match="holds no recipient"):
        load_recipients(path)
    path.write_text(f"{pair.recipient}\nage1xyz\n")
    with pytest.raises(KeyMaterialError, match=r"bad\.pub:2: is no age recipient"):
        load_recipients(path)
    with pytest.raises(KeyMaterialError, match="is a secret key") as caught:
        load_recipients(pair.identity_path)
    assert secret_of(pair) not in str(caught.value)
    with pytest.raises(KeyMaterialError, match="keep it off command lines") as caught:
        load_recipients(secret_of(pair))
    assert secret_of(pair) not in str(caught.value)
    with pytest.raises(KeyMaterialError, match="no age recipient"):
        load_recipients("age1" + "q" * 58)
    with pytest.raises(KeyMaterialError, match="cannot be read"):
        load_recipients(tmp_path)
