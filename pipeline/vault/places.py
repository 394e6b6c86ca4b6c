"""Where files lie: a local path or an fsspec URI such as ``s3://bucket/night``.

Table of contents: `is_uri`, `read_bytes`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pipeline.errors import InputError, StorageError, ZhijianError

_URI = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def is_uri(place: str) -> bool:
    """Whether the text is a URI rather than a local path.

    Examples
    --------
    >>> is_uri("s3://calls/2026-01-05"), is_uri("/data/calls"), is_uri("calls/a.csv")
    (True, False, False)
    """
    return bool(_URI.match(place))


def open_filesystem(uri: str, **options: Any) -> tuple[Any, str]:
    """Find the fsspec file system of a URI and the path inside it.

    Parameters
    ----------
    uri : str
    **options
        For the driver, such as ``use_listings_cache=False``.

    Raises
    ------
    InputError
        If the protocol is unknown or its driver is not installed.
    """
    import fsspec

    try:
        filesystem, path = fsspec.core.url_to_fs(uri, **options)
    except (ValueError, ImportError) as error:
        protocol = uri.split("://", 1)[0]
        raise InputError(
            f"{protocol}://: this kind of storage is not available ({error}); install its fsspec driver"
        ) from error
    return filesystem, str(path)


def read_bytes(place: str, *, max_bytes: int | None = None) -> bytes:
    """Read a whole file into memory.

    Parameters
    ----------
    place : str
        Local path or fsspec URI.
    max_bytes : int, optional
        Refuse anything larger, so that one file cannot exhaust the memory of a night.

    Raises
    ------
    FileNotFoundError
        If nothing is there; callers turn it into the error of their own kind.
    InputError
        If it is a folder, larger than ``max_bytes`` or forbidden to this user.
    StorageError
        If reading fails for a reason that may pass.
    """
    limit = -1 if max_bytes is None else max_bytes + 1
    try:
        if is_uri(place):
            filesystem, path = open_filesystem(place)
            with filesystem.open(path, "rb") as file:
                data = bytes(file.read(limit))
        else:
            with Path(place).open("rb") as file:
                data = file.read(limit)
    except FileNotFoundError:
        raise
    except IsADirectoryError:
        raise InputError(f"{place}: is a folder, expected a file") from None
    except PermissionError as error:
        raise InputError(f"{place}: may not be read by this user; ask for read access") from error
    except OSError as error:
        raise StorageError(
            f"{place}: cannot be read ({error.strerror or type(error).__name__}); try again"
        ) from error
    except Exception as error:
        if not is_uri(place) or isinstance(error, ZhijianError):
            raise
        # Drivers of remote storage have errors of their own for networks and servers that are down.
        raise StorageError(f"{place}: cannot be read ({type(error).__name__}); try again") from error
    if max_bytes is not None and len(data) > max_bytes:
        raise InputError(f"{place}: larger than {max_bytes} bytes, the limit for one file")
    return data
