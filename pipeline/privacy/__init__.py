"""Personal numbers in what is shown: found, masked, and shown only to who may see them.

``mask(text)`` for a single text; ``CallMask`` for a call, whose turns give each other context; ``safe_cell``
for anything that goes into a CSV or XLSX cell. Masks are put on wherever words are shown (terminal, report,
notebook, review sheet); judging works on the unmasked words, and a span keeps its kind, so that "a factor was
given" stays visible.

Table of contents: `pipeline.privacy.lexicon` (data), `pipeline.privacy.numbers` (digits and checksums),
`pipeline.privacy.masking` (one text, and turns in order), `pipeline.privacy.calls` (rows of a call),
`pipeline.privacy.disputekey` (who may see them unmasked), `pipeline.privacy.cells`.
"""

from pipeline.privacy.calls import CallMask, mask_fields, mask_record
from pipeline.privacy.cells import safe_cell
from pipeline.privacy.disputekey import may_unmask
from pipeline.privacy.masking import Masked, Span, mask, mask_turns

__all__ = [
    "CallMask",
    "Masked",
    "Span",
    "mask",
    "mask_fields",
    "mask_record",
    "mask_turns",
    "may_unmask",
    "safe_cell",
]
