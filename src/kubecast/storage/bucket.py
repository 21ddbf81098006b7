"""Files in a bucket of S3, GCS, Azure or a store that speaks S3, and obstore's errors as kubecast's own.

Who may use a bucket is in the environment, never in its URL: `docs/registry-stores.md` lists the variables.
"""

import os
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import AzureStore, GCSStore, S3Store

from kubecast.errors import (
    BucketNotFound,
    ConfigError,
    Conflict,
    NotFound,
    RegistryError,
    StoreBusy,
    StoreError,
    StoreForbidden,
    StoreFull,
    StoreTimeout,
    StoreUnreachable,
    StoreUnsafe,
)
from kubecast.retrying import retry
from kubecast.storage.checksums import CHUNK_BYTES
from kubecast.storage.transfers import Download, Upload

SCHEMES = ("s3", "gs", "az", "minio")
T = TypeVar("T")

_ALLOWED = "SCHEME://BUCKET[/PREFIX] with the keys in the environment; SCHEME one of " + ", ".join(SCHEMES)
_URL = re.compile(r"(s3|gs|az|minio)://([A-Za-z0-9][A-Za-z0-9._-]{2,62})(?:/([^?#]*))?")
_MINIO_ENDPOINT = "http://seaweedfs.kubeflow:9000"  # of Kubeflow Pipelines, which gives minio:// no address
_FORWARD = (
    "; outside the cluster: `kubectl --namespace kubeflow port-forward service/seaweedfs 9000` and"
    " KUBECAST_MINIO_ENDPOINT=http://localhost:9000"
)
_AWS_HEADERS = (
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    *("AWS_REGION", "AWS_DEFAULT_REGION"),
)
_REQUEST_LIMIT = timedelta(hours=1)  # of a large file, as long as its bytes keep coming

# The first pattern that an error of obstore shows tells what happened. Its words are the only typed thing:
# a store that is down, slow or full is the same GenericError.
_MEANINGS: tuple[tuple[str, type[RegistryError], str], ...] = (
    (r"<Code>(NoSuchBucket|ContainerNotFound)", BucketNotFound, "has no such bucket"),
    (r"InsufficientStorage|StorageFull|QuotaExceeded|status: 507|No space left", StoreFull, "is full"),
    (r"169\.254\.169\.254|metadata\.google|TokenRequest", StoreForbidden, "was given no credentials"),
    (
        r"status: 40[13]|code: \"?AccessDenied|<Code>(Expired|Invalid)Token",
        StoreForbidden,
        "does not allow this to these credentials",
    ),
    (r"<Code>NotImplemented|status: 501", StoreUnsafe, "knows no conditional writes; allowed: one that does"),
    (r"invalid peer certificate|InvalidContentType", StoreError, "cannot be trusted: its TLS is not valid"),
    (r"kind: Timeout", StoreTimeout, "did not answer in time"),
    (r"kind: (Connect|Request|Interrupted)|body error", StoreUnreachable, "cannot be reached"),
    (
        r"status: (429|500|502|503|504)|<Code>(SlowDown|InternalError|RequestTimeout|ServiceUnavailable)",
        StoreBusy,
        "cannot do it now",
    ),
)
_CAUSES = (
    r'ConnectError\(\s*"[^"]*",[\s\S]*?(?:message|error): "([^"]+)"',
    r"<Code>(\w+)</Code>",
    r"status code: (\d+ [A-Za-z ]+)",
    r"(IncompleteMessage|InvalidContentType|UnknownIssuer|body error)",
)


@dataclass(frozen=True)
class Deadlines:
    """How long to wait for a store, and how often obstore asks again within one try of ``retry``.

    Attributes:
        connect: For a connection.
        answer: For an answer to a request with up to 8 MB, and for each next part of a file that is read.
        repeat: obstore repeats no request later than this after its first try.
        tries: How often it repeats one at most.
    """

    connect: timedelta = timedelta(seconds=5)
    answer: timedelta = timedelta(seconds=60)
    repeat: timedelta = timedelta(seconds=60)
    tries: int = 2

    @property
    def options(self) -> dict[str, Any]:
        """As obstore takes them."""
        return {
            "client_options": {
                "connect_timeout": self.connect,
                "read_timeout": self.answer,
                "timeout": _REQUEST_LIMIT,
            },
            "retry_config": {
                "max_retries": self.tries,
                "retry_timeout": self.repeat,
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
        """Take `s3://BUCKET[/PREFIX]`, or `gs`, `az` or `minio`; nothing is asked of the store yet.

        Raises:
            ConfigError: The URL or the environment cannot be used. A URL that may hold a secret is not shown.
        """
        scheme, self._name, prefix = _parse(url)
        self.url = "/".join(filter(None, [f"{scheme}://{self._name}", prefix]))
        self.deadlines = deadlines or Deadlines()
        self.tag_name = "version" if scheme == "gs" else "e_tag"
        try:
            self.endpoint, self.client = _connect(scheme, self._name, prefix, self.deadlines.options)
        except (BaseError, ValueError) as error:
            raise ConfigError(f"{self.url}: {str(error).partition(chr(10))[0]}") from error

    def ask(self, path: str, action: Callable[[], T]) -> T:
        """Do something to `path` that may be done again, while the store is unavailable.

        Raises:
            RegistryError: In one line, whatever obstore raises.
        """
        return retry(lambda: self.ask_once(path, action))

    def ask_once(self, path: str, action: Callable[[], T]) -> T:
        """As ``ask``, but never again."""
        try:
            return action()
        except (BaseError, OSError) as error:
            raise self._meaning(error, f"{self.url}/{path}") from error

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
        while chunk := self.ask(path, download.read):
            yield chunk

    def _meaning(self, error: Exception, where: str) -> RegistryError:
        if isinstance(error, AlreadyExistsError | PreconditionError):
            return Conflict(f"{where}: another writer was faster")
        text = str(error)
        kind, what = _classify(error, text)
        if kind is NotFound:
            return NotFound(f"{where}: no such file")
        causes = (re.search(pattern, text) for pattern in _CAUSES)
        cause = next((f": {found[1].strip()}" for found in causes if found), "")
        repeated = re.search(r"after (\d+) retries", text)
        tries = f", after {int(repeated[1]) + 1} tries" if repeated else ""
        told = f"{where}: object store {self.endpoint} (bucket {self._name}) {what}{cause}{tries}"
        return kind(told + (_FORWARD if self._is_out_of_reach(kind) else ""))

    def _is_out_of_reach(self, kind: type[RegistryError]) -> bool:
        """Whether this is a store inside a cluster, asked for from outside."""
        outside = "KUBERNETES_SERVICE_HOST" not in os.environ
        return outside and kind is StoreUnreachable and self.url.startswith("minio:")


class ObjectStore:
    """Files in a bucket or below a prefix of it. The bucket must exist."""

    _proven: set[tuple[str, str]] = set()  # noqa: RUF012 one memory for the whole process

    def __init__(self, url: str, deadlines: Deadlines | None = None) -> None:
        """Take `s3://BUCKET[/PREFIX]`, or `gs`, `az` or `minio`; nothing is asked of the store yet.

        Raises:
            ConfigError: The URL or the environment cannot be used.
        """
        self._bucket = Bucket(url, deadlines)
        self._client = self._bucket.client

    @property
    def url(self) -> str:
        """The bucket and prefix."""
        return self._bucket.url

    def folders(self, path: str = "") -> list[str]:
        """List the names of the folders directly below `path`; empty when there is no such folder."""
        found = self._bucket.ask(path, lambda: obstore.list_with_delimiter(self._client, path))
        return [folder.rpartition("/")[2] for folder in found["common_prefixes"]]

    def sizes(self, folder: str, after: str = "") -> dict[str, int]:
        """List the files below a folder with their sizes, those alone whose path sorts after `after`."""

        def listed() -> dict[str, int]:
            pages = obstore.list(self._client, folder, offset=after or None, chunk_size=1000)
            return {found["path"]: found["size"] for page in pages for found in page}

        return self._bucket.ask(folder, listed)

    def stream(self, path: str) -> Iterator[bytes]:
        """Read a file in parts; NotFound when there is none."""
        return self._bucket.stream(path)

    def read(self, path: str) -> tuple[bytes, str]:
        """Read a small file and its tag, both of one answer; NotFound when there is none."""

        def got() -> tuple[bytes, str]:
            found = obstore.get(self._client, path)
            meta: Mapping[str, Any] = found.meta
            return bytes(found.bytes()), str(meta[self._bucket.tag_name])

        return self._bucket.ask(path, got)

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
                    self._bucket.ask_once(path, upload.attempt)
                else:
                    self._bucket.ask(path, Upload(self._client, path, chunks).attempt)
                return
        try:
            self._put(path, start, None)
        except Conflict:
            if self.read(path)[0] != start:
                raise

    def swap(self, path: str, data: bytes, expected: str | None) -> None:
        """Write a small file at once; Conflict unless its tag is `expected` (None: no such file).

        After a lost answer the client repeats the request, so Conflict may tell of one's own write.

        Raises:
            StoreUnsafe: The store ignores conditions; found out at the first swap of a process.
        """
        identity = (self._bucket.endpoint, self.url)
        if identity not in self._proven:
            self._prove()
            self._proven.add(identity)
        self._put(path, data, expected)

    def remove(self, path: str) -> None:
        """Remove a file, or a folder with all below it, if it is there."""
        while below := list(self.sizes(path)):  # more than once if another process removes the same folder
            self._delete(path, below)
        self._delete(path, [path])

    def _delete(self, where: str, paths: list[str]) -> None:
        def delete() -> None:
            with suppress(FileNotFoundError):  # as GCS and Azure say
                obstore.delete(self._client, paths)

        self._bucket.ask(where, delete)

    def _put(self, path: str, data: bytes, expected: str | None) -> None:
        """Write under a condition."""
        mode: Any = "create" if expected is None else {self._bucket.tag_name: expected}
        self._bucket.ask(path, lambda: obstore.put(self._client, path, data, mode=mode, use_multipart=False))

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


def check_url(url: str) -> None:
    """Refuse what is no URL of a bucket, or of a file or folder in it.

    Raises:
        ConfigError: A URL that may hold a secret is not shown.
    """
    _parse(url)


def _parse(url: str) -> tuple[str, str, str]:
    """Split into scheme, bucket and prefix."""
    found = _URL.fullmatch(url)
    prefix = unquote(found[3] or "").removesuffix("/") if found else ""
    if not found or not prefix.isprintable() or (prefix and not all(map(_is_plain, prefix.split("/")))):
        scheme = re.match(r"[a-z0-9]+", url)
        raise ConfigError(f"{scheme[0] if scheme else ''}://…: allowed: {_ALLOWED}")
    return found[1], found[2], prefix


def _is_plain(segment: str) -> bool:
    return segment not in ("", ".", "..")


def _connect(scheme: str, bucket: str, prefix: str, options: dict[str, Any]) -> tuple[str, Any]:
    if scheme == "gs":
        return "https://storage.googleapis.com", GCSStore(bucket, prefix=prefix or None, **options)
    if scheme == "az":
        account = os.environ.get("AZURE_STORAGE_ACCOUNT_NAME", "")
        return f"https://{account}.blob.core.windows.net", AzureStore(
            bucket, prefix=prefix or None, **options
        )
    _check_headers()
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    if scheme == "minio":
        endpoint = os.environ.get("KUBECAST_MINIO_ENDPOINT") or _MINIO_ENDPOINT
    else:
        named = (os.environ.get(name) for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"))
        endpoint = next(filter(None, named), f"https://s3.{region}.amazonaws.com")
    plain = _check_endpoint(endpoint) == "http"
    if plain and scheme == "s3" and os.environ.get("AWS_ALLOW_HTTP", "").lower() not in ("true", "1"):
        raise ConfigError(f"object store {endpoint} without TLS; allowed: https://…, or AWS_ALLOW_HTTP=true")
    options["client_options"]["allow_http"] = plain
    return endpoint, S3Store(bucket, prefix=prefix or None, endpoint=endpoint, region=region, **options)


def _check_headers() -> None:
    """Refuse what fits in no header: obstore panics on it. A Secret made from a file ends in a line break."""
    for name in _AWS_HEADERS:
        value = os.environ.get(name, "")
        if not (value.isascii() and value.isprintable()):
            raise ConfigError(f"{name} holds a line break or another character that is in no key")


def _check_endpoint(endpoint: str) -> str:
    parts = urlsplit(endpoint)
    if (
        not endpoint.isprintable()
        or parts.scheme not in ("http", "https")
        or not parts.hostname
        or "@" in endpoint
        or parts.query
    ):
        raise ConfigError("the object store's endpoint; allowed: http(s)://HOST[:PORT], with no key in it")
    return parts.scheme


def _classify(error: Exception, text: str) -> tuple[type[RegistryError], str]:
    for pattern, kind, what in _MEANINGS:
        if re.search(pattern, text):
            return kind, what
    if isinstance(error, FileNotFoundError):
        return NotFound, "has no such file"
    return StoreError, "failed"
