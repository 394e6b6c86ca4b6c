"""Containers that recordings lie in: encrypt to several recipients, decrypt in memory.

Conventions
-----------
Bytes in, bytes out; nothing is written. The whole payload is authenticated before any of it is
returned: a container that was altered or cut gives an error, never its intact beginning.

Table of contents: `Envelope` (protocol), `AgeEnvelope`, `ENVELOPES`; `sniff`, `payload_sha256`,
`encrypt`, `decrypt`.

References
----------
.. [1] The age file encryption format, https://age-encryption.org/v1
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Protocol

from pipeline.errors import DecryptError, InputError, KeyMaterialError, WrongKeyError
from pipeline.vault.keys import Identity
from pipeline.vault.sm4 import Sm4Envelope


class Envelope(Protocol):
    """A kind of container; another fits in by the same six members."""

    @property
    def name(self) -> str:
        """Short name for messages."""
        ...

    @property
    def extension(self) -> str:
        """File name extension without the dot."""
        ...

    def matches(self, head: bytes) -> bool:
        """Whether a file that begins with ``head`` claims to be of this kind."""
        ...

    def payload(self, data: bytes) -> memoryview | None:
        """Give what new recipients do not change; None if the header is malformed."""
        ...

    def encrypt(self, data: bytes, recipients: Sequence[str]) -> bytes:
        """Encrypt so that any one of the recipients can decrypt."""
        ...

    def decrypt(self, data: bytes, identity: Identity) -> bytes:
        """Decrypt and authenticate, or raise."""
        ...


MAX_AGE_HEADER = 64 * 1024


class AgeEnvelope:
    """age v1 with X25519 recipients (ChaCha20-Poly1305 in 64 KiB chunks)."""

    name = "age"
    extension = "age"
    _magic = b"age-encryption.org/"

    def matches(self, head: bytes) -> bool:
        """Whether ``head`` begins as a binary age file does."""
        return head.startswith(self._magic)

    def payload(self, data: bytes) -> memoryview | None:
        """Give what follows the header: nonce and chunks."""
        bounds = self.header(data)
        return None if bounds is None else memoryview(data)[bounds[1] + 1 :]

    def header(self, data: bytes) -> tuple[int, int] | None:
        """Where the header's last line begins (the line feed before its dashes) and ends, if it is whole."""
        end = data.find(b"\n--- ", 0, MAX_AGE_HEADER)
        stop = data.find(b"\n", end + 1, MAX_AGE_HEADER) if end >= 0 else -1
        return None if stop < 0 else (end, stop)

    def encrypt(self, data: bytes, recipients: Sequence[str]) -> bytes:
        """Encrypt to every recipient (``age1…``)."""
        import pyrage

        if not recipients:
            raise InputError("no recipient given; a recording is encrypted to at least one")
        if not all(recipient.startswith("age1") for recipient in recipients):
            raise InputError("age encrypts to age1… recipients only; other keys need `--envelope sm4`")
        try:
            native = [pyrage.x25519.Recipient.from_str(recipient) for recipient in recipients]
        except pyrage.RecipientError:
            raise KeyMaterialError("a recipient is no age recipient; expected age1…") from None
        return bytes(pyrage.encrypt(data, native))

    def decrypt(self, data: bytes, identity: Identity) -> bytes:
        """Decrypt the whole payload; see `decrypt`."""
        import pyrage

        if not identity.recipients:
            raise WrongKeyError(f"identity {identity.key_id} holds no age key; this container needs one")
        try:
            return bytes(pyrage.decrypt(data, identity.native()))
        except pyrage.DecryptError as error:
            # The library tells its kinds apart by text alone; everything not known to be a matter
            # of keys counts as damage.
            if "No matching keys" in str(error):
                raise WrongKeyError(
                    f"identity {identity.key_id} is none of the container's recipients; "
                    "use the identity whose .pub file it was encrypted to"
                ) from None
            raise DecryptError(
                "the age container is cut or was altered (authentication failed); fetch the recording again"
            ) from None


ENVELOPES: tuple[Envelope, ...] = (AgeEnvelope(), Sm4Envelope())


def sniff(head: bytes) -> Envelope | None:
    r"""Tell which kind of container begins like this; None if none that is known.

    Examples
    --------
    >>> sniff(b"age-encryption.org/v1\n-> X25519 ...").name
    'age'
    >>> sniff(b"RIFF....WAVEfmt ") is None
    True
    """
    return next((envelope for envelope in ENVELOPES if envelope.matches(head)), None)


def envelope_named(name: str) -> Envelope:
    """Give the kind of container of that name.

    Raises
    ------
    InputError
        Listing the kinds there are.
    """
    found = next((envelope for envelope in ENVELOPES if envelope.name == name), None)
    if found is None:
        kinds = ", ".join(envelope.name for envelope in ENVELOPES)
        raise InputError(f"no kind of container {name!r}; expected one of: {kinds}")
    return found


def payload_sha256(data: bytes) -> str:
    r"""Hash the payload of a container: what stays as it is when it gets other recipients.

    Two files of one hash are one recording: the payload is sealed under a random key of its own.

    Returns
    -------
    str
        sha256, hexadecimal; empty if it is no container that can be taken apart.

    Examples
    --------
    >>> payload_sha256(b"RIFF....WAVEfmt ")
    ''
    """
    envelope = sniff(data[:64])
    payload = None if envelope is None else envelope.payload(data)
    return "" if payload is None else hashlib.sha256(payload).hexdigest()


def encrypt(data: bytes, recipients: Sequence[str], *, envelope: str = "age") -> bytes:
    """Put bytes into a container that any one of the recipients can open.

    Parameters
    ----------
    data : bytes
    recipients : sequence of str
        At least one public recipient (``age1…``).
    envelope : {"age", "sm4"}

    Raises
    ------
    InputError
        Without recipients.
    KeyMaterialError
        If a recipient is malformed.
    """
    return envelope_named(envelope).encrypt(data, recipients)


def decrypt(data: bytes, identity: Identity) -> bytes:
    """Open a container in memory.

    Parameters
    ----------
    data : bytes
        The whole encrypted file.
    identity : Identity

    Returns
    -------
    bytes
        The payload, every byte of it authenticated.

    Raises
    ------
    WrongKeyError
        If the identity is none of the recipients. (A container whose recipient lines were damaged
        looks the same: nobody without the right key can tell the two apart.)
    DecryptError
        If the container was altered or cut, or the bytes are no container at all.
    """
    envelope = sniff(data[:64])
    if envelope is None:
        known = ", ".join(kind.name for kind in ENVELOPES)
        what = "an empty file" if not data else "no encrypted container"
        raise DecryptError(
            f"found {what}, expected one of: {known}; encrypt recordings with `zhijian encrypt`"
        )
    return envelope.decrypt(data, identity)
