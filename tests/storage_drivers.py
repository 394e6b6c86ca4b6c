"""fsspec drivers for storages that no test machine has, each over a local folder.

`OssLike` can create an object only if there is none, as the protocols of S3 and OSS can. `HdfsLike` has what
fsspec's drivers of HDFS have: it can write and overwrite, and a move fails where a file is. `Careless`
overwrites by a move, too. Every process that has `advertised` on its path finds them by their protocols.

Table of contents: `OssLike`, `HdfsLike`, `Careless`, `advertised`.
"""

from __future__ import annotations

import io
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fsspec import AbstractFileSystem

FOLDER = "STORAGE_DRIVERS_FOLDER"
"""Environment variable that names the folder."""


class _Over(AbstractFileSystem):
    cachable = False

    def _at(self, path: str) -> Path:
        return Path(os.environ[FOLDER]) / self._strip_protocol(path).strip("/")

    def info(self, path: str, **_options: Any) -> dict[str, Any]:
        at = self._at(path)
        status = at.stat()  # FileNotFoundError as every driver has it
        return {
            "name": self._strip_protocol(path).strip("/"),
            "size": status.st_size,
            "type": "directory" if at.is_dir() else "file",
            "mtime": status.st_mtime_ns,
        }

    def ls(self, path: str, detail: bool = True, **_options: Any) -> list[Any]:
        own = self._strip_protocol(path).strip("/")
        if not self._at(path).is_dir():
            return [self.info(path)] if detail else [own]
        found = [f"{own}/{entry.name}" for entry in sorted(self._at(path).iterdir())]
        return [self.info(name) for name in found] if detail else found

    def _open(self, path: str, mode: str = "rb", *_: Any, **_options: Any) -> Any:
        if mode not in ("rb", "wb"):
            raise ValueError(f"unsupported mode {mode!r}")
        if mode == "rb":
            return io.BytesIO(self._at(path).read_bytes())
        self._at(path).parent.mkdir(parents=True, exist_ok=True)
        return self._at(path).open(mode)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        self._at(path).mkdir(parents=True, exist_ok=exist_ok)

    def cp_file(self, path1: str, path2: str, **_options: Any) -> None:
        self._at(path2).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self._at(path1), self._at(path2))

    def rm_file(self, path: str) -> None:
        self._at(path).unlink()

    def modified(self, path: str) -> datetime:
        return datetime.fromtimestamp(self._at(path).stat().st_mtime, UTC)


class OssLike(_Over):
    protocol = "osslike"

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_options: Any) -> None:
        self._at(path).parent.mkdir(parents=True, exist_ok=True)
        with self._at(path).open("xb" if mode == "create" else "wb") as file:
            file.write(value)


class HdfsLike(_Over):
    protocol = "hdfslike"

    def mv(self, path1: str, path2: str, **_options: Any) -> None:
        try:
            os.link(self._at(path1), self._at(path2))
        except FileExistsError:
            raise OSError("rename returned false") from None
        self._at(path1).unlink()


class Careless(_Over):
    protocol = "careless"

    def mv(self, path1: str, path2: str, **_options: Any) -> None:
        self._at(path1).replace(self._at(path2))


def advertised(folder: Path) -> str:
    """Make an installed package of them; returns the value of ``PYTHONPATH`` under which it is found."""
    package = folder / "storage_drivers-0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: storage-drivers\nVersion: 0\n")
    drivers = (OssLike, HdfsLike, Careless)
    lines = [f"{driver.protocol} = storage_drivers:{driver.__name__}" for driver in drivers]
    (package / "entry_points.txt").write_text("[fsspec.specs]\n" + "\n".join(lines) + "\n")
    return os.pathsep.join((str(folder), str(Path(__file__).parent)))
