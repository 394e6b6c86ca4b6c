"""A worker's memory is its own, however large the process was that started it."""

import subprocess
import sys
from pathlib import Path

import pytest

CHILD = """
import subprocess, sys
ballast = b"x" * 400_000_000
told = "from pipeline.night.worker import peak_memory_mb; print(peak_memory_mb())"
print(subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True).stdout)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="2026-11-23: only Linux tells it apart")
def test_peak_memory_is_not_that_of_the_parent():
    told = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, check=True).stdout
    assert 5 < float(told) < 250
