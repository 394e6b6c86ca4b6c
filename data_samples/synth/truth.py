"""What is true about a synthesised call: times, rates, the paraphrase ledger, expected verdicts.

Standard library only. The verdicts come from a person who read the standard (``expect`` of the
script); rates and the ledger are computed from the true times and compared with those labels.

Table of contents: `PlacedPiece`, `PlacedTurn`; `measures`, `ledger`, `disagreements`, `truth_of`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_HAN = re.compile(r"[\u4e00-\u9fff]")
RATE_BAND = (120.0, 150.0)
FILLER_LIMIT = (1.0, 2)  # more than 1.0 per 100 characters, and at least two of them
LEDGER_STEP_S = 30.0


@dataclass(frozen=True, slots=True)
class PlacedPiece:
    """A stretch of speech at its true time."""

    text: str
    start_s: float
    end_s: float
    filler: bool


@dataclass(frozen=True, slots=True)
class PlacedTurn:
    """A turn at its true time."""

    speaker: str
    role: str
    text: str
    pieces: tuple[PlacedPiece, ...]
    flags: frozenset[str]
    kind: str = "turn"  # or "backchannel", "interruption"

    @property
    def start_s(self) -> float:
        """Start of the first sound."""
        return self.pieces[0].start_s

    @property
    def end_s(self) -> float:
        """End of the last sound."""
        return self.pieces[-1].end_s


def han_count(text: str) -> int:
    """Han characters in the text.

    >>> han_count("您好，工号一二三。")
    7
    """
    return len(_HAN.findall(text))


def measures(turns: Sequence[PlacedTurn]) -> dict[str, float | int | None]:
    """Rates of the agent as the standard reads them, from true times.

    Backchannels (a lone 嗯, 好的 while the customer holds the floor) are in neither the characters
    nor the seconds.
    """
    own = [turn for turn in turns if turn.role == "agent" and turn.kind != "backchannel"]
    chars = sum(han_count(turn.text) for turn in own)
    seconds = sum(turn.end_s - turn.start_s for turn in own)
    speech_s = sum(piece.end_s - piece.start_s for turn in own for piece in turn.pieces)
    fillers = sum(piece.filler for turn in own for piece in turn.pieces)
    return {
        "agent_chars": chars,
        "agent_talk_s": round(seconds, 3),
        "customer_talk_s": round(sum(t.end_s - t.start_s for t in turns if t.role == "customer"), 3),
        "speech_rate": round(60 * chars / seconds, 1) if seconds else None,
        "articulation_rate": round(60 * chars / speech_s, 1) if speech_s else None,
        "filler_count": fillers,
        "filler_rate": round(100 * fillers / chars, 2) if chars else None,
    }


def ledger(turns: Sequence[PlacedTurn], *, only_needs: bool) -> dict[str, Any]:
    """Opportunities for 复述确认: due each 30 s of stated need since the last confirmation.

    Parameters
    ----------
    turns : sequence of PlacedTurn
    only_needs : bool
        Count only turns flagged ``need``; otherwise all that the customer says. A label is
        unambiguous when both readings give the same verdict.

    Returns
    -------
    dict with due, met, verdict
    """
    due = met = 0
    since_s = 0.0
    for turn in turns:
        if turn.role == "customer" and turn.kind != "backchannel":
            if only_needs and "need" not in turn.flags:
                continue
            since_s += turn.end_s - turn.start_s
            while since_s >= LEDGER_STEP_S:
                since_s -= LEDGER_STEP_S
                due += 1
        elif "paraphrase" in turn.flags:
            met += 1
            since_s = 0.0
    if due + met == 0:
        return {"due": 0, "met": 0, "verdict": "not_applicable"}
    return {"due": due, "met": met, "verdict": "pass" if met >= due else "fail"}


def disagreements(
    turns: Sequence[PlacedTurn], verdicts: dict[str, dict[str, str]], direction: str
) -> list[str]:
    """Labels that the true times contradict; an empty list is what is wanted."""
    found = measures(turns)
    rate, filler_rate = found["speech_rate"], found["filler_rate"]
    computed: dict[str, set[str]] = {}
    if rate is not None:
        computed["language.speech_rate"] = {"pass" if RATE_BAND[0] <= rate <= RATE_BAND[1] else "fail"}
    if filler_rate is not None:
        too_many = filler_rate > FILLER_LIMIT[0] and (found["filler_count"] or 0) >= FILLER_LIMIT[1]
        computed["language.fillers"] = {"fail" if too_many else "pass"}
    if direction == "inbound":
        computed["inbound.paraphrase_cadence"] = {
            ledger(turns, only_needs=only)["verdict"] for only in (True, False)
        }
    return [
        f"{rule}: labelled {verdicts[rule]['verdict']}, true times say {sorted(values)}"
        for rule, values in computed.items()
        if rule in verdicts and values != {verdicts[rule]["verdict"]}
    ]


def truth_of(
    turns: Sequence[PlacedTurn], verdicts: dict[str, dict[str, str]], direction: str
) -> dict[str, Any]:
    """The JSON-ready truth of one call, apart from the sound's own facts."""
    rows = [
        {
            "role": turn.role,
            "start_s": turn.start_s,
            "end_s": turn.end_s,
            "text": turn.text,
            "kind": turn.kind,
            "speaker": turn.speaker,
            "flags": sorted(turn.flags),
            "pieces": [[p.start_s, p.end_s, p.text] for p in turn.pieces],
        }
        for turn in turns
    ]
    fillers = [
        {"role": turn.role, "start_s": p.start_s, "end_s": p.end_s, "text": p.text}
        for turn in turns
        for p in turn.pieces
        if p.filler
    ]
    truth: dict[str, Any] = {
        "turns": rows,
        "fillers": sorted(fillers, key=lambda row: row["start_s"]),
        "overlaps": _overlaps(turns),
        "measures": measures(turns),
        "verdicts": verdicts,
    }
    if direction == "inbound":
        truth["paraphrase_ledger"] = ledger(turns, only_needs=True)
    return truth


def _overlaps(turns: Sequence[PlacedTurn]) -> list[dict[str, Any]]:
    found = []
    for index, first in enumerate(turns):
        for second in turns[index + 1 :]:
            start, end = max(first.start_s, second.start_s), min(first.end_s, second.end_s)
            if first.role != second.role and end - start > 0.05:
                kind = second.kind if second.kind != "turn" else "crossing"
                found.append({"start_s": start, "end_s": end, "kind": kind, "by": second.role})
    return found
