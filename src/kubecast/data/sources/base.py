"""What every source of data is: a digest, and rows in parts that hold the needed columns alone."""

import importlib
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kubecast.config.training import DataSettings
from kubecast.errors import ConfigError, DataError

MAX_BYTES = 2 << 30


class Part(NamedTuple):
    """Rows that were read together.

    Attributes:
        table: Their needed columns.
        names: Every column that there is, in its order.
        labels: The line or row of each in its file; shape (rows,), int64.
        unit: ``line`` or ``row``.
        file: The path in the folder; empty where the source is not a folder.
    """

    table: pa.Table
    names: list[str]
    labels: NDArray[np.int64]
    unit: str = "row"
    file: str = ""


def part_of(table: pa.Table, names: Sequence[str], labels: NDArray[np.int64], unit: str = "row") -> Part:
    """A part whose columns have their names without the blanks around them."""
    plain = [name.strip() for name in table.column_names]
    return Part(table.rename_columns(plain), [name.strip() for name in names], labels, unit)


class Source(Protocol):
    """Data at one location, read as the request says.

    Attributes:
        ordered: Whether its rows have an order of their own, as those of one file do.
    """

    ordered: bool

    def digest(self) -> str:
        """What identifies the data; it is read for that, unless ``parts`` has been gone through."""
        ...

    def parts(self) -> Iterator[Part]:
        """The rows, with as much in memory at once as a part holds.

        Raises:
            DataError: The data cannot be read, or has changed since the digest that is expected.
            StoreError: The store or database fails.
        """
        ...


@dataclass(frozen=True)
class Projection:
    """The columns that are read.

    Attributes:
        needed: Those that the settings name; None: all there are.
        unique_id: The one among them that names the series.
        ds: That of the timestamps.
        elsewhere: Those that do not come from where the others are read.
        names: Those that hold names, of series or of kinds; a decimal number among them keeps every digit.
    """

    needed: frozenset[str] | None = None
    unique_id: str = ""
    ds: str = ""
    elsewhere: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()

    @classmethod
    def of_settings(cls, settings: DataSettings) -> "Projection":
        """The columns of the roles and covariates."""
        columns, kinds = settings.columns, settings.covariates
        roles = (columns.unique_id, columns.ds, columns.y)
        needed = frozenset([*roles, *kinds.future, *kinds.past, *kinds.static])
        names = frozenset([columns.unique_id, *kinds.static])
        return cls(needed, columns.unique_id, columns.ds, names=names)

    def choose(self, names: Sequence[str], where: str, nested: Collection[str] = ()) -> list[str]:
        """The columns to read of those that there are, as written; blanks around a name do not count.

        Without the column that names the series, every column that is not nested is read: one of them may be
        it, and messages say so.

        Raises:
            DataError: One of them appears twice.
        """
        plain = {name: name.strip() for name in names}
        if self.needed is None:
            chosen = list(names)
        elif self.unique_id in plain.values() or self.unique_id in self.elsewhere:
            chosen = [name for name in names if plain[name] in self.needed]
        else:
            chosen = [name for name in names if name not in nested or plain[name] in self.needed]
        counts = Counter(plain[name] for name in chosen)
        for name, count in counts.items():
            if count > 1:
                raise DataError(
                    f"{where}: column {name!r} appears more than once; allowed: each name once, blanks aside"
                )
        return chosen

    def choose_of_schema(self, schema: pa.Schema, where: str) -> list[str]:
        """The columns to read of a table.

        Raises:
            DataError: One of them appears twice, or holds lists or other nested values.
        """
        nested = {column.name for column in schema if pa.types.is_nested(column.type)}
        chosen = self.choose(schema.names, where, nested)
        for name in chosen:
            if name in nested:
                kind = schema.field(name).type
                raise DataError(f"{where}: column {name} holds {kind}; allowed: numbers, text and timestamps")
        return chosen


@dataclass(frozen=True)
class Request:
    """A request for data.

    Attributes:
        location: A path or URL; holds no secret.
        projection: The columns that are read.
        query: SQL, where the location is a database's; empty for none.
        max_bytes: What is read at most: of one file its size, of everything else the needed columns in
            Arrow's format.
        expected: The digest that the data must have; None for any.
    """

    location: str
    projection: Projection = Projection()
    query: str = ""
    max_bytes: int = MAX_BYTES
    expected: str | None = None

    def check_size(self, size: int, where: str = "") -> None:
        """Refuse what is too large.

        Raises:
            DataError: It is.
        """
        if size > self.max_bytes:
            raise DataError(
                f"{where or self.location}: {size} bytes; allowed: training.data.max_bytes = {self.max_bytes}"
            )

    def check_digest(self, digest: str) -> None:
        """Refuse data that has changed.

        Raises:
            DataError: It has another digest than the one that is expected.
        """
        if self.expected is not None and digest != self.expected:
            raise DataError(
                f"{self.location}: changed since it was first read: {_short(digest)};"
                f" allowed: {_short(self.expected)}"
            )


def _short(digest: str) -> str:
    return digest if "@" in digest else f"SHA-256 {digest[:12]}"


def table_parts(batches: Iterator[pa.RecordBatch], names: list[str]) -> Iterator[Part]:
    """Parts of record batches, whose rows count on from 1."""
    begin = 1
    for batch in batches:
        yield part_of(pa.table(batch), names, np.arange(begin, begin + batch.num_rows))
        begin += batch.num_rows


def quoted(names: Sequence[str]) -> str:
    """The list of columns of a SELECT.

    >>> quoted(["ds", "the y"])
    '"ds", "the y"'
    """
    return ", ".join('"' + name.replace('"', '""') + '"' for name in names)


def import_extra(module: str) -> Any:
    """Import a library that only some sources need.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ConfigError(f"{package} is not installed; allowed: pip install 'kubecast[tables]'") from error
