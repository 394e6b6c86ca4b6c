"""Every rulebook that ever judged a call, kept beside the results and found by its hash.

Conventions
-----------
``RESULTS/rulebooks/<hash>/`` holds the files of one rulebook, ``archived.json`` in it says its version
and from which day on it was in force. A folder appears whole or not at all and is never changed.

Table of contents: `ArchivedRulebook`, `archive_rulebook`, `archived_rulebooks`, `rulebook_by_hash`,
`rules_of_day`.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from pipeline.errors import InputError, ResultsError, StorageError
from pipeline.judging.rulebook import (
    MATCHING_FILES,
    SHARED_FILES,
    Rulebook,
    load_rulebook,
    shipped_folder,
)
from pipeline.results.store import Store

FOLDER = "rulebooks"
PROMPT_DAYS = 3
"""A call that is scored within so many days was scored by the night of its day (weekends included)."""
_META = "archived.json"


@dataclass(frozen=True, slots=True)
class ArchivedRulebook:
    """One rulebook of the archive.

    Attributes
    ----------
    in_force_from : date or None
        Local day from which on new calls were judged by it; None if only single calls ever were.
    version, hash : str
    folder : Path
    """

    in_force_from: date | None
    version: str
    hash: str
    folder: Path


def archive_rulebook(
    store: Store, folder: Path | None = None, *, in_force_from: date | None = None
) -> ArchivedRulebook:
    """Keep a copy of a rulebook's files under its hash; files that are there already stay as they are.

    Parameters
    ----------
    store : Store
        The results it judges calls for.
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
        The copy could not be written.
    """
    book = load_rulebook(folder)
    target = Path(store.place) / FOLDER / book.hash
    if (target / _META).is_file():
        known = _read(target)
        if in_force_from is None or known.in_force_from is not None:
            return known
        _write_meta(target, book, in_force_from)
        return _read(target)
    draft = target.parent / f"_draft-{uuid.uuid4().hex}"
    try:
        for source, name in _files(folder or shipped_folder()):
            place = draft / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, place)
        _write_meta(draft, book, in_force_from)
        if load_rulebook(draft).hash != book.hash:
            raise StorageError(f"{folder or shipped_folder()}: changed while it was archived; repeat")
        try:
            draft.rename(target)
        except OSError:
            if not (target / _META).is_file():  # else another run was faster
                raise
    except OSError as error:
        raise StorageError(
            f"{target}: the rulebook cannot be archived ({error.strerror}); free space or permissions, repeat"
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return _read(target)


def archived_rulebooks(store: Store) -> list[ArchivedRulebook]:
    """All rulebooks of the archive, by the day they came into force; those that never were come last."""
    folder = Path(store.place) / FOLDER
    if not folder.is_dir():
        return []
    found = [_read(Path(entry.path)) for entry in os.scandir(folder) if not entry.name.startswith("_")]
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
        None if there is no such rulebook any more.

    Raises
    ------
    ResultsError
        The archived files were changed: they no longer give the hash they stand under.
    """
    if not rulebook_hash.isalnum():
        raise InputError(f"rulebook hash {rulebook_hash!r}: expected hexadecimal digits")
    folder = Path(store.place) / FOLDER / rulebook_hash
    if (folder / _META).is_file():
        book = load_rulebook(folder)
        if book.hash != rulebook_hash:
            raise ResultsError(
                f"{folder}: its files give the hash {book.hash[:12]}; they were changed, restore them"
            )
        return book
    book = load_rulebook(current)
    return book if book.hash == rulebook_hash else None


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
            f"{store.place}: the rulebook of that day ({wanted[:12]}) is neither in {FOLDER}/ nor the one "
            "in use; give its folder with --rulebook"
        )
    return book


def _write_meta(folder: Path, book: Rulebook, day: date | None) -> None:
    meta = {"hash": book.hash, "version": book.version, "in_force_from": day.isoformat() if day else None}
    draft = folder / f"_{_META}-{uuid.uuid4().hex}"
    draft.write_text(json.dumps(meta, ensure_ascii=False), encoding="utf-8")
    draft.replace(folder / _META)


def _read(folder: Path) -> ArchivedRulebook:
    try:
        meta = json.loads((folder / _META).read_text(encoding="utf-8"))
        day = date.fromisoformat(meta["in_force_from"]) if meta["in_force_from"] else None
        return ArchivedRulebook(day, str(meta["version"]), str(meta["hash"]), folder)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResultsError(
            f"{folder / _META}: is unreadable ({type(error).__name__}); restore it from a backup"
        ) from error


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
