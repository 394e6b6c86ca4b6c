"""Every command of docs/disputes.md runs, in its order, on a small archive."""

from __future__ import annotations

import re
import shlex

import pytest
from builders import ROOT, clip
from openpyxl import load_workbook
from typer.testing import CliRunner

from pipeline.audit.keys import new_audit_key
from pipeline.cli.main import app
from pipeline.disputes.archive import archive_rulebook
from pipeline.results import load
from pipeline.vault.envelope import encrypt
from pipeline.vault.keys import new_pair
from tests.disputes.dispute_builders import changed_rulebook, make_call, make_store, scored

CALL = "20260310-0017"
TEXT = (ROOT / "docs" / "disputes.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", TEXT, re.S)
    for line in block.splitlines()
    if line.startswith("zhijian ")
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    from datetime import UTC, datetime, timedelta

    place = tmp_path_factory.mktemp("disputes")
    pair = new_pair(place / "keys")
    new_audit_key(place / "audit.key")
    (place / "recordings").mkdir()
    (place / "recordings" / f"{CALL}.wav.age").write_bytes(encrypt(clip(50.0), [pair.recipient]))
    changed_rulebook(place)
    (place / "lexicons").rename(place / "lexicons_new")
    store = make_store(
        place / "results", [scored(make_call(CALL), scored_at=datetime.now(UTC) - timedelta(days=1))]
    )
    archive_rulebook(store)
    return place


def fill(path):
    """What a reviewer does between export and import."""
    book = load_workbook(path)
    page = book["复核"]
    names = [cell.value for cell in page[1]]
    for row in page.iter_rows(min_row=2):
        row[names.index("人工判定")].value = row[names.index("机器判定")].value
    book.save(path)


def test_the_page_has_the_commands():
    assert len(COMMANDS) >= 16
    assert {shlex.split(command)[1] for command in COMMANDS} == {
        "report", "rescore", "review", "dispute-bundle", "dispute-verify", "verify",
    }  # fmt: skip


def test_every_command_runs(place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setenv("ZHIJIAN_AUDIT_KEY", str(place / "audit.key"))
    runner = CliRunner()
    for command in COMMANDS:
        arguments = shlex.split(command)[1:]
        done = runner.invoke(app, arguments)
        assert done.exit_code == 0, (command, done.output, done.exception)
        if arguments[:2] == ["review", "export"] and "--call" in arguments:
            fill(place / "review.xlsx")
    assert len(load("scores", place / "results", latest=False)) == 4
    kinds = load("reviews", place / "results").kind.value_counts()
    assert (kinds["appeal"], kinds["ruling"]) == (1, 1)
    assert kinds["confirm"] > 5
    assert (place / "case" / "report.html").is_file()
    assert "复核后" in (place / "case" / "report.html").read_text(encoding="utf-8")


def test_the_python_of_the_page_runs(place, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.S)
    monkeypatch.chdir(place)
    names: dict = {}
    exec(compile(code, "docs/disputes.md", "exec"), names)
    assert "qa-li" in set(names["reviews"].person)
