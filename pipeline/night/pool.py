"""Worker processes with the models loaded once each.

A worker that dies or hangs costs the call it was hearing, not the night: the call is tried once
more alone, then reported as failed. Threads are pinned before the workers start, because OpenMP
threads that spin beside a busy neighbour slow a model many times over. They also start with an allocator
that keeps what a model has given back (`pipeline.night.memory`).

Table of contents: `pin_threads`, `interrupts_held`, `HearingPool`.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import resource_tracker
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Lock
from types import TracebackType
from typing import Self

from pebble import ProcessExpired, ProcessPool

from pipeline.errors import NightStoppedError
from pipeline.night.memory import keep_memory
from pipeline.night.mend import mend_compiled_code
from pipeline.night.worker import CallTask, Failed, Scored, WorkerSetup, start_worker, work

_log = logging.getLogger("zhijian")
# Bad memory access, bad instruction, abort: what a process dies of by its own machine code.
_BY_ITS_OWN_CODE = (-signal.SIGSEGV, -signal.SIGBUS, -signal.SIGILL, -signal.SIGABRT)
# How often a waiting thread looks whether the pool was stopped.
_LOOK_UP_S = 0.2
_THREAD_ENV = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def pin_threads(threads: int) -> None:
    """Tell the numeric libraries of processes that start from now on how many threads each may use."""
    for name in _THREAD_ENV:
        os.environ[name] = str(threads)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Start threads and processes to which Ctrl-C does not come; one that comes meanwhile is answered after.

    Ctrl-C goes to every process of a terminal. A worker that is still importing would print where it was,
    before it could say that it leaves interrupts to its parent. What starts inherits what is held here, and
    so do the pool's threads and the workers that these start later.
    """
    resource_tracker.ensure_running()  # would let interrupts through if it were started inside
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class HearingPool:
    """N processes that score calls.

    Parameters
    ----------
    setup : WorkerSetup
    workers : int
        Processes, at least 1.
    call_timeout_s : float
        A call that takes longer is given up; its worker is replaced.
    """

    def __init__(self, setup: WorkerSetup, *, workers: int, call_timeout_s: float) -> None:
        pin_threads(setup.threads)
        keep_memory()
        self._setup = setup
        self._timeout_s = call_timeout_s
        self._workers = workers
        self._stopped = Event()
        self._mending = Lock()
        self._thrown_away: tuple[Path, ...] | None = None
        self._pool = self._new_pool(workers)

    def _new_pool(self, workers: int) -> ProcessPool:
        return ProcessPool(
            max_workers=workers,
            # fork would copy a parent that may hold threads and locks
            context=multiprocessing.get_context("spawn"),
            initializer=start_worker,
            initargs=(self._setup,),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the processes now; calls being heard are given up, and `score` ends with an error."""
        self._stopped.set()
        self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool.join()

    def score(self, tasks: Sequence[CallTask], *, tries: int = 2) -> Iterator[Scored | Failed]:
        """Score calls, longest first, and yield each as it is finished.

        Parameters
        ----------
        tasks : sequence of CallTask
        tries : int
            How often a call is tried when it fails for a transient reason or its worker dies.

        Yields
        ------
        Scored or Failed
            Exactly one for each task.

        Raises
        ------
        NightStoppedError
            The pool was stopped meanwhile.
        """
        order = sorted(tasks, key=lambda t: (-t.recording.size_bytes, t.call.call_id))
        finished: SimpleQueue[tuple[Future[Scored | Failed], CallTask, int]] = SimpleQueue()

        def submit(task: CallTask, attempt: int) -> None:
            future = self._pool.schedule(work, args=[task], timeout=self._timeout_s)
            future.add_done_callback(lambda done: finished.put((done, task, attempt)))

        with interrupts_held():  # the first task starts the workers
            for task in order:
                submit(task, 1)
        unanswered = len(order)
        while unanswered:
            try:
                future, task, attempt = finished.get(timeout=_LOOK_UP_S)
            except Empty:
                self._go_on()
                continue
            try:
                outcome = self._outcome(future, task)
            except CancelledError:
                self._go_on()
                raise
            if isinstance(outcome, Failed) and outcome.transient and attempt < tries:
                submit(task, attempt + 1)
                continue
            unanswered -= 1
            yield outcome

    def _go_on(self) -> None:
        if self._stopped.is_set():
            raise NightStoppedError(
                "the night was stopped before this batch was finished; run it again to go on"
            )

    def _mend(self) -> bool:
        """Throw machine code away that would fail every call; looked for once a night, by its first victim.

        Returns
        -------
        bool
            Whether there was some: then its victims deserve another try.
        """
        with self._mending:
            if self._thrown_away is None:
                self._thrown_away = mend_compiled_code()
                if self._thrown_away:
                    _log.warning(
                        "workers failed on compiled code in %s; %d files of it were deleted, and the calls "
                        "are tried again",
                        self._thrown_away[0].parent,
                        len(self._thrown_away),
                    )
            return bool(self._thrown_away)

    def _outcome(self, future: Future[Scored | Failed], task: CallTask) -> Scored | Failed:
        try:
            outcome = future.result()
        except FutureTimeoutError:
            message = (
                f"hearing took longer than call_timeout_s={self._timeout_s:g}; raise it for very long calls"
            )
            return Failed(task, "hear", "worker_timeout", message, False)
        except ProcessExpired as error:
            if error.exitcode in _BY_ITS_OWN_CODE:
                self._mend()  # before this call is tried again
            message = f"the worker process ended with status {error.exitcode} while it heard this call"
            return Failed(task, "hear", "worker_died", message, True)
        if isinstance(outcome, Failed) and outcome.kind == "internal_error" and self._mend():
            return replace(outcome, transient=True)
        return outcome
