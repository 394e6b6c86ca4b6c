"""X25519 keys of age as raw bytes, and a secret wrapped to one of them.

age writes its keys in Bech32; the primitives of `cryptography` want 32 bytes. Needed where the age library
has no door: new recipients for an old file (`pipeline.vault.rewrap`) and the SM4 container.

Table of contents: `secret_bytes`, `public_bytes`, `bech32_decode`; `agree`.

References
----------
.. [1] BIP 173 (Bech32); age v1, https://age-encryption.org/v1
"""

from __future__ import annotations

from pipeline.errors import KeyMaterialError

_LETTERS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATORS = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


def public_bytes(recipient: str) -> bytes:
    """Give the 32 bytes of a recipient ``age1…``.

    Raises
    ------
    KeyMaterialError
        If it is malformed.
    """
    return _key(recipient, "age", "recipient")


def secret_bytes(secret: str) -> bytes:
    """Give the 32 bytes of ``AGE-SECRET-KEY-1…``; the message of an error shows nothing of it."""
    return _key(secret.lower(), "age-secret-key-", "secret key")


def bech32_decode(text: str) -> tuple[str, bytes]:
    """Take a Bech32 text apart and check its checksum.

    Returns
    -------
    prefix : str
    data : bytes

    Raises
    ------
    ValueError
        If it is none.

    Examples
    --------
    >>> prefix, data = bech32_decode("age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj")
    >>> prefix, len(data)
    ('age', 32)
    """
    prefix, one, rest = text.rpartition("1")
    if not one or not prefix or len(rest) < 6 or any(c not in _LETTERS for c in rest):
        raise ValueError("no Bech32")
    values = [_LETTERS.index(c) for c in rest]
    check = 1
    for value in [*(ord(c) >> 5 for c in prefix), 0, *(ord(c) & 31 for c in prefix), *values]:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_GENERATORS):
            check ^= generator if top >> bit & 1 else 0
    if check != 1:
        raise ValueError("wrong checksum")
    number, bits, data = 0, 0, bytearray()
    for value in values[:-6]:
        number, bits = number << 5 | value, bits + 5
        if bits >= 8:
            bits -= 8
            data.append(number >> bits & 0xFF)
    if bits >= 5 or number & ((1 << bits) - 1):
        raise ValueError("wrong padding")
    return prefix, bytes(data)


def agree(secret: bytes, public: bytes) -> bytes:
    """Compute the shared secret of two X25519 keys.

    Raises
    ------
    ValueError
        If the public key is a point of low order (an attacker's trick).
    """
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

    return X25519PrivateKey.from_private_bytes(secret).exchange(X25519PublicKey.from_public_bytes(public))


def ephemeral() -> tuple[bytes, bytes]:
    """Make a secret for one use, and its public half."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    secret = X25519PrivateKey.generate()
    return secret.private_bytes_raw(), secret.public_key().public_bytes_raw()


def own_public(secret: bytes) -> bytes:
    """Give the public half of a secret."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


def _key(text: str, expected: str, what: str) -> bytes:
    try:
        prefix, data = bech32_decode(text)
    except ValueError:
        prefix, data = "", b""
    if prefix != expected or len(data) != 32:
        raise KeyMaterialError(f"found a malformed {what}; expected one as `zhijian keys new` writes it")
    return data
