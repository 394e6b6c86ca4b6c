"""Nothing in the pages for users and developers is untrue when tried: commands and examples are run."""

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("agg")

import pytest
from builders import ROOT, clip

PAGES = [
    "README.md",
    "README.zh-CN.md",
    "CONTRIBUTING.md",
    "docs/analysts.md",
    "docs/rules.md",
    "docs/architecture.md",
]
# Run elsewhere; here only that they exist.
ELSEWHERE = {
    "make demo": "tests/models scores samples with the real weights; needs a fresh clone",
    "make test": "is what runs this",
    "make notebooks": "needs JupyterLab and a person",
    "mypy": "make lint",
    "lint-imports": "make lint",
    "python flows.py serve": "tests/flows/test_serve.py",
}
CALL = "20260310-0017"


def blocks(page, language):
    text = (ROOT / page).read_text(encoding="utf-8")
    return [match.group(1) for match in re.finditer(rf"^ *```{language}\n(.*?)^ *```", text, re.S | re.M)]


def commands(page):
    """Lines of the shell blocks, comments taken off."""
    lines = [line.split("  #")[0].strip() for block in blocks(page, "sh") for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


@pytest.fixture(scope="module")
def place(tmp_path_factory, small_results):
    """A folder as a new user has it: the repository, a recording, a transcript, some results."""
    place = tmp_path_factory.mktemp("user")
    for name in ("pipeline", "models", "tests", "notebooks", "data_samples", "flows.py", "pyproject.toml"):
        (place / name).symlink_to(ROOT / name)
    (place / ".venv").symlink_to(sys.prefix)
    shutil.copytree(ROOT / "lexicons", place / "lexicons")
    shutil.copytree(small_results, place / "results")
    (place / "wav").mkdir()
    (place / "wav" / f"{CALL}.wav").write_bytes(clip(30.0))  # both sides speak in it
    with (place / "turns.jsonl").open("w", encoding="utf-8") as file:
        file.write(f'{{"call_id":"{CALL}","role":"agent","start_s":0,"end_s":2,"text":"您好"}}\n')
    return place


def environment(place):
    kept = {k: v for k, v in os.environ.items() if not k.startswith("ZHIJIAN_")}
    extra = {
        "PATH": f"{Path(sys.executable).parent}:{kept['PATH']}",
        "ZHIJIAN_MODEL": "fake",
        "ZHIJIAN_WORKERS": "1",
    }
    return kept | extra | {"XDG_STATE_HOME": str(place / "state"), "OMP_NUM_THREADS": "1"}


def test_both_languages_give_the_same_commands_and_call_records():
    assert commands("README.md") == commands("README.zh-CN.md")
    assert blocks("README.md", "csv") == blocks("README.zh-CN.md", "csv")


@pytest.mark.parametrize("page", [page for page in PAGES if page != "README.zh-CN.md" and commands(page)])
def test_every_command_runs(page, place, tmp_path):
    script = ["set -e"]
    for command in commands(page):
        if "…" in command or any(command.startswith(known) for known in ELSEWHERE):
            continue
        quick = " --collect-only -p no:cacheprovider" if command.startswith("python -m pytest") else ""
        script.append(command + quick)
    here = tmp_path / "here"
    shutil.copytree(place, here, symlinks=True)
    if page == "README.md":  # a new user makes his own results, and copies the page's call records
        shutil.rmtree(here / "results")
        (here / "calls.csv").write_text(blocks(page, "csv")[0], encoding="utf-8")
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)], cwd=here, env=environment(here), capture_output=True, text=True,
        timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{page}: {done.stderr[-2000:]}{done.stdout[-500:]}"


@pytest.mark.parametrize("page", PAGES)
def test_what_runs_elsewhere_exists(page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    text = (ROOT / page).read_text(encoding="utf-8")
    named = set(re.findall(r"(?:`|^ *)make ([a-z][a-z-]*)", text, re.M))
    assert named <= targets, f"{page} names {named - targets}"
    for path in re.findall(
        r"`((?:docs|tests|pipeline|models|lexicons|benchmarks|notebooks)/[\w./-]*)`", text
    ):
        assert (ROOT / path).exists(), f"{page} names {path}"
    for path in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / page).parent.joinpath(path).exists(), f"{page} links to {path}"
    for path in re.findall(r"`([A-Z]+\.md)`", text):
        assert (ROOT / path).exists(), f"{page} names {path}"


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")])
def test_every_example_runs(page, place, month_results, monkeypatch):
    if not (place / "month").exists():
        (place / "month").symlink_to(month_results)
    monkeypatch.chdir(place)
    monkeypatch.setenv("ZHIJIAN_AUDIT", str(place / "audit"))
    space: dict[str, object] = {}
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        for number, block in enumerate(blocks(page, "python")):
            exec(compile(block, f"{page}[{number}]", "exec"), space)
    mpl.pyplot.close("all")
    assert printed.getvalue()


def test_notebooks_are_those_of_the_page():
    text = (ROOT / "docs" / "analysts.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(0\d_\w+)`", text, re.M) == [
        p.stem for p in sorted((ROOT / "notebooks").glob("*.ipynb"))
    ]
