"""Rows of CSV, JSON Lines and Parquet files, each with its line, bad rows beside good ones.

Conventions
-----------
A row is a mapping from column name to value: text as it stands in a CSV, native values from JSON
Lines and Parquet. A row that cannot even be parsed comes out as an error object in its place, so that
no row is ever lost between the file and its reader.

Table of contents: `read_rows`.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from pipeline.errors import CallRecordError, InputError
from pipeline.vault.places import read_bytes

Row = Mapping[str, Any]
_PARQUET_MAGIC = b"PAR1"
_JSON_LINES_SUFFIXES = (".jsonl", ".ndjson")
_MAX_BYTES = 4 * 1024**3
_MAX_VALUES = 500_000_000
_NAME = re.compile(r"[A-Za-z_]\w{0,63}", re.ASCII)


def read_rows(
    place: str, *, required: Sequence[str], one_line: Collection[str] = ()
) -> Iterator[tuple[int, Row | CallRecordError]]:
    """Read a table file row by row.

    Parameters
    ----------
    place : str
        Local path or fsspec URI.
    required : sequence of str
        Columns without which a CSV or Parquet file makes no sense. (JSON Lines has no header; there
        every row answers for itself.)
    one_line : collection of str
        Columns of a CSV whose values never hold a line break. One that does comes of a stray
        quotation mark, and believing it would swallow the rows in between.

    Yields
    ------
    line : int
        Physical line (CSV, JSON Lines) or row (Parquet), counted from 1.
    row : mapping or CallRecordError

    Raises
    ------
    CallRecordError
        If the file as a whole cannot be used.
    StorageError
        If reading failed for a reason that may pass.
    """
    try:
        data = read_bytes(place, max_bytes=_MAX_BYTES)
    except FileNotFoundError:
        raise CallRecordError(f"{place}: no such file of call records") from None
    except InputError as error:
        raise CallRecordError(str(error)) from error
    if data.startswith(_PARQUET_MAGIC) or place.lower().endswith((".parquet", ".pq")):
        yield from _parquet_rows(data, place=place, required=required)
        return
    text = _decoded(data, place=place)
    if place.lower().endswith(_JSON_LINES_SUFFIXES) or text.lstrip()[:1] == "{":
        yield from _json_rows(text, place=place)
    else:
        yield from _csv_rows(text, place=place, required=required, one_line=one_line)


def _decoded(data: bytes, *, place: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
    found, remedy = "some other encoding", "save it as UTF-8"
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        found, remedy = "UTF-16", "convert it: iconv -f UTF-16 -t UTF-8"
    else:
        try:
            data.decode("gb18030")
        except UnicodeDecodeError:
            pass
        else:
            found, remedy = "GBK or GB18030", "convert it: iconv -f GB18030 -t UTF-8"
    raise CallRecordError(f"{place}:{line}: expected UTF-8, found what looks like {found}; {remedy}")


def _shown(columns: Sequence[str]) -> str:
    """Name columns in a message; a first line that is no header may hold names of people instead."""
    names = [column for column in columns[:30] if _NAME.fullmatch(column)]
    others = len(columns) - len(names)
    return ", ".join([*names, *([f"{others} not shown here"] if others else [])]) or "none"


def _check_columns(columns: Sequence[str], *, place: str, required: Sequence[str]) -> None:
    missing = [column for column in required if column not in columns]
    if missing:
        found = _shown(columns)
        raise CallRecordError(
            f"{place}: required columns are missing: {', '.join(missing)}; found columns: {found}"
        )
    repeated = sorted({column for column in columns if column and columns.count(column) > 1})
    if repeated:
        raise CallRecordError(f"{place}: columns stand there twice: {_shown(repeated)}; keep one of each")


def _csv_rows(
    text: str, *, place: str, required: Sequence[str], one_line: Collection[str]
) -> Iterator[tuple[int, Row | CallRecordError]]:
    # The csv module would swallow the rest of the file after a quote that is never closed. So a bad
    # record costs one physical line, and reading starts afresh on the next one.
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    header: list[str] = []
    index = 0
    while index < len(lines):
        reader = csv.reader((lines[number] + "\n" for number in range(index, len(lines))), strict=True)
        for record, unreadable, used in _records(reader):
            line = index + 1
            index += used
            if not header:
                if unreadable or not any(record):
                    raise CallRecordError(
                        f"{place}: expected a header with {', '.join(required)}; found none"
                    )
                header = record
                _check_columns(header, place=place, required=required)
                continue
            if not unreadable and not any(record):
                continue
            cells = record[: len(header)] if not any(record[len(header) :]) else record
            problem = unreadable
            if not problem and len(cells) != len(header):
                problem = f"expected {len(header)} columns, found {len(cells)}"
            row = dict(zip(header, cells, strict=False))
            if not problem and used > 1 and any("\n" in row[name] for name in one_line if name in row):
                problem = "a quotation mark is open at the end of the line"
            if problem:
                yield line, CallRecordError(f"{place}:{line}: {problem}")
                index = line
                break
            yield line, row
        else:
            return


def _records(reader: Any) -> Iterator[tuple[list[str], str | None, int]]:
    """Each record, or what is wrong with it, and how many physical lines it took."""
    before = reader.line_num
    while True:
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield [], f"no valid CSV row ({error}); check its quotation marks", reader.line_num - before
            return
        yield [cell.strip() for cell in record], None, reader.line_num - before
        before = reader.line_num


def _json_rows(text: str, *, place: str) -> Iterator[tuple[int, Row | CallRecordError]]:
    for line, content in enumerate(text.split("\n"), start=1):
        if not content.strip():
            continue
        try:
            row = json.loads(content)
        except (ValueError, RecursionError) as error:
            # JSONDecodeError.msg names the fault without quoting the line.
            fault = error.msg if isinstance(error, json.JSONDecodeError) else type(error).__name__
            yield (
                line,
                CallRecordError(f"{place}:{line}: no valid JSON ({fault}); expected one object a line"),
            )
            continue
        if not isinstance(row, dict):
            found = type(row).__name__
            yield line, CallRecordError(f"{place}:{line}: expected a JSON object, found {found}")
            continue
        yield line, {key.strip(): value for key, value in row.items()}


def _parquet_rows(
    data: bytes, *, place: str, required: Sequence[str]
) -> Iterator[tuple[int, Row | CallRecordError]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        _refuse_bomb(file.metadata, place)
        table = file.read()
        table.validate(full=True)  # otherwise text that is none is found only when it is used
    except (pa.ArrowException, OSError, ValueError) as error:
        raise CallRecordError(
            f"{place}: no whole Parquet file ({type(error).__name__}); it may be cut, copy it again"
        ) from error
    _check_columns([name.strip() for name in table.column_names], place=place, required=required)
    fields = [
        pa.field(field.name.strip(), pa.timestamp("us", field.type.tz))
        if pa.types.is_timestamp(field.type)
        else field.with_name(field.name.strip())
        for field in table.schema
    ]
    try:
        table = table.rename_columns([field.name for field in fields]).cast(pa.schema(fields), safe=False)
        rows = table.to_pylist()
    except (pa.ArrowException, ValueError, OverflowError) as error:
        raise CallRecordError(
            f"{place}: holds values that cannot be read ({type(error).__name__}); write it again"
        ) from error
    yield from enumerate(rows, start=1)


def _refuse_bomb(metadata: Any, place: str) -> None:
    """Refuse a small file that says it unpacks to more than any night of call records."""
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    unpacked = sum(max(0, group.total_byte_size) for group in groups)
    if metadata.num_rows * max(1, metadata.num_columns) > _MAX_VALUES or unpacked > _MAX_BYTES:
        raise CallRecordError(
            f"{place}: {metadata.num_rows} rows, {metadata.num_columns} columns, {unpacked} bytes unpacked; "
            "more than any call records are; divide the file if it is one"
        )
