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
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        compression="zstd",
        compression_level=3,
        write_page_checksum=True,
        row_group_size=row_group_rows,
    )
    return bytes(sink.getvalue().to_pybytes())


def open_files(paths: Sequence[str], schema: pa.Schema, filesystem: Any) -> ds.Dataset:
    """Open committed files of one dataset; checksums are verified as they are read.

    Parameters
    ----------
    paths : sequence of str
        At least one, ``…/<table>/call_date=<date>/<name>.parquet`` each.
    schema : pyarrow.Schema
        With the partition column.
    filesystem : Any
        Arrow file system of the paths; None for the local one.
    """
    return ds.dataset(
        list(paths),
        schema=schema,
        format=ds.ParquetFileFormat(
            default_fragment_scan_options=ds.ParquetFragmentScanOptions(page_checksum_verification=True)
        ),
        filesystem=filesystem,
        partitioning=_PARTITIONING,
        partition_base_dir=str(PurePosixPath(paths[0]).parent.parent),
    )


def is_whole(path: str, filesystem: Any) -> bool:
    """Whether every page of a file can be read and has its checksum.

    Raises
    ------
    FileNotFoundError
        The file has gone meanwhile, which is no damage.
    """
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True, filesystem=filesystem)
        for group in range(file.metadata.num_row_groups):
            file.read_row_group(group)
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError):
        return False
    return True
