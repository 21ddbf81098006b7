"""An Apache Iceberg table by its current metadata file, read by PyIceberg without a catalog."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

from kubecast.data.sources.base import Part, Request, import_extra, table_parts
from kubecast.data.sources.location import Folder
from kubecast.data.sources.table_version import expected_version, table_digest
from kubecast.errors import DataError, one_line

_UNCOMMITTED = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\."  # not renamed to a version yet
_METADATA = re.compile(rf"metadata/(?!{_UNCOMMITTED})v?(\d+)[^/]*\.metadata\.json")
_HINT = "metadata/version-hint.text"


def is_iceberg(folder: Folder) -> bool:
    """Whether the folder has the metadata of an Iceberg table."""
    return any(_METADATA.fullmatch(path) for path in folder.files)


@dataclass
class IcebergTable:
    """A table at one of its snapshots; the digest is its id and the snapshot's."""

    request: Request
    folder: Folder
    version: int | None
    ordered = False

    def digest(self) -> str:
        """The id of the table and of the snapshot."""
        return table_digest("iceberg", str(self._table.metadata.table_uuid), self._snapshot)

    def parts(self) -> Iterator[Part]:
        """The rows in record batches."""
        self.request.check_digest(self.digest())
        with self._translated():
            scan = self._table.scan(snapshot_id=self._snapshot)
            schema = scan.projection().as_arrow()
            columns = self.request.projection.choose_of_schema(schema, self.request.location)
            batches = scan.select(*columns).to_arrow_batch_reader()
            yield from table_parts(batches, schema.names)

    @cached_property
    def _table(self) -> Any:
        files = import_extra("kubecast.data.sources.iceberg_files")
        with self._translated():
            return files.open_table(self.folder.location, newest_metadata(self.folder))

    @cached_property
    def _snapshot(self) -> int:
        metadata = self._table.metadata
        resolved = expected_version(self.request.expected, "iceberg", str(metadata.table_uuid))
        snapshot = self.version if self.version is not None else resolved
        if snapshot is None:
            snapshot = metadata.current_snapshot_id
        if snapshot is None or metadata.snapshot_by_id(snapshot) is None:
            known = ", ".join(str(each.snapshot_id) for each in metadata.snapshots[-5:]) or "none"
            raise DataError(
                f"{self.folder.location}: Iceberg has no snapshot {snapshot or 'yet'}; allowed: {known}"
            )
        return int(snapshot)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        exceptions = import_extra("pyiceberg.exceptions")
        known = (exceptions.NoSuchTableError, exceptions.ValidationError, NotImplementedError)
        try:
            yield
        except (*known, OSError, ValueError, pa.ArrowException) as error:
            location = self.folder.location
            raise DataError(f"{location}: Iceberg cannot read this table ({one_line(error)})") from error


def newest_metadata(folder: Folder) -> str:
    """The metadata file that a table's hint names, as PyIceberg reads it; else that with the highest number.

    Without a hint, what a write that failed has left behind cannot be told from a version. A hint that is a
    number may be late: as Iceberg's HadoopTableOperations does, the versions that follow it are gone through.

    Raises:
        DataError: The hint names a file that is not there.
    """
    matches = {path: match for path in folder.files if (match := _METADATA.fullmatch(path))}
    hint = b"".join(folder.read(_HINT)).decode().strip() if _HINT in folder.files else ""
    if not hint:
        return max(matches, key=lambda path: (int(matches[path][1]), path))
    named = f"metadata/{hint.removesuffix('.metadata.json')}.metadata.json"
    if hint.isdecimal():
        versions = {int(match[1]): path for path, match in matches.items() if path.startswith("metadata/v")}
        version = int(hint)
        while version + 1 in versions:
            version += 1
        named = versions.get(version, named)
    if named not in matches:
        raise DataError(
            f"{folder.location}: {_HINT} names {hint[:40]!r}, which is not there; allowed: a file there"
        )
    return named
