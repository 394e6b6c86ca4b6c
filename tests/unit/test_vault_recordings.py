"""Listing, reading and encrypting recordings."""

import hashlib
import os
import uuid

import pytest

from pipeline.errors import InputError, RecordingError, RecordingMissingError, StorageError
from pipeline.vault.envelope import decrypt
from pipeline.vault.keys import load_identity, new_pair
from pipeline.vault.recordings import RecordingRef, encrypt_files, list_recordings, read_recording


@pytest.fixture
def pair(tmp_path):
    return new_pair(tmp_path / "keys")


def put(folder, *names, data=b"x"):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(data)
    return folder


def test_listing_tells_recordings_from_other_files(tmp_path):
    folder = put(
        tmp_path / "night",
        *("b.wav.age", "a.FLAC.AGE", "c.age", "d.wav.enc", "客户1.mp3.age"),
        *("calls.csv", "truth.json", "README", ".e.wav.age.1.part", "recordings.pub"),
    )
    (folder / "sub.wav.age").mkdir()
    found = list_recordings(folder)
    assert [ref.call_id for ref in found.refs] == ["a", "b", "c", "d", "客户1"]
    assert [ref.audio_extension for ref in found.refs] == ["flac", "wav", None, "wav", "mp3"]
    assert found.problems == ()
    assert found.ignored == (".e.wav.age.1.part", "README", "calls.csv", "recordings.pub", "truth.json")


def test_listing_reports_what_cannot_be_a_recording(tmp_path):
    folder = put(
        tmp_path, "a.wav.age", "a.mp3.age", "b.wav", "c\n.wav.age", "x" * 129 + ".wav.age", "ok.wav.age"
    )
    found = list_recordings(folder)
    assert [ref.call_id for ref in found.refs] == ["ok"]
    assert len(found.problems) == 5
    by_call = {}
    for problem in found.problems:
        by_call.setdefault(problem.call_id, []).append(str(problem.error))
    assert len(by_call["a"]) == 2
    assert "other recordings beside this one (a.wav.age)" in by_call["a"][0] + by_call["a"][1]
    assert "is not encrypted" in by_call["b"][0]
    assert sorted("control" in text for text in by_call[None]) == [False, True]
    assert all("\n" not in str(problem.error) for problem in found.problems)


def test_names_that_are_no_utf8_are_problems(tmp_path):
    try:
        (tmp_path / os.fsdecode(b"\xb2\xe2.wav.age")).write_bytes(b"")
    except OSError:  # this file system takes only UTF-8 names, so the problem cannot arise on it
        return
    found = list_recordings(tmp_path)
    assert found.refs == ()
    str(found.problems[0].error).encode("utf-8")


def test_stamp_changes_with_the_file(tmp_path):
    put(tmp_path, "a.wav.age")
    before = list_recordings(tmp_path).refs[0]
    assert list_recordings(tmp_path).refs[0] == before
    os.utime(tmp_path / "a.wav.age", ns=(1, 1))
    assert list_recordings(tmp_path).refs[0].stamp != before.stamp


def test_missing_folder_and_file_instead_of_folder(tmp_path):
    with pytest.raises(InputError, match="no such folder of recordings"):
        list_recordings(tmp_path / "none")
    put(tmp_path, "file")
    with pytest.raises(InputError, match="expected a folder"):
        list_recordings(tmp_path / "file")
    with pytest.raises(InputError, match="not available"):
        list_recordings("nosuch://bucket/night")


def test_recordings_behind_a_uri():
    import fsspec

    root = f"memory://night-{uuid.uuid4().hex}"
    filesystem = fsspec.filesystem("memory")
    filesystem.pipe(f"{root}/c1.wav.age", b"cipher")
    filesystem.pipe(f"{root}/deeper/c2.wav.age", b"cipher")
    found = list_recordings(root)
    assert [(ref.call_id, ref.size_bytes) for ref in found.refs] == [("c1", 6)]
    assert found.refs[0].uri.startswith("memory://")
    assert read_recording(found.refs[0]).data == b"cipher"
    filesystem.pipe(f"{root}/c1.wav.age", b"cipher, changed")
    assert list_recordings(root).refs[0] != found.refs[0]
    with pytest.raises(InputError, match="no such folder"):
        list_recordings(root + "/none")
    with pytest.raises(RecordingMissingError):
        read_recording(RecordingRef("c9", root + "/c9.wav.age", 1, ""))


def test_reading(tmp_path):
    put(tmp_path, "a.wav.age", data=b"cipher")
    ref = list_recordings(tmp_path).refs[0]
    read = read_recording(ref)
    assert (read.data, read.sha256) == (b"cipher", hashlib.sha256(b"cipher").hexdigest())
    assert "cipher" not in repr(read)
    with pytest.raises(RecordingError, match="larger than 5 bytes"):
        read_recording(ref, max_bytes=5)
    (tmp_path / "a.wav.age").unlink()
    with pytest.raises(RecordingMissingError, match="has gone"):
        read_recording(ref)


def test_encrypting(tmp_path, pair):
    source = put(tmp_path / "plain", "c1.wav", "c2.second.WAV", data=b"RIFF audio")
    out = tmp_path / "out"
    made = list(encrypt_files([source / "c1.wav", source / "c2.second.WAV"], [pair.recipient], out))
    assert [file.target.name for file in made] == ["c1.wav.age", "c2.wav.age"]
    assert sorted(path.name for path in out.iterdir()) == ["c1.wav.age", "c2.wav.age"]
    found = list_recordings(out)
    for ref, file in zip(found.refs, made, strict=True):
        read = read_recording(ref)
        assert read.sha256 == file.sha256
        assert decrypt(read.data, load_identity(pair.identity_path)) == b"RIFF audio"
        assert b"RIFF" not in read.data


def test_encrypting_tells_all_problems_and_writes_nothing(tmp_path, pair):
    source = put(tmp_path / "plain", "c1.wav", "c1.mp3", "c2.wav", "noextension", "c3.wav.age", ".hidden.wav")
    out = put(tmp_path / "out", "c2.flac.age")
    with pytest.raises(InputError) as caught:
        list(encrypt_files([*sorted(source.iterdir()), source / "gone.wav", tmp_path], [pair.recipient], out))
    lines = str(caught.value).splitlines()
    assert len(lines) == 7
    for part in (
        "c1.wav: call c1 is also",
        "c2.flac.age: exists already",
        "noextension: expected",
        "c3.wav.age: expected",
        ".hidden.wav: call_id is empty",
        "gone.wav: no such file",
        "is a folder",
    ):
        assert sum(part in line for line in lines) == 1, part
    assert [path.name for path in out.iterdir()] == ["c2.flac.age"]


def test_encrypting_where_nothing_can_be_written(tmp_path, pair, monkeypatch):
    source = put(tmp_path / "plain", "c1.wav") / "c1.wav"
    with pytest.raises(InputError, match="is a file"):
        list(encrypt_files([source], [pair.recipient], source))
    with pytest.raises(InputError, match="no recordings given"):
        list(encrypt_files([], [pair.recipient], tmp_path))

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        list(encrypt_files([source], [pair.recipient], tmp_path / "out"))
    assert list((tmp_path / "out").iterdir()) == []
