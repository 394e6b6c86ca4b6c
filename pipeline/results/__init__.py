"""Results: immutable, versioned Parquet datasets and the ways in and out of them.

Conventions
-----------
`load`, `connect` and `call` are for people (pandas, SQL, notebooks): what they show of a call is masked,
recorded, and as far as the keys at hand allow. `pipeline.results.store.Store` and `pipeline.results.stored`
are for the pipeline: they give words as they were said, since judging needs them, and are no part of what
this package offers.
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

__all__ = [
    "Call",
    "Committed",
    "Fingerprint",
    "QuarantineRow",
    "RunRow",
    "ScoredCall",
    "call",
    "connect",
    "describe",
    "in_chinese",
    "labels",
    "load",
    "needs_scoring",
    "should_retry",
    "units",
]
