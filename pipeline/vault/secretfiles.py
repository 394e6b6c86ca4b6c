"""Files with secrets: read only if nobody but their owner can, written so that nobody else ever could.

Table of contents: `read_secret`, `write_secret`, `write_new`.
"""

from __future__ import annotations

import contextlib
import os
import stat
import uuid
from pathlib import Path

from pipeline.errors import KeyMaterialError

MAX_SECRET_BYTES = 64 * 1024


def read_secret(path: str | os.PathLike[str], *, what: str = "key file", hint: str = "") -> bytes:
    """Read a secret from a regular file of mode 0600 or stricter.

    Parameters
    ----------
    path : path
    what : str
        What the file is called in messages.
    hint : str
        What to do when it is missing.

    Raises
    ------
    KeyMaterialError
        If the file is missing, no regular file, open to group or others, or too large. The message
        never shows its content.
    """
    place = Path(path)
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO must not hang it
    except FileNotFoundError:
        raise KeyMaterialError(f"{place}: no such {what}" + (f"; {hint}" if hint else "")) from None
    except OSError as error:
        raise KeyMaterialError(f"{place}: {what} cannot be opened ({error.strerror})") from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise KeyMaterialError(f"{place}: expected a {what}, found something else (a folder or a device)")
    with os.fdopen(descriptor, "rb") as file:
        if status.st_mode & 0o077:
            found = stat.S_IMODE(status.st_mode)
            raise KeyMaterialError(
                f"{place}: {what} is open to group or others (mode {found:04o}), expected 0600; "
                f"run: chmod 600 {place}"
            )
        content = file.read(MAX_SECRET_BYTES + 1)
    if len(content) > MAX_SECRET_BYTES:
        raise KeyMaterialError(f"{place}: larger than {MAX_SECRET_BYTES} bytes, so it is no {what}")
    return content


def write_secret(path: str | os.PathLike[str], text: str, *, what: str = "key file") -> bool:
    """Write a new secret file (mode 0600), whole or not at all, and never over another.

    Returns
    -------
    bool
        False if the file exists already; it is left as it is.

    Raises
    ------
    KeyMaterialError
        If it cannot be written.
    """
    place = Path(path)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        write_new(place, text.encode(), mode=0o600)
    except FileExistsError:
        return False
    except OSError as error:
        raise KeyMaterialError(
            f"{place}: {what} cannot be written ({error.strerror}); choose another place"
        ) from error
    return True


def write_new(place: Path, content: bytes, *, mode: int) -> None:
    """Write a file whole or not at all, and never over another.

    Raises
    ------
    FileExistsError
        If there is one; it is left as it is.
    OSError
        If it cannot be written.
    """
    draft = place.with_name(f".{place.name}.{uuid.uuid4().hex}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, place)  # unlike rename, fails when the name is taken
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
