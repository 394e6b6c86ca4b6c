"""Results that the notebooks are run on: the sample calls as judged, and the generated month."""

import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from builders import ROOT, SAMPLES, zhijian

NOTEBOOKS = ROOT / "notebooks"


def month_module():
    if "make_month" not in sys.modules:
        spec = importlib.util.spec_from_file_location("make_month", NOTEBOOKS / "make_month.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules["make_month"] = module
        spec.loader.exec_module(module)
    return sys.modules["make_month"]


@pytest.fixture(scope="session")
def small_results(tmp_path_factory) -> Path:
    """The fourteen sample calls, judged from their true turns."""
    return _judged(tmp_path_factory.mktemp("small"), {})


@pytest.fixture(scope="session")
def sealed_results(tmp_path_factory) -> Path:
    """The same, with what was said encrypted under a key that nobody has any more."""
    from pipeline.vault.providers import new_secret

    folder = tmp_path_factory.mktemp("sealed")
    new_secret(folder / "key")
    results = _judged(folder, {"ZHIJIAN_TRANSCRIPT_KEY": f"file:{folder / 'key'}"})
    (folder / "key").unlink()
    return results


def _judged(folder: Path, env: dict[str, str]) -> Path:
    truth = json.loads((SAMPLES / "truth.json").read_text(encoding="utf-8"))
    lines = [
        json.dumps({"call_id": call_id, **{n: turn[n] for n in ("role", "start_s", "end_s", "text")}})
        for call_id, call in truth["calls"].items()
        for turn in call["turns"]
    ]
    (folder / "turns.jsonl").write_text("\n".join(lines), encoding="utf-8")
    done = zhijian(
        "judge", str(folder / "turns.jsonl"), "--calls", str(SAMPLES / "calls.csv"), "--out",
        str(folder / "results"), env=env,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder / "results"


@pytest.fixture(scope="session")
def month_results() -> Path:
    """20,000 generated calls, made once for each state of their generator and kept between runs."""
    from pipeline.judging.rulebook import load_rulebook

    digest = hashlib.sha256(load_rulebook().hash.encode())
    for path in (NOTEBOOKS / "make_month.py", NOTEBOOKS / "month.toml", *_writers()):
        digest.update(path.read_bytes())
    base = Path(tempfile.gettempdir()) / f"zhijian-tests-{os.getuid()}"
    base.mkdir(mode=0o700, exist_ok=True)
    assert base.stat().st_uid == os.getuid(), f"{base} belongs to somebody else"
    kept = base / f"month-{digest.hexdigest()[:16]}"
    with (base / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            for old in base.glob("month-*"):
                shutil.rmtree(old)
            draft = base / "draft"
            shutil.rmtree(draft, ignore_errors=True)
            month_module().make_month(draft)
            draft.rename(kept)
    return kept


def _writers() -> list[Path]:
    """Code whose change makes a kept month out of date."""
    results = ROOT / "pipeline" / "results"
    return [
        *sorted((ROOT / "pipeline" / "disputes").glob("*.py")),
        results / "schemas.py",
        results / "rows.py",
    ]
