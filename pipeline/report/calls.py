"""A call's page from the results: gathered, with audio if that was asked for and allowed.

Table of contents: `page_of_call`, `facts_with_audio`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipeline.audit import audit_place, opening, record_opening
from pipeline.disputes.policy import load_policy
from pipeline.errors import ConfigError
from pipeline.report.callfacts import CallFacts, gather
from pipeline.report.callpage import call_page
from pipeline.report.clips import cut_clips, evidence_spans, open_recording
from pipeline.results.store import Store

if TYPE_CHECKING:
    from pipeline.settings import Settings


def page_of_call(
    settings: Settings,
    call_id: str,
    *,
    version: int | None = None,
    with_audio: bool = False,
    who: str | None = None,
    why: str = "",
) -> str:
    """Make the page about one call; that its words (and audio) were opened stands in the audit log.

    Parameters
    ----------
    settings : Settings
        With ``results``; for ``with_audio`` also ``identity``, and ``recordings`` unless the recording
        still lies where it was heard.
    call_id : str
    version : int, optional
        The latest by default.
    with_audio : bool
        Embed the clips of the evidence.
    who, why : str
        For the audit log; the login stands there in any case.

    Returns
    -------
    str
        One HTML document.
    """
    return call_page(
        facts_with_audio(settings, call_id, version=version, with_audio=with_audio, who=who, why=why)
    )


def facts_with_audio(
    settings: Settings,
    call_id: str,
    *,
    version: int | None = None,
    with_audio: bool = False,
    purpose: str = "report",
    who: str | None = None,
    why: str = "",
) -> CallFacts:
    """Gather all about a call, with the clips of its evidence if ``with_audio``; see `page_of_call`."""
    from pipeline.disputes.rescore import find_recording

    if settings.results is None:
        raise ConfigError("setting results is empty; give --results, or set it in zhijian.toml")
    store = Store.open(settings.results)
    place = audit_place(settings)
    record_opening(call_id, at=place, purpose=purpose, what="transcript", who=who, why=why)
    facts = gather(store, call_id, version=version, current=settings.rulebook, made_at=datetime.now(UTC))
    if not with_audio:
        return facts
    ref = find_recording(settings, facts.shown)
    with opening(call_id, at=place, purpose=purpose, who=who, why=why):
        recording = open_recording(settings, ref)
    spans = evidence_spans(facts.shown.judgement.verdicts)
    return replace(facts, clips=cut_clips(recording, spans, load_policy(settings.rulebook)))
