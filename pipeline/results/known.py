"""What the stored rows tell about calls that were worked on before.

Table of contents: `fingerprints`, `latest_quarantine`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from pipeline.results.entries import Fingerprint, QuarantineRow
from pipeline.results.reading import scan
from pipeline.results.storage import DataFile, Storage

_FINGERPRINT_COLUMNS = (
    "call_id",
    "version",
    "recording_sha256",
    "recording_payload_sha256",
    "recording_size_bytes",
    "recording_stamp",
    "call_record_sha256",
    "call_date",
)


def fingerprints(
    files: Sequence[DataFile], wanted: Collection[str] | None, filesystem: Any
) -> dict[str, Fingerprint]:
    """What the latest version of each call in these files of ``hearings`` was made from.

    Parameters
    ----------
    files : sequence of DataFile
    wanted : collection of str or None
        Only these calls; None = all.
    filesystem : Any
        Of `pipeline.results.storage.Storage`.
    """
    if wanted is not None and len(files) > 1:
        # Years of archive hold few of a night's calls: ids alone say in which partitions the rest is read.
        ids = scan(
            "hearings", files, columns=("call_id", "call_date"), call_ids=wanted, filesystem=filesystem
        )
        days = {None if day is None else day.isoformat() for day in ids["call_date"].unique().to_pylist()}
        files = [file for file in files if file.call_date in days]
    table = scan("hearings", files, columns=_FINGERPRINT_COLUMNS, call_ids=wanted, filesystem=filesystem)
    columns: list[list[Any]] = [table[name].to_pylist() for name in _FINGERPRINT_COLUMNS]
    found: dict[str, Fingerprint] = {}
    for call_id, version, sha256, payload, size, stamp, record, day in zip(*columns, strict=True):
        if call_id not in found or found[call_id].version < version:
            call_date = None if day is None else day.isoformat()
            found[call_id] = Fingerprint(version, sha256, size, stamp, record, call_date, payload or "")
    return found


def latest_quarantine(storage: Storage) -> dict[tuple[str | None, str], QuarantineRow]:
    """Latest row of every matter that was ever in quarantine, settled or not."""
    table = scan("quarantine", storage.files("quarantine"), filesystem=storage.filesystem)
    latest: dict[tuple[str | None, str], QuarantineRow] = {}
    for values in table.to_pylist():
        row = QuarantineRow(**values)
        known = latest.get(row.key)
        if known is None or (row.attempts, row.last_seen) > (known.attempts, known.last_seen):
            latest[row.key] = row
    return latest
