"""Results on object storage: all or nothing by a log of conditional puts, on a real S3 server."""

import json
import os
import subprocess
import sys
import uuid

import fsspec
import pytest
from object_server import s3_server

from pipeline.errors import ResultsError, StorageError
from pipeline.results import RunRow, load
from pipeline.results.objects import CHECKPOINT_EVERY, ObjectStorage
from pipeline.results.storage import CommitConflictError, NewFile
from pipeline.results.store import Store
from tests.unit.results_builders import NOW, make_quarantine, make_scored

BATCH = [make_scored("c1"), make_scored("c2", day=6)]
ROWS = [make_quarantine()]


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture(scope="module")
def server():
    with s3_server() as running, pytest.MonkeyPatch.context() as patch:
        for name, value in running.environment().items():
            patch.setenv(name, value)
        yield running
    fsspec.filesystem("s3").clear_instance_cache()


@pytest.fixture
def memory():
    return f"memory://night-{uuid.uuid4().hex}/results"


@pytest.fixture(params=["memory", "s3"])
def place(request):
    if request.param == "memory":
        return request.getfixturevalue("memory")
    return f"s3://{request.getfixturevalue('server').bucket()}/results"


def snapshot(place):
    store = Store.open(place)
    tables = ("scores", "verdicts", "turns", "events", "hearings")
    calls = {table: set(store.read(table, columns=["call_id"])["call_id"].to_pylist()) for table in tables}
    return calls, len(store.quarantined())


def test_what_a_folder_holds_an_object_store_holds_too(place, tmp_path):
    for root in (place, tmp_path):
        store = Store.open(root, write=True)
        assert store.commit(BATCH, ROWS).versions == {"c1": 1, "c2": 1}
        assert store.commit([make_scored("c1", supersedes=1)]).versions == {"c1": 2}
        store.record_run(RunRow("r1", NOW, NOW, 3, 2, 1, 0, 1.0, 1.0))
    for table in ("scores", "verdicts", "turns", "events", "quarantine", "runs"):
        for latest in (True, False):
            remote, local = (load(table, root, latest) for root in (place, tmp_path))
            assert repr(remote.to_dict("records")) == repr(local.to_dict("records")), table
    assert load("scores", place, dates="2026-01-06").call_id.tolist() == ["c2"]
    fingerprints = [Store.open(root).scored_fingerprints() for root in (place, tmp_path)]
    assert fingerprints[0] == fingerprints[1]


def test_nothing_is_there_before_the_first_commit(place):
    with pytest.raises(ResultsError, match="no such results"):
        Store.open(place)
    Store.open(place, write=True)


def test_stopped_at_every_step(memory):
    steps = []
    store = Store.open(f"{memory}/calm", write=True, checkpoint=steps.append)
    store.commit(BATCH, ROWS)
    assert steps.count("uploaded") == 11
    assert steps[-1] == "logged"
    for stop in range(len(steps)):
        place, count = f"{memory}/stop{stop}", 0

        def checkpoint(step, stop=stop):
            nonlocal count
            count += 1
            if count == stop + 1:
                raise Killed(step)

        Store.open(place, write=True).commit([make_scored("before")])
        with pytest.raises(Killed):
            Store.open(place, write=True, checkpoint=checkpoint).commit(BATCH, ROWS)
        calls, quarantined = snapshot(place)
        assert all(found == calls["scores"] for found in calls.values()), stop
        done = steps[stop] == "logged"
        assert (calls["scores"], quarantined) == (({"before", "c1", "c2"}, 1) if done else ({"before"}, 0))
        again = Store.open(place, write=True)
        if not again.scored_fingerprints(["c1", "c2"]):
            again.commit(BATCH, ROWS)
        assert snapshot(place) == ({table: {"before", "c1", "c2"} for table in calls}, 1)
        assert again.read("scores", latest=False).num_rows == 3


def test_of_two_writers_one_wins_and_the_other_looks_again(place):
    one, other = ObjectStorage(place), ObjectStorage(place)
    with one.exclusive(), other.exclusive():
        one.commit([NewFile("runs", None, b"x")])
        with pytest.raises(CommitConflictError):
            other.commit([NewFile("runs", None, b"y")])
    assert len(other.files("runs")) == 1
    assert len([p for p in fsspec.core.url_to_fs(place)[0].find(place) if p.endswith(".parquet")]) == 1

    stores = [Store.open(place, write=True) for _ in range(2)]
    for store in stores:
        assert store.scored_fingerprints(["c1"]) == {}
    assert stores[0].commit([make_scored("c1")]).versions == {"c1": 1}
    assert stores[1].commit([make_scored("c1")]).dropped == ("c1",)


def test_a_put_that_was_repeated_finds_its_own_entry(memory, monkeypatch):
    storage = ObjectStorage(memory)
    create = ObjectStorage._create

    def answer_is_lost(self, path, content):
        create(self, path, content)
        raise FileExistsError(path)

    with storage.exclusive():
        monkeypatch.setattr(ObjectStorage, "_create", answer_is_lost)
        storage.commit([NewFile("runs", None, b"x")])
    assert len(storage.files("runs")) == 1


def test_checkpoints_shorten_the_log(memory):
    writer, reader = ObjectStorage(memory), ObjectStorage(memory)
    for number in range(2 * CHECKPOINT_EVERY + 3):
        with writer.exclusive():
            writer.commit([NewFile("runs", f"2026-01-{number % 28 + 1:02d}", b"x")])
        if number == 5:
            assert len(reader.files("runs")) == 6
    expected = writer.files("runs")
    assert len(expected) == 2 * CHECKPOINT_EVERY + 3
    assert ObjectStorage(memory).files("runs") == expected == reader.files("runs")
    log = fsspec.core.url_to_fs(memory)[0].find(f"{memory}/_log")
    assert len(log) < 2 * CHECKPOINT_EVERY
    assert reader.generation() == 2 * CHECKPOINT_EVERY + 3


def test_a_log_with_a_hole_or_nonsense_is_named(memory):
    storage = ObjectStorage(memory)
    for _ in range(3):
        with storage.exclusive():
            storage.commit([NewFile("runs", None, b"x")])
    files, root = fsspec.core.url_to_fs(memory)
    entry = f"{root}/_log/{2:020d}.json"
    content = files.cat_file(entry)
    files.pipe_file(entry, b"nonsense")
    with pytest.raises(ResultsError, match=r"0002.json: unreadable entry"):
        ObjectStorage(memory).files("runs")
    files.rm_file(entry)
    with pytest.raises(ResultsError, match=r"0002.json: this entry of the log is gone"):
        ObjectStorage(memory).files("runs")
    files.pipe_file(entry, content)
    assert len(ObjectStorage(memory).files("runs")) == 3


def test_what_dead_writers_left_is_removed_after_a_day(memory, monkeypatch):
    def stop(step):
        raise Killed(step)

    with pytest.raises(Killed):
        Store.open(memory, write=True, checkpoint=stop).commit(BATCH)
    store = Store.open(memory, write=True)
    store.commit([make_scored("c9")])
    assert list(store.compact()) == []
    from datetime import timedelta

    monkeypatch.setattr("pipeline.results.objects._ORPHAN_AGE", timedelta(0))
    (done,) = store.compact()
    assert done.orphans == 1
    assert snapshot(memory)[0]["scores"] == {"c9"}


def test_storage_without_conditional_puts_is_refused(memory, monkeypatch):
    create = fsspec.get_filesystem_class("memory").pipe_file
    monkeypatch.setattr(
        fsspec.get_filesystem_class("memory"),
        "pipe_file",
        lambda self, path, value, mode="overwrite", **more: create(self, path, value, **more),
    )
    with pytest.raises(ResultsError, match="conditional put"):
        Store.open(memory, write=True)


def test_a_missing_bucket_and_a_silent_server_are_told_apart(server):
    with pytest.raises(ResultsError, match="no such bucket"):
        Store.open("s3://there-is-no-such-bucket/results", write=True)
    options = {"endpoint_url": "http://127.0.0.1:9", "config_kwargs": {"retries": {"max_attempts": 0}}}
    storage = ObjectStorage("s3://bucket/results")
    storage._fs = fsspec.filesystem("s3", **options)
    storage._fs.retries = 1
    with pytest.raises(StorageError, match="repeat when it works again"):
        storage.prepare()


WRITER = """
import sys
from pipeline.results.store import Store
from tests.unit.results_builders import make_scored
store = Store.open(sys.argv[1], write=True)
stored = 0
for start in range(0, 12, 2):
    ids = [f"c{i}" for i in range(start, start + 2)]
    stored += len(store.commit([make_scored(i) for i in ids]).versions)
print(stored)
"""


def test_two_processes_over_the_same_night_at_once(server):
    place = f"s3://{server.bucket()}/results"
    environment = {**os.environ, **server.environment()}
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, place], stdout=subprocess.PIPE, text=True, env=environment
        )
        for _ in range(2)
    ]
    stored = [int(run.communicate(timeout=120)[0]) for run in runs]
    assert sum(stored) == 12
    rows = Store.open(place).read("scores", latest=False)
    assert sorted(rows["call_id"].to_pylist()) == sorted(f"c{i}" for i in range(12))
    assert set(rows["version"].to_pylist()) == {1}
    entry = json.loads(fsspec.filesystem("s3").cat_file(f"{place}/_log/{1:020d}.json"))
    assert entry["add"]
