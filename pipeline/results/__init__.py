"""Results: immutable, versioned Parquet datasets and the ways in and out of them.

Conventions
-----------
`load`, `connect` and `call` are for people (pandas, SQL, notebooks); `Store` is for the pipeline.
Importing this package is cheap: Arrow and pandas come in when something is read or written.

Table of contents: `pipeline.results.api` (`load`), `pipeline.results.connect`,
`pipeline.results.callview` (`call`), `pipeline.results.labels`, `pipeline.results.store` (`Store`),
`pipeline.results.entries` (what is stored), `pipeline.results.stored` (`stored_hearing`),
`pipeline.results.receipts`, `pipeline.results.schemas` (columns), `pipeline.results.storage`
(atomic commits), `pipeline.results.rows` and `pipeline.results.reading` (Arrow).
"""

from pipeline.results.api import load
from pipeline.results.callview import Call, call
from pipeline.results.connect import connect
from pipeline.results.entries import (
    Committed,
    Fingerprint,
    QuarantineRow,
    RunRow,
    ScoredCall,
    needs_scoring,
    should_retry,
)
from pipeline.results.labels import describe, in_chinese, labels, units
from pipeline.results.store import Store
from pipeline.results.stored import stored_hearing, stored_hearings

__all__ = [
    "Call",
    "Committed",
    "Fingerprint",
    "QuarantineRow",
    "RunRow",
    "ScoredCall",
    "Store",
    "call",
    "connect",
    "describe",
    "in_chinese",
    "labels",
    "load",
    "needs_scoring",
    "should_retry",
    "stored_hearing",
    "stored_hearings",
    "units",
]
