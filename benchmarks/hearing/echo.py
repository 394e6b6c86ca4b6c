"""Turns and what happens between them, without a recogniser: true words are put into the voices heard.

Recordings without known texts cannot be recognised and compared, but who holds the floor, who cuts in and
how long nobody speaks can be measured on them: each true turn is given made-up words (a backchannel 嗯), and
the voices that were heard decide whose they are and where turns begin and end.

Table of contents: `echoed`.
"""

from __future__ import annotations

from benchmarks.hearing.truth import TrueCall, TrueTurn
from pipeline.hearing.conversation import Conversation
from pipeline.hearing.lanes import Lane, Lanes, words_by_lane
from pipeline.hearing.turns import clipped, interruptions, merged, turns_of
from pipeline.records import ROLES, Hearing, Role, Word

_WORD_S = 0.25


def _words(turn: TrueTurn) -> list[Word]:
    text = "嗯" if turn.backchannel else "说"
    words = []
    for a, b in turn.pieces:
        count = max(round((b - a) / _WORD_S), 1)
        step = (b - a) / count
        words += [Word(text, a + k * step, a + (k + 1) * step) for k in range(count)]
    return words[:1] if turn.backchannel else words


def _role(lane: Lane, call: TrueCall) -> Role:
    """The side that a voice shares most time with."""

    def shared(role: Role) -> float:
        pieces = [piece for turn in call.turns if turn.role == role for piece in turn.pieces]
        return sum(b - a for span in lane.spans for a, b in clipped(pieces, *span))

    return max(ROLES, key=shared)


def echoed(call: TrueCall, lanes: Lanes, data: Conversation) -> Hearing:
    """A hearing of the voices, with the true turns' words.

    Parameters
    ----------
    call : TrueCall
    lanes : Lanes
        What was heard of it.
    data : Conversation
    """
    if lanes.layout == "stereo":
        first = call.agent_channel or 0
        roles: list[Role] = ["agent" if lane.channel == first else "customer" for lane in lanes.lanes]
        words = [[w for t in call.turns if t.role == role for w in _words(t)] for role in roles]
    else:
        roles = [_role(lane, call) for lane in lanes.lanes]
        words = words_by_lane([w for t in call.turns for w in _words(t)], lanes.lanes)
    said = {r: [w for role, own in zip(roles, words, strict=True) if role == r for w in own] for r in ROLES}
    spans = {
        r: merged(s for role, lane in zip(roles, lanes.lanes, strict=True) if role == r for s in lane.spans)
        for r in ROLES
    }
    turns = turns_of(said, spans, limits=data.turns)
    events = interruptions(turns, limits=data.interruption, backchannel=data.backchannel, activity=spans)
    return Hearing("", call.duration_s, lanes.layout, turns, events=events)
