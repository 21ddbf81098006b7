"""Parquet files as data frames."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet
from numpy.typing import NDArray
from pyarrow import BufferReader, default_memory_pool
from pyarrow.fs import LocalFileSystem

from kubecast.errors import DataError

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
    """Write tables of the same columns one after the other, for ``series_blocks`` and ``SeriesReader``.

    Args:
        blocks: At least one, of the same types; their rows, or those that a reader asks for, are in ascending
            order of series.
        path: The file.
    """
    tables = (_plain(pa.Table.from_pandas(block, preserve_index=False)) for block in blocks)
    first = next(tables)
    # Numbers hardly repeat, and to look for those that do takes longest.
    texts = [field.name for field in first.schema if pa.types.is_string(field.type)]
    options = {"use_dictionary": texts, "write_page_checksum": True}
    with pyarrow.parquet.ParquetWriter(path, first.schema, **options) as writer:
        for table in filter(len, itertools.chain([first], tables)):
            writer.write_table(table.cast(first.schema), row_group_size=BLOCK_ROWS)


def _plain(table: pa.Table) -> pa.Table:
    """Texts as such, be they categories, which are not the same in two blocks, or a column without a row."""
    return table.cast(pa.schema([field.with_type(_plain_type(field.type)) for field in table.schema]))


def _plain_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return _plain_type(kind.value_type)
    return pa.string() if pa.types.is_null(kind) else kind


def no_rows(path: Path) -> pd.DataFrame:
    """An empty table of the columns and types of a Parquet file."""
    return _as_frame(pyarrow.parquet.read_schema(path).empty_table())


def column_names(path: Path) -> list[str]:
    """The columns of a Parquet file."""
    return [str(name) for name in pyarrow.parquet.read_schema(path).names]


def series_blocks(path: Path, columns: Sequence[str] | None = None) -> Iterator[pd.DataFrame]:
    """The rows of whole series at a time, about as many as ``BLOCK_ROWS``.

    Args:
        path: A file whose rows are in ascending order of series.
        columns: ``unique_id`` and others; default: all.

    Yields:
        At least one table, which is empty where the file is; each with an index from 0, and texts, of which
        one for each row would be slow, as categories.
    """
    with _opened(path) as file:
        rest = file.schema_arrow.empty_table().select(columns or file.schema_arrow.names)
        if not file.metadata.num_rows:
            yield _as_frame(rest)
            return
        for groups in _groups_of_blocks(file.metadata):
            rows = pa.concat_tables([rest, file.read_row_groups(groups, columns=columns)])
            whole = len(rows)
            if whole and groups[-1] + 1 < file.num_row_groups:  # which may go on with the last series
                names = rows["unique_id"].cast(pa.string())
                whole = pc.index(names, names[-1]).as_py()
            if whole:
                yield _as_frame(rows.slice(0, whole))
            rest = rows.slice(whole)


def _groups_of_blocks(metadata: pyarrow.parquet.FileMetaData) -> Iterator[list[int]]:
    """The row groups that are read at once: small ones together, each time so many as a block has rows."""
    groups: list[int] = []
    count = 0
    for group in range(metadata.num_row_groups):
        rows = metadata.row_group(group).num_rows
        if groups and count + rows > BLOCK_ROWS:
            yield groups
            groups, count = [], 0
        groups.append(group)
        count += rows
    yield groups


class SeriesReader:
    """Reads a table whose rows are in ascending order of series, one range of series after the other."""

    def __init__(self, blocks: Iterable[pd.DataFrame]) -> None:
        """Begin with the first series.

        Args:
            blocks: Of rows, one after the other, at least one; each may hold a part of a series.
        """
        self._blocks = self._checked(blocks)
        self._rest = next(self._blocks)
        self._none = self._rest.iloc[:0]

    @classmethod
    def of_file(cls, path: Path, columns: Sequence[str], rows: pc.Expression | None = None) -> Self:
        """Read a file.

        Args:
            path: Of a Parquet file.
            columns: ``unique_id`` and others; texts are read as categories.
            rows: Those to read, by their columns; default: all.
        """
        return cls(row_groups(path, columns, rows))

    def until(self, last: str) -> pd.DataFrame:
        """The next rows of series whose names are up to this one.

        Raises:
            DataError: The rows are not in ascending order of series.
        """
        taken = []
        while True:
            series, first = _runs(self._rest["unique_id"])
            count = int(np.append(first, len(self._rest))[np.searchsorted(series, last, side="right")])
            taken += [self._rest.iloc[:count]] if count else []
            self._rest = self._rest.iloc[count:]
            if len(self._rest) or (block := next(self._blocks, None)) is None:
                break
            self._rest = block
        return pd.concat(taken, ignore_index=True) if taken else self._none

    def _checked(self, blocks: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        before = ""
        for block in blocks:
            names = _runs(block["unique_id"])[0]
            if any(early > late for early, late in itertools.pairwise([before, *names])):
                raise DataError("a table of forecasts: its rows are not in ascending order of series")
            before = names[-1] if len(names) else before
            yield block


def row_groups(
    path: Path, columns: Sequence[str], rows: pc.Expression | None = None
) -> Iterator[pd.DataFrame]:
    """The chosen rows of each row group that has some, after an empty table: see ``SeriesReader.of_file``."""
    with _opened(path) as file:
        yield _as_frame(file.schema_arrow.empty_table().select(columns))
        read = columns if rows is None else file.schema_arrow.names
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=read)
            table = (table if rows is None else table.filter(rows)).select(columns)
            if len(table):
                yield _as_frame(table)


def _runs(names: "pd.Series[Any]") -> tuple[NDArray[np.object_], NDArray[np.intp]]:
    """The series of each run of rows, and its first row."""
    codes, series = pd.factorize(names)
    first = np.flatnonzero(np.diff(codes, prepend=-1))
    return np.asarray(series, dtype=object)[codes[first]], first


@contextmanager
def _opened(path: Path) -> Iterator[pyarrow.parquet.ParquetFile]:
    """A Parquet file whose texts are read as categories, and whose pages are held to their sums."""
    schema = pyarrow.parquet.read_schema(path)
    texts = [field.name for field in schema if pa.types.is_string(field.type)]
    with LocalFileSystem().open_input_file(str(path)) as source:
        yield pyarrow.parquet.ParquetFile(source, read_dictionary=texts, page_checksum_verification=True)


def _as_frame(table: pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas()
    default_memory_pool().release_unused()
    return frame
