"""Files in a bucket of S3, GCS, Azure or a store that speaks S3, with obstore's errors as kubecast's own."""

import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain
from typing import Any, TypeVar

import obstore
from obstore.exceptions import BaseError

from kubecast.errors import ConfigError, Conflict, RegistryError, StoreUnreachable, StoreUnsafe
from kubecast.retrying import retry
from kubecast.storage.checksums import CHUNK_BYTES
from kubecast.storage.faults import translate
from kubecast.storage.locations import parse_bucket_url
from kubecast.storage.providers import PROVIDERS
from kubecast.storage.transfers import Download, Upload

T = TypeVar("T")

_REQUEST_LIMIT = timedelta(hours=1)  # of a large file, as long as its bytes keep coming


@dataclass(frozen=True)
class Deadlines:
    """Time limits of requests to a store, and how often obstore repeats one within a try of ``retry``.

    Attributes:
        connect_timeout: For a connection.
        read_timeout: For an answer to a request with up to 8 MB, and for each next part of a file.
        retry_timeout: After the first try, later than which obstore repeats no request.
        max_retries: How often it repeats one at most.
    """

    connect_timeout: timedelta = timedelta(seconds=5)
    read_timeout: timedelta = timedelta(seconds=60)
    retry_timeout: timedelta = timedelta(seconds=60)
    max_retries: int = 2

    @property
    def options(self) -> dict[str, Any]:
        """The deadlines as obstore takes them."""
        return {
            "client_options": {
                "connect_timeout": self.connect_timeout,
                "read_timeout": self.read_timeout,
                "timeout": _REQUEST_LIMIT,
            },
            "retry_config": {
                "max_retries": self.max_retries,
                "retry_timeout": self.retry_timeout,
                "backoff": {
                    "init_backoff": timedelta(milliseconds=200),
                    "max_backoff": timedelta(seconds=5),
                    "base": 2,
                },
            },
        }


class Bucket:
    """A bucket, or a folder in it: obstore's client in `client`, and its errors as kubecast's own."""

    def __init__(self, url: str, deadlines: Deadlines | None = None) -> None:
        """Take `SCHEME://BUCKET[/PREFIX]`, SCHEME one of `PROVIDERS`; no request is sent yet.

        Raises:
            ConfigError: The URL or the environment cannot be used. A URL that may hold a secret is not shown.
        """
        parts = parse_bucket_url(url)
        self._name, self.url = parts.bucket, str(parts)
        self._provider = PROVIDERS[parts.scheme]
        self.tag_name = self._provider.tag_name
        options = (deadlines or Deadlines()).options
        try:
            self.endpoint, self.client = self._provider.connect(parts.bucket, parts.prefix or None, options)
        except (BaseError, ValueError) as error:
            raise ConfigError(f"{self.url}: {str(error).partition(chr(10))[0]}") from error

    def request(self, path: str, action: Callable[[], T]) -> T:
        """Do something to `path` that may be done again, while the store is unavailable.

        Raises:
            RegistryError: In one line, whatever obstore raises.
        """
        return retry(lambda: self.request_once(path, action))

    def request_once(self, path: str, action: Callable[[], T]) -> T:
        """Do something to `path`, and not again if the store is unavailable.

        Raises:
            RegistryError: In one line, whatever obstore raises.
        """
        try:
            return action()
        except (BaseError, OSError) as error:
            store = f"object store {self.endpoint} (bucket {self._name})"
            raise self._with_hint(translate(error, f"{self.url}/{path}", store)) from error

    def stream(self, path: str, check_size: Callable[[int], None] = lambda size: None) -> Iterator[bytes]:
        """Read a file in parts; a download that breaks goes on where it broke.

        Args:
            path: Of the file.
            check_size: Called with its size before anything is read.

        Raises:
            NotFound: There is none.
            Conflict: It broke, and another file has taken its place.
        """
        download = Download(self.client, path, check_size)
        while chunk := self.request(path, download.read):
            yield chunk

    def _with_hint(self, error: RegistryError) -> RegistryError:
        """Say how a store inside a cluster is reached from outside of one."""
        hint, outside = self._provider.outside_cluster, "KUBERNETES_SERVICE_HOST" not in os.environ
        if hint and outside and isinstance(error, StoreUnreachable):
            return StoreUnreachable(f"{error}; {hint}")
        return error


class ObjectStore:
    """Files in a bucket or below a prefix of it. The bucket must exist."""

    _proven: set[tuple[str, str]] = set()  # noqa: RUF012 one memory for the whole process

    def __init__(self, url: str, deadlines: Deadlines | None = None) -> None:
        """Take `SCHEME://BUCKET[/PREFIX]`, SCHEME one of `PROVIDERS`; no request is sent yet.

        Raises:
            ConfigError: The URL or the environment cannot be used.
        """
        self._bucket = Bucket(url, deadlines)
        self._client = self._bucket.client

    @property
    def url(self) -> str:
        """The bucket and prefix."""
        return self._bucket.url

    def list_folders(self, path: str = "") -> list[str]:
        """List the names of the folders directly below `path`; empty when there is no such folder."""
        listing = self._bucket.request(path, lambda: obstore.list_with_delimiter(self._client, path))
        return [folder.rpartition("/")[2] for folder in listing["common_prefixes"]]

    def list_files(self, folder: str, after: str = "") -> dict[str, int]:
        """List the files below a folder with their sizes, those alone whose path sorts after `after`."""

        def list_all() -> dict[str, int]:
            pages = obstore.list(self._client, folder, offset=after or None, chunk_size=1000)
            return {file["path"]: file["size"] for page in pages for file in page}

        return self._bucket.request(folder, list_all)

    def stream(self, path: str) -> Iterator[bytes]:
        """Read a file in parts; NotFound when there is none."""
        return self._bucket.stream(path)

    def read(self, path: str) -> tuple[bytes, str]:
        """Read a small file and its tag, both of one answer; NotFound when there is none."""

        def get() -> tuple[bytes, str]:
            response = obstore.get(self._client, path)
            meta: Mapping[str, Any] = response.meta
            return bytes(response.bytes()), str(meta[self._bucket.tag_name])

        return self._bucket.request(path, get)

    def write(self, path: str, chunks: Iterable[bytes]) -> None:
        """Write a new file, in parts of 8 MB at once; Conflict if there is another of this path.

        A file that holds the same bytes already counts as written: a request is repeated if its answer was
        lost.
        A large file that comes from an iterator is tried once, since that cannot begin again.
        """
        parts = iter(chunks)
        start = b""
        for part in parts:
            start += part
            if len(start) > CHUNK_BYTES:
                if parts is chunks:
                    upload = Upload(self._client, path, chain([start], parts))
                    self._bucket.request_once(path, upload.attempt)
                else:
                    self._bucket.request(path, Upload(self._client, path, chunks).attempt)
                return
        try:
            self._put(path, start, None)
        except Conflict:
            if self.read(path)[0] != start:
                raise

    def compare_and_swap(self, path: str, data: bytes, expected: str | None) -> None:
        """Write a small file at once; Conflict unless its tag is `expected` (None: no such file).

        After a lost answer the client repeats the request, so the Conflict may be with one's own write.

        Raises:
            StoreUnsafe: The store ignores conditions, which the first swap of a process tries out.
        """
        identity = (self._bucket.endpoint, self.url)
        if identity not in self._proven:
            self._prove()
            self._proven.add(identity)
        self._put(path, data, expected)

    def remove(self, path: str) -> None:
        """Remove a file, or a folder with all below it, if it is there."""
        while below := list(
            self.list_files(path)
        ):  # more than once if another process removes the same folder
            self._delete(path, below)
        self._delete(path, [path])

    def _delete(self, where: str, paths: list[str]) -> None:
        def delete() -> None:
            with suppress(FileNotFoundError):  # as GCS and Azure say
                obstore.delete(self._client, paths)

        self._bucket.request(where, delete)

    def _put(self, path: str, data: bytes, expected: str | None) -> None:
        """Write under a condition."""
        mode: Any = "create" if expected is None else {self._bucket.tag_name: expected}
        self._bucket.request(
            path, lambda: obstore.put(self._client, path, data, mode=mode, use_multipart=False)
        )

    def _prove(self) -> None:
        """Create twice and swap twice, and see the second refused."""
        path = f".probe-{uuid.uuid4().hex}"
        try:
            with suppress(Conflict):  # the client may find its own write
                self._put(path, b"first", None)
            created_once = self._refuses(path, None)
            _, tag = self.read(path)
            with suppress(Conflict):
                self._put(path, b"second", tag)
            if not created_once or not self._refuses(path, tag) or self.read(path)[0] != b"second":
                raise StoreUnsafe(
                    f"{self.url}: object store {self._bucket.endpoint} ignores conditional writes, and so"
                    " could lose versions; allowed: a store that obeys If-None-Match and If-Match"
                )
        finally:
            with suppress(RegistryError):
                self.remove(path)

    def _refuses(self, path: str, expected: str | None) -> bool:
        try:
            self._put(path, b"refused", expected)
        except Conflict:
            return True
        return False
