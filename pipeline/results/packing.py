"""Results into files to be committed: one for each dataset and partition.

Table of contents: `call_files`, `quarantine_files`, `run_file`, `files_of`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pipeline.results.entries import QuarantineRow, RunRow, ScoredCall
from pipeline.results.storage import NewFile

if TYPE_CHECKING:
    import pyarrow as pa


def call_files(
    numbered: Sequence[tuple[ScoredCall, int]], moves: Mapping[str, Sequence[tuple[str, int]]]
) -> Iterator[NewFile]:
    """Files of scored calls; ``scores`` comes last, because a call counts when its score is there."""
    if not numbered:
        return
    from pipeline.results import rows
    from pipeline.results.parquet import encode

    for day, gone in sorted(moves.items()):
        yield NewFile("moves", day, encode(rows.moves(gone)))
    by_date: dict[str, list[tuple[ScoredCall, int]]] = {}
    for entry, version in numbered:
        by_date.setdefault(entry.call.started_at.date().isoformat(), []).append((entry, version))
    for name, build in rows.BY_CALL.items():
        for day, calls in sorted(by_date.items()):
            table = build(calls)
            if table.num_rows:
                yield NewFile(name, day, encode(table))


def quarantine_files(failures: Sequence[QuarantineRow]) -> Iterator[NewFile]:
    """Files of quarantine rows, by the date of the call."""
    if not failures:
        return
    from pipeline.results import rows
    from pipeline.results.parquet import encode

    by_date: dict[str | None, list[QuarantineRow]] = {}
    for row in failures:
        by_date.setdefault(row.call_date.isoformat() if row.call_date else None, []).append(row)
    for day, group in by_date.items():
        yield NewFile("quarantine", day, encode(rows.quarantine(group)))


def run_file(run: RunRow) -> NewFile:
    """File of one run."""
    from pipeline.results import rows
    from pipeline.results.parquet import encode

    return NewFile("runs", run.started_at.date().isoformat(), encode(rows.runs([run])))


def files_of(table: str, parts: Mapping[str | None, pa.Table]) -> list[NewFile]:
    """Files of rows that are Arrow tables already, by partition."""
    from pipeline.results.parquet import encode

    return [NewFile(table, day, encode(part)) for day, part in parts.items() if part.num_rows]
