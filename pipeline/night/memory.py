"""What a worker does with memory: models ask for the same large arrays again and again.

Table of contents: `keep_memory`, `holes_given_back`.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_MMAP_THRESHOLD = 2**30
_KEEP_MEMORY = ":".join(
    f"glibc.malloc.{name}={value}"
    for name, value in {
        "hugetlb": 1,
        "arena_max": 1,
        "mmap_threshold": _MMAP_THRESHOLD,
        "trim_threshold": 2**31,
    }.items()
)
# M_MMAP_THRESHOLD of malloc.h, and what it is where nobody sets it.
_M_MMAP_THRESHOLD, _USUAL_THRESHOLD = -3, 128 * 1024
# Of linux/prctl.h and mman-common.h.
_PR_SET_THP_DISABLE, _MADV_NOHUGEPAGE = 41, 15


def keep_memory() -> None:
    """Let processes that start from now on keep freed memory instead of giving it back to the system.

    The C library returns arrays of more than 32 MB at once, and the system has to clear every page of the
    next one: that was a tenth of the CPU time of hearing. One heap, since others end at 64 MB; large pages,
    since a processor remembers the places of few small ones. With `holes_given_back` that takes no more
    memory than without (14 sample calls: 2.21 GB and 127 CPU seconds, without 2.42 GB and 134). What somebody
    has set is left as it is (``GLIBC_TUNABLES=`` for none of it); other C libraries do not read this.
    """
    os.environ.setdefault("GLIBC_TUNABLES", _KEEP_MEMORY)


@contextmanager
def holes_given_back() -> Iterator[None]:
    """Load models inside this, so that what loading frees goes back to the system, in spite of `keep_memory`.

    Loading frees arrays between weights that stay, and no large array fits into such a hole: 0.4 GB a
    worker. And it takes four times the room that weights need, touching little of the rest; in large pages
    that little would be another 0.6 GB. Does nothing in a process that does not keep memory.
    """
    libc = ctypes.CDLL(None)
    mallopt = getattr(libc, "mallopt", None)
    if mallopt is None or os.environ.get("GLIBC_TUNABLES") != _KEEP_MEMORY:
        yield
        return
    mallopt(_M_MMAP_THRESHOLD, _USUAL_THRESHOLD)
    libc.prctl(_PR_SET_THP_DISABLE, 1, 0, 0, 0)
    try:
        yield
    finally:
        _leave_pages_small(libc)
        libc.prctl(_PR_SET_THP_DISABLE, 0, 0, 0, 0)
        mallopt(_M_MMAP_THRESHOLD, _MMAP_THRESHOLD)


def _leave_pages_small(libc: ctypes.CDLL) -> None:
    """Keep the kernel from making large pages, in the background, of what lies outside the heap by now."""
    with suppress(OSError):
        for line in Path("/proc/self/maps").read_text(encoding="ascii", errors="replace").splitlines():
            where, rights, _, _, inode, *name = line.split()
            if rights == "rw-p" and inode == "0" and not name:
                first, last = (int(place, 16) for place in where.split("-"))
                libc.madvise(ctypes.c_void_p(first), ctypes.c_size_t(last - first), _MADV_NOHUGEPAGE)
