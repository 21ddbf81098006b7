"""Reading the rows of a file, a folder, a table or a query.

Values of CSV files stay text here: which of them are numbers or times is decided by the settings, in
``kubecast.data.columns``, which can then name the first line that is wrong.
"""

from collections.abc import Collection, Generator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kubecast.config.training import DataSettings
from kubecast.data.partition import OtherTypesError, partition
from kubecast.data.row_blocks import Rows, one_block
from kubecast.data.sources import open_source, takes_query
from kubecast.data.sources.base import Part, Projection, Request, Source
from kubecast.errors import DataError, one_line

_DATES = pa.timestamp("ms")  # of dates pandas would make an object each


@dataclass(frozen=True)
class DataFile:
    """The rows of a source and what identifies them.

    Attributes:
        rows: With the source's own column names. Of CSV every value is text (or missing, where the field is
            empty) and the index is the line in the file, the header being line 1; of Parquet, tables and
            queries it counts rows from 1; of a folder it is the file and the line or row in it.
            ``rows.attrs`` hold ``unit``, which is ``line`` or ``row``, ``source``, the location, ``names``,
            every column that there is, and ``ordered``, whether the rows have an order of their own.
        digest: Of a file the SHA-256 of its bytes, hexadecimal; see ``kubecast.data.sources``.
    """

    rows: pd.DataFrame
    digest: str


def read_data(
    location: str, settings: DataSettings | None = None, expected_digest: str | None = None
) -> DataFile:
    """Read the rows of a source.

    Args:
        location: A path, or a ``file``, ``s3``, ``gs``, ``az`` or ``postgresql`` URL, with credentials from
            the environment; ``PATH@VERSION`` for a table at a version.
        settings: Name the columns, which alone are read; default: all are.
        expected_digest: That the data must have. A table is read at the version that it names.

    Raises:
        DataError: There is no such data, it is too large, has another digest, or cannot be read.
        StoreError: The object store or database fails.
    """
    request = _request(location, settings, expected_digest)
    source = open_source(request)
    rows = _frame(list(_bounded(source, request)), source, request)
    return DataFile(rows, source.digest())


@dataclass(frozen=True)
class DataBlocks:
    """The rows of a source, a block of series at a time, and what identifies them.

    Attributes:
        blocks: As ``DataFile.rows`` has them: one, or several where series are in order.
        digest: As of ``DataFile``.
    """

    blocks: Rows
    digest: str


def open_data(
    location: str,
    settings: DataSettings,
    expected_digest: str | None,
    folder: Path,
    texts: Collection[str] = (),
) -> DataBlocks:
    """Read the rows of a source; those of typed columns by way of files, in blocks of whole series.

    Args:
        location: As for ``read_data``.
        settings: As for ``read_data``.
        expected_digest: As for ``read_data``.
        folder: Of this machine: gets the files, up to twice the rows.
        texts: Static covariates that are text, as a model knows them.

    Raises:
        DataError: As ``read_data``.
        StoreError: As ``read_data``.
    """
    request = _request(location, settings, expected_digest)
    source = open_source(request)
    parts = _bounded(source, request)
    first = next(parts, None)
    if first is None or not _can_be_divided(first, settings, texts):
        rows = _frame([] if first is None else [first, *parts], source, request)
        return DataBlocks(one_block(rows), source.digest())
    typed = (_of_few_types(part, settings) for part in chain([first], parts))
    try:
        ranges = partition(typed, settings.columns.unique_id, folder)
    except OtherTypesError:  # which a reader of all rows brings together
        parts.close()  # a database is open as long
        whole = read_data(location, settings, expected_digest)
        return DataBlocks(one_block(whole.rows), whole.digest)
    return DataBlocks(lambda: (_frame(list(own), source, request) for own in ranges.parts()), source.digest())


def _can_be_divided(part: Part, settings: DataSettings, texts: Collection[str]) -> bool:
    """Whether each value can be read without the others.

    Times must be of a datetime type, numbers and static covariates say what they are by their types.
    """
    columns, numbers, static = settings.columns, _numbers(settings), settings.covariates.static
    types = {field.name: field.type for field in part.table.schema}
    needed = {columns.unique_id, columns.ds, *numbers, *static}
    if part.unit == "line" or not needed <= {*types} or not pa.types.is_timestamp(types[columns.ds]):
        return False
    # What booleans, times, and numbers that are text are written as depends on what else their column holds.
    plain = all(
        pa.types.is_string(types[name])
        or (name not in texts and _is_number(types[name]) and not pa.types.is_boolean(types[name]))
        for name in static
    )
    return plain and all(_is_number(types[name]) for name in numbers)


def _is_number(kind: pa.DataType) -> bool:
    kinds = (pa.types.is_floating, pa.types.is_integer, pa.types.is_boolean, pa.types.is_null)
    return any(is_kind(kind) for is_kind in kinds)


def _of_few_types(part: Part, settings: DataSettings) -> Part:
    """Numbers as floats, as a panel has them, and times in microseconds: files differ in what they need."""
    table = part.table
    for place, field in enumerate(table.schema):
        kind = _common_type(field, settings)
        if kind != field.type:
            table = table.set_column(place, field.name, table.column(place).cast(kind, safe=False))
    return part._replace(table=table)


def _common_type(field: pa.Field, settings: DataSettings) -> pa.DataType:
    name, kind = field.name, field.type
    is_static = name in settings.covariates.static and not pa.types.is_boolean(kind)
    if _is_number(kind) and (is_static or name in _numbers(settings)):
        return pa.float64()
    is_coarse = name == settings.columns.ds and pa.types.is_timestamp(kind) and kind.unit in ("s", "ms")
    return pa.timestamp("us", kind.tz) if is_coarse else kind


def _numbers(settings: DataSettings) -> list[str]:
    return [settings.columns.y, *settings.covariates.future, *settings.covariates.past]


def digest_of(location: str, settings: DataSettings | None = None) -> str:
    """What identifies the data, without holding it in memory.

    Raises:
        DataError: There is no such data, or it is too large.
        StoreError: The object store or database fails.
    """
    return open_source(_request(location, settings)).digest()


def settings_for(location: str, settings: DataSettings) -> DataSettings:
    """The settings of a training run for other data of its kind, which may be no database any more."""
    return settings if takes_query(location) else settings.model_copy(update={"query": None})


def _request(location: str, settings: DataSettings | None, expected: str | None = None) -> Request:
    projection = Projection.of_settings(settings) if settings else Projection()
    limits = settings or DataSettings()
    return Request(location, projection, limits.query or "", limits.max_bytes, expected)


def _frame(parts: list[Part], source: Source, request: Request) -> pd.DataFrame:
    if not parts:
        raise DataError(f"{request.location}: no rows; allowed: at least one")
    if source.ordered:
        table = pa.concat_tables([part.table for part in parts])
        index = pd.Index(np.concatenate([part.labels for part in parts]))
    else:
        table = _joined([part.table for part in parts], request)
        order = _sorted(table, request)
        table, index = table.take(order), _labels(parts)[order]
    rows = _as_frame(table)
    pa.default_memory_pool().release_unused()  # it would keep as much as the rows take
    rows.index = index
    names = list(dict.fromkeys(name for part in parts for name in part.names))
    about = {"unit": parts[0].unit, "names": names, "ordered": source.ordered, "source": request.location}
    rows.attrs |= about
    return rows


def _bounded(source: Source, request: Request) -> Generator[Part, None, None]:
    """The parts that have rows, until they hold more than is allowed; one file is as large as it is."""
    held = 0
    for part in source.parts():
        if not len(part.table):
            continue
        if part.unit == "line" and source.ordered:
            yield part
            continue
        # A name that is a date has a time where files are brought together, and none in one file.
        dates = pa.string() if source.ordered else _DATES
        plain = part._replace(table=_plain(part.table, request.projection.names, dates))
        if not source.ordered:
            held += plain.table.nbytes
            request.check_size(held)
        yield plain


def _plain(table: pa.Table, names: Collection[str], dates: pa.DataType) -> pa.Table:
    """One type for each kind of values, however a file or table writes them.

    Decimal numbers become floats, but where they are names: of those no digit may be lost.

    Args:
        table: Some of the rows.
        names: Columns that hold names.
        dates: The type of dates in these.
    """
    for number, column in enumerate(table.schema):
        is_name = column.name in names
        kind = _plain_type(
            column.type, pa.string() if is_name else pa.float64(), dates if is_name else _DATES
        )
        if kind != column.type:
            table = table.set_column(number, column.name, table.column(number).cast(kind))
    return table


def _plain_type(kind: pa.DataType, of_decimals: pa.DataType, of_dates: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return _plain_type(kind.value_type, of_decimals, of_dates)
    if pa.types.is_decimal(kind):
        return of_decimals
    if pa.types.is_date(kind):
        return of_dates
    return pa.string() if kind in (pa.large_string(), pa.string_view()) else kind


def _joined(tables: list[pa.Table], request: Request) -> pa.Table:
    for name in request.projection.names & {*tables[0].column_names}:
        if pa.string() in {table.schema.field(name).type for table in tables}:
            tables = [_as_text(table, name) for table in tables]
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        raise DataError(
            f"{request.location}: a column has two types ({one_line(error)}); allowed: one in all files"
        ) from error


def _as_text(table: pa.Table, name: str) -> pa.Table:
    """Names that are whole numbers as text, which they are in another file."""
    number = table.column_names.index(name)
    column = table.column(number)
    return (
        table.set_column(number, name, column.cast(pa.string()))
        if pa.types.is_integer(column.type)
        else table
    )


def _labels(parts: list[Part]) -> "pd.Index[Any]":
    """The row of each part, with its file where there are several."""
    rows = np.concatenate([part.labels for part in parts])
    if not parts[0].file:
        return pd.Index(rows)
    of_parts, names = pd.factorize(np.array([part.file for part in parts], dtype=object))
    files = np.repeat(of_parts, [len(part.labels) for part in parts])
    rows, numbers = pd.factorize(rows)
    levels: Any = [names, numbers]
    codes: Any = [files, rows]
    return pd.MultiIndex(levels, codes, verify_integrity=False)  # lists of so many rows would be slow


def _sorted(table: pa.Table, request: Request) -> NDArray[np.int64]:
    """The order of rows by their own values, so that it does not depend on files or on their order."""
    first = [
        name for name in (request.projection.unique_id, request.projection.ds) if name in table.column_names
    ]
    names = [*first, *sorted(set(table.column_names) - {*first})]
    keys = [name for name in names if not pa.types.is_null(table.schema.field(name).type)]
    try:
        return np.asarray(pc.sort_indices(table, sort_keys=[(name, "ascending") for name in keys]))
    except pa.ArrowException as error:
        raise DataError(
            f"{request.location}: {one_line(error)}; allowed: numbers, text and timestamps"
        ) from error


def _as_frame(table: pa.Table) -> pd.DataFrame:
    text = {kind: pd.ArrowDtype(pa.string()) for kind in (pa.string(), pa.large_string())}
    frame: pd.DataFrame = table.to_pandas(types_mapper=text.get, ignore_metadata=True)
    return frame
