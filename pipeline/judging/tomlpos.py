"""Where each key of a TOML file stands, so that a problem can name its line.

The standard library reads TOML but forgets the lines. This walks a document that is already
known to be valid TOML and notes the line at which every table, key and array element begins.

Table of contents: `Path`, `line_index`, `line_of`.
"""

from __future__ import annotations

from collections.abc import Mapping

Path = tuple[str | int, ...]


def line_of(lines: Mapping[Path, int], path: Path) -> int:
    """Line of ``path``, or of its nearest known ancestor, or 1.

    Examples
    --------
    >>> line_of({("rule", 0): 4}, ("rule", 0, "weight"))
    4
    """
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return 1


def line_index(source: str) -> dict[Path, int]:
    r"""Line numbers (from 1) of all tables, keys and array elements of a valid TOML document.

    Parameters
    ----------
    source : str
        Text that `tomllib.loads` accepts.

    Returns
    -------
    dict of tuple to int
        ``("rule", 0, "weight")`` for ``weight`` of the first ``[[rule]]``.

    Examples
    --------
    >>> index = line_index('schema = 1\n[[rule]]\nid = "a"\nnear = [\n  "x",\n  "y",\n]\n')
    >>> index[("rule", 0, "id")], index[("rule", 0, "near", 1)]
    (3, 6)
    """
    return _Walker(source).walk()


class _Walker:
    """A recursive walk over the characters; values are skipped, positions are kept."""

    def __init__(self, source: str) -> None:
        self.text = source.replace("\r\n", "\n")
        self.at = 0
        self.line = 1
        self.found: dict[Path, int] = {}
        self.arrays: dict[Path, int] = {}

    def walk(self) -> dict[Path, int]:
        table: Path = ()
        while self._skip_blank():
            if self.text[self.at] == "[":
                table = self._header()
            else:
                self._pair(table)
        return self.found

    def _step(self, count: int = 1) -> None:
        self.line += self.text.count("\n", self.at, self.at + count)
        self.at += count

    def _skip_blank(self, *, newlines: bool = True) -> bool:
        while self.at < len(self.text):
            char = self.text[self.at]
            if char == "#":
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            elif char in " \t" or (newlines and char == "\n"):
                self._step()
            else:
                return True
        return False

    def _header(self) -> Path:
        line = self.line
        is_array = self.text.startswith("[[", self.at)
        self._step(2 if is_array else 1)
        names = self._dotted_key("]")
        self._step(2 if is_array else 1)
        path = self._resolved(names[:-1])
        path = (*path, names[-1])
        if is_array:
            self.arrays[path] = self.arrays.get(path, -1) + 1
            self.found.setdefault(path, line)
            path = (*path, self.arrays[path])
        else:
            path = self._resolved(names)
        self.found.setdefault(path, line)
        return path

    def _resolved(self, names: tuple[str, ...]) -> Path:
        path: Path = ()
        for name in names:
            path = (*path, name)
            if path in self.arrays:
                path = (*path, self.arrays[path])
        return path

    def _dotted_key(self, stop: str) -> tuple[str, ...]:
        names: list[str] = []
        while True:
            self._skip_blank(newlines=False)
            if self.text[self.at] in "\"'":
                names.append(self._string())
            else:
                begin = self.at
                while self.text[self.at] not in f" \t.={stop}":
                    self.at += 1
                names.append(self.text[begin : self.at])
            self._skip_blank(newlines=False)
            if self.text[self.at] != ".":
                return tuple(names)
            self._step()

    def _pair(self, table: Path) -> None:
        line = self.line
        names = self._dotted_key("=")
        path = (*table, *names)
        self.found.setdefault(path, line)
        self._step()
        self._skip_blank(newlines=False)
        self._value(path)

    def _value(self, path: Path) -> None:
        char = self.text[self.at]
        if char in "\"'":
            self._string()
        elif char == "[":
            self._step()
            position = 0
            while self._skip_blank() and self.text[self.at] != "]":
                if self.text[self.at] == ",":
                    self._step()
                    continue
                self.found[(*path, position)] = self.line
                self._value((*path, position))
                position += 1
            self._step()
        elif char == "{":
            self._step()
            while self._skip_blank() and self.text[self.at] != "}":
                if self.text[self.at] == ",":
                    self._step()
                    continue
                self._pair(path)
            self._step()
        else:
            while self.at < len(self.text) and self.text[self.at] not in ",]}#\n":
                self.at += 1

    def _string(self) -> str:
        quote = self.text[self.at]
        fence = quote * 3 if self.text.startswith(quote * 3, self.at) else quote
        self._step(len(fence))
        begin = self.at
        while not self.text.startswith(fence, self.at):
            self._step(2 if quote == '"' and self.text[self.at] == "\\" else 1)
        if len(fence) == 3:  # quotes may stand right before the closing fence
            while self.text.startswith(quote, self.at + 3):
                self._step()
        content = self.text[begin : self.at]
        self._step(len(fence))
        return content
