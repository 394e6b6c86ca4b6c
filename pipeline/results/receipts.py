"""Receipts: a score's fingerprint over everything it was derived from.

A receipt is the sha256 over a canonical JSON text of its inputs: recording, call detail record, what
was heard, models and settings of the hearing, rulebook, code, the libraries that can move a number,
and the outcome. Equal inputs give an equal receipt on any machine and at any time, so a score can be
derived again and compared.

Table of contents: `receipt_inputs`, `receipt`, `hearing_hash`, `judgement_hash`, `code_version`,
`library_versions`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.callrecords import record_hash
from pipeline.records import CallRecord, Hearing, Judgement

_LIBRARIES = (
    "chinesecalendar",
    "cn2an",
    "ctranslate2",
    "faster-whisper",
    "jieba",
    "librosa",
    "numpy",
    "opencc-python-reimplemented",
    "pyannote.audio",
    "pypinyin",
    "rapidfuzz",
    "scipy",
    "soundfile",
    "torch",
    "webrtcvad-wheels",
)


def receipt_inputs(call: CallRecord, hearing: Hearing, judgement: Judgement) -> str:
    """Write down as canonical JSON all that a score was derived from.

    Returns
    -------
    str
        One line. Holds hashes, names and versions; nothing that was said in the call.
    """
    return _canonical(
        {
            "receipt": 2,
            "call_id": call.call_id,
            "call_record_sha256": record_hash(call),
            "recording_sha256": hearing.recording_sha256,
            "hearing": {
                "sha256": hearing_hash(hearing),
                "models": [dataclasses.asdict(model) for model in hearing.models],
                "settings_hash": hearing.settings_hash,
            },
            "rulebook": {"version": judgement.rulebook_version, "hash": judgement.rulebook_hash},
            "judgement_sha256": judgement_hash(judgement),
            "code": code_version(),
            "libraries": library_versions(),
        }
    )


def receipt(inputs: str) -> str:
    """Hash the text that `receipt_inputs` gives.

    Examples
    --------
    >>> receipt('{"receipt":1}')[:12]
    '492f92e3f81e'
    """
    return hashlib.sha256(inputs.encode()).hexdigest()


def hearing_hash(hearing: Hearing) -> str:
    """sha256 over all that was heard (times, words, events, levels), not over how long it took."""
    return _record_hash(hearing, leave_out=frozenset({"stage_s", "recording_payload_sha256"}))


def judgement_hash(judgement: Judgement) -> str:
    """sha256 over verdicts, measures, score and grade."""
    return _record_hash(judgement)


@cache
def code_version() -> str:
    """Version of this software and a hash over its own source files.

    The version alone would call two different working copies the same.
    """
    root = Path(__file__).resolve().parents[2]
    digest = hashlib.sha256()
    for folder in ("pipeline", "models"):
        for path in sorted((root / folder).rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0")
            digest.update(path.read_bytes() + b"\0")
    return f"{_version('zhijian')}+{digest.hexdigest()[:12]}"


@cache
def _versions() -> tuple[tuple[str, str], ...]:
    return tuple((name, _version(name)) for name in _LIBRARIES)


def library_versions() -> dict[str, str]:
    """Versions of the installed libraries that can change a number; ``absent`` if not installed."""
    return dict(_versions())


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def _record_hash(record: Any, *, leave_out: frozenset[str] = frozenset()) -> str:
    return hashlib.sha256(_canonical(_fields(record, leave_out)).encode()).hexdigest()


def _fields(record: Any, leave_out: frozenset[str] = frozenset()) -> dict[str, Any]:
    """A record's fields, those at their defaults left out.

    So a field that a later release adds, and that an old record cannot have, does not change the
    hash of what was stored before.
    """
    found: dict[str, Any] = {}
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if field.name in leave_out:
            continue
        if field.default is not dataclasses.MISSING and _is(value, field.default):
            continue
        if field.default_factory is not dataclasses.MISSING and _is(value, field.default_factory()):
            continue
        found[field.name] = value
    return found


def _is(value: Any, default: Any) -> bool:
    return type(value) is type(default) and bool(value == default)


def _encode(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return _fields(value)
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "item"):  # a numpy scalar is stored as the plain number it holds
        return value.item()
    raise TypeError(f"no canonical form for {type(value).__name__}")


def _canonical(value: Any) -> str:
    return json.dumps(
        value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_encode
    )
