"""The kinds of sources of data, one entry for each; a location says which one it is."""

from collections.abc import Callable
from dataclasses import replace

from kubecast.data.sources.base import Request, Source
from kubecast.data.sources.delta import DeltaTable, is_delta
from kubecast.data.sources.duckdb_file import DuckdbQuery, is_duckdb
from kubecast.data.sources.file import File
from kubecast.data.sources.folder import Files
from kubecast.data.sources.iceberg import IcebergTable, is_iceberg
from kubecast.data.sources.location import check_plain, find_folder
from kubecast.data.sources.postgresql import PostgresqlQuery, check_url, is_postgresql
from kubecast.data.sources.table_version import split_version
from kubecast.errors import DataError

DATABASES: tuple[tuple[Callable[[str], bool], Callable[[Request], Source]], ...] = (
    (is_postgresql, PostgresqlQuery),
    (is_duckdb, DuckdbQuery),
)
"""Those that answer a query, by their location."""

TABLES = (
    (is_delta, DeltaTable),
    (is_iceberg, IcebergTable),
)
"""Those that keep versions, by what is in their folder; every other folder holds plain files."""


def takes_query(location: str) -> bool:
    """Whether a location is that of a database."""
    return any(is_kind(location) for is_kind, _ in DATABASES)


def check_location(location: str) -> None:
    """Refuse a location of no known form, a URL with a secret among them, before anything is read.

    Raises:
        DataError: It is no path and no URL of a known kind.
        ConfigError: It is a bucket's URL with more in it than bucket and path.
    """
    if is_postgresql(location):
        check_url(location)
    else:
        check_plain(location)


def open_source(request: Request) -> Source:
    """Choose the source that reads what is at a location.

    Raises:
        DataError: The location is of no kind that is known, or a query is given to one that takes none.
        StoreError: The object store fails.
    """
    for is_kind, kind in DATABASES:
        if is_kind(request.location):
            return kind(request)
    folder = find_folder(request.location)  # checks the location, which until then may hold a secret
    if request.query:
        raise DataError(f"{request.location}: training.data.query is set; allowed: with a database alone")
    location, version = split_version(request.location)
    if folder is None and version is not None:
        folder = find_folder(location)
    if folder is None:
        return File(request)
    for is_table, table in TABLES:
        if is_table(folder):
            return table(replace(request, location=folder.location), folder, version)
    return Files(request, folder) if folder.location == request.location else File(request)
