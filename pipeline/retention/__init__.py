"""What may be deleted, when, and how: periods as data, legal holds, a dry run first, tombstones afterwards.

A call is kept for the longest period that any class of ``lexicons/retention.toml`` asks for, counted from
that class's anchor date. A call on hold, or one whose anchor date is unknown, is kept. Deleting takes two
steps: a dry run writes a plan, and only what stands in that plan, and is still due, is deleted later. Every
deletion is a record ``delete`` in the audit log before it happens.

From other code::

    from pipeline.retention import place_hold, release_hold
    place_hold(results, "20260105-0017", why="lawsuit 12", who="li.lei", until=date(2030, 1, 1))

Table of contents: `pipeline.retention.policy`, `pipeline.retention.holds`, `pipeline.retention.plan`,
`pipeline.retention.deletion`, `pipeline.retention.run` (what is exported here),
`pipeline.retention.prefectstore`.
"""

from pipeline.retention.holds import Hold, holds, place_hold, release_hold
from pipeline.retention.run import RetentionReport, markdown_retention, run_retention

__all__ = [
    "Hold",
    "RetentionReport",
    "holds",
    "markdown_retention",
    "place_hold",
    "release_hold",
    "run_retention",
]
