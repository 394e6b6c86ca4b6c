"""The one place where result files are encoded and opened.

Everything that reads or writes a Parquet file of the results comes through here, so that a property of
all files (compression, checksums, encryption of columns) is decided once.

Table of contents: `encode`, `open_files`, `is_whole`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from pipeline.errors import AccessRefusedError
from pipeline.results import sealing
from pipeline.results.schemas import PARTITION

_PARTITIONING = ds.partitioning(pa.schema([PARTITION]), flavor="hive")


def encode(table: pa.Table, *, row_group_rows: int | None = None) -> bytes:
    """Write a table as the bytes of a zstd-compressed Parquet file with checksums on every page.

    Parameters
    ----------
    table : pyarrow.Table
    row_group_rows : int, optional
        Rows that are read together; smaller groups let single calls be found faster.
    """
    schema, encryption = sealing.writing(table.schema)
    sink = pa.BufferOutputStream()
    pq.write_table(
        table.replace_schema_metadata(schema.metadata),
        sink,
        compression="zstd",
        compression_level=3,
        write_page_checksum=True,
        row_group_size=row_group_rows,
        encryption_properties=encryption,
    )
    return bytes(sink.getvalue().to_pybytes())


def open_files(
    paths: Sequence[str], schema: pa.Schema, filesystem: Any, *, sealed: bool = True
) -> ds.Dataset:
    """Open committed files of one dataset; checksums are verified as they are read.

    Parameters
    ----------
    paths : sequence of str
        At least one, ``…/<table>/call_date=<date>/<name>.parquet`` each.
    schema : pyarrow.Schema
        With the partition column.
    filesystem : Any
        Arrow file system of the paths; None for the local one.
    sealed : bool
        Whether sealed columns are to be read, for which the transcript key is used if there is one.
    """
    return ds.dataset(
        list(paths),
        schema=schema,
        format=ds.ParquetFileFormat(
            default_fragment_scan_options=ds.ParquetFragmentScanOptions(
                page_checksum_verification=True, decryption_config=sealing.reading() if sealed else None
            )
        ),
        filesystem=filesystem,
        partitioning=_PARTITIONING,
        partition_base_dir=str(PurePosixPath(paths[0]).parent.parent),
    )


def is_whole(path: str, filesystem: Any) -> bool:
    """Whether every page of a file can be read and has its checksum; of sealed ones, if the key is here.

    Raises
    ------
    FileNotFoundError
        The file has gone meanwhile, which is no damage.
    """
    try:
        file, columns = _readable(path, filesystem)
        for group in range(file.metadata.num_row_groups):
            file.read_row_group(group, columns=columns)
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError):
        return False
    return True


def _readable(path: str, filesystem: Any) -> tuple[pq.ParquetFile, list[str] | None]:
    """Open a file, and name the columns that the keys at hand can read; None for all."""
    options = {"page_checksum_verification": True, "filesystem": filesystem}
    properties = sealing.file_properties()
    if properties is not None:
        try:
            return pq.ParquetFile(path, decryption_properties=properties, **options), None
        except AccessRefusedError:
            properties = None  # sealed under another key
    file = pq.ParquetFile(path, **options)
    schema = file.schema_arrow
    if sealing.sealed_with(schema) is None:
        return file, None
    closed = set(sealing.sealed_columns(schema))
    return file, [name for name in schema.names if name not in closed]
