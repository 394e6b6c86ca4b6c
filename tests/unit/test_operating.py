"""The commands of docs/operating.md run as they stand, on a small night in the place of /data."""

from __future__ import annotations

import re
import shlex

import pytest
import yaml
from builders import ROOT, clip, zhijian

TEXT = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"(<!-- not run: [^\n]*-->\n)? *```sh\n(.*?)```", TEXT, re.S)


def commands():
    return [
        line.split("#")[0].strip()
        for reason, block in BLOCKS
        if not reason
        for line in block.splitlines()
        if line.strip() and not line.strip().startswith("#")
    ]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    from builders import NightFolder

    from pipeline.vault.keys import new_pair

    night = NightFolder(tmp_path_factory.mktemp("data"))
    new_pair(night.root / "keys")
    night.recordings.mkdir()
    night.add_call("a", clip(30.0))
    night.write_calls()
    return night


def test_every_command_that_can_run_here_is_run(data):
    found = commands()
    assert len(found) >= 6
    assert {shlex.split(line)[0] for line in found} == {"zhijian"}
    environment = {
        "ZHIJIAN_MODEL": "fake",
        "XDG_STATE_HOME": str(data.root / "state"),
        "ZHIJIAN_WORKERS": "1",
    }
    for line in found:
        done = zhijian(*shlex.split(line.replace("/data", str(data.root)))[1:], env=environment)
        assert done.returncode == 0, (line, done.stderr)
    assert list(data.table("scores").call_id) == ["a"]


def test_what_is_not_run_says_why():
    assert all(len(reason) > len("<!-- not run: -->\n") for reason, _ in BLOCKS if reason)
    assert sum(bool(reason) for reason, _ in BLOCKS) <= 4


def test_the_settings_of_the_page_are_settings():
    import tomllib

    from pipeline.settings import Settings

    (block,) = re.findall(r"```toml\n(.*?)```", TEXT, re.S)
    Settings.model_validate(tomllib.loads(block))
    named = set(re.findall(r"ZHIJIAN_([A-Z_]+)", TEXT))
    assert {name.lower() for name in named} <= set(Settings.model_fields)


def test_the_automations_are_what_prefect_understands():
    from prefect.events.schemas.automations import AutomationCore

    entries = yaml.safe_load((ROOT / "automations.yaml").read_text(encoding="utf-8"))["automations"]
    names = {AutomationCore.model_validate(entry).name for entry in entries}
    assert names == {"zhijian-run-failed", "zhijian-nothing-completed"}
