"""Sounds: fillers at their times, speech-to-noise ratio.

Table of contents: `filler_counts`, `snr_counts`.
"""

from __future__ import annotations

from benchmarks.hearing.truth import Counts, TrueCall
from pipeline.records import Hearing

NEAR_S = 0.3


def filler_counts(call: TrueCall, hearing: Hearing) -> Counts:
    """Fillers of the agent said, heard, and matched one to one with at most 0.3 s between them."""
    if call.fillers is None:
        return {}
    said = [f for f in call.fillers if f.role == "agent"]
    heard = [e for e in hearing.events if e.kind == "filler" and e.role == "agent"]
    pairs = sorted(
        (max(f.start_s - e.end_s, e.start_s - f.end_s, 0.0), abs(f.start_s - e.start_s), i, j)
        for i, f in enumerate(said)
        for j, e in enumerate(heard)
    )
    free_said, free_heard = set(range(len(said))), set(range(len(heard)))
    for apart_s, _, i, j in pairs:
        if apart_s <= NEAR_S and i in free_said and j in free_heard:
            free_said.discard(i)
            free_heard.discard(j)
    talk_s = sum(t.end_s - t.start_s for t in call.turns if t.role == "agent")
    return {
        "fillers_said": len(said),
        "fillers_heard": len(heard),
        "fillers_matched": len(said) - len(free_said),
        "filler_talk_s": talk_s,
    }


def snr_counts(call: TrueCall, hearing: Hearing) -> Counts:
    """Mean error of the speech-to-noise ratio over the roles for which the truth is known, in dB."""
    measured = {"agent": hearing.agent_snr_db, "customer": hearing.customer_snr_db}
    errors = [abs(value - true) for role, true in call.snr_db if (value := measured[role]) is not None]
    return {"snr_error_db": sum(errors) / len(errors)} if errors else {}
