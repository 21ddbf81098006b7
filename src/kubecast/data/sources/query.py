"""Rows of SQL: the digest of a result, whose rows have no order, and the query around the user's own."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa

from kubecast.data.sources.base import Part, Request
from kubecast.errors import DataError

BATCH_ROWS = 50_000


@dataclass
class QueryResult(ABC):
    """The rows of a query; the digest is the SHA-256 of the sorted hashes of the rows."""

    request: Request
    ordered = False
    _digest: str = field(default="", init=False)

    def digest(self) -> str:
        """The SHA-256 of the columns' names and of the sorted 64-bit hashes of the rows, of pandas."""
        if not self._digest:
            held = 0
            for part in self._hashed():
                held += part.table.nbytes
                self.request.check_size(held)
        return self._digest

    def parts(self) -> Iterator[Part]:
        """The rows in record batches."""
        yield from self._hashed()
        self.request.check_digest(self._digest)

    @abstractmethod
    def rows(self) -> Iterator[Part]:
        """The rows, while the database is open."""

    def _hashed(self) -> Iterator[Part]:
        hashes: list[np.ndarray[tuple[int], np.dtype[np.uint64]]] = []
        read: list[str] = []
        for part in self.rows():
            read = part.table.column_names
            hashes.append(_hash_rows(part.table, self.request.location))
            yield part
        rows = np.sort(np.concatenate([np.array([], np.uint64), *hashes])).astype("<u8")
        self._digest = hashlib.sha256(repr(read).encode() + rows.tobytes()).hexdigest()


def _hash_rows(table: pa.Table, where: str) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """One hash for each row, the same in whatever batch it comes."""
    columns = {}
    for column in table.schema:
        try:
            columns[column.name] = _hashable(table.column(column.name))
        except pa.ArrowException as error:
            raise DataError(
                f"{where}: column {column.name} holds {column.type}; allowed: numbers, text and timestamps"
            ) from error
    return np.asarray(pd.util.hash_pandas_object(pd.DataFrame(columns), index=False), dtype=np.uint64)


def _hashable(column: pa.ChunkedArray) -> "np.ndarray[tuple[int], np.dtype[np.object_]]":
    """Its values as text: a column of whole numbers has another type in a batch where one is missing."""
    return np.asarray(column.cast(pa.string()).to_numpy(zero_copy_only=False), dtype=object)


def select(columns: str, query: str) -> str:
    r"""A query for some columns of the user's own, which a comment may end.

    >>> select('"ds", "y"', "SELECT * FROM sales; ")
    'SELECT "ds", "y" FROM (SELECT * FROM sales\n) AS data'
    """
    return f"SELECT {columns} FROM ({query.strip().rstrip(';')}\n) AS data"  # noqa: S608  the user's own
