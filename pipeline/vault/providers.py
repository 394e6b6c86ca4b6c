"""Key-encrypting keys: a file, an environment secret, or a key service; one interface for all.

Conventions
-----------
A provider wraps and unwraps *data keys* (random, one for each file or column); the key-encrypting key itself
never leaves it. What is wrapped is bound to a context (``aad``), so a wrapped key cannot be moved elsewhere.
A setting names the place of a key, never the key:

``file:PATH``
    32 random bytes in a file of mode 0600, as ``zhijian keys new-secret`` writes it.
``env:NAME``
    The same text in an environment variable, set by a secret manager.
``transit+https://HOST/v1/transit#KEY``
    A key service with the interface of Vault's transit engine; its token comes from ``ZHIJIAN_KMS_TOKEN``.
    The key stays inside the service (or the HSM behind it), which logs every use.

Another service or HSM fits in by the four members of `KeyProvider` and an entry in `SCHEMES`.

Table of contents: `KeyProvider`, `SecretKeyProvider`, `TransitKeyProvider`; `key_provider`, `new_secret`.

References
----------
.. [1] https://developer.hashicorp.com/vault/api-docs/secret/transit
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import re
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, Protocol
from urllib.parse import urlsplit

from pipeline.errors import AccessRefusedError, ConfigError, KeyMaterialError, StorageError
from pipeline.vault.secretfiles import read_secret, write_secret

KMS_TOKEN_ENVIRONMENT = "ZHIJIAN_KMS_TOKEN"  # noqa: S105 - a name
_SECRET = re.compile(r"ZHIJIAN-SECRET-KEY-1:([A-Za-z0-9_-]{43})")
_NONCE_BYTES = 12
_TIMEOUT_S = 15.0


class KeyProvider(Protocol):
    """Wraps data keys under a key that it alone holds."""

    @property
    def key_id(self) -> str:
        """Tells keys apart without revealing them; at most 64 printable ASCII characters."""
        ...

    def wrap(self, key: bytes, aad: bytes) -> bytes:
        """Encrypt and authenticate a data key, bound to ``aad``."""
        ...

    def unwrap(self, wrapped: bytes, aad: bytes) -> bytes:
        """Give the data key back, or raise `AccessRefusedError`."""
        ...

    def check(self) -> None:
        """Make sure, by trying, that the key can be used."""
        ...


class SecretKeyProvider:
    """A 256-bit secret held by this process: AES-256-GCM, or SM4-GCM with its first half.

    Parameters
    ----------
    secret : bytes
        32 bytes.
    source : str
        Where it came from.

    Notes
    -----
    Refuses to be pickled: hand the place's name to a worker process.
    """

    __slots__ = ("_secret", "key_id", "source")

    def __init__(self, secret: bytes, *, source: str) -> None:
        self._secret = secret
        self.key_id: str = hashlib.sha256(b"zhijian secret key id 1" + secret).hexdigest()[:16]
        self.source = source

    def wrap(self, key: bytes, aad: bytes) -> bytes:
        """Encrypt with AES-256-GCM under a random nonce of 12 bytes, which stands first."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + AESGCM(self._secret).encrypt(nonce, key, aad)

    def unwrap(self, wrapped: bytes, aad: bytes) -> bytes:
        """Decrypt what `wrap` made."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            return AESGCM(self._secret).decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], aad)
        except (InvalidTag, ValueError):
            raise AccessRefusedError(
                f"key {self.key_id} from {self.source} does not open this; use the key it was sealed with"
            ) from None

    def derive(self, info: bytes, length: int = 16) -> bytes:
        """Derive a key for another cipher by HKDF-SHA256; for `pipeline.vault.sm4` only."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        return HKDF(algorithm=hashes.SHA256(), length=length, salt=None, info=info).derive(self._secret)

    def check(self) -> None:
        """Nothing to try: the secret is here."""

    def __repr__(self) -> str:
        return f"<SecretKeyProvider {self.key_id} from {self.source}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key provider is secret and is not pickled; load it again where it is needed")


class TransitKeyProvider:
    """A key inside a key service that speaks as Vault's transit engine does.

    Parameters
    ----------
    url : str
        Base of the engine, such as ``https://vault:8200/v1/transit``.
    name : str
        The key's name there.
    token : str
        Who we are; from the environment.
    """

    __slots__ = ("_token", "_url", "key_id", "name")

    def __init__(self, url: str, name: str, token: str) -> None:
        self._url, self.name, self._token = url.rstrip("/"), name, token
        self.key_id: str = f"transit:{name}"[:64]

    def wrap(self, key: bytes, aad: bytes) -> bytes:
        """Let the service encrypt the data key."""
        answer = self._ask("encrypt", {"plaintext": _b64(key), "associated_data": _b64(aad)})
        return str(answer.get("ciphertext", "")).encode()

    def unwrap(self, wrapped: bytes, aad: bytes) -> bytes:
        """Let the service decrypt it."""
        text = wrapped.decode("ascii", "replace")
        answer = self._ask("decrypt", {"ciphertext": text, "associated_data": _b64(aad)})
        try:
            return base64.b64decode(str(answer["plaintext"]), validate=True)
        except (KeyError, binascii.Error):
            raise AccessRefusedError(f"key service: no usable answer for key {self.name}") from None

    def check(self) -> None:
        """Wrap and unwrap a probe."""
        probe = bytes(16)
        if self.unwrap(self.wrap(probe, b"check"), b"check") != probe:
            raise KeyMaterialError(f"key service: key {self.name} does not give back what it wrapped")

    def _ask(self, verb: str, body: Mapping[str, str]) -> dict[str, Any]:
        from urllib.error import HTTPError, URLError
        from urllib.request import Request, urlopen

        request = Request(  # noqa: S310 - the scheme was checked to be http or https
            f"{self._url}/{verb}/{self.name}",
            data=json.dumps(body).encode(),
            headers={"X-Vault-Token": self._token, "Content-Type": "application/json"},
            method="POST",
        )
        try:
            with urlopen(request, timeout=_TIMEOUT_S) as response:  # noqa: S310
                answer = json.loads(response.read(1_000_000))
        except HTTPError as error:
            with error:
                if 400 <= error.code < 500:
                    raise AccessRefusedError(
                        f"key service: {verb} with key {self.name} was refused (HTTP {error.code}); ask who "
                        "manages the keys for access"
                    ) from None
                raise StorageError(f"key service: HTTP {error.code} on {verb}; try again later") from None
        except (URLError, OSError, ValueError) as error:
            reason = type(getattr(error, "reason", error)).__name__
            raise StorageError(f"key service: cannot be asked ({reason}); try again later") from None
        data = answer.get("data") if isinstance(answer, dict) else None
        return data if isinstance(data, dict) else {}

    def __repr__(self) -> str:
        return f"<TransitKeyProvider {self.name}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key provider is secret and is not pickled; load it again where it is needed")


def key_provider(place: str) -> KeyProvider:
    """Open the key that a setting names.

    Parameters
    ----------
    place : str
        ``file:PATH``, ``env:NAME`` or ``transit+https://HOST/v1/transit#KEY``; a bare path is a file.

    Raises
    ------
    KeyMaterialError
        If the key is missing, malformed or readable by others.
    ConfigError
        If the place is of no known kind, or looks like the secret itself.

    Examples
    --------
    >>> key_provider("env:NO_SUCH_VARIABLE")
    Traceback (most recent call last):
    ...
    pipeline.errors.KeyMaterialError: environment variable NO_SUCH_VARIABLE is not set; expected a secret
    key in it
    """
    if _SECRET.search(place):
        raise ConfigError("a secret key was given where its place is expected; put it in a file or variable")
    scheme, colon, rest = place.partition(":")
    opened = SCHEMES.get(scheme) if colon else None
    if opened is not None:
        return opened(rest if not scheme.startswith("transit") else place)
    if "://" in place:
        raise ConfigError(f"{scheme}://: no such kind of key; expected one of: {', '.join(SCHEMES)}")
    return _from_file(place)


def new_secret(path: str | os.PathLike[str]) -> SecretKeyProvider:
    """Make a new secret in a file (mode 0600).

    Raises
    ------
    KeyMaterialError
        If the file exists already or cannot be written.
    """
    place = Path(path)
    text = base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()
    comment = (
        "# zhijian secret key: keep a copy in a safe place, what it sealed cannot be opened without it\n"
    )
    if not write_secret(place, f"{comment}ZHIJIAN-SECRET-KEY-1:{text}\n", what="secret key"):
        raise KeyMaterialError(f"{place}: exists already and is never overwritten; choose another name")
    return _from_file(str(place))


def _from_file(path: str) -> SecretKeyProvider:
    content = read_secret(path, what="secret key", hint="`zhijian keys new-secret FILE` makes one")
    return _secret(content.decode("utf-8", "replace"), path)


def _from_environment(name: str) -> SecretKeyProvider:
    text = os.environ.get(name, "")
    if not text.strip():
        raise KeyMaterialError(f"environment variable {name} is not set; expected a secret key in it")
    return _secret(text, f"environment variable {name}")


def _from_service(place: str) -> TransitKeyProvider:
    url = urlsplit(place.removeprefix("transit+"))
    token = os.environ.get(KMS_TOKEN_ENVIRONMENT, "")
    local = url.hostname in {"localhost", "127.0.0.1", "::1"}
    if url.scheme != "https" and not (url.scheme == "http" and local):
        raise ConfigError(
            "key service: expected transit+https://HOST/v1/transit#KEY (http only on this machine)"
        )
    if not url.fragment or not url.hostname or not re.fullmatch(r"[A-Za-z0-9._-]{1,128}", url.fragment):
        raise ConfigError("key service: expected transit+https://HOST/v1/transit#KEY with the key's name")
    if not token:
        raise KeyMaterialError(f"key service: no token; expected one in {KMS_TOKEN_ENVIRONMENT}")
    return TransitKeyProvider(f"{url.scheme}://{url.netloc}{url.path}", url.fragment, token)


def secret_from_line(line: str, source: str) -> SecretKeyProvider | None:
    """Read a line ``ZHIJIAN-SECRET-KEY-1:…`` of a key file; None if it is another kind of line."""
    return _secret(line, source) if line.startswith("ZHIJIAN-SECRET-KEY-1:") else None


def _secret(text: str, source: str) -> SecretKeyProvider:
    match = _SECRET.search(text)
    if match is None:
        raise KeyMaterialError(f"{source}: holds no secret key; expected a line ZHIJIAN-SECRET-KEY-1:…")
    return SecretKeyProvider(base64.urlsafe_b64decode(match[1] + "="), source=source)


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


SCHEMES: dict[str, Callable[[str], KeyProvider]] = {
    "file": _from_file,
    "env": _from_environment,
    "transit+https": _from_service,
    "transit+http": _from_service,
}
"""Kinds of places; another key service is added here."""
