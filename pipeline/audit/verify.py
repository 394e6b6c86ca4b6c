"""Checks an audit log and names the first record that does not hold.

Table of contents: `AuditReport`, `verify_audit`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.audit.keys import AuditKey, AuditPublicKey
from pipeline.audit.log import CHECKPOINTS, FIRST_PREV, canonical, checkpoint_message, line_body, log_files
from pipeline.errors import AuditError


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What `verify_audit` found.

    Attributes
    ----------
    records, checkpoints : int
        Read up to the end, or up to the first that does not hold.
    unproven : int
        Records whose MAC was not checked, since their key's secret was not given; their place in the chain
        was.
    after_checkpoint : int
        Records after the last signed checkpoint: cutting these off would not be noticed.
    problem : str or None
        The first thing that does not match: file, line, record, what was found and expected.
    head : str
        ``seq:sha256`` of the last record; keep it, and give it to a later check as ``known_head``.
    strangers : tuple of str
        Key ids of records that none of the given keys has, secret or public.
    """

    records: int
    checkpoints: int
    unproven: int
    after_checkpoint: int
    problem: str | None
    head: str
    strangers: tuple[str, ...] = ()


class _BrokenError(Exception):
    """Internal: the first thing that does not match."""


def verify_audit(
    folder: Path,
    keys: Sequence[AuditKey | AuditPublicKey] = (),
    *,
    anchors: Sequence[Path] = (),
    known_head: str | None = None,
) -> AuditReport:
    """Check a chain from its first record to its last.

    Parameters
    ----------
    folder : Path
        With ``audit-YYYY-MM.jsonl`` files.
    keys : sequence of AuditKey or AuditPublicKey
        Secrets check every record they made; public halves check the checkpoints.
    anchors : sequence of Path
        Further folders with copies of the checkpoints.
    known_head : str, optional
        ``head`` of an earlier report: the log must still hold it.

    Raises
    ------
    AuditError
        If there is no log, or a file cannot be read.
    """
    files = log_files(folder)
    if not files:
        raise AuditError(f"{folder}: holds no audit log; expected files audit-YYYY-MM.jsonl")
    check = _Check(keys)
    problem = None
    try:
        for path in files:
            for number, line in _lines(path):
                check.record(f"{path.name}:{number}", line)
        check.copies([folder, *anchors])
        if known_head is not None:
            check.known(known_head)
    except _BrokenError as broken:
        problem = str(broken)
    return check.report(problem)


class _Check:
    """State of a walk along the chain."""

    def __init__(self, keys: Sequence[AuditKey | AuditPublicKey]) -> None:
        self._secrets = {key.key_id: key for key in keys if isinstance(key, AuditKey)}
        self._public = {key.key_id: key.public if isinstance(key, AuditKey) else key for key in keys}
        self._seq, self._prev = 0, FIRST_PREV
        self._checkpoints: dict[int, bytes] = {}
        self._hashes: dict[int, str] = {}
        self._unproven = 0
        self._since = 0
        self._strangers: set[str] = set()

    def record(self, where: str, line: bytes) -> None:
        expected = self._seq + 1
        try:
            record: dict[str, Any] = json.loads(line)
            seq, mac, key_id, prev = record["seq"], record["mac"], record["key"], record["prev"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise _BrokenError(f"{where}: expected record {expected}, found a line that is none") from None
        if seq != expected:
            raise _BrokenError(
                f"{where}: expected record {expected}, found {seq}: some were taken out or put in"
            )
        if prev != self._prev:
            raise _BrokenError(
                f"{where}: record {seq} does not follow from record {seq - 1}: one of the two was changed"
            )
        if canonical(record) != line:
            raise _BrokenError(
                f"{where}: record {seq} is not written as this software writes it: it was changed"
            )
        secret = self._secrets.get(key_id)
        if secret is None:
            self._unproven += 1
        elif not hmac.compare_digest(secret.mac(line_body(record)), str(mac)):
            raise _BrokenError(f"{where}: record {seq} does not match its own code (mac): it was changed")
        if key_id not in self._public:
            self._strangers.add(str(key_id))
        self._since += 1
        if record.get("event") == "checkpoint":
            self._signed(where, record)
            self._checkpoints[seq] = line
            self._since = 0
        self._seq, self._prev = seq, hashlib.sha256(line).hexdigest()
        self._hashes[seq] = self._prev

    def _signed(self, where: str, record: dict[str, Any]) -> None:
        public = self._public.get(record["key"])
        if public is None:
            return
        try:
            signature = base64.b64decode(str(record["sig"]), validate=True)
        except (KeyError, binascii.Error):
            signature = b""
        if not public.verifies(signature, checkpoint_message(record)):
            raise _BrokenError(f"{where}: the signature of checkpoint {record['seq']} is not its key's")

    def copies(self, folders: Sequence[Path]) -> None:
        for folder in folders:
            path = folder / CHECKPOINTS
            if not path.exists():
                if self._checkpoints:
                    raise _BrokenError(f"{path}: copies of {len(self._checkpoints)} checkpoints are missing")
                continue
            for number, line in _lines(path):
                try:
                    seq = int(json.loads(line)["seq"])
                except (ValueError, KeyError, TypeError, RecursionError):
                    raise _BrokenError(f"{path}:{number}: found a line that is no checkpoint") from None
                if seq > self._seq:
                    raise _BrokenError(
                        f"{path}:{number}: holds checkpoint {seq}, but the log ends with record {self._seq}: "
                        f"records {self._seq + 1} to {seq} at least were cut off"
                    )
                if self._checkpoints.get(seq) != line:
                    raise _BrokenError(
                        f"{path}:{number}: its checkpoint {seq} is not the log's: one of them was changed"
                    )

    def known(self, head: str) -> None:
        number, _, digest = head.partition(":")
        seq = int(number) if number.isdigit() else 0
        if self._hashes.get(seq) != digest:
            raise _BrokenError(f"the log does not hold the known head {head}: it was cut or written anew")

    def report(self, problem: str | None) -> AuditReport:
        return AuditReport(
            records=self._seq,
            checkpoints=len(self._checkpoints),
            unproven=self._unproven,
            after_checkpoint=self._since,
            problem=problem,
            head=f"{self._seq}:{self._prev}",
            strangers=tuple(sorted(self._strangers)),
        )


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    raise _BrokenError(
                        f"{path.name}:{number}: the last record is cut in the middle (by a crash, if the "
                        "next opening adds a record `torn` after it)"
                    )
                yield number, line[:-1]
    except OSError as error:
        raise AuditError(f"{path}: audit log cannot be read ({error.strerror})") from error
