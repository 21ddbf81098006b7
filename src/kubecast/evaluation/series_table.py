"""A leaderboard's tables with a row for each series, which stand in Parquet files beside it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar, overload

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
from pyarrow.fs import LocalFileSystem
from pydantic import ValidationError

from kubecast.documents import Document, Rows, first_fault
from kubecast.errors import IntegrityError, one_line
from kubecast.evaluation.rows import columns_of, fields_of

D = TypeVar("D", bound=Document)


class SeriesTable(Rows[D]):
    """A table whose rows are documents, each of which is made when somebody looks at it.

    Attributes:
        table: Its columns: those of ``columns_of``.
    """

    def __init__(self, row: type[D], table: pa.Table, name: str = "a table of series") -> None:
        """Take a table whose rows are checked when they are made; ``name`` is for messages."""
        self._row, self.table, self._name = row, table, name

    @classmethod
    def of_frame(cls, row: type[D], frame: pd.DataFrame) -> Self:
        """Take a frame, in which NaN stands for None."""
        return cls(row, pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None))

    @classmethod
    def of(cls, row: type[D], rows: Sequence[D]) -> Self:
        """Take documents."""
        if isinstance(rows, cls):
            return rows
        return cls.of_frame(row, frame_of(rows) if len(rows) else pd.DataFrame(columns=[*row.model_fields]))

    @classmethod
    def read(cls, row: type[D], source: Path | bytes, name: str) -> Self:
        """Read what ``write`` wrote; rows are checked when they are made.

        Args:
            row: What the rows are.
            source: The file or its bytes.
            name: Of the file, for messages.

        Raises:
            IntegrityError: It is no such file, or damaged.
        """
        try:
            if isinstance(source, bytes):
                table = pyarrow.parquet.read_table(pa.BufferReader(source), page_checksum_verification=True)
            else:
                files = LocalFileSystem()
                table = pyarrow.parquet.read_table(source, filesystem=files, page_checksum_verification=True)
            table.validate(full=True)  # that texts are such
            names = {*table.column_names}
        except (pa.ArrowException, OSError, ValueError) as error:  # of a name that is no text
            raise IntegrityError(f"{name}: not a Parquet file ({one_line(error, 120)})") from error
        lacking = [key for key, field in row.model_fields.items() if field.is_required() and key not in names]
        if lacking:
            raise IntegrityError(
                f"{name}: no column {', '.join(lacking)}; allowed: what an evaluation writes"
            )
        return cls(row, table, name)

    def write(self, path: Path) -> None:
        """Write a Parquet file."""
        pyarrow.parquet.write_table(self.table, path, compression="zstd", write_page_checksum=True)

    def frame(self) -> pd.DataFrame:
        """The table, NaN for None."""
        frame: pd.DataFrame = self.table.to_pandas()
        return frame

    def __len__(self) -> int:
        """The number of rows."""
        return int(self.table.num_rows)

    def __iter__(self) -> Iterator[D]:
        """Make one row after the other."""
        for batch in self.table.to_batches(max_chunksize=10_000):
            yield from map(self._made, batch.to_pylist())

    @overload
    def __getitem__(self, index: int) -> D: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[D]: ...
    def __getitem__(self, index: int | slice) -> D | Sequence[D]:
        """Make a row, or the table of some."""
        places = range(len(self))[index]
        if isinstance(places, range):
            return type(self)(self._row, self.table.take(pa.array(places, pa.int64())), self._name)
        return self._made(self.table.slice(places, 1).to_pylist()[0])

    def _made(self, record: dict[str, Any]) -> D:
        try:
            return self._row.model_validate(fields_of(record))
        except ValidationError as error:
            raise IntegrityError(
                f"{self._name}: not what an evaluation writes ({first_fault(error)})"
            ) from error


def frame_of(rows: Sequence[D]) -> pd.DataFrame:
    """Documents as a frame, with the columns of ``columns_of``."""
    if isinstance(rows, SeriesTable):
        return rows.frame()
    return pd.DataFrame([columns_of(each.model_dump()) for each in rows])
