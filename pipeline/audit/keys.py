"""The audit log's own key: one secret, from which the chain's MAC key and the signing key are derived.

Conventions
-----------
The secret is 32 random bytes in a file of mode 0600 (or in ``ZHIJIAN_AUDIT_KEY_TEXT``). Whoever holds it
can write records and checkpoints that verify; the *public* half (``zhijian-audit-pub-1:…``) verifies
checkpoints and can forge nothing. Keep the secret away from those whose openings it records, and the
public half with whoever checks.

Table of contents: `AuditKey`, `AuditPublicKey`; `new_audit_key`, `load_audit_key`, `own_audit_key`,
`load_audit_keys`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

from pipeline.errors import KeyMaterialError
from pipeline.vault.secretfiles import read_secret, write_secret

AUDIT_KEY_ENVIRONMENT = "ZHIJIAN_AUDIT_KEY_TEXT"
_SECRET = re.compile(r"ZHIJIAN-AUDIT-KEY-1:([A-Za-z0-9_-]{43})")
_PUBLIC = re.compile(r"zhijian-audit-pub-1:([A-Za-z0-9_-]{43})")


class AuditPublicKey:
    """Checks the signatures of checkpoints.

    Attributes
    ----------
    key_id : str
        16 hexadecimal digits of the public key's sha256.
    text : str
        The public key as it is written down.
    """

    __slots__ = ("_raw", "key_id", "text")

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self.key_id: str = hashlib.sha256(raw).hexdigest()[:16]
        self.text: str = "zhijian-audit-pub-1:" + _b64(raw)

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether the signature is this key's over the message."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self._raw).verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def __repr__(self) -> str:
        return f"<AuditPublicKey {self.key_id}>"


class AuditKey:
    """Makes and checks the MACs of records, and signs checkpoints.

    Parameters
    ----------
    seed : bytes
        32 secret bytes.
    source : str
        Where it came from.

    Notes
    -----
    Refuses to be pickled: hand its path to a worker process.
    """

    __slots__ = ("_mac", "_sign", "public", "source")

    def __init__(self, seed: bytes, *, source: str) -> None:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        self._mac = _derived(seed, b"zhijian audit mac 1")
        self._sign = Ed25519PrivateKey.from_private_bytes(_derived(seed, b"zhijian audit sign 1"))
        self.public = AuditPublicKey(
            self._sign.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        )
        self.source = source

    @property
    def key_id(self) -> str:
        """The public half's id."""
        return self.public.key_id

    def mac(self, message: bytes) -> str:
        """HMAC-SHA256 of a message, hexadecimal."""
        return hmac.new(self._mac, message, hashlib.sha256).hexdigest()

    def sign(self, message: bytes) -> bytes:
        """Ed25519 signature, 64 bytes."""
        return self._sign.sign(message)

    def __repr__(self) -> str:
        return f"<AuditKey {self.key_id} from {self.source}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an AuditKey is secret and is not pickled; load it again where it is needed")


def new_audit_key(path: str | os.PathLike[str]) -> AuditKey:
    """Make a new secret key file (mode 0600) and its public half beside it (``.pub``).

    Raises
    ------
    KeyMaterialError
        If the file exists already or cannot be written.
    """
    place = Path(path)
    if not _write_new(place):
        raise KeyMaterialError(f"{place}: exists already and is never overwritten; choose another name")
    key = load_audit_key(place)
    try:
        place.with_suffix(".pub").write_text(key.public.text + "\n", encoding="utf-8")
    except OSError as error:
        raise KeyMaterialError(
            f"{place.with_suffix('.pub')}: cannot be written ({error.strerror})"
        ) from error
    return key


def load_audit_key(path: str | os.PathLike[str]) -> AuditKey:
    """Read the secret key from a file that only its owner can read."""
    content = read_secret(path, what="audit key", hint="`zhijian keys new-audit FILE` makes one")
    return _key(content.decode("utf-8", "replace"), source=os.fspath(path))


def own_audit_key(path: Path | None) -> AuditKey:
    """Give the key that this process writes with.

    Parameters
    ----------
    path : Path or None
        The setting ``audit_key``. None: the environment secret, else a key of this user's own in the
        user's state folder, made on first use.
    """
    if path is not None:
        return load_audit_key(path)
    text = os.environ.get(AUDIT_KEY_ENVIRONMENT, "")
    if text.strip():
        return _key(text, source=f"environment variable {AUDIT_KEY_ENVIRONMENT}")
    from platformdirs import user_state_path

    place = user_state_path("zhijian") / "audit.key"
    try:
        if not place.exists():
            _write_new(place)
    except (KeyMaterialError, OSError) as error:
        raise KeyMaterialError(
            f"{place}: the audit log's own key cannot be kept here; set `audit_key` to a file made by "
            f"`zhijian keys new-audit`, or {AUDIT_KEY_ENVIRONMENT}"
        ) from error
    return load_audit_key(place)


def load_audit_keys(paths: Iterable[str | os.PathLike[str]]) -> list[AuditKey | AuditPublicKey]:
    """Read secret or public keys for checking; a file may hold either.

    Raises
    ------
    KeyMaterialError
        If a file holds neither, or a secret is readable by others.
    """
    found: list[AuditKey | AuditPublicKey] = []
    for path in paths:
        place = Path(path)
        try:
            text = place.read_text(encoding="utf-8", errors="replace")[:65536]
        except OSError as error:
            raise KeyMaterialError(f"{place}: audit key cannot be read ({error.strerror})") from error
        if _SECRET.search(text):
            found.append(load_audit_key(place))
            continue
        match = _PUBLIC.search(text)
        if match is None:
            raise KeyMaterialError(
                f"{place}: holds no audit key; expected a line zhijian-audit-pub-1:… or ZHIJIAN-AUDIT-KEY-1:…"
            )
        found.append(AuditPublicKey(_unb64(match[1])))
    return found


def _write_new(place: Path) -> bool:
    return write_secret(
        place,
        "# zhijian audit key (secret): whoever holds it can write records that verify\n"
        f"ZHIJIAN-AUDIT-KEY-1:{_b64(secrets.token_bytes(32))}\n",
        what="audit key",
    )


def _key(text: str, *, source: str) -> AuditKey:
    match = _SECRET.search(text)
    if match is None:
        raise KeyMaterialError(f"{source}: holds no audit key; expected a line ZHIJIAN-AUDIT-KEY-1:…")
    return AuditKey(_unb64(match[1]), source=source)


def _derived(seed: bytes, info: bytes) -> bytes:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=info).derive(seed)


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unb64(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        raise KeyMaterialError("an audit key is cut or misspelt") from None
