"""Two short calls, stereo and mono, from encrypted files to verdicts with the real weights."""

import csv
import json
import shutil

import pytest
from builders import SAMPLES, zhijian
from rapidfuzz.distance import Levenshtein

from pipeline.mandarin import normalised
from pipeline.results import load
from pipeline.results.store import Store

pytestmark = pytest.mark.model
CALLS = ("in07", "out06")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("night")
    (folder / "recordings").mkdir()
    for call_id in CALLS:
        (path,) = SAMPLES.glob(f"recordings/{call_id}.*")
        shutil.copy(path, folder / "recordings")
    with (SAMPLES / "calls.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["call_id"] in CALLS]
    with (folder / "calls.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    secret = {"ZHIJIAN_IDENTITY_TEXT": (SAMPLES / "keys" / "THROWAWAY-recordings.key").read_text()}
    done = zhijian(
        "score", str(folder / "recordings"), "--calls", str(folder / "calls.csv"),
        "--out", str(folder / "results"), "--workers", "1", env=secret, timeout_s=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder / "results"


@pytest.fixture(scope="module")
def truth():
    return json.loads((SAMPLES / "truth.json").read_text(encoding="utf-8"))["calls"]


@pytest.mark.parametrize("call_id", CALLS)
def test_both_speakers_are_heard_in_their_roles(results, truth, call_id):
    columns = ["role", "start_s", "text"]  # words as they were said: `load` masks numbers
    turns = Store.open(results).read("turns", columns=columns, call_ids=[call_id]).to_pandas()
    for role in ("agent", "customer"):
        said = normalised("".join(t["text"] for t in truth[call_id]["turns"] if t["role"] == role))
        heard = normalised("".join(turns[turns.role == role].sort_values("start_s").text))
        assert Levenshtein.normalized_distance(said, heard) < 0.5, role


@pytest.mark.parametrize("call_id", CALLS)
def test_most_verdicts_are_those_of_the_truth_and_carry_evidence(results, truth, call_id):
    verdicts = load("verdicts", results, call_ids=[call_id])
    expected = {rule: v["verdict"] for rule, v in truth[call_id]["verdicts"].items()}
    right = sum(row.verdict == expected[row.rule_id] for row in verdicts.itertuples())
    assert right / len(verdicts) >= 0.8
    assert verdicts.reason.str.len().gt(0).all()
    settled = verdicts[verdicts.verdict.isin(["pass", "fail"])]
    assert settled.evidence.map(len).gt(0).sum() >= 3


def test_the_score_says_what_made_it(results):
    for row in load("scores", results).itertuples():
        assert row.asr_model == "whisper-base"
        assert 0 <= row.score <= 100
        assert len(row.receipt) == len(row.rulebook_hash) == 64
