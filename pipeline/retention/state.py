"""Small JSON files of retention beside the results, in a folder or in object storage.

Table of contents: `read_json`, `write_json`, `list_names`, `remove`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipeline.errors import ResultsError, StorageError
from pipeline.vault.places import is_uri, open_filesystem, read_bytes
from pipeline.vault.recordings import write_atomically

FOLDER = "_retention"


def read_json(place: str, name: str) -> Any:
    """Read a file of the state; None if it is not there."""
    path = f"{place.rstrip('/')}/{FOLDER}/{name}"
    try:
        return json.loads(read_bytes(path, max_bytes=256 * 1024**2))
    except FileNotFoundError:
        return None
    except ValueError:
        raise ResultsError(f"{path}: cannot be read as JSON; restore it from a backup") from None


def write_json(place: str, name: str, value: Any) -> None:
    """Write a file of the state, whole or not at all."""
    data = json.dumps(value, ensure_ascii=False, sort_keys=True, indent=1).encode()
    path = f"{place.rstrip('/')}/{FOLDER}/{name}"
    if is_uri(place):
        filesystem, remote = open_filesystem(path)
        try:
            filesystem.pipe_file(remote, data)
        except OSError as error:
            raise StorageError(f"{path}: cannot be written ({type(error).__name__}); try again") from error
        return
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{target.parent}: cannot be made ({error.strerror}); try again") from error
    write_atomically(target, data)


def list_names(place: str, folder: str) -> list[str]:
    """List the JSON files of a folder of the state, sorted."""
    path = f"{place.rstrip('/')}/{FOLDER}/{folder}"
    try:
        if is_uri(place):
            filesystem, remote = open_filesystem(path)
            filesystem.invalidate_cache()
            names = [str(entry).rpartition("/")[2] for entry in filesystem.ls(remote, detail=False)]
        else:
            names = [entry.name for entry in Path(path).iterdir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StorageError(f"{path}: cannot be listed ({type(error).__name__}); try again") from error
    return [f"{folder}/{name}" for name in sorted(names) if name.endswith(".json")]


def remove(place: str, name: str) -> None:
    """Remove a file of the state, if it is there."""
    path = f"{place.rstrip('/')}/{FOLDER}/{name}"
    try:
        if is_uri(place):
            filesystem, remote = open_filesystem(path)
            filesystem.rm_file(remote)
        else:
            Path(path).unlink()
    except FileNotFoundError:
        return
    except OSError as error:
        raise StorageError(f"{path}: cannot be removed ({type(error).__name__}); try again") from error
