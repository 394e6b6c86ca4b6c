"""Measure in a process that is set up as a worker of a night is.

Numeric libraries and the allocator read their settings when a process starts, and a night sets them for its
workers. A benchmark that hears in its own process would measure spinning threads instead.

Table of contents: `as_worker`.
"""

from __future__ import annotations

import os
import sys

from pipeline.night.memory import keep_memory
from pipeline.night.pool import pin_threads


def as_worker(threads: int = 1) -> None:
    """Start this program again with the environment of a worker, unless it has that already."""
    before = dict(os.environ)
    pin_threads(threads)
    keep_memory()
    if dict(os.environ) != before:
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - this very program
