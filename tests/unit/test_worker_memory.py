"""Workers keep the memory that models ask for again and again, unless somebody has decided otherwise."""

import os
import platform
import subprocess
import sys

import pytest

from pipeline.night.memory import keep_memory

# Takes 80 MB twice; prints how many pages the system had to supply for the second time.
_TWICE = """
import ctypes, resource
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = libc.memset.argtypes = None
for _ in range(2):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    place = ctypes.c_void_p(libc.malloc(80_000_000))
    libc.memset(place, ctypes.c_int(1), ctypes.c_size_t(80_000_000))
    libc.free(place)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


# Takes 80 MB and gives them back, while loading and later; prints how much of it the process still has.
_LOADING = """
import ctypes
from pipeline.night.memory import holes_given_back
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = libc.memset.argtypes = None
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
def held():
    before = resident()
    place = ctypes.c_void_p(libc.malloc(80_000_000))
    libc.memset(place, ctypes.c_int(1), ctypes.c_size_t(80_000_000))
    libc.free(place)
    return resident() - before
with holes_given_back():
    print(held())
print(held())
"""


def pages_for_the_second_time():
    done = subprocess.run([sys.executable, "-c", _TWICE], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="2026-11-23: only glibc has tunables")
def test_processes_started_later_do_not_fetch_freed_memory_again(monkeypatch):
    monkeypatch.setenv("GLIBC_TUNABLES", "")  # so that it is put back as it was
    monkeypatch.delenv("GLIBC_TUNABLES")
    given_back = pages_for_the_second_time()
    keep_memory()
    kept = pages_for_the_second_time()
    assert given_back > 10_000
    assert kept < 100


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="2026-11-23: only glibc has tunables")
def test_what_loading_frees_goes_back_and_later_memory_is_kept(monkeypatch):
    monkeypatch.setenv("GLIBC_TUNABLES", "")
    monkeypatch.delenv("GLIBC_TUNABLES")
    keep_memory()
    done = subprocess.run([sys.executable, "-c", _LOADING], capture_output=True, text=True, check=True)
    loading, later = (int(line) for line in done.stdout.split())
    assert loading < 10_000_000
    assert later > 70_000_000


@pytest.mark.parametrize("chosen", ["", "glibc.malloc.tcache_count=1"])
def test_what_somebody_has_set_stays(monkeypatch, chosen):
    monkeypatch.setenv("GLIBC_TUNABLES", chosen)
    keep_memory()
    assert os.environ["GLIBC_TUNABLES"] == chosen
