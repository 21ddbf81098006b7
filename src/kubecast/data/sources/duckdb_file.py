"""The rows of a DuckDB file: of a query, or of its only table."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kubecast.data.sources.base import Part, import_extra, quoted, table_parts
from kubecast.data.sources.query import BATCH_ROWS, QueryResult, select
from kubecast.errors import DataError, one_line
from kubecast.storage.locations import local_path, scheme_of

_SUFFIXES = (".duckdb", ".ddb")
_CONFIG = {
    "enable_external_access": "false",
    "python_enable_replacements": "false",
    "threads": "1",
}
"""A query reads the file's own tables: no other file, no address, no extension, no variable of Python.

With several threads floats are added in another order each time, and the digest of their sum changes.
"""

_SESSION = "SET TimeZone = 'UTC'; SET lock_configuration = true"  # the zone is no setting of a new connection


def is_duckdb(location: str) -> bool:
    """Whether it is a DuckDB file by its name."""
    return location.lower().endswith(_SUFFIXES)


class DuckdbQuery(QueryResult):
    """The rows of a query to a DuckDB file."""

    def rows(self) -> Iterator[Part]:
        """The rows, while the file is open."""
        with self._translated(), self._connect() as connection:
            query = self.request.query or self._only_table(connection)
            schema = connection.sql(select("*", query) + " LIMIT 0").to_arrow_reader().schema
            chosen = self.request.projection.choose_of_schema(schema, self.request.location)
            batches = connection.sql(select(quoted(chosen), query)).to_arrow_reader(BATCH_ROWS)
            yield from table_parts(batches, schema.names)

    def _connect(self) -> Any:
        location = self.request.location
        path = local_path(location)
        if path is None:
            raise DataError(
                f"{scheme_of(location)}://…: a DuckDB file elsewhere; allowed: one on this machine"
            )
        if not path.is_file():
            raise DataError(f"{path}: no such file")
        connection = import_extra("duckdb").connect(str(path), read_only=True, config=_CONFIG)
        connection.execute(_SESSION)
        return connection

    def _only_table(self, connection: Any) -> str:
        """A query for the rows of the only table or view."""
        found = connection.execute(
            "SELECT schema_name, table_name FROM duckdb_tables() WHERE NOT internal UNION ALL"
            " SELECT schema_name, view_name FROM duckdb_views() WHERE NOT internal ORDER BY ALL"
        ).fetchall()
        if len(found) != 1:
            names = ", ".join(table for _, table in found) or "none"
            example = f"--query 'SELECT * FROM {_name(found[0])}'" if found else "another file"  # noqa: S608
            raise DataError(
                f"{self.request.location}: tables and views: {names}; allowed: one, or training.data.query,"
                f" e.g. {example}"
            )
        return f"SELECT * FROM {_name(found[0])}"  # noqa: S608  quoted

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except import_extra("duckdb").Error as error:
            reason = one_line(str(error).partition("\nLINE")[0])
            raise DataError(f"{self.request.location}: DuckDB: {reason}") from error


def _name(table: tuple[str, str]) -> str:
    """The schema and name of a table in SQL."""
    return quoted(table).replace(", ", ".", 1)
