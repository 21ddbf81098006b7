"""The rows of one CSV file. Every value stays text, and each row knows its line.

Which values are numbers or times is decided by the settings, in ``kubecast.data.columns``.
"""

import csv
import io
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

from kubecast.data.sources.base import Part, Projection, part_of
from kubecast.errors import DataError, one_line

_BLOCK_BYTES = 8 << 20


def read_csv(data: bytearray, location: str, projection: Projection) -> Part:
    """Read the needed columns of RFC 4180: commas, double quotes, one header; a byte-order mark is fine.

    Raises:
        DataError: It is something else, e.g. rows have more columns than the header.
    """
    nul = data.find(b"\0")
    if nul >= 0:
        raise DataError(f"{location}: line {_line(data, nul)}: a NUL byte; allowed: UTF-8 text or Parquet")
    header = _csv_header(data, location)
    chosen = projection.choose(header, location)
    columns = {f"f{number}": name for number, name in enumerate(header) if name in chosen}
    quoted = b'"' in data
    try:
        table = pyarrow.csv.read_csv(
            pa.BufferReader(data),
            read_options=pyarrow.csv.ReadOptions(autogenerate_column_names=True, block_size=_BLOCK_BYTES),
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=quoted),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(columns, pa.string()),
                include_columns=list(columns),
                strings_can_be_null=True,
                null_values=[""],
            ),
        ).slice(1)
    except pa.ArrowInvalid as error:
        if "Expected" in str(error):  # so many columns
            _refuse_ragged(data, header, location)
        _refuse_not_utf8(data, location)
        raise DataError(f"{location}: not CSV ({one_line(error, 120)})") from error
    if quoted and data.count(b'"') % 2:
        _refuse_ragged(data, header, location)
    lines = _line_numbers(data, table.num_rows, location)
    return part_of(table.rename_columns(list(columns.values())), header, lines, "line")


def _csv_header(data: bytearray, location: str) -> list[str]:
    start = bytes(data[: 1 << 20])
    blank = len(start) - len(start.lstrip(b"\r\n"))
    _refuse_not_utf8(data[: start.find(b"\n", blank) + 1], location)
    try:
        rows = csv.reader(io.StringIO(start.decode("utf-8-sig", "ignore")), skipinitialspace=True)
        header = next(row for row in rows if row)
    except (csv.Error, StopIteration) as error:
        raise DataError(f"{location}: line 1: no header; allowed: the names of the columns") from error
    if len(header) == 1:
        for mark, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
            if mark in header[0]:
                raise DataError(f"{location}: line 1: columns are separated by {name}; allowed: commas")
    return header


def _refuse_not_utf8(data: bytearray, location: str) -> None:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{location}: line {_line(data, error.start)}: not UTF-8 text; allowed: UTF-8"
        ) from error


def _line(data: bytearray, position: int) -> int:
    return data.count(b"\n", 0, position) + 1


def _refuse_ragged(data: bytearray, header: list[str], location: str) -> None:
    """Find the line with Python's own reader, which counts lines and is slower."""
    for line, row in _csv_rows(data, location):
        if len(row) != len(header):
            hint = " (a decimal comma?)" if len(row) > len(header) else ""
            raise DataError(
                f"{location}: line {line}: {len(row)} columns{hint}; allowed: {len(header)} as in the header"
            )
    raise DataError(f"{location}: a double quote without its partner; allowed: RFC 4180 quotes")


def _line_numbers(data: bytearray, rows: int, location: str) -> NDArray[np.int64]:
    """The line that each row begins on; blank lines and line breaks in quotes need a second reading."""
    end = len(data)
    while end and data[end - 1] in b"\r\n":
        end -= 1
    if data.count(b"\n", 0, end) == rows:
        return np.arange(2, rows + 2)
    lines = [line for line, _ in _csv_rows(data, location)]
    if len(lines) != rows + 1:
        raise DataError(f"{location}: rows cannot be told apart; allowed: RFC 4180 quotes and line ends")
    return np.array(lines[1:])


def _csv_rows(data: bytearray, location: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, each with the line that it begins on; a column may be no UTF-8."""
    text = io.TextIOWrapper(io.BytesIO(data), "utf-8-sig", "replace", newline="")
    reader = csv.reader(text, strict=True)
    begin = 1
    try:
        for row in reader:
            if row:
                yield begin, row
            begin = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{location}: line {begin}: {error}; allowed: RFC 4180 quotes") from error
