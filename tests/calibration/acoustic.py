"""Fit what the audio's own opinion on a phrase is worth, and publish how reliable it is.

``python -m tests.calibration.acoustic collect PART AUDIO OUT.jsonl`` hears the agent of every call of a
folder that ``data_samples/make_samples.py --plain`` filled (see `tests.accuracy.speak` and
`tests.calibration.phrase_calls` for what is spoken there), asks the audio as a scored call is asked, and
labels every answer by the true words: the phrase set was said at that time and the spelling sounds like it,
or neither; anything between is left out.

``python -m tests.calibration.acoustic`` fits a logistic model on the rows of part ``dev``, chooses the limits
there, measures both on ``heldout``, and rewrites ``lexicons/acoustic.toml`` and a table of
``docs/accuracy.md``. With ``--check`` it writes nothing and exits 1 when that would change a file.

Table of contents: `Row`, `collect`, `agent_heard`, `fit`, `choose`, `main`.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.document import with_section
from pipeline.hearing.lexicon import HearingLexicon
from pipeline.judging.acoustic import AcousticModel
from pipeline.judging.case import Case
from pipeline.judging.lexicon import Lexicon
from pipeline.judging.places import Window
from pipeline.judging.rulebook import load_rulebook
from pipeline.ports import Samples
from pipeline.records import CallRecord, Hearing, PhraseEvidence, Turn, Word

HERE = Path(__file__).parent
ROWS = HERE / "acoustic.jsonl"
LEXICON = HERE.parents[1] / "lexicons" / "acoustic.toml"
DOCUMENT = HERE.parents[1] / "docs" / "accuracy.md"
RIDGE = 0.05  # weight decay, in units of one observation
NEAR_S = 0.3
SOUNDS_SAME, SOUNDS_OTHER = 85.0, 85.0


@dataclass(frozen=True, slots=True)
class Row:
    """One answer of the audio, whether the phrase was said, and what the words alone decide there.

    ``words`` is ``hit``, ``unsure`` or ``none``, and ``sure`` the confidence of that.
    """

    part: str
    call: str
    phrase: str
    spelling: str
    c_rel: float
    logprob: float
    alike: float
    said: bool
    words: str
    sure: float

    def answer(self) -> PhraseEvidence:
        """Return it as judging sees it."""
        return PhraseEvidence(
            self.phrase, "agent", 0.0, 1.0, self.spelling, self.c_rel, self.logprob, self.alike
        )


# ---- collecting ---------------------------------------------------------------------------------
def true_case(truth: dict[str, Any], call: CallRecord, lexicon: Lexicon) -> Case:
    """The call as it was spoken; guards against denials are off, since the question is about sound."""
    open_ = replace(
        lexicon, phrases={name: replace(phrase, guard=()) for name, phrase in lexicon.phrases.items()}
    )
    turns = []
    for turn in truth["turns"]:
        words = tuple(Word(f"{text}，", start, end) for start, end, text in turn["pieces"])
        if words:
            text = "".join(word.text for word in words)
            turns.append(Turn(turn["role"], turn["start_s"], turn["end_s"], text, words=words))
    turns.sort(key=lambda turn: turn.start_s)
    return Case(Hearing("", truth["duration_s"], "stereo", tuple(turns)), call, open_)


def said(case: Case, answer: PhraseEvidence) -> bool | None:
    """Whether a phrase was said where it was asked about; None where it cannot be told."""
    from pypinyin import lazy_pinyin
    from rapidfuzz import fuzz

    own = case.turns_by_role[answer.role]
    words = [
        word.text
        for turn in own
        for word in case.turns[turn].words
        if word.start_s < answer.end_s + NEAR_S and answer.start_s - NEAR_S < word.end_s
    ]
    marks = case.marks(answer.phrase, Window(own)) if own else []
    there = any(
        mark.is_sure and mark.hit.start_s < answer.end_s + NEAR_S and answer.start_s - NEAR_S < mark.hit.end_s
        for mark in marks
    )
    codes: dict[str, str] = {}
    sounds = [
        "".join(codes.setdefault(each, chr(0x4E00 + len(codes))) for each in lazy_pinyin(text))
        for text in (answer.spelling, "".join(words).replace("，", ""))
    ]
    alike = fuzz.partial_ratio(*sounds) if all(sounds) else 0.0
    if there:
        return True if alike >= SOUNDS_SAME else None
    return False if alike < SOUNDS_OTHER else None


def collect(part: str, folder: Path, out: Path) -> None:
    """Hear the agents of a folder's calls and append a row for every answer.

    The customer's words are the true ones: nobody asks the audio about them, and it halves the time.
    """
    from pipeline.callrecords import read_call_records
    from pipeline.hearing.answers import phrase_evidence
    from pipeline.hearing.lexicon import load_lexicon
    from pipeline.judging.questions import questions
    from tests.accuracy.recognise import whisper_base

    recognizer, lexicon, words = whisper_base(), load_lexicon(), load_rulebook(None).lexicon
    calls = {call.call_id: call for call in read_call_records(folder / "calls.csv").records}
    truths = json.loads((folder / "truth.json").read_text(encoding="utf-8"))["calls"]
    for call_id, truth in truths.items():
        call = calls[call_id]
        audio = (folder / truth["file"]).read_bytes()
        samples, turns = agent_heard(audio, truth, call, recognizer, lexicon)
        asked = [one for one in questions(turns, call, words) if one.role == "agent"]
        answers = phrase_evidence(asked, {"agent": samples}, recognizer)
        heard = Hearing("", truth["duration_s"], "stereo", turns, phrases=answers)
        rows = labelled(part, call_id, truth, call, heard, words)
        with out.open("a", encoding="utf-8") as handle:
            handle.writelines(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in rows)


def agent_heard(
    audio: bytes, truth: dict[str, Any], call: CallRecord, recognizer: Any, lexicon: HearingLexicon
) -> tuple[Samples, tuple[Turn, ...]]:
    """Return the agent's channel, and the turns: the agent's as heard, the customer's as spoken."""
    import numpy as np

    from pipeline.hearing import hear
    from pipeline.hearing.activity import activity
    from pipeline.hearing.audio import decode, to_16k
    from pipeline.hearing.repair import repaired
    from pipeline.hearing.turns import turns_of

    own = hear._with_names(lexicon, call)
    samples = np.ascontiguousarray(to_16k(decode(audio, extension="wav"))[truth["agent_channel"]])
    spans = activity(samples).spans
    words = hear._recognised(samples, spans, recognizer, own)
    heard = turns_of({"agent": tuple(words)}, {"agent": spans}, limits=own.conversation.turns)
    turns = [repaired(turn, own.repair) for turn in heard]
    turns += [
        Turn("customer", turn["start_s"], turn["end_s"], turn["text"], confidence=1.0)
        for turn in truth["turns"]
        if turn["role"] == "customer" and turn["pieces"]
    ]
    return samples, tuple(sorted(turns, key=lambda turn: (turn.start_s, turn.end_s)))


def labelled(
    part: str, call_id: str, truth: dict[str, Any], call: CallRecord, heard: Hearing, lexicon: Lexicon
) -> list[Row]:
    """Rows of one heard call."""
    case = true_case(truth, call, lexicon)
    alone = Case(replace(heard, phrases=()), call, lexicon)
    rows = []
    for one in heard.phrases:
        label = said(case, one)
        if label is not None:
            rows.append(
                Row(
                    part,
                    call_id,
                    one.phrase,
                    one.spelling,
                    one.c_rel,
                    one.logprob,
                    one.alike,
                    label,
                    *by_words(alone, one),
                )
            )
    return rows


def by_words(case: Case, answer: PhraseEvidence) -> tuple[str, float]:
    """What judging makes of a place without its answer, and how sure it is."""
    marks = [
        mark
        for mark in case.marks(answer.phrase, Window(case.turns_by_role[answer.role]))
        if mark.hit.start_s < answer.end_s and answer.start_s < mark.hit.end_s
    ]
    sure = round(max((mark.hit.confidence for mark in marks), default=0.0), 3)
    if any(mark.is_sure for mark in marks):
        return "hit", sure
    return "unsure" if marks else "none", sure


# ---- fitting ------------------------------------------------------------------------------------
def _features(row: Row) -> tuple[float, ...]:
    # Likeness of sound tells nothing more beside these: what the words decide rests on it.
    return 1.0, row.c_rel, row.logprob, row.sure


def fit(rows: Sequence[Row], start: AcousticModel) -> AcousticModel:
    """Logistic regression by Newton's method with a little weight decay, four decimals."""
    import numpy as np

    x = np.array([_features(row) for row in rows])
    y = np.array([row.said for row in rows], dtype=float)
    weights = np.zeros(x.shape[1])
    decay = RIDGE * np.diag([0.0, 1.0, 1.0, 1.0])
    for _ in range(100):
        p = 1.0 / (1.0 + np.exp(-np.clip(x @ weights, -30, 30)))
        gradient = x.T @ (y - p) - decay @ weights
        hessian = (x * (p * (1 - p))[:, None]).T @ x + decay
        step = np.linalg.solve(hessian, gradient)
        weights += step
        if float(np.abs(step).max()) < 1e-9:
            break
    bias, c_rel, logprob, words = (round(float(weight), 3) for weight in weights)
    return replace(start, bias=bias, c_rel=c_rel, logprob=logprob, alike=0.0, words=words)


def choose(rows: Sequence[Row], model: AcousticModel) -> AcousticModel:
    """Limits by the training rows.

    *present* admits at most 2 % that were not said, *absent* loses at most 5 % that were (or one): what it
    loses was not heard in the words either.

    The nearest twentieth on the careful side, *present* at least 0.7 and *absent* at most 0.2.
    """
    told = sorted((model.probability(row.answer(), row.sure), row.said) for row in rows)
    present = next(
        step / 20
        for step in range(14, 21)
        if _share([s for p, s in told if p >= step / 20], said=False) <= 0.02
    )
    lost = sum(s for _, s in told)
    absent = max(
        (step / 20 for step in range(5) if sum(s for p, s in told if p < step / 20) <= max(1.0, 0.05 * lost)),
        default=0.0,
    )
    return replace(model, present=present, absent=absent)


def _share(labels: Iterable[bool], *, said: bool) -> float:
    listed = list(labels)
    return sum(label is said for label in listed) / len(listed) if listed else 0.0


# ---- publishing ---------------------------------------------------------------------------------
def lexicon_text(text: str, model: AcousticModel, rows: Sequence[Row]) -> str:
    """Write weights and limits into the lexicon's text."""
    dev = [row for row in rows if row.part == "dev"]
    values = {"bias": model.bias, "c_rel": model.c_rel, "logprob": model.logprob, "alike": model.alike}
    values |= {"words": model.words, "present": model.present, "absent": model.absent}
    for name, value in values.items():
        text = re.sub(rf"^{name} = .*$", f"{name} = {value}", text, flags=re.M)
    told = f"tests/calibration/acoustic.jsonl: {sum(row.said for row in dev)} phrases said, "
    told += f"{sum(not row.said for row in dev)} not"
    return re.sub(r"^fitted = .*$", f'fitted = "{told}"', text, flags=re.M)


BINS = (0.0, 0.05, 0.2, 0.5, 0.7, 0.9, 1.0)


def section(model: AcousticModel, rows: Sequence[Row]) -> str:
    """Tables for the accuracy document."""
    lines = [
        "Answers of the audio to doubtful places (`python -m tests.calibration.acoustic`): spoken dialogues,",
        "calls dense with mandated sentences and near misses, and development calls; whisper-base, 8 kHz.",
        "The held-out half has other dialogues, sentences and voices.",
        "",
        "| half | asked | said | AUC, sound alone | AUC, c_rel | AUC, model "
        "| said: present / unsure / absent | not said: present / unsure / absent |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for part in ("dev", "heldout"):
        own = [row for row in rows if row.part == part]
        counts = {
            label: [
                sum(row.said is label and model.opinion(row.answer(), row.sure) == opinion for row in own)
                for opinion in ("present", "unsure", "absent")
            ]
            for label in (True, False)
        }
        aucs = [
            auc([(score(row), row.said) for row in own])
            for score in (
                lambda row: row.alike,
                lambda row: row.c_rel,
                lambda row: model.probability(row.answer(), row.sure),
            )
        ]
        told = " | ".join(f"{value:.3f}" for value in aucs)
        shown = " | ".join(" / ".join(map(str, counts[label])) for label in (True, False))
        lines.append(f"| {part} | {len(own)} | {sum(row.said for row in own)} | {told} | {shown} |")
    lines += [
        "",
        "What it adds at these places: decided by words alone, and by the answer where it has an opinion. In",
        "a call some of these hits still fall to another phrase set or a guard.",
        "",
        "| half | said: hit / unsure / none, words | said, with answers "
        "| not said, words | not said, with answers |",
        "|---|---|---|---|---|",
    ]
    for part in ("dev", "heldout"):
        cells = []
        for label in (True, False):
            own = [row for row in rows if row.part == part and row.said is label]
            for decide in (lambda row: row.words, lambda row: _with_answer(row, model)):
                told = [decide(row) for row in own]
                cells.append(" / ".join(str(told.count(each)) for each in ("hit", "unsure", "none")))
        lines.append(f"| {part} | {' | '.join(cells)} |")
    lines += ["", "| probability | answers, held out | really said |", "|---|---|---|"]
    held = [row for row in rows if row.part == "heldout"]
    for low, high in pairwise(BINS):
        inside = [row for row in held if low <= model.probability(row.answer(), row.sure) < high]
        share = f"{100 * _share([row.said for row in inside], said=True):.0f} %" if inside else "–"
        lines.append(f"| {low:g} – {high:g} | {len(inside)} | {share} |")
    return "\n".join(lines)


def _with_answer(row: Row, model: AcousticModel) -> str:
    opinion = model.opinion(row.answer(), row.sure)
    if opinion == "unsure":
        return "hit" if row.words == "hit" else "unsure"
    return "hit" if opinion == "present" else "none"


def auc(pairs: Sequence[tuple[float, bool]]) -> float:
    """Probability that what was said scores above what was not; ties count half."""
    yes = [score for score, label in pairs if label]
    no = [score for score, label in pairs if not label]
    wins = sum((a > b) + 0.5 * (a == b) for a in yes for b in no)
    return wins / (len(yes) * len(no)) if yes and no else float("nan")


def read_rows(path: Path = ROWS) -> list[Row]:
    """All collected rows."""
    return [Row(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def main(arguments: Sequence[str]) -> int:
    """Collect, or fit and publish; see the module."""
    if arguments[:1] == ["collect"]:
        collect(arguments[1], Path(arguments[2]), Path(arguments[3]))
        return 0
    rows = read_rows()
    dev = [row for row in rows if row.part == "dev"]
    model = choose(dev, fit(dev, load_rulebook(None).lexicon.acoustic))
    written = {
        LEXICON: lexicon_text(LEXICON.read_text(encoding="utf-8"), model, rows),
        DOCUMENT: with_section(DOCUMENT.read_text(encoding="utf-8"), "acoustic", section(model, rows)),
    }
    changed = [path for path, text in written.items() if path.read_text(encoding="utf-8") != text]
    if "--check" not in arguments:
        for path in changed:
            path.write_text(written[path], encoding="utf-8")
    print(json.dumps({"rows": len(rows), "changed": [path.name for path in changed]}))  # noqa: T201
    return int("--check" in arguments and bool(changed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
