"""The rows of a large source in blocks of whole series, by way of files on this machine's disk.

Rows are written down as they come, and the rows of each series are counted. Then each row goes to the file of
its range of series. What is held in memory is a batch of rows, later one range of them.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from numpy.typing import NDArray
from pyarrow.fs import LocalFileSystem

from kubecast.data.series_names import plain_names
from kubecast.data.sources.base import Part

RANGE_ROWS = 1 << 20
"""Of a range of series, about; one series may have more."""

MOST_RANGES = 128
"""Beyond which ranges are larger: each has a file that is open while rows are divided."""

HELD_ROWS = 1 << 21
"""That are divided before they are written: of small pieces a file is slow to read."""

BATCH_ROWS = 1 << 18
_LABEL, _FILE = "kubecast: label", "kubecast: file"


class OtherTypesError(Exception):
    """A part has columns of other types than the first one."""


@dataclass(frozen=True)
class Partition:
    """Rows in ranges of series.

    Attributes:
        paths: The file of each range, in ascending order of the series' names.
        names: Every column that the source has.
        files: Those that the rows come from; one without a name, where it is no folder.
    """

    paths: list[Path]
    names: list[str]
    files: list[str]

    def parts(self) -> Iterator[Iterator[Part]]:
        """The rows of each range, a part for each file that they come from, in the order of the source."""
        for path in self.paths:
            with LocalFileSystem().open_input_file(str(path)) as stream:
                table = pyarrow.parquet.read_table(stream)
            yield self._parts(table)

    def _parts(self, table: pa.Table) -> Iterator[Part]:
        numbers, labels = (table.column(name).to_numpy() for name in (_FILE, _LABEL))
        rows = table.drop_columns([_FILE, _LABEL])
        ends = np.append(np.flatnonzero(np.diff(numbers)) + 1, len(numbers))
        for begin, end in zip([0, *ends[:-1]], ends, strict=True):
            own = rows.slice(begin, end - begin)
            yield Part(own, self.names, labels[begin:end], file=self.files[numbers[begin]])


def partition(parts: Iterable[Part], unique_id: str, folder: Path) -> Partition:
    """Divide rows into ranges of series.

    Args:
        parts: The rows, in the types of the first part.
        unique_id: The column of the names of series.
        folder: Gets the files.

    Raises:
        OtherTypesError: A part has others.
    """
    spool = folder / "rows.parquet"
    written = _write_down(parts, unique_id, spool)
    ranges = _ranges(written.counts)
    paths = [folder / f"{number:05}.parquet" for number in range(max(ranges.values()) + 1)]
    if len(paths) == 1:
        spool.rename(paths[0])
    else:
        _distribute(spool, unique_id, ranges, paths)
        spool.unlink()
    return Partition(paths, written.names, written.files)


class _Written(NamedTuple):
    """Rows that were written to a file.

    Attributes:
        counts: Of the rows of each series.
        names: As of ``Partition``.
        files: As of ``Partition``, in the order of their numbers.
    """

    counts: Counter[str]
    names: list[str]
    files: list[str]


def _write_down(parts: Iterable[Part], unique_id: str, path: Path) -> _Written:
    """Write rows to a file, each with its label and the number of its file, and count each series' rows."""
    counts: Counter[str] = Counter()
    names: dict[str, None] = {}
    files: dict[str, int] = {}
    held: list[pa.Table] = []
    count = 0
    with ExitStack() as stack:
        writer = None
        for part in parts:
            names |= dict.fromkeys(part.names)
            of_file = np.full(len(part.labels), files.setdefault(part.file, len(files)), dtype=np.int32)
            table = part.table.append_column(_LABEL, pa.array(part.labels)).append_column(_FILE, [of_file])
            writer = writer or stack.enter_context(_writer(path, _nullable(table.schema)))
            held.append(_as_in(writer.schema, table))
            count += len(table)
            if count >= BATCH_ROWS:
                writer.write_table(pa.concat_tables(held), row_group_size=BATCH_ROWS)
                held.clear()
                count = 0
            found = part.table.column(unique_id).value_counts()
            rows = found.field("counts").to_pylist()
            for name, number in zip(plain_names(found.field("values").to_pandas()), rows, strict=True):
                counts[name] += number
        if writer and held:
            writer.write_table(pa.concat_tables(held), row_group_size=BATCH_ROWS)
    return _Written(counts, list(names), list(files))


def _nullable(schema: pa.Schema) -> pa.Schema:
    return pa.schema([pa.field(field.name, field.type) for field in schema])


def _as_in(schema: pa.Schema, table: pa.Table) -> pa.Table:
    """The columns in the order of a schema."""
    ordered = table.select(schema.names)
    if ordered.schema.types != schema.types:
        raise OtherTypesError
    return pa.Table.from_arrays(ordered.columns, schema=schema)


def _ranges(counts: Counter[str]) -> dict[str, int]:
    """The range of each series, by its name."""
    names = sorted(counts)
    rows = np.array([counts[name] for name in names])
    size = max(RANGE_ROWS, -(-int(rows.sum()) // MOST_RANGES))
    _, ranges = np.unique((np.cumsum(rows) - rows) // size, return_inverse=True)
    return dict(zip(names, ranges.tolist(), strict=True))


def _distribute(spool: Path, unique_id: str, ranges: dict[str, int], paths: list[Path]) -> None:
    """Write each row to the file of its range."""
    held: list[list[pa.Table]] = [[] for _ in paths]
    count = 0
    with ExitStack() as stack:
        stream = stack.enter_context(LocalFileSystem().open_input_file(str(spool)))
        file = pyarrow.parquet.ParquetFile(stream)
        writers = [stack.enter_context(_writer(path, file.schema_arrow)) for path in paths]
        for group in range(file.num_row_groups):  # the reader of all of them would hold each
            table = file.read_row_group(group)
            of_rows = _range_of_rows(table.column(unique_id), ranges)
            order = np.argsort(of_rows, kind="stable")
            used, begins = np.unique(of_rows[order], return_index=True)
            rows = table if len(used) == 1 else table.take(order)
            for number, begin, end in zip(used, begins, [*begins[1:], len(order)], strict=True):
                held[number].append(rows.slice(begin, end - begin))
            count += len(rows)
            if count >= HELD_ROWS or group + 1 == file.num_row_groups:
                for writer, tables in zip(writers, held, strict=True):
                    if tables:
                        writer.write_table(pa.concat_tables(tables))
                    tables.clear()
                count = 0


def _writer(path: Path, schema: pa.Schema) -> pyarrow.parquet.ParquetWriter:
    texts = [field.name for field in schema if pa.types.is_string(field.type)]
    return pyarrow.parquet.ParquetWriter(path, schema, use_dictionary=texts)  # numbers hardly repeat


def _range_of_rows(column: pa.ChunkedArray, ranges: dict[Any, int]) -> NDArray[np.int64]:
    encoded = column.combine_chunks().dictionary_encode("encode")
    of_values = np.array(
        [ranges[name] for name in plain_names(encoded.dictionary.to_pandas())], dtype=np.int64
    )
    return np.asarray(of_values[encoded.indices.to_numpy()])
