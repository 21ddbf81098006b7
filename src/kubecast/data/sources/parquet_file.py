"""The rows of one Parquet file, which counts them from 1."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from kubecast.data.sources.base import Part, Projection, part_of
from kubecast.errors import DataError

MAGIC = b"PAR1"


def read_parquet(data: bytearray, where: str, projection: Projection) -> Part:
    """Read the needed columns.

    Raises:
        DataError: It is not whole, or a needed column holds nested values.
    """
    try:
        file = pyarrow.parquet.ParquetFile(pa.BufferReader(data))
        names = file.schema_arrow.names
        table = file.read(columns=projection.choose_of_schema(file.schema_arrow, where))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(
            f"{where}: not a whole Parquet file ({' '.join(str(error).split())[:120]})"
        ) from error
    # The pandas metadata would turn columns into an index, among them often the time.
    return part_of(table.replace_schema_metadata(None), names, np.arange(1, table.num_rows + 1))
