"""Disputed calls: scored again, explained, reviewed by people, decided.

Conventions
-----------
Nothing here changes what is stored: a new score is a new version, a person's decision a new row of
``reviews``. The machine's verdict and the person's stand side by side; the *effective* verdict is
derived from both whenever it is asked for.

Table of contents: `pipeline.disputes.archive` (rulebooks by hash), `pipeline.disputes.dual` (the
call's day and today), `pipeline.disputes.rescore`, `pipeline.disputes.compare` (what flipped and
why), `pipeline.disputes.recheck` (scores derived again), `pipeline.disputes.reviews`,
`pipeline.disputes.effective`, `pipeline.disputes.sampling`, `pipeline.disputes.agreement`,
`pipeline.disputes.sheet` and
`pipeline.disputes.sheetimport` (Excel), `pipeline.disputes.bundle`, `pipeline.disputes.holds`,
`pipeline.disputes.policy`.
"""
