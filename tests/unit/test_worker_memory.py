"""Workers keep the memory that models ask for again and again, unless somebody has decided otherwise."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.night.memory import keep_memory

LARGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage")

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


# Takes 80 MB as loading does and touches a byte of every 2 MB; prints how much of it the process has.
_SPARSE = """
import ctypes, sys
from pipeline.night.memory import holes_given_back
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
before = resident()
with holes_given_back():
    place = libc.malloc(80_000_000)
    for at in range(0, 80_000_000, 2_000_000):
        ctypes.memset(place + at, 1, 1)
print(resident() - before)
flags, inside = "", False
for line in open("/proc/self/smaps"):
    if "-" in line.split()[0]:
        first, last = (int(end, 16) for end in line.split()[0].split("-"))
        inside = first <= place < last
    elif inside and line.startswith("VmFlags:"):
        flags = line
print("nh" in flags.split())
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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="2026-11-23: only glibc has tunables")
@pytest.mark.skipif(not LARGE_PAGES.is_dir(), reason="2026-11-23: a kernel without large pages")
def test_what_loading_does_not_touch_takes_no_memory(monkeypatch):
    monkeypatch.setenv("GLIBC_TUNABLES", "")
    monkeypatch.delenv("GLIBC_TUNABLES")
    keep_memory()
    done = subprocess.run([sys.executable, "-c", _SPARSE], capture_output=True, text=True, check=True)
    taken, stays_small = done.stdout.split()
    assert int(taken) < 10_000_000
    assert stays_small == "True"


@pytest.mark.parametrize("chosen", ["", "glibc.malloc.tcache_count=1"])
def test_what_somebody_has_set_stays(monkeypatch, chosen):
    monkeypatch.setenv("GLIBC_TUNABLES", chosen)
    keep_memory()
    assert os.environ["GLIBC_TUNABLES"] == chosen
