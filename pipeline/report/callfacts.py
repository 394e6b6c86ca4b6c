"""All that a page about one call tells, gathered from the results.

Table of contents: `CallFacts`, `gather`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import pairwise
from pathlib import Path

from pipeline.disputes.archive import rulebook_in_use
from pipeline.disputes.compare import Comparison, compare
from pipeline.disputes.dual import DualVerdict, dual_verdicts, todays_opinion
from pipeline.disputes.effective import EffectiveScore, effective_score
from pipeline.disputes.reviews import Review, read_reviews
from pipeline.disputes.versions import Version, load_versions
from pipeline.errors import InputError
from pipeline.judging.calendar_cn import CHINA
from pipeline.judging.rulebook import Rulebook
from pipeline.privacy import CallMask
from pipeline.report.clips import Clip, EvidenceKey
from pipeline.results.store import Store


@dataclass(frozen=True, slots=True)
class CallFacts:
    """One call, whole.

    Attributes
    ----------
    versions : tuple of Version
        Ascending.
    shown : Version
        The one that the page is about.
    comparisons : tuple of Comparison
        Of each version with the one before it, ascending.
    rulebook : Rulebook
        Where clauses are quoted from: the shown version's own, or, if ``is_own_rulebook`` is False,
        the one in use.
    today : mapping of rule id to DualVerdict
        Rules on which today's rules would decide otherwise.
    mask : CallMask
        Hides personal data in every text that is shown.
    clips : mapping of (rule id, place of the evidence) to Clip
        Empty unless somebody who may hear the recording asked for audio.
    """

    versions: tuple[Version, ...]
    shown: Version
    comparisons: tuple[Comparison, ...]
    rulebook: Rulebook
    is_own_rulebook: bool
    today: Mapping[str, DualVerdict]
    today_score: float | None
    today_version: str
    effective: EffectiveScore
    reviews: tuple[Review, ...]
    mask: CallMask
    made_at: datetime
    clips: Mapping[EvidenceKey, Clip] = field(default_factory=dict)


def gather(
    store: Store,
    call_id: str,
    *,
    version: int | None = None,
    current: Path | None = None,
    made_at: datetime,
    today: date | None = None,
) -> CallFacts:
    """Read everything about a call.

    Parameters
    ----------
    store : Store
    call_id : str
    version : int, optional
        The latest by default.
    current : Path, optional
        Folder of the rulebook in use.
    made_at : datetime
        When the page is made, with offset.
    today : date, optional
        The day of the second opinion; that of ``made_at`` by default.

    Raises
    ------
    InputError
        There is no such call or version.
    """
    versions = load_versions(store, call_id, current=current)
    by_number = {each.number: each for each in versions}
    if version is not None and version not in by_number:
        raise InputError(
            f"{store.place}: call {call_id} has no version {version}; there are: "
            + ", ".join(map(str, by_number))
        )
    shown = by_number[version] if version is not None else versions[-1]
    in_use = rulebook_in_use(current)
    opinion = todays_opinion(shown.hearing, shown.call, in_use, today or made_at.astimezone(CHINA).date())
    reviews = tuple(read_reviews(store, [call_id]))
    return CallFacts(
        versions=tuple(versions),
        shown=shown,
        comparisons=tuple(compare(old, new) for old, new in pairwise(versions)),
        rulebook=shown.rulebook or in_use,
        is_own_rulebook=shown.rulebook is not None,
        today={each.rule_id: each for each in dual_verdicts(shown.judgement, opinion) if each.differs},
        today_score=opinion.score,
        today_version=in_use.version,
        effective=effective_score(call_id, shown.number, shown.judgement, reviews, shown.rulebook),
        reviews=reviews,
        mask=CallMask.of_turns(shown.hearing.turns),
        made_at=made_at,
    )
