"""A saved panel whose rows are read a block of series at a time."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from kubecast.data.panel import Panel, PanelSpec
from kubecast.data.parquet import series_blocks
from kubecast.errors import DataError


@dataclass(frozen=True)
class PanelBlocks:
    """The panels of a block of whole series each, whose rows together are those of a saved panel.

    Attributes:
        directory: Where ``Panel.save`` wrote it.
        outline: The panel without its rows.
    """

    directory: Path
    outline: Panel

    @classmethod
    def open(cls, directory: Path) -> "PanelBlocks":
        """Read the outline.

        Raises:
            DataError: A file is missing or not what ``Panel.save`` writes.
        """
        return cls(directory, Panel.load(directory, with_rows=False))

    @property
    def spec(self) -> PanelSpec:
        """The properties of the whole panel."""
        return self.outline.spec

    @property
    def series(self) -> pd.DataFrame:
        """The rows of all series."""
        return self.outline.series

    def __iter__(self) -> Iterator[Panel]:
        """Read the panel of each block, in ascending order of series."""
        dtypes = self.outline.frame.dtypes
        try:
            for rows in series_blocks(self.directory / "panel.parquet"):
                yield self._panel(rows.astype(dtypes))
        except OSError as error:
            raise DataError(
                f"{self.directory}: not a panel ({' '.join(str(error).split())[:200]})"
            ) from error

    def only(self, names: Collection[str]) -> Panel:
        """The panel of these series, of which at least one is known."""

        def choose(table: pd.DataFrame) -> pd.DataFrame:
            return table[table["unique_id"].isin(names)].reset_index(drop=True)

        frames = [rows for block in self if len(rows := block.only(names).frame)]
        return replace(self.outline.with_each(choose), frame=pd.concat(frames, ignore_index=True))

    def _panel(self, rows: pd.DataFrame) -> Panel:
        """The part of each table that belongs to the series of some rows."""
        names = rows["unique_id"].to_numpy(dtype=object)

        def own(table: pd.DataFrame) -> pd.DataFrame:
            if table is self.outline.frame:
                return rows
            known = table["unique_id"].to_numpy(dtype=object)
            first, after = np.searchsorted(known, names[0]), np.searchsorted(known, names[-1], side="right")
            return table.iloc[first:after].reset_index(drop=True)

        return self.outline.with_each(own)
