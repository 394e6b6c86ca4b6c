"""Key pairs: who may make recordings unreadable, and who may read them again.

Conventions
-----------
A *recipient* is public (``age1…``) and may stand anywhere. An *identity* is secret: it is read from
a file that only its owner can read, or from the environment, never from the command line, and no
``repr``, log line or pickle of this module shows it.

Table of contents: `Identity`, `KeyPair`; `new_pair`, `load_identity`, `identity_from_environment`,
`load_recipients`.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from pipeline.errors import KeyMaterialError
from pipeline.vault.providers import KeyProvider, key_provider, secret_from_line
from pipeline.vault.secretfiles import read_secret

PUBLIC_NAME = "recordings.pub"
IDENTITY_NAME = "recordings.key"
IDENTITY_ENVIRONMENT = "ZHIJIAN_IDENTITY_TEXT"
_MAX_KEY_FILE_BYTES = 64 * 1024
_RECIPIENT = re.compile(r"age1[a-z0-9]{10,}\Z")


class Identity:
    """One or more secret keys; opens what was encrypted to any of their recipients.

    Attributes
    ----------
    recipients : tuple of str
        The public half of each key.
    providers : tuple of KeyProvider
        Secrets and key services that SM4 containers may be wrapped under.
    key_id : str
        16 hexadecimal digits that tell identities apart without revealing anything secret.
    source : str
        Where it came from (a file name or an environment variable's name).

    Notes
    -----
    Refuses to be pickled, so that it cannot end in a task queue or a result store by accident:
    hand the *path* to a worker process and load it there.
    """

    __slots__ = ("_keys", "key_id", "providers", "recipients", "source")

    def __init__(self, keys: Sequence[Any], *, source: str, providers: Sequence[KeyProvider] = ()) -> None:
        self._keys = tuple(keys)
        self.providers = tuple(providers)
        self.recipients: tuple[str, ...] = tuple(str(key.to_public()) for key in keys)
        names = sorted([*self.recipients, *(provider.key_id for provider in self.providers)])
        self.key_id: str = hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]
        self.source = source

    def native(self) -> list[Any]:
        """Return the keys as the age library wants them; for `pipeline.vault.envelope` only."""
        return list(self._keys)

    def __repr__(self) -> str:
        return f"<Identity {self.key_id} from {self.source}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an Identity is secret and is not pickled; load it again where it is needed")


@dataclass(frozen=True, slots=True)
class KeyPair:
    """What `new_pair` wrote: two paths and the public recipient."""

    public_path: Path
    identity_path: Path
    recipient: str


def new_pair(folder: str | os.PathLike[str]) -> KeyPair:
    """Make an age key pair in a folder: ``recordings.pub`` and ``recordings.key`` (mode 0600).

    Parameters
    ----------
    folder : path
        Made if missing.

    Raises
    ------
    KeyMaterialError
        If either file exists already (a lost key is a lost archive, so nothing is overwritten), or
        the folder cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pair = new_pair(folder)
    ...     oct(pair.identity_path.stat().st_mode & 0o777), pair.recipient[:4]
    ('0o600', 'age1')
    """
    from pyrage import x25519

    place = Path(folder)
    public_path, identity_path = place / PUBLIC_NAME, place / IDENTITY_NAME
    for path in (identity_path, public_path):
        if os.path.lexists(path):
            raise KeyMaterialError(f"{path}: exists already and is never overwritten; choose another folder")
    secret = x25519.Identity.generate()
    recipient = str(secret.to_public())
    identity_text = (
        f"# zhijian identity (secret): opens recordings encrypted to {recipient}\n"
        f"# Keep a copy in a safe place: without it the recordings cannot be opened by anybody.\n{secret}\n"
    )
    made: list[Path] = []
    try:
        place.mkdir(parents=True, exist_ok=True)
        for path, text, mode in (
            (identity_path, identity_text, 0o600),
            (public_path, recipient + "\n", 0o644),
        ):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
            made.append(path)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                os.fchmod(file.fileno(), mode)
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
    except OSError as error:
        for path in made:
            path.unlink(missing_ok=True)
        raise KeyMaterialError(
            f"{place}: key pair cannot be written ({error.strerror}); choose another folder"
        ) from error
    return KeyPair(public_path=public_path, identity_path=identity_path, recipient=recipient)


def load_identity(path: str | os.PathLike[str]) -> Identity:
    """Read secret keys from a file that only its owner can read.

    Parameters
    ----------
    path : path
        Lines ``AGE-SECRET-KEY-1…``, for SM4 containers also ``ZHIJIAN-SECRET-KEY-1:…`` or the place of a key
        in a service (``transit+https://…``); lines that start with ``#`` and empty lines are passed over.

    Raises
    ------
    KeyMaterialError
        If the file is missing, readable by group or others, or holds no usable key. The message
        never shows the file's content.
    """
    _refuse_public(Path(path))
    content = read_secret(path, what="identity file", hint="`zhijian keys new DIR` makes one")
    return _identity(content, source=os.fspath(path))


def identity_from_environment(environment: Mapping[str, str] | None = None) -> Identity | None:
    """Read secret keys from the environment variable ``ZHIJIAN_IDENTITY_TEXT``.

    Parameters
    ----------
    environment : mapping, optional
        ``os.environ`` by default.

    Returns
    -------
    Identity or None
        None if the variable is not set or empty.

    Raises
    ------
    KeyMaterialError
        If it is set and holds no usable key.
    """
    text = (os.environ if environment is None else environment).get(IDENTITY_ENVIRONMENT, "")
    if not text.strip():
        return None
    return _identity(text.encode("utf-8", "replace"), source=f"environment variable {IDENTITY_ENVIRONMENT}")


def load_recipients(source: str | os.PathLike[str]) -> tuple[str, ...]:
    """Public recipients from a ``.pub`` file (one a line) or from the recipient text itself.

    Parameters
    ----------
    source : path or str
        ``age1…`` or the path of a file of such lines; ``#`` starts a comment line. For SM4 containers also
        the place of a key: ``file:PATH``, ``env:NAME``, ``transit+https://…``.

    Raises
    ------
    KeyMaterialError
        If the file is missing, holds no recipient, or one that is not an age recipient; a secret
        key given by mistake is refused without being shown.

    Examples
    --------
    >>> load_recipients("a.pub")
    Traceback (most recent call last):
    ...
    pipeline.errors.KeyMaterialError: a.pub: no such recipient file; expected a .pub file or age1…
    """
    text = os.fspath(source)
    if text.startswith(("file:", "env:", "transit+")):
        key_provider(text)  # a key that cannot be used is better known now
        return (text,)
    if _RECIPIENT.match(text):
        return (_checked_recipient(text, where="recipient"),)
    if text.upper().startswith("AGE-SECRET-KEY-"):
        raise KeyMaterialError(
            "a secret key was given where a public recipient (age1…) is expected; keep it off command lines"
        )
    place = Path(text)
    try:
        with place.open("rb") as file:
            content = file.read(_MAX_KEY_FILE_BYTES + 1)
    except FileNotFoundError:
        raise KeyMaterialError(f"{place}: no such recipient file; expected a .pub file or age1…") from None
    except (OSError, ValueError) as error:
        raise KeyMaterialError(f"{place}: recipient file cannot be read ({_why(error)})") from error
    found = [
        _checked_recipient(line, where=f"{place}:{number}")
        for number, line in _key_lines(content, source=str(place))
    ]
    if not found:
        raise KeyMaterialError(f"{place}: holds no recipient; expected a line age1…")
    return tuple(dict.fromkeys(found))


def _refuse_public(place: Path) -> None:
    """Say of a public key that it is one, before anything about its mode."""
    try:
        if not place.is_file() or place.stat().st_size > _MAX_KEY_FILE_BYTES:
            return
        lines = _key_lines(place.read_bytes(), source=str(place))
    except (OSError, KeyMaterialError):
        return  # what else is wrong with it is said when it is read
    if lines and all(_RECIPIENT.match(line) for _, line in lines):
        key = place.with_suffix(".key")
        wanted = (
            f"the secret key {key}"
            if key.is_file() and key != place
            else "the secret key made with it (recordings.key)"
        )
        raise KeyMaterialError(
            f"{place}: is a public key (age1…), which only encrypts; to open recordings give {wanted}"
        )


def _identity(content: bytes, *, source: str) -> Identity:
    from pyrage import IdentityError, x25519

    keys, providers = [], []
    for number, line in _key_lines(content, source=source):
        if line.startswith("transit+"):
            providers.append(key_provider(line))
            continue
        secret = secret_from_line(line, f"{source}: line {number}")
        if secret is not None:
            providers.append(secret)
            continue
        try:
            keys.append(x25519.Identity.from_str(line))
        except IdentityError:
            raise KeyMaterialError(
                f"{source}: line {number} is no age secret key; "
                "expected AGE-SECRET-KEY-1… as `zhijian keys new` writes it"
            ) from None
    if not keys and not providers:
        raise KeyMaterialError(f"{source}: holds no secret key; expected a line AGE-SECRET-KEY-1…")
    return Identity(keys, source=source, providers=providers)


def _key_lines(content: bytes, *, source: str) -> list[tuple[int, str]]:
    if len(content) > _MAX_KEY_FILE_BYTES:
        raise KeyMaterialError(f"{source}: larger than {_MAX_KEY_FILE_BYTES} bytes, so it is no key file")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise KeyMaterialError(f"{source}: is no text, so it is no key file") from None
    lines = enumerate((line.strip() for line in text.splitlines()), start=1)
    return [(number, line) for number, line in lines if line and not line.startswith("#")]


def _checked_recipient(text: str, *, where: str) -> str:
    from pyrage import RecipientError, x25519

    if text.upper().startswith("AGE-SECRET-KEY-"):
        raise KeyMaterialError(f"{where}: is a secret key; expected the public recipient (age1…)")
    try:
        return str(x25519.Recipient.from_str(text))
    except RecipientError:
        raise KeyMaterialError(
            f"{where}: is no age recipient; expected age1… as `zhijian keys new` writes it"
        ) from None


def _why(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
