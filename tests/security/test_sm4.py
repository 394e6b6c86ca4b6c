"""The SM4 container: published vectors of its parts, its own test vectors, and nothing altered ever opens."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
from builders import ROOT
from cryptography.exceptions import UnsupportedAlgorithm
from hypothesis import given, settings
from hypothesis import strategies as st
from pyrage import x25519 as age_keys

from pipeline.errors import (
    AccessRefusedError,
    ConfigError,
    DecryptError,
    InputError,
    KeyMaterialError,
    WrongKeyError,
)
from pipeline.vault import sm4, x25519
from pipeline.vault.envelope import decrypt, encrypt, sniff
from pipeline.vault.keys import Identity, load_identity, load_recipients
from pipeline.vault.providers import new_secret

IDENTITY = Identity([age_keys.Identity.generate()], source="test")
OTHER = Identity([age_keys.Identity.generate()], source="test")
CHUNK = sm4.CHUNK_BYTES
TWO_CHUNKS = encrypt(bytes(range(256)) * 400, IDENTITY.recipients, envelope="sm4")
SECRET = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33"


def test_sm4_gcm_as_published():
    """RFC 8998, appendix A.1."""
    key, nonce = bytes.fromhex("0123456789abcdeffedcba9876543210"), bytes.fromhex("00001234567800000000abcd")
    plain = b"".join(bytes([b]) * 8 for b in (0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF, 0xEE, 0xAA))
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    cipher = Cipher(algorithms.SM4(key), modes.GCM(nonce)).encryptor()
    cipher.authenticate_additional_data(bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2"))
    sealed = cipher.update(plain) + cipher.finalize()
    assert sealed.hex() == (
        "17f399f08c67d5ee19d0dc9969c4bb7d5fd46fd3756489069157b282bb200735"
        "d82710ca5c22f0ccfa7cbf93d496ac15a56834cbcf98c397b4024a2691233b8d"
    )
    assert cipher.tag.hex() == "83de3541e4c2b58177e065a9bf7b62ec"


def vectors() -> list[tuple[str, ...]]:
    text = (ROOT / "docs" / "sm4-envelope.md").read_text(encoding="utf-8")
    return re.findall(r"^\| (\w+) \| (\d+) \| `(\w+)` \| `(\w+)` \|$", text, re.MULTILINE)


def fixed(name: str, length: int) -> bytes:
    """The container of a test vector: all random numbers are counters."""
    secret = age_keys.Identity.from_str(SECRET)
    random = iter([bytes(range(16)), bytes(range(16, 32)), bytes(range(32, 64))])
    return sm4.seal(bytes(i % 251 for i in range(length)), [str(secret.to_public())], random=random)


def test_our_own_vectors():
    found = vectors()
    assert [name for name, *_ in found] == ["empty", "short", "chunk", "longer"]
    identity = Identity([age_keys.Identity.from_str(SECRET)], source="test")
    for name, length, digest, plain_digest in found:
        container = fixed(name, int(length))
        assert hashlib.sha256(container).hexdigest() == digest
        assert hashlib.sha256(decrypt(container, identity)).hexdigest() == plain_digest


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=200_000))
def test_round_trip(data):
    container = encrypt(data, IDENTITY.recipients, envelope="sm4")
    assert decrypt(container, IDENTITY) == data
    assert sniff(container[:64]).name == "sm4"


@pytest.mark.parametrize("length", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 5])
def test_borders_of_chunks(length):
    data = bytes(length)
    container = encrypt(data, IDENTITY.recipients, envelope="sm4")
    assert decrypt(container, IDENTITY) == data
    chunks = max(1, -(-length // CHUNK))
    assert len(container) == 12 + 1 + (2 + 2 + 64) + 16 + 32 + length + 16 * chunks


def test_every_flipped_bit_of_a_small_container_is_refused():
    container = encrypt(b"hello", IDENTITY.recipients, envelope="sm4")
    for bit in range(len(container) * 8):
        damaged = bytearray(container)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DecryptError):
            decrypt(bytes(damaged), IDENTITY)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(TWO_CHUNKS) * 8 - 1))
def test_flipped_bits_anywhere_are_refused(bit):
    damaged = bytearray(TWO_CHUNKS)
    damaged[bit // 8] ^= 1 << bit % 8
    with pytest.raises(DecryptError):
        decrypt(bytes(damaged), IDENTITY)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(TWO_CHUNKS) - 1))
def test_cut_containers_are_refused_whole(length):
    with pytest.raises(DecryptError):
        decrypt(TWO_CHUNKS[:length], IDENTITY)


def test_chunks_cannot_be_cut_swapped_doubled_or_appended():
    data = bytes(range(256)) * (CHUNK // 256) * 3
    container = encrypt(data, IDENTITY.recipients, envelope="sm4")
    size = CHUNK + 16
    head = container[: len(container) - 3 * size]
    one, two, three = (container[len(head) + i * size : len(head) + (i + 1) * size] for i in range(3))
    assert decrypt(head + one + two + three, IDENTITY) == data
    wrong = [
        (one, two),
        (two, one, three),
        (one, one, two, three),
        (one, two, three, b"x"),
        (one, three),
        (three,),
        (one, two, three, three),
        (),
    ]
    for chunks in wrong:
        with pytest.raises(DecryptError):
            decrypt(head + b"".join(chunks), IDENTITY)
    other = encrypt(data, IDENTITY.recipients, envelope="sm4")
    with pytest.raises(DecryptError):  # a chunk of another file at the same place
        decrypt(head + other[len(head) : len(head) + size] + two + three, IDENTITY)


def test_several_recipients_and_the_wrong_key():
    container = encrypt(b"RIFF", [*IDENTITY.recipients, *OTHER.recipients], envelope="sm4")
    assert decrypt(container, IDENTITY) == decrypt(container, OTHER) == b"RIFF"
    with pytest.raises(WrongKeyError, match=OTHER.key_id):
        decrypt(TWO_CHUNKS, OTHER)
    with pytest.raises(InputError, match="no recipient"):
        encrypt(b"x", [], envelope="sm4")
    with pytest.raises(InputError, match="no kind of container 'des'"):
        encrypt(b"x", IDENTITY.recipients, envelope="des")


def test_a_secret_in_a_file_wraps_and_unwraps(tmp_path):
    path = tmp_path / "wrap.key"
    key = new_secret(path)
    (recipient,) = load_recipients(f"file:{path}")
    identity = load_identity(path)
    container = encrypt(b"RIFF", [recipient], envelope="sm4")
    assert decrypt(container, identity) == b"RIFF"
    assert key.key_id.encode() in container
    with pytest.raises(WrongKeyError):
        decrypt(container, IDENTITY)
    with pytest.raises(WrongKeyError, match="holds no age key"):
        decrypt(encrypt(b"x", IDENTITY.recipients), identity)
    with pytest.raises(InputError, match="age1… recipients only"):
        encrypt(b"x", [recipient])
    damaged = bytearray(container)
    damaged[40] ^= 1
    with pytest.raises(DecryptError):
        decrypt(bytes(damaged), identity)
    path.chmod(0o644)
    with pytest.raises(KeyMaterialError, match="mode 0644"):
        load_recipients(f"file:{path}")


def test_an_openssl_without_sm4_is_named(monkeypatch):
    from cryptography.hazmat.primitives import ciphers

    def refuse(*_):
        raise UnsupportedAlgorithm("no SM4")

    monkeypatch.setattr(ciphers, "Cipher", refuse)
    with pytest.raises(ConfigError, match="has no SM4-GCM"):
        encrypt(b"x", IDENTITY.recipients, envelope="sm4")


def test_points_of_low_order_are_no_key():
    stanza = sm4.Stanza(sm4.X25519_STANZA, b"", bytes(64))
    container = sm4._header([stanza], bytes(16)) + bytes(64)
    with pytest.raises(WrongKeyError):
        decrypt(container, IDENTITY)


def test_raw_keys_agree_with_the_age_library():
    secret = age_keys.Identity.generate()
    raw = x25519.secret_bytes(str(secret))
    assert x25519.own_public(raw) == x25519.public_bytes(str(secret.to_public()))
    for wrong in ("age1" + "q" * 58, "", "age1", str(secret.to_public())[:-1] + "b"):
        with pytest.raises(KeyMaterialError):
            x25519.public_bytes(wrong)


class FakeService:
    """A key service that answers as Vault's transit engine does."""

    def __init__(self):
        import base64
        import json
        import threading
        from http.server import BaseHTTPRequestHandler, HTTPServer

        service = self
        self.asked, self.status = [], 200
        self.sealed: dict[str, tuple[str, str]] = {}

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                verb = self.path.split("/")[-2]
                service.asked.append((verb, self.headers["X-Vault-Token"]))
                status, data = service.status, {}
                if verb == "encrypt":
                    name = "vault:v1:" + base64.b64encode(str(len(service.sealed)).encode()).decode()
                    service.sealed[name] = (body["plaintext"], body["associated_data"])
                    data = {"ciphertext": name}
                elif service.sealed.get(body["ciphertext"], ("", ""))[1] != body["associated_data"]:
                    status = 400
                else:
                    data = {"plaintext": service.sealed[body["ciphertext"]][0]}
                answer = json.dumps({"data": data}).encode()
                self.send_response(status)
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()
        self.place = f"transit+http://127.0.0.1:{self.server.server_port}/v1/transit#calls"

    def stop(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def service(monkeypatch):
    fake = FakeService()
    monkeypatch.setenv("ZHIJIAN_KMS_TOKEN", "t0ken")
    yield fake
    fake.stop()


def test_a_key_service_wraps_and_unwraps(service, tmp_path):
    from pipeline.errors import StorageError
    from pipeline.vault.providers import key_provider

    path = tmp_path / "id.key"
    path.write_text(service.place + "\n")
    path.chmod(0o600)
    container = encrypt(b"RIFF", [service.place], envelope="sm4")
    assert decrypt(container, load_identity(path)) == b"RIFF"
    assert service.asked == [("encrypt", "t0ken"), ("decrypt", "t0ken")]
    key_provider(service.place).check()
    service.status = 403
    with pytest.raises(AccessRefusedError, match="was refused"):
        decrypt(container, load_identity(path))
    service.status = 503
    with pytest.raises(StorageError, match="HTTP 503"):
        decrypt(container, load_identity(path))


@pytest.mark.parametrize(
    ("place", "error"),
    [
        ("transit+http://kms.example/v1/transit#k", "http only on this machine"),
        ("transit+https://kms.example/v1/transit", "with the key's name"),
        ("transit+https://kms.example/v1/transit#../sys", "with the key's name"),
        ("s3://bucket/key", "no such kind of key"),
        ("ZHIJIAN-SECRET-KEY-1:" + "A" * 43, "where its place is expected"),
    ],
)
def test_places_of_keys_are_checked(place, error, monkeypatch):
    from pipeline.vault.providers import key_provider

    monkeypatch.setenv("ZHIJIAN_KMS_TOKEN", "t0ken")
    with pytest.raises(ConfigError, match=re.escape(error)):
        key_provider(place)


def test_the_command_encrypts_to_sm4_and_scores_it(night_folder, tmp_path):
    from builders import clip, zhijian

    night = night_folder
    night.add_row("a")
    plain = tmp_path / "a.wav"
    plain.write_bytes(clip())
    public = night.root / "keys" / "recordings.pub"
    done = zhijian("encrypt", str(plain), "--recipient", str(public), "--out", str(night.recordings),
                   "--envelope", "sm4")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert Path(night.recordings / "a.wav.sm4").exists()
    done = night.score(env={"XDG_STATE_HOME": str(tmp_path / "state")})
    assert done.returncode == 0, done.stderr
