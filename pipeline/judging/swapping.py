"""What if agent and customer were exchanged? A verdict that depends on it is not settled.

Who is who is decided with a confidence. Below the rulebook's limit (``role_min_confidence``) nobody should
lose points for what the other side said; but most verdicts do not depend on the roles at all: a call out of
hours is out of hours whoever speaks. So the call is judged twice, as heard and with the roles exchanged,
and only a verdict that would flip becomes ``uncertain``.

Conventions
-----------
Pure, over records. Judging again costs what judging costs, and happens only below the limit.

Table of contents: `exchanged`, `agreed`.
"""

from __future__ import annotations

from dataclasses import replace

from pipeline.records import Hearing, Role, Verdict, VerdictKind

_OTHER: dict[Role, Role] = {"agent": "customer", "customer": "agent"}
_ZH: dict[VerdictKind, str] = {
    "pass": "合格",
    "fail": "不合格",
    "not_applicable": "不适用",
    "uncertain": "不确定",
}


def exchanged(hearing: Hearing) -> Hearing:
    """The same call with agent and customer exchanged: turns, events, phrases and line.

    Examples
    --------
    >>> from pipeline.records import Turn
    >>> heard = Hearing("", 2.0, "mono", (Turn("agent", 0.0, 2.0, "喂"),), agent_snr_db=20.0)
    >>> other = exchanged(heard)
    >>> other.turns[0].role, other.agent_snr_db, other.customer_snr_db
    ('customer', None, 20.0)
    """
    return replace(
        hearing,
        turns=tuple(replace(turn, role=_OTHER[turn.role]) for turn in hearing.turns),
        events=tuple(
            event if event.role is None else replace(event, role=_OTHER[event.role])
            for event in hearing.events
        ),
        phrases=tuple(replace(one, role=_OTHER[one.role]) for one in hearing.phrases),
        agent_snr_db=hearing.customer_snr_db,
        customer_snr_db=hearing.agent_snr_db,
    )


def agreed(heard: Verdict, other: Verdict, *, role_confidence: float) -> Verdict:
    """One verdict from that of the call as heard and that of the call with the roles exchanged.

    Parameters
    ----------
    heard, other : Verdict
        Of the same rule.
    role_confidence : float
        In [0, 1]: how sure it is that the first is the right way round.

    Returns
    -------
    Verdict
        ``heard`` when both say the same, as sure as the less sure of the two; else ``uncertain``, which
        costs nothing, with both conclusions in its reason.
    """
    if heard.verdict == other.verdict:
        return replace(
            heard,
            confidence=min(heard.confidence, other.confidence),
            points=max(heard.points, min(other.points, heard.weight)),
        )
    weight = max(heard.weight, other.weight)
    doubt = (
        f"坐席与客户的声音未能可靠区分（{role_confidence:.2f}）：按现有区分为“{_ZH[heard.verdict]}”，"
        f"若两方互换则为“{_ZH[other.verdict]}”"
    )
    shown = heard if heard.evidence or heard.verdict in ("pass", "fail") else other
    return replace(
        heard,
        verdict="uncertain",
        due=shown.due,
        met=0,
        weight=weight,
        points=weight,
        confidence=round(1.0 - role_confidence, 4),
        reason=f"{doubt}；{shown.reason}" if shown.reason else doubt,
        evidence=shown.evidence,
    )
