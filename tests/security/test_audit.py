"""The audit log: every record is there, in order, and every later change is named."""

from __future__ import annotations

import json
import multiprocessing
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from builders import ROOT

from pipeline.audit import AuditPlace, audit_place, checkpoint, opening, record_event, record_opening
from pipeline.audit.keys import (
    AuditKey,
    AuditPublicKey,
    load_audit_key,
    load_audit_keys,
    new_audit_key,
    own_audit_key,
)
from pipeline.audit.log import AuditLog, log_files
from pipeline.audit.verify import verify_audit
from pipeline.errors import (
    AuditError,
    DecodeError,
    InputError,
    KeyMaterialError,
    StorageError,
    WrongKeyError,
)
from pipeline.settings import Settings

KEY = AuditKey(bytes(range(32)), source="test")
OTHER = AuditKey(bytes(32), source="test")


def filled(folder: Path, calls: int = 6, **options) -> AuditLog:
    log = AuditLog(folder, KEY, **options)
    for number in range(calls):
        log.append([{"event": "open", "call_id": f"c{number}"}])
    log.checkpoint()
    return log


def records(folder: Path) -> list[dict]:
    return [json.loads(line) for path in log_files(folder) for line in path.read_text().splitlines()]


def test_a_whole_log_holds(tmp_path):
    filled(tmp_path)
    report = verify_audit(tmp_path, [KEY])
    assert report.problem is None
    assert (report.records, report.checkpoints, report.after_checkpoint) == (8, 1, 0)
    assert [r["event"] for r in records(tmp_path)] == ["begin", *["open"] * 6, "checkpoint"]


def test_the_public_key_checks_order_and_signatures_but_not_the_codes(tmp_path):
    filled(tmp_path)
    report = verify_audit(tmp_path, [KEY.public])
    assert (report.problem, report.unproven, report.strangers) == (None, 8, ())
    report = verify_audit(tmp_path, [OTHER])
    assert (report.problem, report.strangers) == (None, (KEY.key_id,))


def lines_of(folder: Path) -> tuple[Path, list[bytes]]:
    (path,) = log_files(folder)
    return path, path.read_bytes().splitlines(keepends=True)


def changed(line: bytes) -> bytes:
    return line.replace(b'"c2"', b'"c9"')


@pytest.mark.parametrize("keys", [[KEY], [KEY.public], []], ids=["secret", "public", "none"])
@pytest.mark.parametrize(
    ("tamper", "named"),
    [
        (lambda ls: [*ls[:3], changed(ls[3]), *ls[4:]], "record [34]"),
        (lambda ls: ls[:3] + ls[4:], "expected record 4, found 5"),
        (lambda ls: [*ls[:3], ls[3], ls[3], *ls[4:]], "expected record 5, found 4"),
        (lambda ls: [*ls[:3], ls[4], ls[3], *ls[5:]], "expected record 4, found 5"),
        (lambda ls: ls[1:], "expected record 1, found 2"),
        (lambda ls: ls[:-1], "ends with record 7: records 8 to 8 at least were cut off"),
        (lambda ls: ls[:3], "ends with record 3: records 4 to 8 at least were cut off"),
        (lambda ls: [*ls[:5], b"{}\n", *ls[5:]], "expected record 6, found a line that is none"),
        (lambda ls: [*ls[:-1], ls[-1][:-9]], "record is cut in the middle"),
        (lambda ls: [*ls[:3], b" " + ls[3], *ls[4:]], "not written as this software writes it|follow"),
    ],
)  # fmt: skip
def test_every_tampering_is_named_with_its_record(tmp_path, tamper, named, keys):
    filled(tmp_path)
    path, lines = lines_of(tmp_path)
    path.write_bytes(b"".join(tamper(lines)))
    problem = verify_audit(tmp_path, keys).problem
    assert problem is not None
    import re

    assert re.search(named, problem), problem


def test_every_single_flipped_bit_is_noticed(tmp_path):
    filled(tmp_path, calls=2)
    path, _ = lines_of(tmp_path)
    whole = path.read_bytes()
    for position in range(len(whole)):
        for bit in (position % 8,):
            damaged = bytearray(whole)
            damaged[position] ^= 1 << bit
            path.write_bytes(bytes(damaged))
            assert verify_audit(tmp_path, [KEY]).problem is not None, (position, bit)


def test_a_record_written_anew_without_the_secret_is_named(tmp_path):
    """Someone who can write the folder but lacks the key recomputes the whole chain after a change."""
    import hashlib

    from pipeline.audit.log import canonical

    filled(tmp_path)
    path, lines = lines_of(tmp_path)
    prev, forged = "0" * 64, []
    for line in lines:
        record = json.loads(changed(line))
        record["prev"] = prev
        text = canonical(record)
        prev = hashlib.sha256(text).hexdigest()
        forged.append(text + b"\n")
    path.write_bytes(b"".join(forged))
    assert "record 4 does not match its own code" in verify_audit(tmp_path, [KEY]).problem
    assert "signature of checkpoint 8" in verify_audit(tmp_path, [KEY.public]).problem
    (tmp_path / "checkpoints.jsonl").write_bytes(forged[-1])
    assert "signature of checkpoint 8" in verify_audit(tmp_path, [KEY.public]).problem


def test_a_log_cut_with_its_copies_is_betrayed_by_the_anchor_or_the_known_head(tmp_path):
    folder, anchor = tmp_path / "log", tmp_path / "anchor"
    log = filled(folder, calls=2, anchor=anchor)
    early, head = {p: p.read_bytes() for p in folder.iterdir()}, verify_audit(folder, [KEY]).head
    log.append([{"event": "open", "call_id": "later"}])
    log.checkpoint()
    late_head = verify_audit(folder, [KEY]).head
    for path, content in early.items():
        path.write_bytes(content)
    assert verify_audit(folder, [KEY]).problem is None, "nothing inside the folder can show this"
    assert "records 5 to 6 at least were cut off" in verify_audit(folder, [KEY], anchors=[anchor]).problem
    assert "does not hold the known head" in verify_audit(folder, [KEY], known_head=late_head).problem
    assert verify_audit(folder, [KEY], known_head=head).problem is None


def test_checkpoints_come_by_themselves(tmp_path):
    AuditLog(tmp_path, KEY).append([{"event": "open", "call_id": str(n)} for n in range(150)])
    assert verify_audit(tmp_path, [KEY]).checkpoints == 1


def test_missing_copies_are_named(tmp_path):
    filled(tmp_path)
    (tmp_path / "checkpoints.jsonl").unlink()
    assert "copies of 1 checkpoints are missing" in verify_audit(tmp_path, [KEY]).problem


def test_what_a_crash_left_half_written_is_cut_and_said(tmp_path):
    log = filled(tmp_path, calls=2)
    path, lines = lines_of(tmp_path)
    path.write_bytes(b"".join(lines) + b'{"at":"20')
    log.append([{"event": "open", "call_id": "next"}])
    report = verify_audit(tmp_path, [KEY])
    assert report.problem is None
    assert [r["event"] for r in records(tmp_path)][-2:] == ["torn", "open"]
    assert records(tmp_path)[-2]["bytes"] == 9


def test_a_crash_in_the_first_line_of_a_month(tmp_path):
    clock = [datetime(2026, 1, 31, tzinfo=UTC)]
    log = AuditLog(tmp_path, KEY, now=lambda: clock[0])
    log.append([{"event": "open", "call_id": "january"}])
    (tmp_path / "audit-2026-02.jsonl").write_bytes(b"{")
    clock[0] = datetime(2026, 2, 1, tzinfo=UTC)
    log.append([{"event": "open", "call_id": "february"}])
    clock[0] = datetime(2026, 1, 1, tzinfo=UTC)  # a clock set back
    log.append([{"event": "open", "call_id": "back"}])
    assert [p.name for p in log_files(tmp_path)] == ["audit-2026-01.jsonl", "audit-2026-02.jsonl"]
    assert verify_audit(tmp_path, [KEY]).problem is None
    log_files(tmp_path)[0].unlink()
    assert "expected record 1, found 3" in verify_audit(tmp_path, [KEY]).problem


def append_many(folder: Path, name: str, count: int) -> None:
    log = AuditLog(folder, KEY)
    for number in range(count):
        log.append([{"event": "open", "call_id": f"{name}-{number}"}])


def test_several_processes_share_one_chain(tmp_path):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=append_many, args=(tmp_path, f"p{n}", 40)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert verify_audit(tmp_path, [KEY]).problem is None
    opened = [r["call_id"] for r in records(tmp_path) if r["event"] == "open"]
    assert sorted(opened) == sorted(f"p{n}-{i}" for n in range(4) for i in range(40))


def test_a_writer_killed_at_any_time_leaves_a_log_that_goes_on(tmp_path):
    program = (
        "from pathlib import Path; from pipeline.audit.log import AuditLog\n"
        "from pipeline.audit.keys import AuditKey\n"
        "import sys, itertools\n"
        f"log = AuditLog(Path({str(tmp_path)!r}), AuditKey(bytes(range(32)), source='test'))\n"
        "for n in itertools.count():\n"
        "    log.append([{'event': 'open', 'call_id': str(n)}]); print(n, flush=True)\n"
    )
    told = 0
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=ROOT) as process:
            process.stdout.readline()
            time.sleep(0.05)
            process.send_signal(signal.SIGKILL)
            told += 1 + process.stdout.read().count(b"\n")
    AuditLog(tmp_path, KEY).checkpoint()
    assert verify_audit(tmp_path, [KEY]).problem is None
    opened = sum(r["event"] == "open" for r in records(tmp_path))
    assert told <= opened <= told + 3, "what the process was told is written is written"


@pytest.fixture
def place(tmp_path) -> AuditPlace:
    new_audit_key(tmp_path / "audit.key")
    return AuditPlace(tmp_path / "log", tmp_path / "audit.key")


def test_an_opening_is_recorded_before_the_body_runs(place):
    with opening("c1", at=place, purpose="rescore", who="李雷", why="dispute 4711"):
        (begin, record) = records(place.folder)
    assert begin["event"] == "begin"
    assert record["event"] == "open"
    assert (record["call_id"], record["who"], record["purpose"], record["why"]) == (
        "c1", "李雷", "rescore", "dispute 4711",
    )  # fmt: skip
    assert record["login"]
    assert record["host"]
    assert record["what"] == "recording"
    assert datetime.fromisoformat(record["at"]).tzinfo is not None
    assert len(records(place.folder)) == 2


@pytest.mark.parametrize(
    ("error", "event", "kind"),
    [
        (WrongKeyError("no"), "refused", "wrong_key"),
        (KeyMaterialError("no"), "refused", "bad_key"),
        (DecodeError("no"), "failed", "decode_failed"),
        (ValueError("text of the call"), "failed", "internal_error"),
    ],
)
def test_refused_and_failed_openings_are_recorded(place, error, event, kind):
    with pytest.raises(type(error)), opening("c1", at=place, purpose="night"):
        raise error
    assert [r["event"] for r in records(place.folder)] == ["begin", "open", event]
    assert records(place.folder)[-1]["kind"] == kind
    assert "text of the call" not in "".join(p.read_text() for p in log_files(place.folder))


def test_nothing_is_opened_when_it_cannot_be_recorded(place, tmp_path):
    place.folder.write_text("a file where the folder should be")
    ran = False
    with pytest.raises(StorageError, match="nothing is opened"), opening("c", at=place, purpose="night"):
        ran = True
    assert not ran


def test_many_calls_at_once_and_other_events(place):
    record_opening([f"c{n}" for n in range(1201)], at=place, purpose="notebook", what="transcript")
    record_event("hold", at=place, call_id="c1", why="suit", until="2030-01-01")
    checkpoint(place)
    checkpoint(place)
    found = records(place.folder)
    assert [len(r["call_ids"]) for r in found if "call_ids" in r] == [200] * 6 + [1]
    assert [r["event"] for r in found] == ["begin", *["open"] * 7, "hold", "checkpoint"]
    with pytest.raises(InputError, match="purpose 'fun' is unknown"):
        record_opening("c", at=place, purpose="fun")


@pytest.mark.parametrize("before", [480, 492, 498, 500])
def test_a_number_that_runs_over_the_end_of_a_reason_is_masked(place, before):
    record_opening("c", at=place, purpose="review", why="理" * before + "，手机号13812345678")
    (why,) = (record["why"] for record in records(place.folder) if "why" in record)
    assert len(why) <= 500
    assert not any(digit in why for digit in "138245679")


def test_a_record_longer_than_any_buffer_is_followed_by_the_next(tmp_path):
    log = filled(tmp_path, calls=1)
    log.append([{"event": "open", "why": "x" * 400_000}])
    log.append([{"event": "open", "call_id": "next"}])
    log.append([{"event": "open", "call_id": "last"}])
    assert verify_audit(tmp_path, [KEY]).problem is None
    assert [r["seq"] for r in records(tmp_path)] == list(range(1, 7))


def test_a_home_that_cannot_be_written_says_what_to_set(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with pytest.raises(KeyMaterialError, match="set `audit_key`"):
        own_audit_key(None)


def test_keys_are_refused_when_others_can_read_them(tmp_path):
    path = tmp_path / "audit.key"
    new_audit_key(path)
    path.chmod(0o640)
    with pytest.raises(KeyMaterialError, match="mode 0640"):
        load_audit_key(path)
    path.chmod(0o600)
    secret, public = load_audit_keys([path, tmp_path / "audit.pub"])
    assert isinstance(secret, AuditKey)
    assert isinstance(public, AuditPublicKey)
    assert secret.key_id == public.key_id
    with pytest.raises(KeyMaterialError, match="exists already"):
        new_audit_key(path)
    with pytest.raises(TypeError, match="not pickled"):
        __import__("pickle").dumps(secret)


def test_a_user_without_a_key_gets_one_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    first = own_audit_key(None)
    assert own_audit_key(None).key_id == first.key_id
    assert (tmp_path / "zhijian" / "audit.key").stat().st_mode & 0o777 == 0o600


def test_where_openings_are_recorded(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    results = tmp_path / "results"
    assert audit_place(Settings(results=str(results))).folder.is_relative_to(tmp_path / "state")
    results.mkdir()
    assert audit_place(Settings(results=str(results))).folder == results / "_audit"
    assert audit_place(Settings(audit=tmp_path / "a"), results=results).folder == tmp_path / "a"
    remote = audit_place(Settings(results="s3://bucket/results")).folder
    assert remote.is_relative_to(tmp_path / "state")
    with pytest.raises(InputError, match="no place for the audit log"):
        audit_place(Settings())


def test_no_log_is_an_error_not_a_pass(tmp_path):
    with pytest.raises(AuditError, match="holds no audit log"):
        verify_audit(tmp_path, [KEY])


def test_what_a_person_typed_is_written_without_numbers(place):
    record_opening("c1", at=place, purpose="review", why="客户13800138000来电")
    record_event("hold", at=place, call_id="c1", why="保单号后六位380215")
    found = [record["why"] for record in records(place.folder) if "why" in record]
    assert found == ["客户***********来电", "保单号后六位******"]
