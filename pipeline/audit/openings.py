"""What callers write into the audit log; see `pipeline.audit` for how to use it.

Table of contents: `AuditPlace`, `audit_place`; `opening`, `record_opening`, `record_refusal`, `record_event`,
`checkpoint`.
"""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import InputError, KeyMaterialError, WrongKeyError, ZhijianError

if TYPE_CHECKING:
    from pipeline.audit.log import AuditLog
    from pipeline.settings import Settings

PURPOSES: tuple[str, ...] = (
    "night",
    "rescore",
    "review",
    "dispute",
    "report",
    "show",
    "notebook",
    "preview",
    "verify",
    "calibration",
    "health",
    "export",
)
"""Why something is opened; a free text beside it (``why``) says more."""
THINGS: tuple[str, ...] = ("recording", "transcript", "unmasked transcript")
_CALLS_PER_RECORD = 200
_MAX_LISTED = 5000
_MAX_TEXT = 500


@dataclass(frozen=True, slots=True)
class AuditPlace:
    """Where openings are recorded: paths only, so it may travel to worker processes.

    Attributes
    ----------
    folder : Path
    key : Path or None
        Setting ``audit_key``; None = this user's own key.
    anchor : Path or None
        Setting ``audit_anchor``.
    """

    folder: Path
    key: Path | None = None
    anchor: Path | None = None


def audit_place(settings: Settings, *, results: str | os.PathLike[str] | None = None) -> AuditPlace:
    """Tell where the openings of some results are recorded.

    Parameters
    ----------
    settings : Settings
    results : path or URI, optional
        The results folder when it is not ``settings.results``.

    Returns
    -------
    AuditPlace
        The setting ``audit``; else ``_audit`` in a local results folder that exists and that this user may
        write; else a folder of the user's own state, one for each place of results.

    Raises
    ------
    InputError
        If there is neither a setting nor a results folder.
    """
    from pipeline.vault.places import is_uri

    folder = settings.audit
    place = os.fspath(results) if results is not None else settings.results
    if folder is None:
        if place is None:
            raise InputError("no place for the audit log; give --results, or set `audit` to a folder")
        local = None if is_uri(place) else Path(place).absolute()
        folder = local / "_audit" if local is not None and _writable(local) else _own_folder(place)
    return AuditPlace(folder.absolute(), settings.audit_key, settings.audit_anchor)


@contextmanager
def opening(
    call_id: str,
    *,
    at: AuditPlace,
    purpose: str,
    what: str = "recording",
    who: str | None = None,
    why: str = "",
) -> Iterator[None]:
    """Record that a call is opened, then run the body; record also if it was refused or failed.

    Parameters
    ----------
    call_id : str
    at : AuditPlace
    purpose : str
        One of `PURPOSES`.
    what : str
        One of `THINGS`.
    who : str, optional
        The person, if another than the login.
    why : str
        In a few words; no personal data of customers (numbers are masked before they are written).

    Raises
    ------
    StorageError
        If the record cannot be written; the body does not run.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     key = Path(folder) / "audit.key"
    ...     from pipeline.audit.keys import new_audit_key
    ...     _ = new_audit_key(key)
    ...     with opening("c1", at=AuditPlace(Path(folder) / "log", key), purpose="review", who="li.lei"):
    ...         listened = True
    >>> listened
    True
    """
    record_opening(call_id, at=at, purpose=purpose, what=what, who=who, why=why)
    try:
        yield
    except ZhijianError as error:
        record_refusal(call_id, error, at=at, purpose=purpose, what=what, who=who)
        raise
    except Exception:
        record_event(
            "failed", at=at, call_id=call_id, what=what, purpose=purpose, who=who, kind="internal_error"
        )
        raise


def record_opening(
    call_ids: str | Sequence[str],
    *,
    at: AuditPlace,
    purpose: str,
    what: str = "recording",
    who: str | None = None,
    why: str = "",
) -> None:
    """Record that calls are about to be opened; parameters as of `opening`.

    Several calls that are opened together stand in one record for each 200 of them; above 5000 their number
    and the sha256 of their sorted ids (one a line).
    """
    if purpose not in PURPOSES:
        raise InputError(f"purpose {purpose!r} is unknown; expected one of: {', '.join(PURPOSES)}")
    if what not in THINGS:
        raise InputError(f"{what!r} is nothing that is opened; expected one of: {', '.join(THINGS)}")
    common: dict[str, Any] = {"event": "open", "what": what, "purpose": purpose, **_who(who)}
    if why:
        common["why"] = _masked(why)
    if isinstance(call_ids, str):
        events = [{**common, "call_id": call_ids}]
    elif len(call_ids) > _MAX_LISTED:
        digest = hashlib.sha256("\n".join(sorted(call_ids)).encode()).hexdigest()
        events = [{**common, "calls": len(call_ids), "call_ids_sha256": digest}]
    else:
        events = [
            {**common, "call_ids": list(call_ids[start : start + _CALLS_PER_RECORD])}
            for start in range(0, len(call_ids), _CALLS_PER_RECORD)
        ]
    if events:
        _log(at).append(events)


def record_refusal(
    call_id: str | None,
    error: ZhijianError,
    *,
    at: AuditPlace,
    purpose: str,
    what: str = "recording",
    who: str | None = None,
) -> None:
    """Record that an opening did not succeed: ``refused`` for keys that do not fit, ``failed`` otherwise.

    The kind of the error is recorded, not its message.
    """
    refused = isinstance(error, KeyMaterialError | WrongKeyError)
    record_event(
        "refused" if refused else "failed",
        at=at, call_id=call_id, what=what, purpose=purpose, who=who, kind=error.kind,
    )  # fmt: skip


def record_event(
    event: str, *, at: AuditPlace, call_id: str | None = None, who: str | None = None, **details: Any
) -> None:
    """Record any other event, such as ``hold``, ``release``, ``deleted`` or ``rewrap``.

    Parameters
    ----------
    event : str
    at : AuditPlace
    call_id : str, optional
    who : str, optional
    **details
        JSON values; None is left out. No transcript text, no personal data.
    """
    body = {"event": event, **_who(who), **{k: v for k, v in details.items() if v is not None}}
    if isinstance(body.get("why"), str):
        body["why"] = _masked(body["why"])
    if call_id is not None:
        body["call_id"] = call_id
    _log(at).append([body])


def checkpoint(at: AuditPlace) -> None:
    """Sign everything recorded so far, as a night does when it ends."""
    _log(at).checkpoint()


@cache
def _log(at: AuditPlace) -> AuditLog:
    from pipeline.audit.keys import own_audit_key
    from pipeline.audit.log import AuditLog

    return AuditLog(at.folder, own_audit_key(at.key), anchor=at.anchor)


@cache
def _login() -> tuple[str, str]:
    import pwd

    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = str(os.getuid())
    return name, socket.gethostname()


def _who(who: str | None) -> dict[str, str]:
    login, host = _login()
    return {"who": (who or login)[:_MAX_TEXT], "login": login, "host": host}


def _masked(why: str) -> str:
    """What a person typed, without numbers of customers: the log is kept for years and read without keys."""
    from pipeline.privacy import mask

    return mask(why).text[:_MAX_TEXT]


def _writable(folder: Path) -> bool:
    log = folder / "_audit"
    return folder.is_dir() and os.access(log if log.exists() else folder, os.W_OK | os.X_OK)


def _own_folder(place: str) -> Path:
    from platformdirs import user_state_path

    return user_state_path("zhijian") / "audit" / hashlib.sha256(place.encode()).hexdigest()[:16]
