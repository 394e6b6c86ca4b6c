"""What one worker process does: load the models once, then hear and judge call after call.

Decrypted audio and text live in this process's memory only. A failure leaves the worker as a
`Failed` record whose message names files and reasons, never words that were spoken.

Table of contents: `CallTask`, `WorkerSetup`, `Scored`, `Failed`, `open_identity`, `Ears`;
`start_worker`, `attach_to_parent`, `work`, `peak_memory_mb`.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import time
import traceback
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import KeyMaterialError, ZhijianError
from pipeline.night.memory import holes_given_back
from pipeline.records import CallRecord, Hearing, Judgement
from pipeline.vault.recordings import RecordingRef

if TYPE_CHECKING:
    from pipeline.audit import AuditPlace
    from pipeline.ports import Diarizer, Recognizer
    from pipeline.vault.keys import Identity


@dataclass(frozen=True, slots=True)
class CallTask:
    """One call to hear: its record, where its recording lies, and the version that is stored already."""

    call: CallRecord
    recording: RecordingRef
    supersedes: int = 0


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """Everything a worker needs to start: names and paths. The secret key itself is read there."""

    model: str
    model_dir: Path
    device: str
    compute_type: str
    threads: int
    rulebook: Path | None
    identity: Path | None
    audit: AuditPlace | None = None
    run_id: str = ""


@dataclass(frozen=True, slots=True)
class Scored:
    """A call that was heard and judged.

    Attributes
    ----------
    cpu_s : float
        CPU seconds that the worker process spent on it.
    worker, peak_mb : str, float
        That process (``host:pid``), and its largest resident memory so far.
    """

    task: CallTask
    hearing: Hearing
    judgement: Judgement
    cpu_s: float = 0.0
    worker: str = ""
    peak_mb: float = 0.0


@dataclass(frozen=True, slots=True)
class Failed:
    """A call that was not, and why."""

    task: CallTask
    stage: str
    kind: str
    message: str
    transient: bool
    attempts: int = 1
    cpu_s: float = 0.0
    worker: str = ""
    peak_mb: float = 0.0


class Ears:
    """The models and the rulebook of one worker process, each loaded once.

    Parameters
    ----------
    setup : WorkerSetup
    """

    def __init__(self, setup: WorkerSetup) -> None:
        from models import load_recognizer, load_words
        from pipeline.hearing.lexicon import load_lexicon
        from pipeline.hearing.respell import Speller
        from pipeline.judging.rulebook import load_rulebook

        self._setup = setup
        with holes_given_back():
            self._recognizer: Recognizer = load_recognizer(
                setup.model,
                setup.model_dir,
                device=setup.device,
                compute_type=setup.compute_type,
                threads=setup.threads,
            )
        self._identity = open_identity(setup.identity)
        self._diarizer: Diarizer | None = None
        self._lexicon = load_lexicon(setup.rulebook)
        self._rulebook = load_rulebook(setup.rulebook)
        words = load_words(setup.model, setup.model_dir)
        self._speller = Speller(words, self._lexicon.spelling) if words is not None else None

    def diarizer(self) -> Diarizer:
        """Load the diarization models when the first mono call asks for them."""
        if self._diarizer is None:
            from models import load_diarizer

            with holes_given_back():
                self._diarizer = load_diarizer(
                    self._setup.model,
                    self._setup.model_dir,
                    device=self._setup.device,
                    threads=self._setup.threads,
                )
        return self._diarizer

    def score(self, task: CallTask) -> Scored | Failed:
        """Decrypt, decode, hear and judge one call.

        Returns
        -------
        Scored or Failed
            Whatever goes wrong with one call is an answer, not an exception.
        """
        from pipeline.hearing.audio import decode
        from pipeline.hearing.hear import hear
        from pipeline.judging.engine import judge
        from pipeline.judging.questions import questions
        from pipeline.vault.envelope import decrypt
        from pipeline.vault.recordings import read_recording

        stage = "read"
        try:
            sealed = read_recording(task.recording)
            sha256, payload_sha256 = sealed.sha256, sealed.payload_sha256
            stage = "decrypt"
            with self._recorded(task):
                plain = decrypt(sealed.data, self._identity)
            stage = "decode"
            audio = [decode(plain, extension=task.recording.audio_extension)]
            del sealed, plain
            stage = "hear"
            hearing = hear(
                audio.pop(),  # hearing lets go of it as soon as it can
                task.call,
                recognizer=self._recognizer,
                diarizer=self.diarizer,
                lexicon=self._lexicon,
                recording_sha256=sha256,
                questions=lambda turns, call: questions(turns, call, self._rulebook.lexicon),
                speller=self._speller,
            )
            hearing = replace(hearing, recording_payload_sha256=payload_sha256)
            stage = "judge"
            judgement = judge(hearing, task.call, self._rulebook)
        except ZhijianError as error:
            return Failed(task, stage, error.kind, str(error), error.transient)
        except MemoryError:
            return Failed(task, stage, "out_of_memory", "the worker ran out of memory on this call", True)
        except Exception as error:  # noqa: BLE001 - one call's surprise must not end the night; it is quarantined
            return Failed(task, stage, "internal_error", describe_defect(error), False)
        finally:
            self._recognizer.forget()
        return Scored(task, hearing, judgement)

    def _recorded(self, task: CallTask) -> AbstractContextManager[None]:
        """Record who opens this recording, before it is opened."""
        if self._setup.audit is None:
            return nullcontext()
        from pipeline.audit import opening

        return opening(task.call.call_id, at=self._setup.audit, purpose="night", why=self._setup.run_id)


def describe_defect(error: Exception) -> str:
    """Type and place of an unexpected error; its own text may quote a transcript and stays out."""
    frames = traceback.extract_tb(error.__traceback__)
    frame = frames[-1] if frames else None
    own = [f for f in frames if "pipeline" in Path(f.filename).parts or "models" in Path(f.filename).parts]
    place = own[-1] if own else frame
    at = f" at {Path(place.filename).name}:{place.lineno} ({place.name})" if place else ""
    return f"{type(error).__name__}{at}; this is a defect of zhijian, please report it with this line"


def open_identity(path: Path | None) -> Identity:
    """Read the identity from its file, or from the environment secret when no file is named.

    Raises
    ------
    KeyMaterialError
        Neither is there, or what is there is unusable.
    """
    from pipeline.vault.keys import identity_from_environment, load_identity

    if path is not None:
        return load_identity(path)
    identity = identity_from_environment()
    if identity is None:
        raise KeyMaterialError(
            "no identity to open recordings with; give --identity KEY (`zhijian keys new DIR` makes one)"
        )
    return identity


_ears: Ears | None = None


def start_worker(setup: WorkerSetup) -> None:
    """Prepare this process: die with the parent, leave Ctrl-C to it, load the models."""
    global _ears  # noqa: PLW0603 - one process, one set of models: that is the point
    attach_to_parent()
    _ears = Ears(setup)


def attach_to_parent() -> None:
    """Die with the parent process, leave Ctrl-C to it, and leave no core dump of what was heard."""
    from pipeline.vault.hardening import no_core_dumps

    no_core_dumps()
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
        if os.getppid() == 1:
            os._exit(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def work(task: CallTask) -> Scored | Failed:
    """Score one call with this process's models."""
    if _ears is None:
        raise RuntimeError("start_worker() has not run in this process")
    began_s = time.process_time()
    outcome = _ears.score(task)
    return replace(
        outcome,
        cpu_s=time.process_time() - began_s,
        worker=f"{os.uname().nodename}:{os.getpid()}",
        peak_mb=peak_memory_mb(),
    )


def peak_memory_mb() -> float:
    """Largest resident memory of this process so far, in MB.

    On Linux of this program alone: what `getrusage` tells there counts what the process had been before it
    became this program, so a worker that a large parent starts would be given its parent's memory.
    """
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest / (1024 * 1024 if sys.platform == "darwin" else 1024)
