"""The rows of a query to PostgreSQL, by a cursor of the server, in a transaction that may only read."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any
from urllib.parse import unquote

import pyarrow as pa

from kubecast.data.sources.base import Part, quoted, table_parts
from kubecast.data.sources.query import BATCH_ROWS, QueryResult, select
from kubecast.errors import DataError, StoreError, StoreForbidden, StoreUnreachable, one_line
from kubecast.retrying import retry

SCHEMES = ("postgresql", "postgres")

_URL = re.compile(r"postgres(?:ql)?://([A-Za-z0-9._-]+|\[[0-9a-fA-F:.]+\])?(?::(\d{1,5}))?/([^/?#@]+)")
_ALLOWED = "postgresql://HOST[:PORT]/DATABASE, with PGUSER and PGPASSWORD in the environment"
_EXAMPLE = "--query 'SELECT * FROM sales'"
_FORBIDDEN = re.compile(r"password|pg_hba|role .* (does not exist|is not permitted)|permission denied")
_TYPES = {
    **dict.fromkeys(("int2", "int4", "int8", "oid"), pa.int64()),
    **dict.fromkeys(("float4", "float8", "numeric"), pa.float64()),
    "bool": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", "UTC"),
}
"""The types that a column is read as; every other one is text."""

_SESSION = "SET LOCAL TimeZone = 'UTC'; SET LOCAL synchronize_seqscans = off"
"""Floats are always added in the same order: scans begin at the start of a table.

The plan of a cursor is never parallel (PostgreSQL's manual, "When Can Parallel Query Be Used?").
"""

_CASTS = {"numeric": "::float8"}


def is_postgresql(location: str) -> bool:
    """Whether it is the URL of a database."""
    return location.partition(":")[0].lower() in SCHEMES


def check_url(location: str) -> None:
    """Refuse a URL that is not of the allowed form.

    Raises:
        DataError: It is not, e.g. since it has a user or a password in it.
    """
    _address(location)


class PostgresqlQuery(QueryResult):
    """The rows of a query to PostgreSQL."""

    def rows(self) -> Iterator[Part]:
        """The rows, while the connection is open."""
        location, query = self.request.location, self.request.query
        address = _address(location)
        if not query:
            raise DataError(
                f"{location}: a database and no query; allowed: training.data.query, e.g. {_EXAMPLE}"
            )
        with retry(lambda: self._connect(address)) as connection, self._translated():
            types = _describe(connection, query)
            chosen = self.request.projection.choose(list(types), location)
            names = self.request.projection.names
            needed = {name: _read_as(kind, name in names) for name, kind in types.items() if name in chosen}
            yield from table_parts(_batches(connection, query, needed), list(types))

    def _connect(self, address: dict[str, str]) -> Any:
        psycopg = import_module("psycopg")
        limit = {} if "PGCONNECT_TIMEOUT" in os.environ else {"connect_timeout": 10}
        with self._translated():
            connection = psycopg.connect(**address, **limit, client_encoding="utf8")
            connection.read_only = True
            return connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        psycopg = import_module("psycopg")
        location = self.request.location
        try:
            yield
        except psycopg.errors.InsufficientPrivilege as error:
            raise StoreForbidden(f"{location}: {_message(error)}") from error
        except psycopg.Error as error:
            if isinstance(error, psycopg.OperationalError) and _is_of_connection(error):
                raise _connection_error(location, str(error)) from error
            raise DataError(f"{location}: {_message(error)}; allowed: one SELECT that runs there") from error


def _address(location: str) -> dict[str, str]:
    """Host, port and database of a URL that holds neither user nor password.

    Raises:
        DataError: It is another URL, which may hold a secret and is not shown.
    """
    match = _URL.fullmatch(location)
    if not match:
        raise DataError(f"postgresql://…: allowed: {_ALLOWED}")
    parts = {"host": (match[1] or "").strip("[]"), "port": match[2], "dbname": unquote(match[3])}
    return {name: part for name, part in parts.items() if part}


def _describe(connection: Any, query: str) -> dict[str, str]:
    """The name and type of each column of a query, which is one statement.

    Another one could end the transaction that may only read. The server refuses it in a query of the extended
    protocol, which psycopg uses for binary results.
    """
    with connection.cursor() as cursor:
        cursor.execute(_SESSION)
        cursor.execute(select("*", query) + " LIMIT 0", binary=True)
        return {column.name: _type_name(column.type_code) for column in cursor.description}


def _batches(connection: Any, query: str, types: dict[str, str]) -> Iterator[pa.RecordBatch]:
    """The columns of the types; the server holds what is not read yet."""
    schema = pa.schema([(name, _TYPES.get(kind, pa.string())) for name, kind in types.items()])
    casts = {name: _CASTS.get(kind, "" if kind in _TYPES else "::text") for name, kind in types.items()}
    columns = ", ".join(f"{quoted([name])}{cast} AS {quoted([name])}" for name, cast in casts.items())
    with connection.cursor("kubecast") as cursor:
        cursor.execute(select(columns, query))
        while rows := cursor.fetchmany(BATCH_ROWS):
            values = zip(*rows, strict=True)
            arrays = [pa.array(each, kind) for each, kind in zip(values, schema.types, strict=True)]
            yield pa.record_batch(arrays, schema=schema)


def _read_as(kind: str, is_name: bool) -> str:
    """The type that a column is read as: a name that is a decimal number keeps every digit."""
    return "text" if is_name and kind == "numeric" else kind


def _type_name(code: int) -> str:
    known = import_module("psycopg").postgres.types.get(code)
    return known.name if known else "text"


def _message(error: Any) -> str:
    """What the server says, without the lines that repeat the query."""
    return one_line(error.diag.message_primary or str(error).partition("\n")[0])


def _is_of_connection(error: Any) -> bool:
    """Whether a connection failed or was ended, and not what it was asked for, e.g. by its time limit."""
    state = error.sqlstate or "08000"
    return state.startswith(("08", "57P"))


def _connection_error(location: str, text: str) -> StoreError | DataError:
    """The meaning of libpq's words, since a connection that fails has no code."""
    reason = one_line(text.rpartition("FATAL:")[2] or text)
    if re.search(r"database .* does not exist", text):
        return DataError(f"{location}: {reason}; allowed: a database of this server")
    if _FORBIDDEN.search(text):
        return StoreForbidden(
            f"{location}: {reason}; allowed: PGUSER and PGPASSWORD of a user who may read it"
        )
    return StoreUnreachable(f"{location}: cannot be reached: {reason}")
