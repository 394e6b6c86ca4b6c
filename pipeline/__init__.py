"""zhijian (质检): every call of the night, heard once and judged by the service standard.

Folders follow the data: ``vault`` (ciphertext to bytes), ``hearing`` (audio to
records), ``judging`` (records to verdicts), ``results`` (Parquet), ``report``
(people), ``night`` (the batch that drives them), ``cli`` (the command).
"""

__version__ = "0.1.0"
