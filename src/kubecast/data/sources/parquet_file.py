"""The rows of one Parquet file, which counts them from 1."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from pyarrow.fs import LocalFileSystem

from kubecast.data.sources.base import Part, Projection, part_of, table_parts
from kubecast.errors import DataError, one_line

MAGIC = b"PAR1"
BATCH_ROWS = 1 << 18


def read_parquet(source: Path | bytearray, where: str, projection: Projection) -> Iterator[Part]:
    """Read the needed columns, a batch of rows at a time, at least one.

    Args:
        source: The file, or its bytes.
        where: Its path or URL, for messages.
        projection: The columns.

    Raises:
        DataError: It is not whole, or a needed column holds nested values.
    """
    try:
        with _opened(source) as file:
            schema = file.schema_arrow
            columns = projection.choose_of_schema(schema, where)
            if not file.metadata.num_rows:
                yield part_of(schema.empty_table().select(columns), schema.names, np.arange(0))
            yield from table_parts(_batches(file, columns), schema.names)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{where}: not a whole Parquet file ({one_line(error, 120)})") from error


def _batches(file: pyarrow.parquet.ParquetFile, columns: list[str]) -> Iterator[pa.RecordBatch]:
    for group in range(file.num_row_groups):  # the reader of all of them would hold each
        for batch in file.iter_batches(BATCH_ROWS, row_groups=[group], columns=columns):
            # The pandas metadata would turn columns into an index, among them often the time.
            yield batch.replace_schema_metadata(None)


@contextmanager
def _opened(source: Path | bytearray) -> Iterator[pyarrow.parquet.ParquetFile]:
    if isinstance(source, Path):
        with LocalFileSystem().open_input_file(str(source)) as stream:
            yield pyarrow.parquet.ParquetFile(stream)
    else:
        yield pyarrow.parquet.ParquetFile(pa.BufferReader(source))
