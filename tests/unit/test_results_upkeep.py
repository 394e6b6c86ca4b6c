"""Small files into few, damaged files out of the way: at any instant, readers see every row once."""

import os
import shutil
import subprocess
import sys
import threading
import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.errors import ResultsError
from pipeline.results import RunRow
from pipeline.results.folder import LocalStorage
from pipeline.results.reading import scan
from pipeline.results.schemas import TABLES
from pipeline.results.storage import DamagedResultsError
from pipeline.results.store import Store
from pipeline.results.stored import stored_hearing
from pipeline.results.upkeep import compact
from tests.unit.results_builders import NOW, make_quarantine, make_scored

READ = ("scores", "verdicts", "turns", "events", "hearings", "quarantine", "runs")


@pytest.fixture(autouse=True, scope="module")
def quick_disk():
    """Waiting for the disk proves nothing in one process and takes most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


class Killed(BaseException):
    """Stands for the end of the process."""


def filled(place, commits=6):
    store = Store.open(place, write=True)
    for number in range(commits):
        store.commit([make_scored(f"c{number}"), make_scored(f"d{number}", day=6)])
    store.commit(
        [make_scored("c1", supersedes=1), make_scored("c2", day=6, supersedes=1)], [make_quarantine()]
    )
    store.commit([], [make_quarantine("q2")])
    store.record_run(RunRow("r1", NOW, NOW, 1, 1, 0, 0, 1.0, 1.0))
    return store


def rows(place, table, latest=True):
    found = Store.open(place).read(table, latest=latest)
    return sorted(map(repr, found.to_pylist()))


def everything(place, tables=READ):
    return {(table, latest): rows(place, table, latest) for table in tables for latest in (True, False)}


@pytest.fixture(params=["folder", "memory"])
def place(request, tmp_path):
    return tmp_path if request.param == "folder" else f"memory://upkeep-{uuid.uuid4().hex}/results"


def count(place, table="scores"):
    store = Store.open(place)
    return len(store._storage.files(table))


def test_compaction_keeps_every_row_and_leaves_a_file_a_partition(place):
    store = filled(place)
    before = everything(place)
    assert count(place) == 14
    hearing = stored_hearing(store, "c1")
    done = list(store.compact())
    assert count(place) == 2
    assert sum(d.files_before for d in done) > sum(d.files_after for d in done)
    assert everything(place) == before
    assert stored_hearing(Store.open(place), "c1") == hearing
    assert list(store.compact()) == []
    # A store that was opened before goes on, and so does a new one.
    for known in (store, Store.open(place, write=True)):
        assert known.commit([make_scored("c3")]).dropped == ("c3",)
    assert store.commit([make_scored("c3", supersedes=1)]).versions == {"c3": 2}


def test_order_within_a_call_is_kept(tmp_path):
    store = filled(tmp_path)
    turns = Store.open(tmp_path).read("turns", latest=False, call_ids=["c1"])
    assert turns["turn"].to_pylist() == [0, 1, 0, 1]
    list(store.compact())
    turns = Store.open(tmp_path).read("turns", latest=False, call_ids=["c1"])
    assert (turns["version"].to_pylist(), turns["turn"].to_pylist()) == ([1, 1, 2, 2], [0, 1, 0, 1])


def test_groups_bound_the_memory_and_keep_calls_together(tmp_path):
    filled(tmp_path)
    storage = LocalStorage(tmp_path)
    before = everything(tmp_path)
    size = sum(p.stat().st_size for p in tmp_path.glob("*/call_date=2026-01-05/*.parquet"))
    list(compact(storage, group_bytes=size // 3))
    assert everything(tmp_path) == before
    by_table = {
        table: {file.name for file in storage.files(table) if file.call_date == "2026-01-05"}
        for table in ("scores", "verdicts", "turns", "hearings")
    }
    assert 1 < len(by_table["scores"]) < 7
    assert len(set(map(frozenset, by_table.values()))) == 1


def test_stopped_at_every_step(tmp_path):
    steps = []
    filled(tmp_path / "fresh", commits=3)
    shutil.copytree(tmp_path / "fresh", tmp_path / "calm")
    list(compact(LocalStorage(tmp_path / "calm", checkpoint=steps.append)))
    assert "removed a replaced file" in steps
    tables = ("scores", "turns", "quarantine")
    calm = everything(tmp_path / "calm", tables)
    for stop in range(0, len(steps), 2):
        folder, seen = tmp_path / f"stop{stop}", 0

        def checkpoint(step, stop=stop):
            nonlocal seen
            seen += 1
            if seen == stop + 1:
                raise Killed(step)

        shutil.copytree(tmp_path / "fresh", folder)
        with pytest.raises(Killed):
            list(compact(LocalStorage(folder, checkpoint=checkpoint)))
        # A reader that comes before anybody has tidied up, and one that comes after.
        assert everything(folder, tables) == calm, (stop, steps[stop])
        Store.open(folder, write=True)
        assert everything(folder, tables) == calm, (stop, steps[stop])
        list(Store.open(folder, write=True).compact())
        assert count(folder) == 2


COMPACTOR = """
import sys
from pipeline.results.store import Store
from tests.unit.results_builders import make_scored
store = Store.open(sys.argv[1], write=True)
for number in range(15):
    store.commit([make_scored(f"x{number}", day=7)])
    store.commit([make_scored(f"y{number}", day=7)])
    list(store.compact())
"""


def test_readers_never_see_both_or_neither(tmp_path):
    filled(tmp_path)
    reader = Store.open(tmp_path)
    process = subprocess.Popen([sys.executable, "-c", COMPACTOR, str(tmp_path)])
    looks = 0
    while process.poll() is None:
        ids = reader.read("scores", columns=["call_id", "version"], latest=False).to_pylist()
        keys = [(row["call_id"], row["version"]) for row in ids]
        assert len(keys) == len(set(keys))
        assert sum(not call.startswith(("x", "y")) for call, _ in keys) == 14
        looks += 1
    assert process.returncode == 0
    assert looks > 20
    assert reader.read("scores", latest=False).num_rows == 14 + 30


def test_writers_and_a_compactor_at_once(place):
    filled(place)
    errors = []

    def write(name):
        try:
            store = Store.open(place, write=True)
            for number in range(5):
                store.commit([make_scored(f"{name}{number}", day=7)])
        except Exception as error:  # noqa: BLE001 - shown below
            errors.append(error)

    def compress():
        try:
            for _ in range(4):
                list(Store.open(place, write=True).compact())
        except Exception as error:  # noqa: BLE001 - shown below
            errors.append(error)

    threads = [threading.Thread(target=write, args=(n,)) for n in "pq"] + [threading.Thread(target=compress)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert Store.open(place).read("scores", latest=False).num_rows == 14 + 10


def damage(path):
    """Flip bits in the first page of values, behind its header."""
    import pyarrow.parquet as pq

    columns = pq.ParquetFile(path).metadata.row_group(0)
    place = columns.column(0).data_page_offset + columns.column(0).total_compressed_size - 4
    content = bytearray(Path(path).read_bytes())
    content[place] ^= 0x55
    Path(path).write_bytes(content)


@pytest.mark.parametrize("table", ["scores", "verdicts", "turns", "events", "hearings"])
@pytest.mark.parametrize("compacted", [False, True])
def test_a_damaged_file_is_named_set_aside_and_its_calls_are_unknown(tmp_path, table, compacted):
    store = filled(tmp_path)
    if compacted:
        list(store.compact())
    day_six = everything(tmp_path)["scores", True]
    files = LocalStorage(tmp_path).files(table)
    victim = next(f for f in files if "c0" in scan(table, [f])["call_id"].to_pylist())
    damage(victim.path)
    store = Store.open(tmp_path, write=True)
    (found,) = store.set_aside_damaged({"2026-01-05"}, run_id="r2")
    assert found.paths == (victim.path,)
    assert set(found.call_ids) == ({f"c{n}" for n in range(6)} if compacted else {"c0"})
    assert (tmp_path / "_damaged" / Path(victim.path).relative_to(tmp_path)).is_file()
    assert not Path(victim.path).exists()
    known = store.scored_fingerprints([f"c{n}" for n in range(6)])
    lost = set(found.call_ids) - (
        {"c2"} if compacted else set()
    )  # c2 has a newer version in another partition
    assert set(known) == {f"c{n}" for n in range(6)} - lost
    kinds = {row.call_id: row.kind for row in store.quarantined().values()}
    assert all(kinds[call_id] == "damaged_results" for call_id in found.call_ids)
    now = datetime.now(UTC)
    store.commit([make_scored(call_id, scored_at=now) for call_id in sorted(lost)])
    again = store.quarantined()
    assert {row.call_id for row in again.values() if row.kind == "damaged_results"} == set(
        found.call_ids
    ) - lost
    assert store.set_aside_damaged({"2026-01-05"}) == []
    calls = {row["call_id"] for row in store.read("scores").to_pylist()}
    assert len(calls) == len(day_six)


def test_a_damaged_file_of_another_table_goes_alone(tmp_path):
    store = filled(tmp_path)
    victim = LocalStorage(tmp_path).files("runs")[0]
    damage(victim.path)
    (found,) = store.set_aside_damaged({victim.call_date})
    assert (found.paths, found.call_ids) == ((victim.path,), ())
    assert [row.kind for row in store.quarantined().values()].count("damaged_results") == 1
    assert Store.open(tmp_path).read("runs").num_rows == 0


def test_reading_a_damaged_file_says_what_to_do(tmp_path):
    filled(tmp_path)
    victim = LocalStorage(tmp_path).files("turns")[0]
    damage(victim.path)
    with pytest.raises(DamagedResultsError, match="restore it from a backup, or let the next") as caught:
        Store.open(tmp_path).read("turns")
    assert caught.value.paths == (victim.path,)


def test_a_stranger_is_not_set_aside(tmp_path):
    store = filled(tmp_path)
    with pytest.raises(ResultsError, match="no committed file"):
        store.set_aside_damaged(paths=["/etc/passwd"])
    assert len(TABLES) >= 8
