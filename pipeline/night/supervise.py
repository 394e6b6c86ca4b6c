"""A child process that surely ends when it is told to: ask, wait, then end it and its children."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Mapping, Sequence
from types import FrameType


class _Stop(BaseException):
    """The parent was asked to end."""


def supervised(command: Sequence[str], environment: Mapping[str, str], *, grace_s: float) -> int:
    """Run a command until it ends or this process gets SIGTERM or Ctrl-C; leave no process behind.

    On a signal the command gets SIGINT and `grace_s` to finish what it does; then it and every
    process it had started is killed. Call it from the main thread: it installs a signal handler.

    Parameters
    ----------
    command : sequence of str
        Program and arguments; run without a shell.
    environment : mapping of str to str
        Its whole environment.
    grace_s : float
        Seconds between asking and killing.

    Returns
    -------
    int
        Its exit status; 0 when it was stopped on request.

    Examples
    --------
    >>> import sys
    >>> supervised([sys.executable, "-c", "raise SystemExit(3)"], {}, grace_s=1)
    3
    """
    child = subprocess.Popen(command, env=dict(environment), start_new_session=True)  # noqa: S603

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise _Stop

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        return child.wait()
    except _Stop:
        for number in before:
            signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not leave processes behind
        _end(child, grace_s)
        return 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(child: subprocess.Popen[bytes], grace_s: float) -> None:
    import psutil

    try:
        family = [psutil.Process(child.pid), *psutil.Process(child.pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        family = []
    child.send_signal(signal.SIGINT)
    _, left = psutil.wait_procs(family, timeout=grace_s)
    for process in left:
        try:
            family.extend(process.children(recursive=True))
        except psutil.NoSuchProcess:
            continue
    for process in family:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    child.wait()
