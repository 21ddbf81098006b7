"""The forecasts that are evaluated, read a block of series at a time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from kubecast.data.parquet import column_names, series_blocks


@dataclass(frozen=True)
class Forecasts:
    """The stack's table: every member, the ensemble and its quantiles beside the targets.

    Attributes:
        columns: Of the table.
        blocks: Reads these columns, or all, in blocks of whole series, at least one; it may be empty.
    """

    columns: list[str]
    blocks: Callable[..., Iterator[pd.DataFrame]]

    @classmethod
    def of_file(cls, path: Path) -> "Forecasts":
        """Read a Parquet file whose rows are in ascending order of series."""
        return cls(column_names(path), lambda columns=None: series_blocks(path, columns))
