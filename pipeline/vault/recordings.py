"""Recordings on disk or in object storage: what is there, its bytes, and new encrypted ones.

Conventions
-----------
A recording is a file ``<call_id>.<audio ext>.<container ext>``, for instance ``c1027.wav.age``. The
call id is the file name up to the first dot. Files that are plainly something else (``calls.csv``,
hidden files) are no recordings; unencrypted audio is a problem, not a recording.

Table of contents: `RecordingRef`, `RecordingProblem`, `RecordingList`, `list_recordings`;
`Ciphertext`, `read_recording`; `EncryptedFile`, `encrypt_files`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.callrecords import call_id_problem
from pipeline.errors import InputError, RecordingError, RecordingMissingError, StorageError, ZhijianError
from pipeline.vault.envelope import ENVELOPES, envelope_named, payload_sha256
from pipeline.vault.places import is_uri, open_filesystem, read_bytes

AUDIO_EXTENSIONS = frozenset(
    {
        "wav",
        "wave",
        "flac",
        "mp3",
        "ogg",
        "oga",
        "opus",
        "m4a",
        "aac",
        "amr",
        "gsm",
        "au",
        "aif",
        "aiff",
        "wma",
        "raw",
        "pcm",
        "vox",
    }
)
CONTAINER_EXTENSIONS = frozenset({envelope.extension for envelope in ENVELOPES} | {"enc"})
MAX_RECORDING_BYTES = 1024**3


@dataclass(frozen=True, slots=True)
class RecordingRef:
    """One recording file, not opened yet.

    Attributes
    ----------
    call_id : str
    uri : str
        Local path or fsspec URI; `read_recording` opens it.
    size_bytes : int
    stamp : str
        Changes when the file changes: ``etag:…`` where storage has one, else ``mtime:…`` (ns).
    """

    call_id: str
    uri: str
    size_bytes: int
    stamp: str

    @property
    def audio_extension(self) -> str | None:
        """Lower-case extension of the audio inside, if the name gives one.

        Examples
        --------
        >>> RecordingRef("c1", "/night/c1.WAV.age", 10, "").audio_extension
        'wav'
        """
        parts = PurePosixPath(self.uri).name.lower().split(".")
        return next((part for part in reversed(parts[1:]) if part not in CONTAINER_EXTENSIONS), None)


@dataclass(frozen=True, slots=True)
class RecordingProblem:
    """A file that looks like a recording and cannot be one of the night's."""

    call_id: str | None
    uri: str
    error: RecordingError
    stamp: str = ""


@dataclass(frozen=True, slots=True)
class RecordingList:
    """What a folder holds.

    Attributes
    ----------
    refs : tuple of RecordingRef
        Sorted by call id; call ids unique.
    problems : tuple of RecordingProblem
        Plain audio, unusable names, several files for one call (each of the files).
    ignored : tuple of str
        Names of other files, sorted.
    """

    refs: tuple[RecordingRef, ...]
    problems: tuple[RecordingProblem, ...]
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ciphertext:
    """The bytes of a recording as they lie in storage, and their sha256."""

    data: bytes
    sha256: str

    @property
    def payload_sha256(self) -> str:
        """Hash of the payload, which new recipients do not change; empty if there is no telling."""
        return payload_sha256(self.data)

    def __repr__(self) -> str:
        return f"<Ciphertext {len(self.data)} bytes, sha256 {self.sha256[:12]}>"


@dataclass(frozen=True, slots=True)
class EncryptedFile:
    """What `encrypt_files` wrote for one plain recording."""

    call_id: str
    source: Path
    target: Path
    sha256: str


def list_recordings(place: str | os.PathLike[str]) -> RecordingList:
    """List the recordings that lie directly in a folder.

    Parameters
    ----------
    place : path or str
        Local folder or fsspec URI. Subfolders are not entered.

    Raises
    ------
    InputError
        If the folder does not exist or is none.
    StorageError
        If listing fails for a reason that may pass.
    """
    text = os.fspath(place)
    refs: list[RecordingRef] = []
    problems: list[RecordingProblem] = []
    ignored: list[str] = []
    for name, uri, size_bytes, stamp in _entries(text):
        kind = _kind(name)
        call_id = name.split(".", 1)[0]
        if kind == "other":
            ignored.append(name)
            continue
        fault = call_id_problem(call_id)
        if fault:
            problems.append(
                RecordingProblem(None, uri, RecordingError(f"{uri!r}: {fault}; rename the file"), stamp)
            )
        elif kind == "plain":
            error = RecordingError(
                f"{uri}: is not encrypted; encrypt it with `zhijian encrypt` and remove the plain file"
            )
            problems.append(RecordingProblem(call_id, uri, error, stamp))
        else:
            refs.append(RecordingRef(call_id, uri, size_bytes, stamp))
    unique, doubled = _unique(refs)
    return RecordingList(
        refs=tuple(unique),
        problems=tuple(sorted([*problems, *doubled], key=lambda problem: problem.uri)),
        ignored=tuple(sorted(ignored)),
    )


def read_recording(ref: RecordingRef, *, max_bytes: int = MAX_RECORDING_BYTES) -> Ciphertext:
    """Read an encrypted recording into memory.

    Raises
    ------
    RecordingMissingError
        If it has gone since it was listed.
    RecordingError
        If it is larger than ``max_bytes`` or may not be read.
    StorageError
        If reading failed for a reason that may pass.
    """
    try:
        data = read_bytes(ref.uri, max_bytes=max_bytes)
    except FileNotFoundError:
        raise RecordingMissingError(f"{ref.uri}: recording has gone since it was listed") from None
    except InputError as error:
        raise RecordingError(str(error)) from error
    return Ciphertext(data, hashlib.sha256(data).hexdigest())


def encrypt_files(
    sources: Sequence[str | os.PathLike[str]],
    recipients: Sequence[str],
    out: str | os.PathLike[str],
    *,
    envelope: str = "age",
) -> Iterator[EncryptedFile]:
    """Encrypt plain recordings into a folder, one container each.

    Parameters
    ----------
    sources : sequence of path
        Named ``<call_id>.<audio ext>``.
    recipients : sequence of str
        Public recipients (``age1…``); any one of them can open the result.
    out : path
        Folder, made if missing.
    envelope : {"age", "sm4"}
        Kind of container.

    Yields
    ------
    EncryptedFile
        After it is safely on disk.

    Raises
    ------
    InputError
        Before anything is written: if a source is missing, has no usable name, shares its call id
        with another one, or ``out`` already holds a recording of that call. The message lists all
        such files.
    StorageError
        If writing fails.
    """
    folder = Path(out)
    kind = envelope_named(envelope)
    plan = _encryption_plan([Path(source) for source in sources], folder, kind.extension)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be made a folder ({error.strerror}); choose another --out"
        ) from error
    for call_id, source, target in plan:
        try:
            plain = read_bytes(str(source), max_bytes=MAX_RECORDING_BYTES)
        except FileNotFoundError:
            raise InputError(f"{source}: has gone while others were encrypted") from None
        data = kind.encrypt(plain, recipients)
        write_atomically(target, data)
        yield EncryptedFile(call_id, source, target, hashlib.sha256(data).hexdigest())


def _kind(name: str) -> str:
    """Tell by its name whether a file is a ``recording``, ``plain`` audio or ``other``."""
    first, *extensions = name.lower().split(".")
    if not first or not extensions:
        return "other"
    if extensions[-1] in CONTAINER_EXTENSIONS:
        return "recording"
    if extensions[-1] in AUDIO_EXTENSIONS:
        return "plain"
    # An unknown container of a known kind of audio is a recording; its first bytes will tell.
    return "recording" if len(extensions) > 1 and extensions[-2] in AUDIO_EXTENSIONS else "other"


def _entries(place: str) -> Iterator[tuple[str, str, int, str]]:
    """Name, uri, size and stamp of every file directly in a folder."""
    try:
        if is_uri(place):
            yield from _remote_entries(place)
            return
        with os.scandir(place) as entries:
            for entry in entries:
                if entry.is_file():
                    status = entry.stat()
                    yield entry.name, entry.path, status.st_size, f"mtime:{status.st_mtime_ns}"
    except FileNotFoundError:
        raise InputError(f"{place}: no such folder of recordings") from None
    except NotADirectoryError:
        raise InputError(f"{place}: is a file, expected a folder of recordings") from None
    except PermissionError as error:
        raise InputError(f"{place}: may not be listed by this user; ask for read access") from error
    except OSError as error:
        raise StorageError(
            f"{place}: cannot be listed ({error.strerror or type(error).__name__}); try again"
        ) from error
    except Exception as error:
        if not is_uri(place) or isinstance(error, ZhijianError):
            raise
        raise StorageError(f"{place}: cannot be listed ({type(error).__name__}); try again") from error


def _remote_entries(place: str) -> Iterator[tuple[str, str, int, str]]:
    filesystem, root = open_filesystem(place)
    filesystem.invalidate_cache(root)
    if filesystem.isfile(root):
        raise NotADirectoryError(root)
    for info in filesystem.ls(root, detail=True):
        if info.get("type") == "file":
            path = str(info["name"])
            yield (
                PurePosixPath(path).name,
                filesystem.unstrip_protocol(path),
                int(info.get("size") or 0),
                _stamp(info),
            )


def _stamp(info: dict[str, Any]) -> str:
    etag = info.get("ETag") or info.get("etag")
    if etag:
        return f"etag:{str(etag).strip(chr(34))}"
    changed = next(
        (info[key] for key in ("mtime", "LastModified", "last_modified", "created") if info.get(key)), ""
    )
    return f"mtime:{changed}"


def _unique(refs: Iterable[RecordingRef]) -> tuple[list[RecordingRef], list[RecordingProblem]]:
    by_call: dict[str, list[RecordingRef]] = {}
    for ref in sorted(refs, key=lambda ref: (ref.call_id, ref.uri)):
        by_call.setdefault(ref.call_id, []).append(ref)
    unique, doubled = [], []
    for call_id, group in by_call.items():
        if len(group) == 1:
            unique.append(group[0])
            continue
        for ref in group:
            others = ", ".join(PurePosixPath(other.uri).name for other in group if other is not ref)
            error = RecordingError(
                f"{ref.uri}: call {call_id} has other recordings beside this one ({others}); keep one"
            )
            doubled.append(RecordingProblem(call_id, ref.uri, error, ref.stamp))
    return unique, doubled


def _encryption_plan(sources: Sequence[Path], folder: Path, container: str) -> list[tuple[str, Path, Path]]:
    if not sources:
        raise InputError("no recordings given; name at least one audio file")
    present: dict[str, str] = {}
    if folder.is_dir():
        present = {
            path.name.split(".", 1)[0]: path.name
            for path in folder.iterdir()
            if _kind(path.name) == "recording"
        }
    elif folder.exists():
        raise InputError(f"{folder}: is a file, expected a folder for encrypted recordings")
    plan: list[tuple[str, Path, Path]] = []
    problems: list[str] = []
    taken: dict[str, Path] = {}
    for source in sources:
        call_id, extension = source.name.split(".", 1)[0], source.suffix.lower().removeprefix(".")
        fault = call_id_problem(call_id)
        if not source.is_file():
            problems.append(
                f"{source}: " + ("is a folder, expected audio files" if source.is_dir() else "no such file")
            )
        elif fault:
            problems.append(f"{source}: {fault}; the file name up to the first dot is the call id")
        elif not extension or extension in CONTAINER_EXTENSIONS:
            problems.append(f"{source}: expected <call_id>.<audio ext>, for instance {call_id}.wav")
        elif call_id in taken:
            problems.append(f"{source}: call {call_id} is also {taken[call_id]}")
        elif call_id in present:
            problems.append(
                f"{folder / present[call_id]}: exists already and is never overwritten; remove it first"
            )
        else:
            taken[call_id] = source
            plan.append((call_id, source, folder / f"{call_id}.{extension}.{container}"))
    if problems:
        raise InputError("\n".join(problems))
    return plan


def write_atomically(target: Path, data: bytes) -> None:
    """Put a file in place whole, or not at all, and wait until it is on disk."""
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with draft.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
        descriptor = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise StorageError(
            f"{target}: cannot be written ({error.strerror}); free space or choose another --out"
        ) from error
