"""Parquet files as data frames."""

from pathlib import Path
from typing import Any

import pandas as pd
from pyarrow import BufferReader, default_memory_pool
from pyarrow.fs import LocalFileSystem


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
