"""Writing what holds words of a call: whole or not at all, readable by its owner alone.

Table of contents: `write_private`.
"""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.errors import StorageError


def write_private(path: Path, data: bytes) -> None:
    """Write a file with mode 0600, replacing one that is there.

    Raises
    ------
    StorageError
        It cannot be written.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise StorageError(
            f"{path}: cannot be written ({error.strerror}); choose another --out or free space"
        ) from error
