"""Parquet files as data frames."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet
from pyarrow import BufferReader, default_memory_pool
from pyarrow.fs import LocalFileSystem

BLOCK_ROWS = 1 << 18  # of a row group of a file that is read in blocks: what a reader holds


def read_parquet(source: Path | bytes, **options: Any) -> pd.DataFrame:
    """Read a Parquet file as pandas does, but let Arrow open it, and keep no memory afterwards.

    Arrow's threads may keep a file that Python opened until the process ends, which then aborts
    (https://github.com/apache/arrow/issues/50482).

    Args:
        source: The file's path, or its bytes.
        options: Of ``pandas.read_parquet``.
    """
    if isinstance(source, bytes):
        table = pd.read_parquet(BufferReader(source), **options)
    else:
        table = pd.read_parquet(source, filesystem=LocalFileSystem(), **options)
    default_memory_pool().release_unused()  # it would keep as much as the table takes
    return table


def write_series(blocks: Iterable[pd.DataFrame], path: Path) -> None:
    """Write tables of the same columns one after the other, for ``series_blocks``.

    Args:
        blocks: At least one, of the same types; their rows are in ascending order of series.
        path: The file.
    """
    tables = (pa.Table.from_pandas(block, preserve_index=False) for block in blocks)
    first = next(tables)
    with pyarrow.parquet.ParquetWriter(path, first.schema) as writer:
        for table in itertools.chain([first], tables):
            writer.write_table(table.cast(first.schema), row_group_size=BLOCK_ROWS)


def column_names(path: Path) -> list[str]:
    """The columns of a Parquet file."""
    return [str(name) for name in pyarrow.parquet.read_schema(path).names]


def series_blocks(path: Path, columns: Sequence[str] | None = None) -> Iterator[pd.DataFrame]:
    """The rows of whole series at a time, about as many as a row group has.

    Args:
        path: A file whose rows are in ascending order of series.
        columns: ``unique_id`` and others; default: all.

    Yields:
        At least one table, which is empty where the file is; each with an index from 0, and texts, of which
        one for each row would be slow, as categories.
    """
    schema = pyarrow.parquet.read_schema(path)
    texts = [field.name for field in schema if pa.types.is_string(field.type)]
    with LocalFileSystem().open_input_file(str(path)) as source:
        file = pyarrow.parquet.ParquetFile(source, read_dictionary=texts)
        rest = file.schema_arrow.empty_table().select(columns or file.schema_arrow.names)
        if not file.metadata.num_rows:
            yield _as_frame(rest)
            return
        for group in range(file.num_row_groups):
            rows = pa.concat_tables([rest, file.read_row_group(group, columns=columns)])
            whole = len(rows)
            if group + 1 < file.num_row_groups:  # which may go on with the last series
                names = rows["unique_id"].cast(pa.string())
                whole = pc.index(names, names[-1]).as_py()
            if whole:
                yield _as_frame(rows.slice(0, whole))
            rest = rows.slice(whole)


def _as_frame(table: pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas()
    default_memory_pool().release_unused()
    return frame
