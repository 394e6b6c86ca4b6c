"""Commits: all or nothing, at whatever instant the process ends."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import ResultsError, StorageError
from pipeline.results.folder import LocalStorage
from pipeline.results.storage import NewFile
from pipeline.results.store import Store
from tests.unit.results_builders import make_quarantine, make_scored


@pytest.fixture(autouse=True, scope="module")
def quick_disk():
    """Waiting for the disk proves nothing in one process and takes most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


class Killed(BaseException):
    """Stands for the end of the process: nothing in the pipeline may catch it."""


BATCH = [make_scored("c1"), make_scored("c2", day=6)]
ROWS = [make_quarantine()]


def steps_of_a_commit(folder):
    steps = []
    store = Store.open(folder, write=True, checkpoint=steps.append)
    store.commit(BATCH, ROWS)
    return steps


def snapshot(folder):
    """What a reader finds: calls by dataset, and the files that are there."""
    store = Store.open(folder)
    tables = ("scores", "verdicts", "turns", "events", "hearings")
    calls = {table: set(store.read(table, columns=["call_id"])["call_id"].to_pylist()) for table in tables}
    return calls, len(store.quarantined())


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file())


def test_a_commit_has_the_steps_this_test_believes_in(tmp_path):
    steps = steps_of_a_commit(tmp_path)
    assert len(steps) >= 25
    assert steps.index("journal written") < steps.index("renamed turns")
    assert max(i for i, step in enumerate(steps) if step.startswith("staged")) < steps.index(
        "journal drafted"
    )
    assert steps.index("renamed scores") > max(
        i
        for i, step in enumerate(steps)
        if step in ("renamed turns", "renamed verdicts", "renamed hearings", "renamed events")
    )


def test_stopped_at_every_step(tmp_path):
    steps = steps_of_a_commit(tmp_path / "undisturbed")
    outcomes = set()
    for stop in range(len(steps)):
        folder = tmp_path / f"stop{stop}"
        Store.open(folder, write=True).commit([make_scored("before")])
        count = 0

        def checkpoint(step, stop=stop):
            nonlocal count
            count += 1
            if count == stop + 1:
                raise Killed(step)

        store = Store.open(folder, write=True, checkpoint=checkpoint)
        with pytest.raises(Killed):
            store.commit(BATCH, ROWS)
        # A reader that comes before anybody has tidied up sees whole calls only.
        calls, _ = snapshot(folder)
        for table in ("verdicts", "turns", "events", "hearings"):
            assert calls[table] == calls["scores"], (stop, table)

        again = Store.open(folder, write=True)
        calls, quarantined = snapshot(folder)
        assert all(found == calls["scores"] for found in calls.values()), stop
        assert (calls["scores"], quarantined) in (({"before"}, 0), ({"before", "c1", "c2"}, 1)), stop
        outcomes.add(quarantined)
        assert [name for name in files(folder) if name.startswith(("_staging", "_journal"))] == []

        # The night is simply run again.
        known = again.scored_fingerprints(["c1", "c2"])
        if not known:
            again.commit(BATCH, ROWS)
        calls, quarantined = snapshot(folder)
        assert (calls["scores"], quarantined) == ({"before", "c1", "c2"}, 1)
        for table in ("scores", "turns"):
            rows = again.read(table, latest=False)
            assert rows.num_rows == {"scores": 3, "turns": 6}[table], (stop, table)
    assert outcomes == {0, 1}


def test_the_same_process_may_go_on_after_a_failed_commit(tmp_path):
    broken = True

    def checkpoint(step):
        if broken and step == "renamed verdicts":
            raise OSError(errno.EIO, "Input/output error")

    store = Store.open(tmp_path, write=True, checkpoint=checkpoint)
    with pytest.raises(StorageError, match="Input/output error"):
        store.commit(BATCH)
    broken = False
    # The journal was written, so the first attempt is completed, and the repeat finds it done.
    assert set(store.commit(BATCH).dropped) == {"c1", "c2"}
    assert store.read("turns", latest=False).num_rows == 4


SCRIPT = """
import os, signal, sys
from pipeline.results.store import Store
from tests.unit.results_builders import make_quarantine, make_scored
left = int(sys.argv[2])
def checkpoint(step):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
store = Store.open(sys.argv[1], write=True, checkpoint=checkpoint)
store.commit([make_scored("c1"), make_scored("c2", day=6)], [make_quarantine()])
"""


@pytest.mark.parametrize("stop", [0, 8, 12, 14, 17, 22])
def test_killed_for_real(tmp_path, stop):
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path), str(stop)], check=False, timeout=60)
    assert done.returncode == -9
    Store.open(tmp_path, write=True)
    calls, quarantined = snapshot(tmp_path)
    assert all(found == calls["scores"] for found in calls.values())
    assert (calls["scores"], quarantined) in ((set(), 0), ({"c1", "c2"}, 1))


WRITER = """
import sys
from pipeline.results.store import Store
from tests.unit.results_builders import make_scored
store = Store.open(sys.argv[1], write=True)
store.scored_fingerprints([f"c{i}" for i in range(30)])
stored = 0
for start in range(0, 30, 3):
    stored += len(store.commit([make_scored(f"c{i}") for i in range(start, start + 3)]).versions)
print(stored)
"""


def test_two_runs_over_the_same_night_at_once(tmp_path):
    runs = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    stored = [int(run.communicate(timeout=120)[0]) for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert sum(stored) == 30
    rows = Store.open(tmp_path).read("scores", latest=False)
    assert sorted(rows["call_id"].to_pylist()) == sorted(f"c{i}" for i in range(30))
    assert set(rows["version"].to_pylist()) == {1}


def test_lock_is_waited_for_and_then_given_up(tmp_path):
    holder = LocalStorage(tmp_path)
    holder.prepare()
    with holder.exclusive(), pytest.raises(StorageError, match="another run has held the lock"):
        Store.open(tmp_path, write=True, lock_timeout_s=0.05)
    Store.open(tmp_path, write=True, lock_timeout_s=0.05)


def test_generation_needs_the_lock(tmp_path):
    storage = LocalStorage(tmp_path)
    storage.prepare()
    with pytest.raises(RuntimeError, match="lock is not held"):
        storage.generation()
    with storage.exclusive():
        before = storage.generation()
        storage.commit([NewFile("runs", None, b"x")])
        assert storage.generation() == before + 1
    assert [file.call_date for file in storage.files("runs")] == [None]
    assert "call_date=__HIVE_DEFAULT_PARTITION__" in storage.files("runs")[0].path


def test_folder_that_is_a_file(tmp_path):
    (tmp_path / "results").write_text("")
    with pytest.raises(ResultsError, match=r"results: results cannot be kept here \(File exists\)"):
        Store.open(tmp_path / "results", write=True)
    with pytest.raises(ResultsError, match="no such results folder"):
        Store.open(tmp_path / "results")
    with pytest.raises(ResultsError, match="no such results folder"):
        Store.open(tmp_path / "none")


def test_reading_touches_nothing(tmp_path):
    Store.open(tmp_path).scored_fingerprints()
    assert files(tmp_path) == []


def test_folder_that_nobody_can_write():
    # /proc takes no new files, not even from root, to whom a mode would mean nothing.
    with pytest.raises(ResultsError, match="choose a folder that can be written"):
        Store.open("/proc/self/results", write=True)


@pytest.mark.parametrize(
    ("number", "kind", "message"),
    [
        (errno.ENOSPC, StorageError, "no space left"),
        (errno.EDQUOT, StorageError, "no space left"),
        (errno.EROFS, ResultsError, "choose a folder that can be written"),
        (errno.EIO, StorageError, "repeat when it works again"),
    ],
)
def test_failing_disk_is_told_before_work_begins(tmp_path, monkeypatch, number, kind, message):
    def fail(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(kind, match=message) as caught:
        Store.open(tmp_path / "results", write=True)
    assert "\n" not in str(caught.value)
    assert [name for name in files(tmp_path) if "probe" in name] == []


LIMITED = """
import resource, sys
from pipeline.errors import StorageError
from pipeline.results.store import Store
from tests.unit.results_builders import make_scored
store = Store.open(sys.argv[1], write=True)
store.commit([make_scored("c0")])
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
try:
    store.commit([make_scored("c1")])
except StorageError as error:
    print(error)
"""


def test_disk_that_fills_up_in_the_middle_of_a_commit(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)], check=True, capture_output=True, text=True, timeout=60
    )
    assert "no space left for results" in done.stdout
    store = Store.open(tmp_path, write=True)
    assert set(store.scored_fingerprints()) == {"c0"}
    assert store.commit([make_scored("c1")]).versions == {"c1": 1}
    assert [name for name in files(tmp_path) if name.startswith(("_staging", "_journal"))] == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not json", "unreadable journal"),
        (b'{"renames": [["one"]]}', "unreadable journal"),
        (
            json.dumps({"renames": [["_staging/x/0.parquet", "../../outside"]]}).encode(),
            "outside the results folder",
        ),
        (json.dumps({"renames": [["/etc/passwd", "scores/a"]]}).encode(), "outside the results folder"),
        (
            json.dumps({"renames": [["_staging/x/0.parquet", "scores/a"]]}).encode(),
            "neither staged nor in place",
        ),
    ],
)
def test_altered_journal_is_refused(tmp_path, content, message):
    Store.open(tmp_path, write=True)
    (tmp_path / "_journal" / "x.json").write_bytes(content)
    with pytest.raises(ResultsError, match=message):
        Store.open(tmp_path, write=True)
