"""Calls made by ``data_samples/make_samples.py``: their sound and their truth.

Table of contents: `generated_calls`.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.hearing.truth import TrueCall, TrueFiller, TrueInterruption, TrueTurn
from pipeline.callrecords import read_call_records
from pipeline.hearing.audio import Recording, decode
from pipeline.records import CallRecord
from pipeline.vault.envelope import decrypt
from pipeline.vault.keys import IDENTITY_ENVIRONMENT, Identity, identity_from_environment

_THROWAWAY = Path("keys") / "THROWAWAY-recordings.key"


def generated_calls(folder: Path) -> list[TrueCall]:
    """All calls of a folder with ``truth.json`` and ``calls.csv``.

    Parameters
    ----------
    folder : Path
        Plain audio beside the two files (``make_samples.py --plain``), or encrypted audio in
        ``recordings/`` with the throwaway key in ``keys/``.

    Raises
    ------
    FileNotFoundError
        The folder holds no truth.
    """
    truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))["calls"]
    records = {record.call_id: record for record in read_call_records(folder / "calls.csv").records}
    return [_call(folder, records[call_id], one) for call_id, one in truth.items() if call_id in records]


def _call(folder: Path, record: CallRecord, truth: dict[str, Any]) -> TrueCall:
    turns = tuple(
        TrueTurn(
            role=turn["role"],
            voice=f"{turn['role']}:{turn['speaker']}",
            start_s=turn["start_s"],
            end_s=turn["end_s"],
            text=turn["text"],
            pieces=tuple((a, b) for a, b, _ in turn["pieces"]),
            backchannel=turn["kind"] == "backchannel",
        )
        for turn in truth["turns"]
    )
    return TrueCall(
        id=record.call_id,
        call=record,
        audio=partial(_recording, folder, record.call_id, truth["file"]),
        duration_s=truth["duration_s"],
        layout=truth["layout"],
        agent_channel=truth["agent_channel"],
        turns=turns,
        fillers=tuple(TrueFiller(f["role"], f["start_s"], f["end_s"]) for f in truth["fillers"]),
        interruptions=tuple(
            TrueInterruption(o["by"], o["start_s"], o["end_s"])
            for o in truth["overlaps"]
            if o["kind"] == "interruption"
        ),
        rate_per_min=truth["measures"]["speech_rate"],
    )


def _recording(folder: Path, call_id: str, name: str) -> Recording:
    plain = folder / name
    if plain.is_file():
        return decode(plain.read_bytes(), extension=plain.suffix.lstrip("."))
    (sealed,) = (folder / "recordings").glob(f"{call_id}.*")
    extension = sealed.name.split(".", 1)[1].rsplit(".", 1)[0]
    return decode(decrypt(sealed.read_bytes(), _identity(folder)), extension=extension)


def _identity(folder: Path) -> Identity:
    text = (folder / _THROWAWAY).read_text(encoding="utf-8")
    identity = identity_from_environment({IDENTITY_ENVIRONMENT: text})
    if identity is None:
        raise FileNotFoundError(f"{folder / _THROWAWAY}: no key in it; the recordings cannot be opened")
    return identity
