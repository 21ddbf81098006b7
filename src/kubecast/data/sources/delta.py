"""A Delta Lake table, read by delta-rs."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

from kubecast.data.sources.base import Part, Request, import_extra, quoted, table_parts
from kubecast.data.sources.location import Folder
from kubecast.data.sources.table_version import expected_version, table_digest
from kubecast.errors import (
    DataError,
    KubecastError,
    StoreBusy,
    StoreError,
    StoreForbidden,
    StoreTimeout,
    StoreUnreachable,
    one_line,
)
from kubecast.retrying import retry
from kubecast.storage.bucket import Bucket
from kubecast.storage.locations import local_path, parse_bucket_url, scheme_of
from kubecast.storage.providers import PROVIDERS

_SCHEMES = {"minio": "s3"}
_MEANINGS: tuple[tuple[str, type[StoreError], str], ...] = (
    (r"necessary privileges|authentication credentials", StoreForbidden, "does not allow this"),
    (r"operation timed out|\(Timeout\)", StoreTimeout, "did not answer in time"),
    (r"error sending request|\(Connect\)", StoreUnreachable, "cannot be reached"),
    (r"status code: (429|500|502|503|504)", StoreBusy, "cannot do it now"),
)
"""The words of object_store, the library under delta-rs, in its errors; see ``kubecast.storage.faults``."""


def is_delta(folder: Folder) -> bool:
    """Whether the folder has the log of a Delta Lake table."""
    return any(path.startswith("_delta_log/") for path in folder.files)


@dataclass
class DeltaTable:
    """A table at one of its versions; the digest is its id and the version."""

    request: Request
    folder: Folder
    version: int | None
    ordered = False

    def digest(self) -> str:
        """The id of the table and the version."""
        return table_digest("delta", self._table.metadata().id, self._table.version())

    def parts(self) -> Iterator[Part]:
        """The rows in record batches, as DataFusion makes them."""
        self.request.check_digest(self.digest())
        with self._translated():
            schema = pa.schema(self._table.schema().to_arrow())
            columns = self.request.projection.choose_of_schema(schema, self.request.location)
            engine = import_extra("deltalake").QueryBuilder().register("data", self._table)
            batches = engine.execute(f"SELECT {quoted(columns)} FROM data")  # noqa: S608  quoted
            yield from table_parts(pa.RecordBatchReader.from_stream(batches), schema.names)

    @cached_property
    def _table(self) -> Any:
        return retry(self._open)

    def _open(self) -> Any:
        library = import_extra("deltalake")
        url, options = _connection(self.folder.location)
        with self._translated():
            table = library.DeltaTable(url, storage_options=options)
            resolved = expected_version(self.request.expected, "delta", table.metadata().id)
        newest, version = table.version(), resolved if self.version is None else self.version
        if version is not None and version != newest:
            try:
                table.load_as_version(version)
            except library.exceptions.DeltaError as error:
                raise DataError(
                    f"{self.folder.location}: Delta Lake has no version {version}; allowed: up to {newest},"
                    " as far back as its log goes"
                ) from error
        return table

    @contextmanager
    def _translated(self) -> Iterator[None]:
        delta_error = import_extra("deltalake.exceptions").DeltaError
        try:
            yield
        except (delta_error, OSError, ValueError, pa.ArrowException) as error:
            raise _translate(error, self.folder.location) from error


def _translate(error: Exception, location: str) -> KubecastError:
    """The meaning of an error: of the store, where its words are those of one, else of the table."""
    if scheme_of(location) in PROVIDERS:
        for pattern, kind, meaning in _MEANINGS:
            if re.search(pattern, str(error)):
                return kind(f"{location}: object store {Bucket(location).endpoint} {meaning}")
    return DataError(f"{location}: Delta Lake cannot read this table ({one_line(error)})")


def _connection(location: str) -> tuple[str, dict[str, str]]:
    """The URL as delta-rs takes it, and what it does not read from the environment by itself."""
    if scheme_of(location) not in PROVIDERS:
        return str(local_path(location)), {}
    parts, client = parse_bucket_url(location), Bucket(location).client
    config = {key: str(value) for key, value in {**client.config, **(client.client_options or {})}.items()}
    options = {key: config[key] for key in ("region", "endpoint", "allow_http") if key in config}
    options |= {"max_retries": "2", "retry_timeout": "60s", "connect_timeout": "5s"}
    return str(parts._replace(scheme=_SCHEMES.get(parts.scheme, parts.scheme))), options
