"""The rows of a file from its bytes: comma-separated text or Parquet, either of which may be gzip's."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from kubecast.data.sources.base import Part, Request
from kubecast.data.sources.csv_file import read_csv
from kubecast.data.sources.parquet_file import MAGIC, read_parquet
from kubecast.errors import DataError
from kubecast.storage.checksums import CHUNK_BYTES

PICKLES = {".pkl", ".pickle", ".joblib"}
_PARQUET = {".parquet", ".pq"}
_GZIP = b"\x1f\x8b"
_FOREIGN = {  # by their first bytes
    _GZIP: "compressed with gzip twice",
    b"PK\x03\x04": "a zip or Excel file",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}


def read_content(path: Path, where: str, request: Request) -> Iterator[Part]:
    """Read the needed columns of a file.

    Args:
        path: Where its bytes are.
        where: Its path or URL, for messages.
        request: The columns, and how many bytes may come out of a compressed file.

    Raises:
        DataError: It is neither text nor Parquet, or larger than allowed.
    """
    with path.open("rb") as stream:
        start = stream.read(4)
    content = None
    if start.startswith(_GZIP):
        content = _decompress(path, where, request)
        start = bytes(content[:4])
    _refuse_foreign(start, where)
    if start == MAGIC or PurePosixPath(where).suffix in _PARQUET:
        yield from read_parquet(path if content is None else content, where, request.projection)
    else:
        yield read_csv(_bytes(path) if content is None else content, where, request.projection)


def _bytes(path: Path) -> bytearray:
    data = bytearray(path.stat().st_size)
    with path.open("rb") as stream:
        stream.readinto(data)
    return data


def _decompress(path: Path, where: str, request: Request) -> bytearray:
    """The content of a gzip file, which may have several members; never more than is allowed."""
    content = bytearray()
    try:
        with gzip.open(path) as stream:
            while chunk := stream.read(CHUNK_BYTES):
                content += chunk
                request.check_size(len(content), f"{where}, decompressed")
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{where}: not a whole gzip file ({error}); allowed: a whole one") from error
    return content


def _refuse_foreign(start: bytes, where: str) -> None:
    if not start:
        raise DataError(f"{where}: the file is empty; allowed: a header and at least one row")
    content = next((kind for magic, kind in _FOREIGN.items() if start.startswith(magic)), None)
    if start[0] == 0x80 and len(start) > 1 and start[1] <= 5:
        content = "a pickle, which can run code and is never opened"
    if content:
        raise DataError(f"{where}: {content}; allowed: comma-separated UTF-8 text or Parquet")
