"""Container with the Chinese national algorithms (国密): SM4-GCM in chunks, SM3 for keys and header.

The format, byte by byte, stands in ``docs/sm4-envelope.md``, with test vectors. In short: a random key for
each file, wrapped to every recipient; a header authenticated under that key; chunks of 64 KiB, each sealed
under a counter that also says which is the last, so that nothing can be cut, moved, or put in.

Recipients are X25519 keys (the same ``age1…`` pairs as for age) and key providers (a secret in a file or the
environment, a key service or HSM). SM2 is not offered, since `cryptography` has none: where an audit asks
for SM2, wrap through a provider whose HSM speaks it.

Table of contents: `Sm4Envelope`, `seal`, `unseal`.

References
----------
.. [1] GB/T 32907-2016 (SM4), GB/T 32905-2016 (SM3), GB/T 36624-2018 (GCM), RFC 8998, RFC 5869 (HKDF)
"""

from __future__ import annotations

import hmac
import secrets
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.errors import ConfigError, DecryptError, InputError, WrongKeyError
from pipeline.vault import x25519
from pipeline.vault.providers import KeyProvider, SecretKeyProvider, key_provider

if TYPE_CHECKING:
    from pipeline.vault.keys import Identity

MAGIC = b"zhijian-sm4\x01"
CHUNK_BYTES = 64 * 1024
TAG_BYTES = 16
KEY_BYTES = 16
MAX_STANZAS = 64
_MAX_BODY = 4096
X25519_STANZA, SECRET_STANZA, SERVICE_STANZA = 1, 2, 3
_WRAP_INFO = b"zhijian sm4 1 wrap"
_HEADER_INFO = b"zhijian sm4 1 header"
_PAYLOAD_INFO = b"zhijian sm4 1 payload"
_BROKEN = "the SM4 container is cut or was altered (authentication failed); fetch the recording again"


@dataclass(frozen=True, slots=True)
class Stanza:
    """The file key, wrapped to one recipient."""

    kind: int
    key_id: bytes
    body: bytes

    def encoded(self) -> bytes:
        """Write it as in the header."""
        return (
            struct.pack(">BB", self.kind, len(self.key_id))
            + self.key_id
            + struct.pack(">H", len(self.body))
            + self.body
        )


class Sm4Envelope:
    """SM4-GCM container; see the module."""

    name = "sm4"
    extension = "sm4"

    def matches(self, head: bytes) -> bool:
        """Whether ``head`` begins as an SM4 container does."""
        return head.startswith(MAGIC)

    def payload(self, data: bytes) -> memoryview | None:
        """Give what follows the header and its code: the chunks."""
        try:
            return _parsed(data)[3][32:]
        except DecryptError:
            return None

    def encrypt(self, data: bytes, recipients: Sequence[str]) -> bytes:
        """Encrypt to every recipient: ``age1…``, or the place of a key (``file:…``)."""
        if not recipients:
            raise InputError("no recipient given; a recording is encrypted to at least one")
        return seal(data, recipients)

    def decrypt(self, data: bytes, identity: Identity) -> bytes:
        """Decrypt and authenticate the whole payload."""
        return unseal(data, identity)


def seal(data: bytes, recipients: Sequence[str], *, random: Iterator[bytes] | None = None) -> bytes:
    """Make a container.

    Parameters
    ----------
    data : bytes
    recipients : sequence of str
    random : iterator of bytes, optional
        Instead of the operating system's random numbers, for test vectors only: file key (16 bytes), salt
        (16), then for each recipient the ephemeral secret (32) or nonce (12).

    Raises
    ------
    KeyMaterialError
        If a recipient is malformed or its key cannot be used.
    ConfigError
        If this installation's OpenSSL has no SM4.
    """

    def draw(count: int) -> bytes:
        return next(random) if random is not None else secrets.token_bytes(count)

    file_key, salt = draw(KEY_BYTES), draw(16)
    stanzas = [_wrapped(file_key, recipient, draw) for recipient in recipients]
    if len(stanzas) > MAX_STANZAS:
        raise InputError(f"{len(stanzas)} recipients given, at most {MAX_STANZAS} fit")
    header = _header(stanzas, salt)
    parts = [header, _header_mac(file_key, header)]
    key = _derived(file_key, salt, _PAYLOAD_INFO)
    count = max(1, -(-len(data) // CHUNK_BYTES))
    for index in range(count):
        chunk = data[index * CHUNK_BYTES : (index + 1) * CHUNK_BYTES]
        parts.append(_sm4_seal(key, _nonce(index, index == count - 1), chunk))
    return b"".join(parts)


def unseal(data: bytes, identity: Identity) -> bytes:
    """Open a container.

    Raises
    ------
    WrongKeyError
        If no recipient is one of the identity's keys.
    DecryptError
        If anything was altered, cut, moved or appended.
    """
    stanzas, salt, header, rest = _parsed(data)
    file_key = _file_key(stanzas, identity)
    if not hmac.compare_digest(_header_mac(file_key, header), rest[:32]):
        raise DecryptError(_BROKEN)
    return _payload(_derived(file_key, salt, _PAYLOAD_INFO), rest[32:])


def rewrapped(data: bytes, identity: Identity, recipients: Sequence[str]) -> bytes:
    """Give the container other recipients; the payload's bytes stay as they are."""
    stanzas, salt, header, rest = _parsed(data)
    file_key = _file_key(stanzas, identity)
    if not hmac.compare_digest(_header_mac(file_key, header), rest[:32]):
        raise DecryptError(_BROKEN)
    new = _header([_wrapped(file_key, recipient, secrets.token_bytes) for recipient in recipients], salt)
    return new + _header_mac(file_key, new) + bytes(rest[32:])


def _header(stanzas: Sequence[Stanza], salt: bytes) -> bytes:
    return MAGIC + struct.pack(">B", len(stanzas)) + b"".join(s.encoded() for s in stanzas) + salt


def _parsed(data: bytes) -> tuple[list[Stanza], bytes, bytes, memoryview]:
    view = memoryview(data)
    place = len(MAGIC)

    def take(count: int) -> bytes:
        nonlocal place
        if place + count > len(data):
            raise DecryptError(_BROKEN)
        place += count
        return bytes(view[place - count : place])

    count = take(1)[0]
    if not 1 <= count <= MAX_STANZAS:
        raise DecryptError(_BROKEN)
    stanzas = []
    for _ in range(count):
        kind, length = take(2)
        key_id = take(length)
        (size,) = struct.unpack(">H", take(2))
        if size > _MAX_BODY:
            raise DecryptError(_BROKEN)
        stanzas.append(Stanza(kind, key_id, take(size)))
    salt = take(16)
    if len(data) < place + 32 + TAG_BYTES:
        raise DecryptError(_BROKEN)
    return stanzas, salt, data[:place], view[place:]


def _wrapped(file_key: bytes, recipient: str, draw: object) -> Stanza:
    assert callable(draw)
    if recipient.startswith("age1"):
        public = x25519.public_bytes(recipient)
        secret = draw(32)
        mine = x25519.own_public(secret)
        key = _derived(x25519.agree(secret, public), mine + public, _WRAP_INFO)
        return Stanza(X25519_STANZA, b"", mine + _sm4_seal(key, bytes(12), file_key))
    provider = key_provider(recipient)
    key_id = provider.key_id.encode()
    if isinstance(provider, SecretKeyProvider):
        nonce = draw(12)
        return Stanza(SECRET_STANZA, key_id, nonce + _sm4_seal(provider.derive(_WRAP_INFO), nonce, file_key))
    return Stanza(SERVICE_STANZA, key_id, provider.wrap(file_key, _WRAP_INFO))


def _file_key(stanzas: Sequence[Stanza], identity: Identity) -> bytes:
    own = [x25519.secret_bytes(str(key)) for key in identity.native()]
    providers: dict[bytes, KeyProvider] = {p.key_id.encode(): p for p in identity.providers}
    for stanza in stanzas:
        if stanza.kind == X25519_STANZA and len(stanza.body) == 32 + KEY_BYTES + TAG_BYTES:
            for secret in own:
                found = _agreed(secret, stanza.body)
                if found is not None:
                    return found
        provider = providers.get(stanza.key_id)
        if provider is None:
            continue
        found = None
        if stanza.kind == SECRET_STANZA and isinstance(provider, SecretKeyProvider):
            found = _sm4_open(provider.derive(_WRAP_INFO), stanza.body[:12], stanza.body[12:])
        elif stanza.kind == SERVICE_STANZA and not isinstance(provider, SecretKeyProvider):
            found = provider.unwrap(stanza.body, _WRAP_INFO)
        if found is not None and len(found) == KEY_BYTES:
            return found
    raise WrongKeyError(
        f"identity {identity.key_id} is none of the container's recipients; "
        "use the identity whose .pub file it was encrypted to"
    )


def _agreed(secret: bytes, body: bytes) -> bytes | None:
    theirs = body[:32]
    try:
        shared = x25519.agree(secret, theirs)
    except ValueError:  # a point of low order
        return None
    return _sm4_open(_derived(shared, theirs + x25519.own_public(secret), _WRAP_INFO), bytes(12), body[32:])


def _payload(key: bytes, sealed: memoryview) -> bytes:
    size = CHUNK_BYTES + TAG_BYTES
    count = max(1, -(-len(sealed) // size))
    parts = []
    for index in range(count):
        last = index == count - 1
        chunk = _sm4_open(key, _nonce(index, last), bytes(sealed[index * size : (index + 1) * size]))
        if chunk is None or (last and index and not chunk):  # an empty last chunk stands only alone
            raise DecryptError(_BROKEN)
        parts.append(chunk)
    return b"".join(parts)


def _nonce(index: int, last: bool) -> bytes:
    return index.to_bytes(11, "big") + (b"\x01" if last else b"\x00")


def _header_mac(file_key: bytes, header: bytes) -> bytes:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.hmac import HMAC

    mac = HMAC(_derived(file_key, b"", _HEADER_INFO, 32), hashes.SM3())
    mac.update(header)
    return mac.finalize()


def _derived(secret: bytes, salt: bytes, info: bytes, length: int = KEY_BYTES) -> bytes:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    try:
        return HKDF(algorithm=hashes.SM3(), length=length, salt=salt or None, info=info).derive(secret)
    except UnsupportedAlgorithm:
        raise ConfigError(_no_sm("SM3")) from None


def _sm4_seal(key: bytes, nonce: bytes, data: bytes) -> bytes:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    try:
        cipher = Cipher(algorithms.SM4(key), modes.GCM(nonce)).encryptor()
    except UnsupportedAlgorithm:
        raise ConfigError(_no_sm("SM4-GCM")) from None
    return cipher.update(data) + cipher.finalize() + cipher.tag


def _sm4_open(key: bytes, nonce: bytes, sealed: bytes) -> bytes | None:
    """Decrypt, or None if it is not authentic."""
    from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    if len(sealed) < TAG_BYTES or len(nonce) != 12:
        return None
    try:
        cipher = Cipher(algorithms.SM4(key), modes.GCM(nonce, sealed[-TAG_BYTES:])).decryptor()
        return cipher.update(sealed[:-TAG_BYTES]) + cipher.finalize()
    except InvalidTag:
        return None
    except UnsupportedAlgorithm:
        raise ConfigError(_no_sm("SM4-GCM")) from None


def _no_sm(what: str) -> str:
    return (
        f"the OpenSSL that `cryptography` was built with has no {what}; install the published wheel, "
        "or use age (`--envelope age`)"
    )
