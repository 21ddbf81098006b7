"""The files of a folder: all of comma-separated text, or all Parquet, with partitions as columns."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

import pyarrow as pa

from kubecast.data.sources.base import Part, Request
from kubecast.data.sources.content import read_content
from kubecast.data.sources.location import Folder
from kubecast.data.sources.spool import spooled
from kubecast.errors import DataError

_SUFFIXES = ("", ".csv", ".gz", ".parquet", ".pq", ".txt")
_NULL = "__HIVE_DEFAULT_PARTITION__"


@dataclass
class Files:
    """The files of a folder; the digest is the SHA-256 of their paths and the SHA-256 of each.

    What a folder ``name=value`` holds has a column of that name, as Hive lays tables out. Files and folders
    that begin with a dot or an underscore are left out.
    """

    request: Request
    folder: Folder
    ordered = False
    _digest: str = field(default="", init=False)

    def digest(self) -> str:
        """The SHA-256 of the sorted paths, each with the SHA-256 of its bytes."""
        if not self._digest:
            self._set_digest({path: _sha256(self._chunks(path)) for path in self._paths()})
        return self._digest

    def parts(self) -> Iterator[Part]:
        """The rows of one file after the other."""
        digests: dict[str, str] = {}
        first: Part | None = None
        for path in self._paths():
            with spooled(self._chunks(path)) as (content, digests[path]):
                for part in self._read(content, path):
                    first = first or part._replace(table=part.table.schema.empty_table())
                    _check_alike(part, first, self.request.location)
                    yield part
        self._set_digest(digests)
        self.request.check_digest(self._digest)

    def _paths(self) -> list[str]:
        paths = sorted(path for path in self.folder.files if not _is_hidden(path))
        for path in paths:
            if PurePosixPath(path).suffix.lower() not in _SUFFIXES:
                allowed = (
                    "files of CSV or Parquet alone; names with a dot or underscore in front are left out"
                )
                raise DataError(f"{self._where(path)}: neither CSV nor Parquet; allowed: {allowed}")
        if not paths:
            raise DataError(f"{self.request.location}: no data files in this folder; allowed: CSV or Parquet")
        return paths

    def _chunks(self, path: str) -> Iterator[bytes]:
        self.request.check_size(self.folder.files[path], self._where(path))
        return self.folder.read(path)

    def _where(self, path: str) -> str:
        return f"{self.request.location.rstrip('/')}/{path}"

    def _set_digest(self, digests: dict[str, str]) -> None:
        lines = "".join(f"{digest}  {path}\n" for path, digest in sorted(digests.items()))
        self._digest = hashlib.sha256(lines.encode()).hexdigest()

    def _read(self, content: Path, path: str) -> Iterator[Part]:
        """The rows of a file, with its partitions as columns; one that the file itself has goes before."""
        values, projection = _partitions(path), self.request.projection
        beside = replace(projection, elsewhere=frozenset(values))
        for part in read_content(content, self._where(path), replace(self.request, projection=beside)):
            names = [*part.names, *(name for name in values if name not in part.names)]
            table = part.table
            for name in projection.choose(names, self._where(path)):
                if name in values and name not in part.names:
                    column = pa.repeat(pa.scalar(values[name], pa.string()), table.num_rows)
                    table = table.append_column(name, column)
            yield part._replace(table=table, names=names, file=path)


def _partitions(path: str) -> dict[str, str | None]:
    """The columns that the folders of a path stand for.

    >>> _partitions("shop=north/year=2026/part-0.csv")
    {'shop': 'north', 'year': '2026'}
    """
    parts = (folder.partition("=") for folder in path.split("/")[:-1])
    named = ((unquote(name).strip(), value) for name, equals, value in parts if equals)
    pairs = {name: unquote(value) for name, value in named if name}
    return {name: None if value == _NULL else value for name, value in pairs.items()}


def _is_hidden(path: str) -> bool:
    return any(part.startswith((".", "_")) and "=" not in part for part in path.split("/"))


def _sha256(chunks: Iterator[bytes]) -> str:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def _check_alike(part: Part, first: Part, location: str) -> None:
    """Refuse a file of another kind, or with other columns among those that are read."""
    if part.unit != first.unit:
        raise DataError(f"{location}: {first.file} and {part.file} are CSV and Parquet; allowed: one kind")
    columns, others = part.table.column_names, first.table.column_names
    if set(columns) != set(others):
        raise DataError(
            f"{location}: {part.file} has the columns {', '.join(columns)} and {first.file}"
            f" {', '.join(others)}; allowed: the same in every file"
        )
