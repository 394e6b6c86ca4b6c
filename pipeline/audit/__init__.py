"""Who opened what: an append-only log that shows every later change.

How to use it
-------------
Wherever a recording or a transcript is opened, say so *before* it is opened::

    from pipeline.audit import audit_place, opening

    place = audit_place(settings)               # once; picklable, hand it to worker processes
    with opening(call_id, at=place, purpose="rescore", who="li.lei", why="dispute 4711"):
        plain = decrypt(sealed.data, identity)

The record is on disk (fsynced) before the body runs. If the body raises, a second record says so:
``refused`` for keys that do not fit, ``failed`` for anything else. Where a ``with`` does not fit, call
`record_opening` before and, if need be, `record_refusal` after. Several calls at once (a day's report, a
notebook's table) go to `record_opening` as a list. If the log cannot be written, nothing may be opened:
the error is raised and the body never runs.

``purpose`` is one of `PURPOSES`, ``what`` one of `THINGS`. ``who`` is the name a person gives
(``--by``); the login and the machine are recorded beside it whatever they say.

Other events of note (a hold, a deletion, new recipients of a recording) are written with
`record_event`.

Table of contents: `pipeline.audit.keys` (the log's secret key), `pipeline.audit.log` (records, chain,
checkpoints), `pipeline.audit.openings` (what is exported here), `pipeline.audit.verify`.
"""

from pipeline.audit.openings import (
    PURPOSES,
    THINGS,
    AuditPlace,
    audit_place,
    checkpoint,
    opening,
    record_event,
    record_opening,
    record_refusal,
)

__all__ = [
    "PURPOSES",
    "THINGS",
    "AuditPlace",
    "audit_place",
    "checkpoint",
    "opening",
    "record_event",
    "record_opening",
    "record_refusal",
]
