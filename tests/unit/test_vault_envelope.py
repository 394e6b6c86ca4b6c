"""Containers: what goes in comes out, and nothing else ever does."""

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyrage import passphrase, x25519

from pipeline.errors import DecryptError, InputError, KeyMaterialError, WrongKeyError
from pipeline.vault.envelope import decrypt, encrypt, sniff
from pipeline.vault.keys import Identity

IDENTITY = Identity([x25519.Identity.generate()], source="test")
OTHER = Identity([x25519.Identity.generate()], source="test")
TWO_CHUNKS = encrypt(bytes(range(256)) * 400, IDENTITY.recipients)


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200_000))
def test_round_trip(data):
    container = encrypt(data, IDENTITY.recipients)
    assert decrypt(container, IDENTITY) == data
    assert sniff(container[:64]).name == "age"


def test_any_of_several_recipients_opens():
    container = encrypt(b"RIFF", [*IDENTITY.recipients, *OTHER.recipients])
    assert decrypt(container, IDENTITY) == decrypt(container, OTHER) == b"RIFF"


def test_wrong_key_is_told_apart_and_names_no_secret():
    with pytest.raises(WrongKeyError, match=f"identity {OTHER.key_id} is none of") as caught:
        decrypt(TWO_CHUNKS, OTHER)
    assert "SECRET" not in str(caught.value)


def test_passphrase_container_is_a_matter_of_keys():
    with pytest.raises(WrongKeyError):
        decrypt(passphrase.encrypt(b"x", "secret"), IDENTITY)


def test_every_flipped_bit_of_a_small_container_is_refused():
    container = encrypt(b"hello", IDENTITY.recipients)
    for position in range(len(container)):
        for bit in range(8):
            damaged = bytearray(container)
            damaged[position] ^= 1 << bit
            with pytest.raises(DecryptError):
                decrypt(bytes(damaged), IDENTITY)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(TWO_CHUNKS) * 8 - 1))
def test_flipped_bits_anywhere_are_refused(bit):
    damaged = bytearray(TWO_CHUNKS)
    damaged[bit // 8] ^= 1 << bit % 8
    with pytest.raises(DecryptError):
        decrypt(bytes(damaged), IDENTITY)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(TWO_CHUNKS) - 1))
def test_cut_containers_are_refused_whole(length):
    with pytest.raises(DecryptError):
        decrypt(TWO_CHUNKS[:length], IDENTITY)


def test_cut_at_a_chunk_border_is_refused():
    header = TWO_CHUNKS.index(b"\n---")
    first_chunk_end = TWO_CHUNKS.index(b"\n", header + 1) + 1 + 16 + 65536 + 16
    assert first_chunk_end < len(TWO_CHUNKS)
    with pytest.raises(DecryptError, match="cut or was altered"):
        decrypt(TWO_CHUNKS[:first_chunk_end], IDENTITY)


def test_appended_bytes_are_refused():
    with pytest.raises(DecryptError):
        decrypt(TWO_CHUNKS + b"\0", IDENTITY)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_junk_is_no_container(data):
    for junk in (data, b"age-encryption.org/v1\n" + data, b"age-encryption.org/v1\n-> X25519 " + data):
        with pytest.raises(DecryptError):
            decrypt(junk, IDENTITY)


@pytest.mark.parametrize("data", [b"", b"RIFF\x10\0\0\0WAVEfmt "])
def test_message_says_what_was_found(data):
    with pytest.raises(DecryptError, match="an empty file" if not data else "no encrypted container"):
        decrypt(data, IDENTITY)


def test_recipients_are_required_and_checked():
    with pytest.raises(InputError, match="no recipient"):
        encrypt(b"x", [])
    with pytest.raises(KeyMaterialError, match="expected age1"):
        encrypt(b"x", ["age1nonsense"])


def test_identity_hides_itself():
    secret = str(IDENTITY.native()[0])
    assert secret.startswith("AGE-SECRET-KEY-")
    assert secret not in repr(IDENTITY) + str(IDENTITY)
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(IDENTITY)
