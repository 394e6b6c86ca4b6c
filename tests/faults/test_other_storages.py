"""Nights on storages other than S3: nothing of S3 is taken for granted."""

from __future__ import annotations

import os
import subprocess
import sys

import fsspec
import pytest
import storage_drivers
from builders import ROOT, clip

from pipeline.callrecords import read_call_records
from pipeline.errors import ResultsError
from pipeline.results import load
from pipeline.results.objects import ObjectStorage
from pipeline.results.store import Store
from pipeline.vault.recordings import list_recordings
from tests.unit.results_builders import make_scored


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


def test_two_runs_at_once_where_only_a_move_decides_store_every_call_once(night, environment):
    place = f"hdfslike://{night.root.name}"
    both = [start(night, place, environment) for _ in range(2)]
    for run in both:
        _, err = run.communicate(timeout=300)
        assert run.returncode == 3, err
    scores = load("scores", f"{place}/results", latest=False)
    assert sorted(scores.call_id) == ["c0", "c1", "c2", "c3"]
    assert set(scores.version) == {1}
    assert not list((night.root / "results" / "_drafts").glob("*"))
    assert list(load("quarantine", f"{place}/results").call_id) == ["broken"]
    for run in load("runs", f"{place}/results").itertuples():
        assert run.calls_in == run.scored + run.skipped + run.quarantined == 5


def test_what_creates_objects_by_itself_needs_no_move(night, environment):
    place = f"osslike://{night.root.name}"
    assert {ref.call_id for ref in list_recordings(f"{place}/recordings").refs} == {
        "c0", "c1", "c2", "c3", "broken"
    }  # fmt: skip
    assert read_call_records(f"{place}/calls.csv").rows == 5
    store = Store.open(f"{place}/results", write=True)
    other = Store.open(f"{place}/results", write=True)
    assert store.commit([make_scored("c1")]).versions == {"c1": 1}
    assert other.commit([make_scored("c1"), make_scored("c2")]).dropped == ("c1",)
    assert sorted(load("scores", f"{place}/results").call_id) == ["c1", "c2"]
    assert not (night.results / "_drafts").exists()


def test_a_storage_on_which_two_runs_could_overwrite_each_other_is_refused(night, environment):
    with pytest.raises(ResultsError, match="cannot create an object only if there is none"):
        ObjectStorage(f"careless://{night.root.name}/results").prepare()
