"""The files of an Iceberg table as PyIceberg takes them, read as all other files of a store are."""

import re
from pathlib import Path
from typing import Any

import obstore
from pyiceberg.catalog.noop import NoopCatalog
from pyiceberg.io import FileIO, InputFile, OutputFile
from pyiceberg.serializers import FromInputFile
from pyiceberg.table import StaticTable

from kubecast.errors import DataError
from kubecast.storage.bucket import Bucket
from kubecast.storage.locations import local_path, parse_bucket_url, scheme_of
from kubecast.storage.providers import PROVIDERS

_AZURE = re.compile(r"(?:abfss?|wasbs?)://([^@/]+)@[^/]+/(.*)")
_FAMILIES = {"s3": "s3", "s3a": "s3", "s3n": "s3", "minio": "s3", "gs": "gs", "az": "az"}


def open_table(location: str, metadata: str) -> StaticTable:
    """Open a table.

    Args:
        location: Of its folder.
        metadata: Path of its metadata file there.

    Raises:
        StoreError: The store fails.
    """
    files = Files(location)
    in_bucket = scheme_of(location) in PROVIDERS
    path = f"{parse_bucket_url(location) if in_bucket else local_path(location)}/{metadata}"
    content = FromInputFile.table_metadata(files.new_input(path))
    return StaticTable(("data", path), content, path, files, NoopCatalog("data"))


class Files(FileIO):
    """The files that a table names, in the kind of store that the table is in, and in no other.

    A location in a table's metadata is as it is: what looks like an escape in it is part of a name.
    """

    def __init__(self, location: str) -> None:
        super().__init__()
        self._scheme = scheme_of(location)

    def new_input(self, location: str) -> InputFile:
        """A file by its full location.

        Raises:
            DataError: It is in another kind of store.
        """
        if self._scheme not in PROVIDERS:
            path = re.sub(r"^file:/+", "/", location)
            if scheme_of(path):
                raise DataError(
                    f"{location}: this Iceberg table is in a folder; allowed: files of this machine"
                )
            return LocalFile(path)
        return BucketFile(self._url(location))

    def _url(self, location: str) -> str:
        azure = _AZURE.fullmatch(location)
        url = f"az://{azure[1]}/{azure[2]}" if azure else location
        scheme, _, rest = url.partition("://")
        if _FAMILIES.get(scheme) != _FAMILIES[self._scheme]:
            raise DataError(
                f"{scheme}://…: a file of an Iceberg table in {self._scheme}://; allowed: in the same store"
            )
        return f"{self._scheme}://{rest}"

    def new_output(self, location: str) -> OutputFile:
        """Nothing is written."""
        raise NotImplementedError(location)

    def delete(self, location: str | InputFile | OutputFile) -> None:
        """Nothing is deleted."""
        raise NotImplementedError(str(location))


class LocalFile(InputFile):
    """A file of this machine."""

    def __len__(self) -> int:
        return Path(self.location).stat().st_size

    def exists(self) -> bool:
        """Whether it is there."""
        return Path(self.location).exists()

    def open(self, seekable: bool = True) -> Any:
        """Open it for reading."""
        return Path(self.location).open("rb")


class BucketFile(InputFile):
    """A file in a bucket."""

    def __init__(self, location: str) -> None:
        super().__init__(location)
        scheme, _, rest = location.partition("://")
        bucket, _, self._path = rest.partition("/")
        self._bucket = Bucket(f"{scheme}://{bucket}")

    def __len__(self) -> int:
        return int(self._request(lambda: obstore.head(self._bucket.client, self._path))["size"])

    def exists(self) -> bool:
        """Whether it is there."""
        return len(self) >= 0

    def open(self, seekable: bool = True) -> Any:
        """Open it for reading, of which each is a request of its own."""
        return _Stream(
            self._request, self._request(lambda: obstore.open_reader(self._bucket.client, self._path))
        )

    def _request(self, action: Any) -> Any:
        return self._bucket.request(self._path, action)


class _Stream:
    """obstore's file, whose errors are kubecast's own."""

    closed = False

    def __init__(self, request: Any, reader: Any) -> None:
        self._request, self._reader = request, reader

    def read(self, size: int | None = None) -> bytes:
        begin = self._reader.tell()

        def read() -> bytes:
            self._reader.seek(begin)
            return bytes(self._reader.read(None if size is None or size < 0 else size))

        return bytes(self._request(read))

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._reader.seek(offset, whence))

    def tell(self) -> int:
        return int(self._reader.tell())

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def close(self) -> None:
        self.closed = True

    def __enter__(self) -> "_Stream":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
