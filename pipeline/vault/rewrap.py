"""Other recipients for a recording that is encrypted already, without decrypting its payload.

Only the header is written anew: the file key is unwrapped with the identity and wrapped to the new
recipients. The payload's bytes stay as they are, so this takes milliseconds and no audio is in memory.

It does **not** take anything back. Whoever was a recipient and kept the old file, a copy or a backup, or only
the old header's file key, can open the payload as before, since it is still sealed under the same file key.
To lock somebody out of data they could have copied, encrypt it anew (decrypt, encrypt) and destroy the old
copies.

Table of contents: `rewrap`, `rewrap_files`.

References
----------
.. [1] age v1, https://age-encryption.org/v1
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import DecryptError, InputError, WrongKeyError
from pipeline.vault import sm4, x25519
from pipeline.vault.envelope import AgeEnvelope, sniff
from pipeline.vault.keys import Identity
from pipeline.vault.recordings import RecordingRef, list_recordings, read_recording, write_atomically

_VERSION = b"age-encryption.org/v1\n"
_INFO = b"age-encryption.org/v1/X25519"
_BROKEN = "the header of the age container is cut or was altered; fetch the recording again"


@dataclass(frozen=True, slots=True)
class Rewrapped:
    """A recording that has new recipients."""

    ref: RecordingRef
    sha256: str


def rewrap(data: bytes, identity: Identity, recipients: Sequence[str]) -> bytes:
    """Give a container other recipients.

    Parameters
    ----------
    data : bytes
        The whole container.
    identity : Identity
        Of one of its present recipients.
    recipients : sequence of str
        All recipients it shall have, old ones that stay among them.

    Returns
    -------
    bytes
        A new header and the same payload.

    Raises
    ------
    WrongKeyError
        If the identity is none of the recipients.
    DecryptError
        If the header was altered.
    """
    if not recipients:
        raise InputError("no recipient given; a recording without any could never be opened again")
    envelope = sniff(data[:64])
    if envelope is None:
        raise DecryptError("found no encrypted container; nothing was changed")
    if envelope.name == "sm4":
        return sm4.rewrapped(data, identity, recipients)
    return _age(data, identity, recipients)


def rewrap_files(place: str, identity: Identity, recipients: Sequence[str]) -> Iterator[Rewrapped]:
    """Rewrap every recording of a local folder, each replaced in one step.

    Yields
    ------
    Rewrapped
        After it is safely on disk. Those before an error stay rewrapped; run it again to go on.
    """
    import hashlib

    for ref in list_recordings(place).refs:
        data = rewrap(read_recording(ref).data, identity, recipients)
        write_atomically(Path(ref.uri), data)
        yield Rewrapped(ref, hashlib.sha256(data).hexdigest())


def _age(data: bytes, identity: Identity, recipients: Sequence[str]) -> bytes:
    bounds = AgeEnvelope().header(data)
    if not data.startswith(_VERSION) or bounds is None:
        raise DecryptError(_BROKEN)
    end, stop = bounds
    signed = data[: end + 4]  # up to and with the three dashes
    file_key = _age_file_key(data[len(_VERSION) : end], identity)
    if not hmac.compare_digest(_header_mac(file_key, signed), _unb64(data[end + 5 : stop])):
        raise DecryptError(_BROKEN)
    header = _VERSION + b"".join(_age_stanza(file_key, recipient) for recipient in recipients) + b"---"
    return header + b" " + _b64(_header_mac(file_key, header)) + b"\n" + data[stop + 1 :]


def _age_file_key(body: bytes, identity: Identity) -> bytes:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    secrets = [x25519.secret_bytes(str(key)) for key in identity.native()]
    for stanza in body.split(b"-> ")[1:]:
        head, _, wrapped = stanza.partition(b"\n")
        arguments = head.split(b" ")
        if arguments[0] != b"X25519" or len(arguments) != 2:
            continue
        theirs, sealed = _unb64(arguments[1]), _unb64(wrapped.replace(b"\n", b""))
        if len(theirs) != 32 or len(sealed) != 32:
            raise DecryptError(_BROKEN)
        for secret in secrets:
            try:
                key = _derived(x25519.agree(secret, theirs), theirs + x25519.own_public(secret), _INFO)
                return ChaCha20Poly1305(key).decrypt(bytes(12), sealed, None)
            except (InvalidTag, ValueError):
                continue  # sealed to somebody else
    raise WrongKeyError(
        f"identity {identity.key_id} is none of the container's recipients; only one of them can add others"
    )


def _age_stanza(file_key: bytes, recipient: str) -> bytes:
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    public = x25519.public_bytes(recipient)
    secret, mine = x25519.ephemeral()
    key = _derived(x25519.agree(secret, public), mine + public, _INFO)
    sealed = ChaCha20Poly1305(key).encrypt(bytes(12), file_key, None)
    return b"-> X25519 " + _b64(mine) + b"\n" + _b64(sealed) + b"\n"


def _header_mac(file_key: bytes, header: bytes) -> bytes:
    return hmac.digest(_derived(file_key, b"", b"header"), header, "sha256")


def _derived(secret: bytes, salt: bytes, info: bytes) -> bytes:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(algorithm=hashes.SHA256(), length=32, salt=salt or None, info=info).derive(secret)


def _b64(data: bytes) -> bytes:
    return base64.b64encode(data).rstrip(b"=")


def _unb64(text: bytes) -> bytes:
    try:
        data = base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        raise DecryptError(_BROKEN) from None
    if _b64(data) != text:  # one spelling only, as age demands: spare bits could be flipped unseen
        raise DecryptError(_BROKEN)
    return data
