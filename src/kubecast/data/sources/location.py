"""Where data lies: what a path or URL names, and how the bytes there are read."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

import obstore

from kubecast.data.sources.content import PICKLES
from kubecast.errors import DataError, NotFound
from kubecast.storage.bucket import Bucket, ObjectStore
from kubecast.storage.checksums import CHUNK_BYTES
from kubecast.storage.folder import LocalStore
from kubecast.storage.locations import FILE, local_path, parse_bucket_url, scheme_of
from kubecast.storage.providers import PROVIDERS

CheckSize = Callable[[int], None]


@dataclass(frozen=True)
class Folder:
    """A folder of this machine, or a prefix of a bucket.

    Attributes:
        location: As it was given.
        store: Reads its files.
        files: Their paths in it and their sizes, but for those of 0 bytes, by which some tools mark folders.
    """

    location: str
    store: LocalStore | ObjectStore
    files: dict[str, int]

    def read(self, path: str) -> Iterator[bytes]:
        """A file in parts.

        Raises:
            DataError: It is not there any more.
        """
        try:
            yield from self.store.stream(path)
        except NotFound as error:
            raise DataError(f"{self.location}: {path} was removed while it was read") from error


def find_folder(location: str) -> Folder | None:
    """The folder at a location; None where there is none, which is left to be read as a file.

    Raises:
        DataError: The location is of a kind that is not known.
        StoreError: The object store fails.
    """
    scheme = scheme_of(location)
    if scheme in PROVIDERS:
        return _find_prefix(location)
    path = _local(location)
    return _listed(location, LocalStore(path.absolute())) if path.is_dir() else None


def _find_prefix(location: str) -> Folder | None:
    if not location.endswith("/") and "/" in location.partition("://")[2] and _is_object(location):
        return None
    folder = _listed(location, ObjectStore(location))
    return folder if folder.files or location.endswith("/") else None


def _is_object(location: str) -> bool:
    bucket, name = _object(location)
    try:
        bucket.request(name, lambda: obstore.get(bucket.client, name))  # its bytes stay where they are
    except NotFound:
        return False
    return True


def _listed(location: str, store: LocalStore | ObjectStore) -> Folder:
    try:
        files = store.list_files("")
    except NotFound:  # as some stores call an empty prefix
        files = {}
    return Folder(location, store, {path: size for path, size in files.items() if size})


def read_file(location: str, check_size: CheckSize) -> Iterator[bytes]:
    """The bytes of one file in parts; pickles and too large files are refused before they are read.

    Raises:
        DataError: There is no such file, or it is refused.
        StoreError: The object store fails.
    """
    if PurePosixPath(location).suffix in PICKLES:
        name = location.rpartition("/")[2]  # a URL may hold a secret
        raise DataError(f"{name}: a pickle can run code and is never opened; allowed: CSV or Parquet")
    if scheme_of(location) in PROVIDERS:
        return _read_object(location, check_size)
    return _read_local(_local(location), check_size)


def check_plain(location: str) -> None:
    """Refuse what is neither a path nor a ``file`` URL nor that of a file or folder in a bucket.

    Raises:
        DataError: It is another URL.
        ConfigError: It is a bucket's URL with more in it, e.g. a query.
    """
    if scheme_of(location) in PROVIDERS:
        parse_bucket_url(location)
    else:
        _local(location)


def _local(location: str) -> Path:
    scheme = scheme_of(location)
    if scheme not in ("", FILE) or not location:
        allowed = ", ".join(sorted([FILE, *PROVIDERS, "postgresql"]))
        raise DataError(f"data {scheme and f'{scheme}://…'!r}; allowed: a path or {allowed}")
    path = local_path(location)
    if path is None:
        raise DataError(f"{scheme}://…: allowed: file:///PATH or a path")
    return path


def _read_local(path: Path, check_size: CheckSize) -> Iterator[bytes]:
    try:
        if not path.exists():
            raise DataError(f"{path}: no such file")
        if not path.is_file():
            raise DataError(f"{path}: not a file; allowed: a file or a folder")
        check_size(path.stat().st_size)
        with path.open("rb") as stream:
            while chunk := stream.read(CHUNK_BYTES):
                yield chunk
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error


def _read_object(location: str, check_size: CheckSize) -> Iterator[bytes]:
    bucket, name = _object(location)
    try:
        yield from bucket.stream(name, check_size)
    except NotFound as error:
        raise DataError(f"{location}: no such file") from error


def _object(location: str) -> tuple[Bucket, str]:
    """The bucket of a file, and its path in it."""
    folder, _, name = location.rpartition("/")
    bucket = Bucket(folder)
    if {"?", "#"} & set(name):
        raise DataError(f"{bucket.url}/…: a URL with a query or a fragment; allowed: one without")
    return bucket, unquote(name)
