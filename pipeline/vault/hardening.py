"""What a process that holds keys, audio or words asks of the kernel: that its memory is written nowhere.

Table of contents: `no_core_dumps`.
"""

from __future__ import annotations

import ctypes
import resource
import sys

_PR_SET_DUMPABLE = 4


def no_core_dumps() -> None:
    """Leave no core dump of this process, and let no other process of the user read its memory.

    Notes
    -----
    The resource limit alone does not stop handlers that the kernel pipes a dump to (``core_pattern`` with
    ``|``); ``PR_SET_DUMPABLE`` does, and it also refuses ``ptrace`` and ``/proc/<pid>/mem`` to anybody but
    root. It is not inherited by a program that is started anew, so each process calls this itself. Swap is
    not covered: use an encrypted one, or none.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0)
