"""What is written of the audio's opinion is what its data give, on dialogues it was not fitted to."""

from itertools import pairwise

import pytest

from pipeline.judging.rulebook import load_rulebook
from tests.calibration import acoustic, words

ROWS = acoustic.read_rows()
MODEL = load_rulebook(None).lexicon.acoustic


def test_lexicon_and_document_are_current():
    assert acoustic.main(["--check"]) == 0


def test_no_call_is_in_both_halves():
    halves = [{row.call for row in ROWS if row.part == part} for part in ("dev", "heldout")]
    assert all(halves)
    assert halves[0].isdisjoint(halves[1])


@pytest.mark.parametrize("part", ["dev", "heldout"])
def test_hardly_anything_that_was_not_said_is_called_present(part):
    own = [row for row in ROWS if row.part == part]
    present = [row.said for row in own if MODEL.opinion(row.answer(), row.sure) == "present"]
    assert len(present) >= 10
    # 3 %, or one where there are fewer than 34
    assert len(present) - sum(present) <= max(1, 0.03 * len(present))


def test_it_tells_more_than_sound_alone():
    held = [row for row in ROWS if row.part == "heldout"]
    alone = acoustic.auc([(row.alike, row.said) for row in held])
    assert acoustic.auc([(MODEL.probability(row.answer(), row.sure), row.said) for row in held]) > alone


def test_surer_words_are_right_more_often():
    counts = words.empty()
    words.counted([(0.95, True), (0.95, True), (0.15, False), (1.0, True)], counts)
    assert counts[19] == [3, 3]
    assert counts[3] == [1, 0]


def test_the_reliability_table_is_current_and_rises():
    assert words.main(["--check"]) == 0
    for rows in words.json.loads(words.COUNTS.read_text(encoding="utf-8")).values():
        parts = rows[:14], rows[14:18], rows[18:]  # below 0.7, to 0.9, above
        shares = [sum(right for _, right in part) / sum(every for every, _ in part) for part in parts]
        assert all(after > before + 0.05 for before, after in pairwise(shares))
