"""Every rulebook that ever judged a call, kept among the results and found by its hash.

Conventions
-----------
Dataset ``rulebooks`` holds the bytes of each rulebook's files, and dated rows that say from which day
on it was in force. Rows are only ever added.

Table of contents: `ArchivedRulebook`, `archive_rulebook`, `archived_rulebooks`, `rulebook_by_hash`,
`rulebook_in_use`, `rules_of_day`.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.errors import InputError, ResultsError, RulebookError
from pipeline.judging.rulebook import (
    MATCHING_FILES,
    SHARED_FILES,
    Rulebook,
    load_rulebook,
    shipped_folder,
)
from pipeline.results.store import Store

TABLE = "rulebooks"
PROMPT_DAYS = 3
"""A call that is scored within so many days was scored by the night of its day (weekends included)."""


@dataclass(frozen=True, slots=True)
class ArchivedRulebook:
    """One rulebook of the archive.

    Attributes
    ----------
    in_force_from : date or None
        Local day from which on new calls were judged by it; None if only single calls ever were.
    version, hash : str
    """

    in_force_from: date | None
    version: str
    hash: str


def archive_rulebook(
    store: Store, folder: Path | None = None, *, in_force_from: date | None = None
) -> ArchivedRulebook:
    """Keep a rulebook's files under its hash; one that is there already is not stored again.

    Parameters
    ----------
    store : Store
        The results it judges calls for, opened for writing.
    folder : Path or None
        None is the rulebook that ships.
    in_force_from : date, optional
        The day of the first night that judged by it. None for a rulebook that a single call was
        judged by (a what-if): it is kept, but was never in force.

    Raises
    ------
    RulebookError
        The rulebook has problems.
    StorageError
        It could not be stored.
    """
    import pyarrow as pa

    from pipeline.results.schemas import schema_of

    book = rulebook_in_use(folder)
    known = {entry.hash: entry for entry in archived_rulebooks(store)}.get(book.hash)
    rows: list[Mapping[str, Any]] = []
    if known is None:
        files = {name: path.read_bytes() for path, name in _files(folder or shipped_folder())}
        if _load(tuple(sorted(files.items()))).hash != book.hash:
            raise ResultsError(f"{folder or shipped_folder()}: changed while it was archived; repeat")
        digest = _digest(files)
        rows += [_row(book, name, content, None, digest) for name, content in sorted(files.items())]
    if in_force_from is not None and (known is None or known.in_force_from is None):
        rows.append(_row(book, "", b"", in_force_from, ""))
    if rows:
        store.append(
            {None: pa.Table.from_pylist([dict(row) for row in rows], schema=schema_of(TABLE))}, TABLE
        )
    first = known.in_force_from if known is not None and known.in_force_from else in_force_from
    return ArchivedRulebook(first, book.version, book.hash)


def archived_rulebooks(store: Store) -> list[ArchivedRulebook]:
    """All rulebooks of the archive, by the day they came into force; those that never were come last."""
    columns = ("rulebook_hash", "rulebook_version", "in_force_from")
    versions: dict[str, str] = {}
    days: dict[str, date] = {}
    for row in store.read(TABLE, columns=columns, latest=False).to_pylist():
        key, day = row["rulebook_hash"], row["in_force_from"]
        versions[key] = row["rulebook_version"]
        if day is not None:
            days[key] = min(day, days.get(key, day))
    found = [ArchivedRulebook(days.get(key), version, key) for key, version in versions.items()]
    return sorted(found, key=lambda entry: (entry.in_force_from or date.max, entry.version, entry.hash))


def rulebook_by_hash(store: Store, rulebook_hash: str, *, current: Path | None = None) -> Rulebook | None:
    """Load the rulebook with this hash: from the archive, or the one in use if it is the same.

    Parameters
    ----------
    store : Store
    rulebook_hash : str
    current : Path, optional
        Folder of the rulebook in use.

    Returns
    -------
    Rulebook or None
        None if there is no such rulebook any more, or this version of the code cannot read it.

    Raises
    ------
    ResultsError
        The archived files were changed: they no longer give the hash they stand under.
    """
    columns = ("rulebook_hash", "file", "content", "files_sha256")
    rows = [
        row
        for row in store.read(TABLE, columns=columns, latest=False).to_pylist()
        if row["rulebook_hash"] == rulebook_hash and row["file"]
    ]
    if rows:
        files = {row["file"]: row["content"] for row in rows}
        if {row["files_sha256"] for row in rows} != {_digest(files)}:
            raise ResultsError(
                f"{store.place}: the archived files of rulebook {rulebook_hash[:12]} were changed; restore "
                f"{TABLE}/ from a backup"
            )
        try:
            book = _load(tuple(sorted(files.items())))
        except RulebookError:  # written for another version of the code; its verdicts stay, it judges no more
            return None
        # Other code may count other files into the hash; these are the files that it was given to.
        return replace(book, hash=rulebook_hash)
    book = rulebook_in_use(current)
    return book if book.hash == rulebook_hash else None


def rulebook_in_use(folder: Path | None = None) -> Rulebook:
    """Load the rulebook in use; one whose files have not changed is loaded once a process.

    Parameters
    ----------
    folder : Path or None
        None is the rulebook that ships.

    Raises
    ------
    RulebookError
        The rulebook has problems.
    """
    place = folder or shipped_folder()
    state = tuple(
        (str(path), status.st_mtime_ns, status.st_size)
        for path, _ in _files(place)
        if path.is_file()
        for status in (path.stat(),)
    )
    return _loaded(folder, state)


def rules_of_day(
    store: Store, call_date: date, first_hash: str, first_scored: date, *, current: Path | None = None
) -> Rulebook:
    """Find the rulebook that was in force on a call's day.

    Parameters
    ----------
    store : Store
    call_date : date
    first_hash : str
        Rulebook of the call's first version.
    first_scored : date
        Day of the first version. If it followed the call within `PROMPT_DAYS`, the night of the day
        judged by the rules of the day, and ``first_hash`` it is. A call that was scored late is judged
        by the rulebook that was in force on its day, as far back as the archive reaches.
    current : Path, optional
        Folder of the rulebook in use.

    Raises
    ------
    ResultsError
        That rulebook is neither in the archive nor the one in use.
    """
    wanted = first_hash
    if (first_scored - call_date).days > PROMPT_DAYS:
        before = [
            entry
            for entry in archived_rulebooks(store)
            if entry.in_force_from is not None and entry.in_force_from <= call_date
        ]
        wanted = before[-1].hash if before else first_hash
    book = rulebook_by_hash(store, wanted, current=current)
    if book is None:
        raise ResultsError(
            f"{store.place}: the rulebook of that day ({wanted[:12]}) is not in {TABLE}/ in a form that "
            "this version reads, nor the one in use; give a rulebook with --rulebook"
        )
    return book


@lru_cache(maxsize=4)
def _loaded(folder: Path | None, _state: tuple[tuple[str, int, int], ...]) -> Rulebook:
    return load_rulebook(folder)


def _row(book: Rulebook, file: str, content: bytes, day: date | None, digest: str) -> Mapping[str, Any]:
    return {
        "rulebook_hash": book.hash,
        "rulebook_version": book.version,
        "file": file,
        "content": content,
        "files_sha256": digest,
        "in_force_from": day,
    }


def _digest(files: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
    return digest.hexdigest()


@lru_cache(maxsize=8)
def _load(files: tuple[tuple[str, bytes], ...]) -> Rulebook:
    with tempfile.TemporaryDirectory(prefix="zhijian-rulebook-") as place:
        for name, content in files:
            if ".." in PurePosixPath(name).parts or PurePosixPath(name).is_absolute():
                raise InputError(f"archived rulebook names the file {name!r}; expected a path inside it")
            path = Path(place) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return load_rulebook(Path(place))


def _files(folder: Path) -> list[tuple[Path, str]]:
    """All files that make the rulebook, those it takes from what ships included."""
    shipped = shipped_folder()
    found: list[tuple[Path, str]] = []
    for sub in ("rules", "phrases"):
        own = sorted((folder / sub).glob("*.toml")) or sorted((shipped / sub).glob("*.toml"))
        found.extend((path, f"{sub}/{path.name}") for path in own)
    for name in (*SHARED_FILES, *MATCHING_FILES):
        own_file = folder / name
        found.append((own_file if own_file.is_file() else shipped / name, name))
    return found
