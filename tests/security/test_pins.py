"""What is installed by hash is what was tested: the two lists of pins agree."""

from __future__ import annotations

import re

from builders import ROOT

_PIN = re.compile(r"^([A-Za-z0-9_.-]+)==([^\s\\;]+)", re.MULTILINE)


def pins(name: str) -> dict[str, str]:
    text = (ROOT / name).read_text(encoding="utf-8")
    return {re.sub(r"[-_.]+", "-", package).lower(): version for package, version in _PIN.findall(text)}


def test_versions_by_hash_are_those_of_the_constraints():
    tested, hashed = pins("constraints.txt"), pins("requirements-hashes.txt")
    shared = tested.keys() & hashed.keys()
    assert len(shared) > 250
    assert {name: hashed[name] for name in shared} == {name: tested[name] for name in shared}


def test_every_requirement_has_a_hash():
    text = (ROOT / "requirements-hashes.txt").read_text(encoding="utf-8")
    for entry in re.split(r"\n(?=[A-Za-z])", text.partition("\n")[2]):
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry[:60]


def test_every_dependency_named_in_the_project_is_pinned_by_hash():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = {
        re.sub(r"[-_.]+", "-", re.split(r"[<>=!~\[ ;]", line)[0]).lower() for line in project["dependencies"]
    }
    assert named <= pins("requirements-hashes.txt").keys()
    extra = {
        re.sub(r"[-_.]+", "-", re.split(r"[<>=!~\[ ;]", line)[0]).lower() for line in adapt_and_dev(project)
    }
    assert extra <= pins("requirements-hashes.txt").keys()


def adapt_and_dev(project: dict[str, dict[str, list[str]]]) -> list[str]:
    optional = project["optional-dependencies"]
    return [*optional["dev"], *optional["adapt"]]
