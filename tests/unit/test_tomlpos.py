"""Line numbers of everything in a TOML document."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from pipeline.judging.tomlpos import line_index, line_of

DOCUMENT = '''\
# a comment with [brackets] and "quotes"
schema = 1
"quoted key" = 'it''s'  # not TOML, replaced below

[table.sub]
a.b = { c = [1,
  2], d = "x ] }" }

[[rule]]
id = "one"
text = """
[not a table]
key = "no key"
"""
near = [
  "first",  # comment, with comma
  \'\'\'
second
\'\'\',
]

[rule.thresholds]
x = 1

[[rule]]
id = "two"
'''.replace("'it''s'", '"it\\"s"')


def test_lines_by_hand() -> None:
    lines = line_index(DOCUMENT)
    assert lines[("schema",)] == 2
    assert lines[("quoted key",)] == 3
    assert lines[("table", "sub", "a", "b", "c", 1)] == 7
    assert lines[("rule", 0)] == 9
    assert lines[("rule", 0, "near")] == 15
    assert lines[("rule", 0, "near", 0)] == 16
    assert lines[("rule", 0, "near", 1)] == 17
    assert lines[("rule", 0, "thresholds", "x")] == 23
    assert lines[("rule", 1, "id")] == 26
    assert ("key",) not in lines


def test_an_unknown_path_has_the_line_of_its_nearest_ancestor() -> None:
    lines = line_index(DOCUMENT)
    assert line_of(lines, ("rule", 1, "weight")) == 25
    assert line_of(lines, ("nothing",)) == 1


def _paths(data: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    found = [path] if path else []
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        found.extend(_paths(value, (*path, key)))
    return found


@pytest.mark.parametrize(
    "path",
    sorted(Path(__file__).parents[2].glob("lexicons/**/*.toml")),
    ids=lambda path: path.name,
)
def test_every_key_of_every_lexicon_has_a_line(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    lines, count = line_index(text), text.count("\n") + 1
    for place in _paths(tomllib.loads(text)):
        assert place in lines or place[:-1] in lines or place[:-2] in lines, place
        assert 1 <= line_of(lines, place) <= count
    key_lines = [
        lines[place] for place in _paths(tomllib.loads(text)) if place in lines and isinstance(place[-1], str)
    ]
    written = text.splitlines()
    for place in _paths(tomllib.loads(text)):
        if place in lines and isinstance(place[-1], str):
            assert place[-1] in written[lines[place] - 1], place
    assert key_lines
