"""Nights on storages other than S3: nothing of S3 is taken for granted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import fsspec
import pytest
import storage_drivers
from builders import ROOT, clip

from pipeline.errors import ResultsError
from pipeline.results import load
from pipeline.results.objects import ObjectStorage

ROWS = ("scores", "verdicts", "turns", "events")
VOLATILE = ["scored_at", "run_id", "recording_uri", "recording_stamp", "receipt", "receipt_inputs"]


def start(night, place: str, environment: dict[str, str]) -> subprocess.Popen[str]:
    command = [
        sys.executable, "-m", "pipeline.cli", "score", f"{place}/recordings", "--calls",
        f"{place}/calls.csv", "--out", f"{place}/results", "--identity", str(night.key),
        "--workers", "1", "--model", "fake",
    ]  # fmt: skip
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=ROOT
    )


@pytest.fixture
def night(night_folder):
    for number in range(4):
        night_folder.add_call(f"c{number}", clip(4.0 + number))
    night_folder.add_call("broken", b"no audio")
    night_folder.write_calls()
    return night_folder


@pytest.fixture
def environment(night, tmp_path, monkeypatch) -> dict[str, str]:
    monkeypatch.setenv(storage_drivers.FOLDER, str(night.root.parent))
    for driver in (storage_drivers.OssLike, storage_drivers.HdfsLike, storage_drivers.Careless):
        fsspec.register_implementation(driver.protocol, driver, clobber=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ZHIJIAN_")}
    return kept | {
        "PYTHONPATH": storage_drivers.advertised(tmp_path / "installed"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "ZHIJIAN_BATCH_CALLS": "2",
    }


def rows(place: str | Path) -> dict[str, list[str]]:
    found = {}
    for table in ROWS:
        frame = load(table, place, latest=False)
        found[table] = sorted(map(repr, frame.drop(columns=VOLATILE, errors="ignore").to_dict("records")))
    return found


@pytest.mark.parametrize("protocol", ["osslike", "hdfslike"])
def test_two_runs_at_once_on_it_store_what_one_stores_in_a_folder(protocol, night, environment):
    place = f"{protocol}://{night.root.name}"
    both = [start(night, place, environment) for _ in range(2)]
    for run in both:
        _, err = run.communicate(timeout=300)
        assert run.returncode == 3, err
    scores = load("scores", f"{place}/results", latest=False)
    assert sorted(scores.call_id) == ["c0", "c1", "c2", "c3"]
    assert set(scores.version) == {1}
    assert not list((night.root / "results" / "_drafts").glob("*"))
    there = rows(f"{place}/results")
    night.results.rename(night.root / "elsewhere")
    assert night.score().returncode == 3
    here = rows(night.results)
    for table in ROWS:
        assert there[table] == here[table], table


def test_a_storage_on_which_two_runs_could_overwrite_each_other_is_refused(night, environment):
    with pytest.raises(ResultsError, match="cannot create an object only if there is none"):
        ObjectStorage(f"careless://{night.root.name}/results").prepare()
