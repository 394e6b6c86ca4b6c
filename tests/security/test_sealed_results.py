"""Without the transcript key no word can be read anywhere under RESULTS; with it, everything works."""

from __future__ import annotations

import json
import os
import shutil

import pandas as pd
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from builders import NightFolder, zhijian

from pipeline.errors import AccessRefusedError
from pipeline.results import load
from pipeline.results.schemas import TABLES
from pipeline.results.store import Store
from pipeline.results.stored import stored_hearing
from pipeline.vault.providers import new_secret

WORDS = "云雀在第七朵蒲公英上"
NUMBER = "一三八零零幺三八零零零"


@pytest.fixture(scope="module")
def sealed_night(tmp_path_factory):
    """A night with sealed words, scored once."""
    from pipeline.vault.keys import new_pair

    root = tmp_path_factory.mktemp("sealed")
    new_pair(root / "keys")
    night = NightFolder(root)
    night.recordings.mkdir()
    night.add_call("a")
    turns = [{"start_s": 1.0, "end_s": 5.0, "text": "您好，我手机" + NUMBER + WORDS}]
    script = root / "script.json"
    script.write_text(json.dumps({"calls": [{"duration_s": 12.0, "turns": turns}]}, ensure_ascii=False))
    new_secret(root / "transcript.key")
    env = {"ZHIJIAN_TRANSCRIPT_KEY": f"file:{root / 'transcript.key'}", "XDG_STATE_HOME": str(root / "state")}
    done = night.score(model=f"fake:{script}", env=env)
    assert done.returncode == 0, done.stderr
    return night


@pytest.fixture
def sealed(sealed_night, tmp_path, monkeypatch):
    """A copy of that night; its key is in the environment of the test."""
    shutil.copytree(sealed_night.root, tmp_path / "night")
    monkeypatch.setenv("ZHIJIAN_TRANSCRIPT_KEY", f"file:{tmp_path / 'night' / 'transcript.key'}")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "night" / "state"))
    return NightFolder(tmp_path / "night")


def test_no_word_stands_under_the_results(sealed):
    script_words = [WORDS.encode(form) for form in ("utf-8", "utf-16-le", "gb18030")]
    for path in sealed.results.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not any(word in content for word in script_words), path
    for path in sealed.results.rglob("*.parquet"):  # compressed pages, as anybody can read them
        table = TABLES[path.relative_to(sealed.results).parts[0]]
        names = [column.name for column in table if column.access == "open"]
        shown = json.dumps(pq.read_table(path, columns=names, partitioning=None).to_pylist(), default=str)
        assert WORDS not in shown.encode().decode("unicode_escape")
        for column in table:
            if column.access != "open":
                with pytest.raises(OSError, match="decrypt"):
                    ds.dataset(path, format="parquet").to_table(columns=[column.name])


def test_every_other_column_is_read_without_the_key(sealed, monkeypatch):
    (path,) = sealed.results.glob("turns/*/*.parquet")
    frame = pd.read_parquet(path, columns=["call_id", "role", "start_s"], partitioning=None)
    assert set(frame.role) <= {"agent", "customer"}
    monkeypatch.delenv("ZHIJIAN_TRANSCRIPT_KEY")
    assert list(load("scores", sealed.results).call_id) == ["a"]
    turns = load("turns", sealed.results)
    assert list(turns.start_s) == [1.0]
    assert set(turns.attrs["withheld"]) >= {"text", "raw", "words"}
    verdicts = load("verdicts", sealed.results, columns=["rule_id", "verdict"])
    assert len(verdicts) > 10
    with pytest.raises(AccessRefusedError, match="no transcript key is set"):
        load("turns", sealed.results, columns=["text"])


def test_with_the_key_everything_works(sealed):
    assert "".join(load("turns", sealed.results).text).count(WORDS) == 1
    hearing, call = stored_hearing(Store.open(sealed.results), "a")
    assert call.call_id == "a"
    assert len(hearing.turns) == 1
    env = {"ZHIJIAN_TRANSCRIPT_KEY": os.environ["ZHIJIAN_TRANSCRIPT_KEY"]}
    done = zhijian("rules", "preview", "lexicons", "--results", str(sealed.results), env=env)
    assert done.returncode == 0, done.stderr


def test_another_key_opens_nothing_and_damages_nothing(sealed, tmp_path, monkeypatch):
    from pipeline.results.parquet import is_whole

    new_secret(tmp_path / "other.key")
    monkeypatch.setenv("ZHIJIAN_TRANSCRIPT_KEY", f"file:{tmp_path / 'other.key'}")
    with pytest.raises(AccessRefusedError, match="the transcript key is another one"):
        load("turns", sealed.results, columns=["text"])
    assert list(load("scores", sealed.results).call_id) == ["a"]
    paths = list(sealed.results.rglob("*.parquet"))
    assert len(paths) >= 5
    assert all(is_whole(str(path), None) for path in paths)
    monkeypatch.delenv("ZHIJIAN_TRANSCRIPT_KEY")
    assert all(is_whole(str(path), None) for path in paths)


def test_a_changed_key_still_opens_what_the_old_one_sealed(sealed, tmp_path, monkeypatch):
    new_secret(tmp_path / "new.key")
    old = os.environ["ZHIJIAN_TRANSCRIPT_KEY"]
    monkeypatch.setenv("ZHIJIAN_TRANSCRIPT_KEY", f"file:{tmp_path / 'new.key'},{old}")
    assert WORDS in "".join(load("turns", sealed.results).text)


def test_a_damaged_sealed_file_is_told_from_a_missing_key(sealed):
    from pipeline.results.parquet import is_whole

    (path,) = sealed.results.glob("turns/*/*.parquet")
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(bytes(content))
    assert not is_whole(str(path), None)


def audit_events(results) -> list[tuple]:
    paths = sorted((results / "_audit").glob("audit-*.jsonl"))
    records = [json.loads(line) for path in paths for line in path.read_text(encoding="utf-8").splitlines()]
    calls = [r.get("call_id") or r.get("call_ids") for r in records]
    return [(r["event"], r.get("purpose"), r.get("what"), c) for r, c in zip(records, calls, strict=True)]


def test_show_masks_records_and_says_what_is_sealed(sealed, tmp_path):
    env = {name: os.environ[name] for name in ("ZHIJIAN_TRANSCRIPT_KEY", "XDG_STATE_HOME")}
    keyless = {"XDG_STATE_HOME": env["XDG_STATE_HOME"]}
    show = ("show", "a", "--results", str(sealed.results))
    shown = zhijian(
        "show", "a", "--results", str(sealed.results), "--by", "韩梅梅", "--reason", "spot check", env=env
    )
    assert shown.returncode == 0, shown.stderr
    assert WORDS in shown.stdout
    assert NUMBER not in shown.stdout
    assert "我手机" + "*" * 11 in shown.stdout
    assert audit_events(sealed.results)[-1] == ("open", "show", "transcript", "a")

    without = zhijian("show", "a", "--results", str(sealed.results), env=keyless)
    assert without.returncode == 0, without.stderr
    assert WORDS not in without.stdout + without.stderr
    assert "文字已加密" in without.stdout
    assert "no transcript key is set" in without.stderr
    assert audit_events(sealed.results)[-1][0] == "refused"
    table = zhijian("show", "--results", str(sealed.results), env=keyless)
    assert table.returncode == 0, table.stderr

    refused = zhijian(*show, "--unmasked", env=env)
    assert refused.returncode == 1
    assert "need the dispute key" in refused.stderr
    assert audit_events(sealed.results)[-1] == ("refused", "show", "unmasked transcript", "a")
    new_secret(tmp_path / "dispute.key")
    env["ZHIJIAN_DISPUTE_KEY"] = f"file:{tmp_path / 'dispute.key'}"
    lifted = zhijian(*show, "--unmasked", "--json", env=env)
    assert NUMBER in lifted.stdout
    assert audit_events(sealed.results)[-1] == ("open", "show", "unmasked transcript", "a")


def test_a_key_that_others_can_read_stops_the_night(night_folder, tmp_path):
    new_secret(tmp_path / "transcript.key")
    (tmp_path / "transcript.key").chmod(0o644)
    night_folder.add_call("a")
    done = night_folder.score(env={"ZHIJIAN_TRANSCRIPT_KEY": f"file:{tmp_path / 'transcript.key'}"})
    assert done.returncode == 1
    assert "mode 0644" in done.stderr
