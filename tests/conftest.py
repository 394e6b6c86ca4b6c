"""Fixtures that every folder of tests may use."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import NightFolder


@pytest.fixture
def night_folder(tmp_path: Path) -> NightFolder:
    """An empty night with a key pair of its own."""
    from pipeline.vault.keys import new_pair

    new_pair(tmp_path / "keys")
    folder = NightFolder(tmp_path)
    folder.recordings.mkdir()
    return folder
