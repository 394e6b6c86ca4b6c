"""A supervised command leaves no process behind, whatever it does when it is told to end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from builders import ROOT

STUBBORN = """
import pathlib, signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
deaf = "import signal, time; signal.signal(2, signal.SIG_IGN); time.sleep(300)"
child = subprocess.Popen([sys.executable, "-c", deaf])
pathlib.Path(sys.argv[1]).write_text(str(child.pid))
time.sleep(300)
"""
PARENT = """
import os, sys
from pipeline.night.supervise import supervised
sys.exit(supervised([sys.executable, "-c", sys.argv[1], sys.argv[2]], os.environ, grace_s=0.3))
"""


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stubborn_command_and_its_children_are_ended(tmp_path, number):
    note = tmp_path / "pid"
    parent = subprocess.Popen([sys.executable, "-c", PARENT, STUBBORN, str(note)], cwd=ROOT, env=os.environ)
    while not (note.exists() and note.read_text()):
        assert parent.poll() is None
        time.sleep(0.02)
    grandchild = int(note.read_text())
    assert not gone(grandchild)
    parent.send_signal(number)
    assert parent.wait(timeout=60) == 0
    deadline = time.monotonic() + 60
    while not gone(grandchild):
        assert time.monotonic() < deadline
        time.sleep(0.02)
