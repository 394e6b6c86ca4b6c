"""A disputed call is kept longer: its recording and results go on hold.

Table of contents: `hold_for_dispute`.
"""

from __future__ import annotations

from datetime import UTC, date, datetime

from pipeline.disputes.policy import Policy, load_policy
from pipeline.judging.calendar_cn import CHINA


def hold_for_dispute(
    results: str,
    call_id: str,
    *,
    who: str,
    why: str,
    policy: Policy | None = None,
    today: date | None = None,
) -> date | None:
    """Put a call on hold for the years that a dispute asks for, unless it is held as long already.

    Parameters
    ----------
    results : str
    call_id : str
    who, why : str
        Stand in the hold and in the audit log.
    policy : Policy, optional
    today : date, optional
        From when the years count.

    Returns
    -------
    date or None
        The last day of the hold; None if it lasts until somebody lifts it.
    """
    from pipeline.retention import holds, place_hold

    day = today or datetime.now(UTC).astimezone(CHINA).date()
    until = _years_later(day, (policy or load_policy()).hold_years)
    held = holds(results).get(call_id)
    if held is not None and (held.until is None or held.until >= until):
        return held.until
    return place_hold(results, call_id, why=why, who=who, until=until).until


def _years_later(day: date, years: int) -> date:
    try:
        return day.replace(year=day.year + years)
    except ValueError:  # 29 February
        return day.replace(year=day.year + years, month=3, day=1)
