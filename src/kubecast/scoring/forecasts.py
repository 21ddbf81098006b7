"""A table of forecasts that is read a block of series at a time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kubecast.data import parquet


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
            for rows in _series_slices(table["unique_id"]):
                yield some.iloc[rows].reset_index(drop=True)

        return cls([*table.columns], blocks)


def _series_slices(names: "pd.Series[str]") -> Iterator[slice]:
    """Cut rows into blocks of whole series, no larger than ``parquet.BLOCK_ROWS`` unless one series is."""
    ends, begin = _ends(names), 0
    while True:
        within = int(np.searchsorted(ends, begin + parquet.BLOCK_ROWS, side="right")) - 1
        after = int(np.searchsorted(ends, begin, side="right"))  # a series may be larger than a block
        end = int(ends[min(max(within, after), len(ends) - 1)])
        yield slice(begin, end)
        begin = end
        if end == len(names):
            return


def _ends(names: "pd.Series[str]") -> NDArray[np.intp]:
    """Rows before which every series ends or begins; the number of rows, which may be 0, is the last."""
    codes, series = pd.factorize(names)
    rows, last = np.arange(len(codes)), np.zeros(len(series), dtype=np.intp)
    last[codes] = rows
    ends = rows[np.maximum.accumulate(last[codes]) == rows] + 1
    return ends if len(ends) else np.array([0])
