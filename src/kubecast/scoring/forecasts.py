"""A table of forecasts that is read a block of series at a time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from kubecast.data import parquet
from kubecast.data.row_blocks import series_slices


@dataclass(frozen=True)
class Forecasts:
    """Every member beside the targets and, when they are stacked, the ensemble and its quantiles.

    Attributes:
        columns: Of the table.
        blocks: Reads these columns, or all, in blocks of whole series, at least one; it may be empty.
    """

    columns: list[str]
    blocks: Callable[..., Iterator[pd.DataFrame]]

    @classmethod
    def of_file(cls, path: Path) -> "Forecasts":
        """Read a Parquet file whose rows are in ascending order of series."""
        return cls(parquet.column_names(path), lambda columns=None: parquet.series_blocks(path, columns))

    @classmethod
    def of_table(cls, table: pd.DataFrame) -> "Forecasts":
        """Cut a table whose series stand one after the other, or take it as one block."""

        def blocks(columns: Sequence[str] | None = None) -> Iterator[pd.DataFrame]:
            some = table if columns is None else table[[*columns]]
            for rows in series_slices(table["unique_id"]):
                yield some.iloc[rows].reset_index(drop=True)

        return cls([*table.columns], blocks)
