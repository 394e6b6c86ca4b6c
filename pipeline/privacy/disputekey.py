"""Which key lifts the masks of some results: named once, and then no other one does.

Conventions
-----------
``RESULTS/_keys/dispute.json`` holds a random token sealed with the dispute key, and the token's hash: whoever
holds the key can open it, nobody can tell the key from it. The first key that is used is named there
(`bind`), which the audit log records; it is best done when the results folder is made, by
``zhijian keys bind-dispute``. The transcript key is never taken for it.

Table of contents: `may_unmask`, `bind`.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import AccessRefusedError, ZhijianError

if TYPE_CHECKING:
    from pipeline.settings import Settings
    from pipeline.vault.providers import KeyProvider

_PLACE = "_keys/dispute.json"
_AAD = b"zhijian dispute key 1"


def may_unmask(settings: Settings) -> bool:
    """Whether the dispute key of the results is at hand, so that masks may be lifted.

    Parameters
    ----------
    settings : Settings
        ``dispute_key``: the key itself is used, so a name alone lifts nothing. ``results``: whose key it has
        to be; the first one that is used on them becomes theirs.

    Raises
    ------
    AccessRefusedError
        If no dispute key is set, it is the transcript key, or the results have another one.
    KeyMaterialError
        If it cannot be read.
    """
    key = _own(settings)
    if settings.results is not None:
        bound = _read(settings.results)
        if bound is None:
            bind(settings)
        elif not _opens(key, bound):
            raise AccessRefusedError(
                f"{settings.results}: masks are lifted by another dispute key than {key.key_id}; use that one"
            )
    return True


def bind(settings: Settings) -> str:
    """Name the dispute key of the results, once and for all; recorded in the audit log.

    Returns
    -------
    str
        Its id.

    Raises
    ------
    AccessRefusedError
        If the results have one already, or this user may not write there.
    """
    from pipeline.audit import audit_place, record_event

    key, place = _own(settings), str(settings.results)
    if (bound := _read(place)) is not None:
        if _opens(key, bound):
            return key.key_id
        raise AccessRefusedError(f"{place}: has another dispute key than {key.key_id} already")
    token = secrets.token_bytes(32)
    content = {
        "dispute": 1,
        "sealed": base64.b64encode(key.wrap(token, _AAD)).decode(),
        "sha256": hashlib.sha256(token).hexdigest(),
    }
    record_event("bind", at=audit_place(settings), what="dispute key", key_id=key.key_id)
    try:
        _create(place, json.dumps(content).encode())
    except OSError as error:
        raise AccessRefusedError(
            f"{place}: has no dispute key yet, and this user cannot name one there "
            f"({error.strerror or type(error).__name__}); whoever writes the results runs "
            "`zhijian keys bind-dispute` once"
        ) from error
    return key.key_id


def _own(settings: Settings) -> KeyProvider:
    from pipeline.vault.providers import key_provider

    if not settings.dispute_key:
        raise AccessRefusedError(
            "unmasked numbers need the dispute key; set `dispute_key` to the place where it is kept"
        )
    key = key_provider(settings.dispute_key)
    key.check()
    transcript = set()
    for place in (settings.transcript_key or "").split(","):
        with contextlib.suppress(ZhijianError):  # one that cannot be used lifts nothing
            transcript.add(key_provider(place.strip()).key_id)
    if key.key_id in transcript:
        raise AccessRefusedError(
            f"the dispute key is the transcript key {key.key_id}; a dispute officer has one of their own"
        )
    return key


def _opens(key: KeyProvider, content: bytes) -> bool:
    try:
        bound = json.loads(content)
        token = key.unwrap(base64.b64decode(bound["sealed"]), _AAD)
        return secrets.compare_digest(hashlib.sha256(token).hexdigest(), str(bound["sha256"]))
    except (ZhijianError, ValueError, TypeError, KeyError):
        return False


def _read(results: str) -> bytes | None:
    from pipeline.vault.places import is_uri, open_filesystem

    try:
        if not is_uri(results):
            return (Path(results) / _PLACE).read_bytes()
        filesystem, root = open_filesystem(results, use_listings_cache=False)
        return bytes(filesystem.cat_file(f"{root.rstrip('/')}/{_PLACE}"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise AccessRefusedError(f"{results}/{_PLACE}: cannot be read ({type(error).__name__})") from error


def _create(results: str, content: bytes) -> None:
    from pipeline.vault.places import is_uri, open_filesystem
    from pipeline.vault.secretfiles import write_new

    if is_uri(results):
        filesystem, root = open_filesystem(results)
        filesystem.pipe_file(f"{root.rstrip('/')}/{_PLACE}", content, mode="create")
        return
    path = Path(results) / _PLACE
    path.parent.mkdir(exist_ok=True)
    write_new(path, content, mode=0o644)  # a crash must not leave an empty one, which no key opens
