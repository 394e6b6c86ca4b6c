"""Compiled code that kills its process is thrown away; code that works is left alone."""

from __future__ import annotations

from pipeline.night.mend import compiled_code_is_sound, mend_compiled_code

DIES_OF_IT = """
import os, pathlib, signal
if list(pathlib.Path(os.environ["NUMBA_CACHE_DIR"]).rglob("*.nbc")):
    os.kill(os.getpid(), signal.SIGSEGV)
"""


def test_files_that_kill_are_deleted_and_no_others(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    (tmp_path / "core_1").mkdir()
    torn = [tmp_path / "core_1" / name for name in ("audio.f-1.py311.1.nbc", "audio.f-1.py311.nbi")]
    for path in torn:
        path.write_bytes(b"torn")
    other = tmp_path / "core_1" / "audio.py"
    other.write_text("")
    assert not compiled_code_is_sound(DIES_OF_IT)
    assert mend_compiled_code(DIES_OF_IT) == tuple(torn)
    assert other.exists()
    assert compiled_code_is_sound(DIES_OF_IT)


def test_code_that_works_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    kept = tmp_path / "audio.f-1.py311.1.nbc"
    kept.write_bytes(b"sound")
    assert mend_compiled_code("pass") == ()
    assert kept.exists()
