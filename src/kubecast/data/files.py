"""Reading a data file, CSV or Parquet, from a local path or an object store.

Values of a CSV file stay text here: which of them are numbers or times is decided by the settings, in
``kubecast.data.columns``, which can then name the first line that is wrong.
"""

import csv
import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from kubecast.errors import DataError, NotFound
from kubecast.storage.bucket import Bucket
from kubecast.storage.locations import FILE, local_path, scheme_of
from kubecast.storage.providers import PROVIDERS

MAX_BYTES = 2 << 30
CHUNK_BYTES = 8 << 20

_PICKLES = {".pkl", ".pickle", ".joblib"}
_FOREIGN = {  # by their first bytes
    b"\x1f\x8b": "compressed with gzip",
    b"PK\x03\x04": "a zip or Excel file",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}


@dataclass(frozen=True)
class DataFile:
    """A data file's rows and what identifies its bytes.

    Attributes:
        rows: With the file's own column names. Of CSV every value is text (or missing, where the field is
            empty) and the index is the line in the file, the header being line 1. Of Parquet the index counts
            rows from 1. ``rows.attrs`` hold ``unit``, which is ``line`` or ``row``, and ``source``, the
            location.
        digest: SHA-256 of the bytes, hexadecimal.
    """

    rows: pd.DataFrame
    digest: str


def read_data(location: str, max_bytes: int = MAX_BYTES, expected_digest: str | None = None) -> DataFile:
    """Read a CSV or Parquet file.

    Args:
        location: A local path, or a ``file``, ``s3``, ``gs`` or ``az`` URL, with credentials from
            the environment.
        max_bytes: The largest file that is read.
        expected_digest: SHA-256 that the file must have.

    Raises:
        DataError: There is no such file, it is too large, has another digest, or is neither comma-separated
            UTF-8 text with one header nor Parquet.
        StoreError: The object store fails.
    """
    data = bytearray()
    for chunk in _chunks(location, max_bytes):
        data += chunk
    digest = hashlib.sha256(data).hexdigest()
    if expected_digest is not None and digest != expected_digest:
        raise DataError(
            f"{location}: changed since it was first read: SHA-256 {digest[:12]};"
            f" allowed: {expected_digest[:12]}"
        )
    _refuse_foreign(data, location)
    parquet = data[:4] == b"PAR1" or Path(location).suffix in {".parquet", ".pq"}
    rows = _read_parquet(data, location) if parquet else _read_csv(data, location)
    rows.attrs["source"] = location
    return DataFile(rows, digest)


def digest_of(location: str, max_bytes: int = MAX_BYTES) -> str:
    """The file's SHA-256, hexadecimal, without holding it in memory.

    Raises:
        DataError: There is no such file, or it is too large.
        StoreError: The object store fails.
    """
    digest = hashlib.sha256()
    for chunk in _chunks(location, max_bytes):
        digest.update(chunk)
    return digest.hexdigest()


def _chunks(location: str, max_bytes: int) -> Iterator[bytes]:
    """The file's bytes in parts; pickles and too large files are refused before they are read."""
    if Path(location).suffix in _PICKLES:
        name = location.rpartition("/")[2]  # a URL may hold a secret
        raise DataError(f"{name}: a pickle can run code and is never opened; allowed: CSV or Parquet")
    scheme = scheme_of(location)
    if scheme in PROVIDERS:
        return _stored(location, max_bytes)
    if scheme not in ("", FILE):
        raise DataError(f"data file {scheme}://…; allowed: a path or {', '.join(sorted([FILE, *PROVIDERS]))}")
    path = local_path(location)
    if path is None:
        raise DataError(f"{location}: allowed: file:///PATH or a path")
    return _local(path, max_bytes)


def _local(path: Path, max_bytes: int) -> Iterator[bytes]:
    try:
        if not path.exists():
            raise DataError(f"{path}: no such file")
        if not path.is_file():
            raise DataError(f"{path}: not a file; allowed: one CSV or Parquet file")
        _check_size(path.stat().st_size, str(path), max_bytes)
        with path.open("rb") as stream:
            while chunk := stream.read(CHUNK_BYTES):
                yield chunk
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error


def _stored(location: str, max_bytes: int) -> Iterator[bytes]:
    folder, _, name = location.rpartition("/")
    bucket = Bucket(folder)
    if {"?", "#"} & set(name):
        raise DataError(f"{bucket.url}/…: a URL with a query or a fragment; allowed: one without")
    try:
        yield from bucket.stream(unquote(name), lambda size: _check_size(size, location, max_bytes))
    except NotFound as error:
        raise DataError(f"{location}: no such file") from error


def _check_size(size: int, location: str, max_bytes: int) -> None:
    if size > max_bytes:
        raise DataError(f"{location}: {size} bytes; allowed: training.data.max_bytes = {max_bytes}")


def _refuse_foreign(data: bytearray, location: str) -> None:
    if not data:
        raise DataError(f"{location}: the file is empty; allowed: a header and at least one row")
    content = next((kind for magic, kind in _FOREIGN.items() if data.startswith(magic)), None)
    if data[0] == 0x80 and len(data) > 1 and data[1] <= 5:
        content = "a pickle, which can run code and is never opened"
    if content:
        raise DataError(f"{location}: {content}; allowed: comma-separated UTF-8 text or Parquet")


def _read_parquet(data: bytearray, location: str) -> pd.DataFrame:
    try:
        file = pyarrow.parquet.ParquetFile(pa.BufferReader(data))
        _check_columns(file.schema_arrow, location)
        table = file.read()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(
            f"{location}: not a whole Parquet file ({' '.join(str(error).split())[:120]})"
        ) from error
    if not table.num_rows:
        raise DataError(f"{location}: no rows; allowed: at least one")
    # The pandas metadata would turn columns into an index, among them often the time.
    return _as_frame(table, np.arange(1, table.num_rows + 1), "row")


def _check_columns(schema: pa.Schema, location: str) -> None:
    _check_header(schema.names, location)
    for column in schema:
        if pa.types.is_nested(column.type):
            raise DataError(
                f"{location}: column {column.name} holds {column.type}; allowed: numbers, text and timestamps"
            )


def _as_frame(table: pa.Table, lines: NDArray[np.int64], unit: str) -> pd.DataFrame:
    text = {kind: pd.ArrowDtype(pa.string()) for kind in (pa.string(), pa.large_string())}
    frame: pd.DataFrame = table.to_pandas(types_mapper=text.get, ignore_metadata=True)
    frame.index = pd.Index(lines)
    frame.attrs["unit"] = unit
    return frame


def _read_csv(data: bytearray, location: str) -> pd.DataFrame:
    """Read RFC 4180: commas, double quotes, one header; a byte-order mark is fine."""
    nul = data.find(b"\0")
    if nul >= 0:
        raise DataError(f"{location}: line {_line(data, nul)}: a NUL byte; allowed: UTF-8 text or Parquet")
    header = _csv_header(data, location)
    quoted = b'"' in data
    try:
        table = pyarrow.csv.read_csv(
            pa.BufferReader(data),
            read_options=pyarrow.csv.ReadOptions(autogenerate_column_names=True, block_size=CHUNK_BYTES),
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=quoted),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types={f"f{number}": pa.string() for number in range(len(header))},
                strings_can_be_null=True,
                null_values=[""],
            ),
        ).slice(1)
    except pa.ArrowInvalid as error:
        _refuse_not_utf8(data, location)
        if "Expected" in str(error):  # so many columns
            _refuse_ragged(data, header, location)
        raise DataError(f"{location}: not CSV ({' '.join(str(error).split())[:120]})") from error
    if quoted and data.count(b'"') % 2:
        _refuse_ragged(data, header, location)
    if not table.num_rows:
        raise DataError(f"{location}: a header and no rows; allowed: at least one row")
    return _as_frame(table.rename_columns(header), _line_numbers(data, table.num_rows, location), "line")


def _csv_header(data: bytearray, location: str) -> list[str]:
    start = bytes(data[: 1 << 20])
    _refuse_not_utf8(data[: start.rfind(b"\n") + 1], location)
    try:
        rows = csv.reader(io.StringIO(start.decode("utf-8-sig", "ignore")), skipinitialspace=True)
        header = [name.strip() for name in next(row for row in rows if row)]
    except (csv.Error, StopIteration) as error:
        raise DataError(f"{location}: line 1: no header; allowed: the names of the columns") from error
    if len(header) == 1:
        for mark, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
            if mark in header[0]:
                raise DataError(f"{location}: line 1: columns are separated by {name}; allowed: commas")
    _check_header(header, location)
    return header


def _check_header(names: list[str], location: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"{location}: column {name!r} appears more than once; allowed: each name once")


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
    _refuse_not_utf8(data, location)
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
    """The rows that are not blank, each with the line that it begins on."""
    reader = csv.reader(io.TextIOWrapper(io.BytesIO(data), "utf-8-sig", newline=""), strict=True)
    begin = 1
    try:
        for row in reader:
            if row:
                yield begin, row
            begin = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{location}: line {begin}: {error}; allowed: RFC 4180 quotes") from error
