"""A panel whose rows are read a block of series at a time."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kubecast.data.panel import Panel, PanelSpec
from kubecast.data.parquet import series_blocks
from kubecast.data.row_blocks import one_block
from kubecast.errors import DataError, one_line

ROWS = "panel.parquet"
"""The file of a panel's rows."""


@dataclass(frozen=True)
class PanelBlocks:
    """The panels of a block of whole series each, whose rows together are those of one panel.

    Attributes:
        outline: That panel, whose rows nobody needs.
        rows: Reads its rows in blocks, at least one, in ascending order of series.
    """

    outline: Panel
    rows: Callable[[], Iterator[pd.DataFrame]]

    @classmethod
    def open(cls, directory: Path, rows: Sequence[Path] = ()) -> "PanelBlocks":
        """Read the outline of what ``Panel.save`` wrote.

        Args:
            directory: Of the panel.
            rows: Files with some of its series each, ascending; default: the panel's own, with all.

        Raises:
            DataError: A file is missing or not what it writes.
        """
        outline, paths = Panel.load(directory, with_rows=False), rows or [directory / ROWS]

        def read() -> Iterator[pd.DataFrame]:
            try:
                for block in chain.from_iterable(map(series_blocks, paths)):
                    yield block.astype(outline.frame.dtypes)
            except (OSError, ValueError) as error:
                raise DataError(f"{directory}: not a panel ({one_line(error)})") from error

        return cls(outline, read)

    @classmethod
    def of(cls, panel: Panel) -> "PanelBlocks":
        """Take a panel as one block."""
        return cls(panel, one_block(panel.frame))

    @property
    def spec(self) -> PanelSpec:
        """The properties of the whole panel."""
        return self.outline.spec

    @property
    def series(self) -> pd.DataFrame:
        """The rows of all series."""
        return self.outline.series

    def __iter__(self) -> Iterator[Panel]:
        """Read the panel of each block."""
        return map(self._panel, self.rows())

    def larger(self, least: int) -> "PanelBlocks":
        """The same in blocks of at least so many rows, but for the last."""

        def rows() -> Iterator[pd.DataFrame]:
            held: list[pd.DataFrame] = []
            for block in self.rows():
                held.append(block)
                if sum(map(len, held)) >= least:
                    yield pd.concat(held, ignore_index=True)
                    held.clear()
            if held:
                yield pd.concat(held, ignore_index=True)

        return replace(self, rows=rows)

    def between(self, first: str, last: str) -> "PanelBlocks":
        """The series whose names are from the first to the last, of which there is at least one."""

        def choose(table: pd.DataFrame) -> pd.DataFrame:
            bounds = _between(table["unique_id"].to_numpy(dtype=object), first, last)
            return table.iloc[bounds].reset_index(drop=True)

        def rows() -> Iterator[pd.DataFrame]:
            for block in self.rows():
                if block["unique_id"].iloc[0] > last:
                    return
                if len(chosen := choose(block)):
                    yield chosen

        return PanelBlocks(self.outline.with_each(choose), rows)

    def whole(self) -> Panel:
        """The panel."""
        return replace(self.outline, frame=pd.concat(self.rows(), ignore_index=True))

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
            bounds = _between(table["unique_id"].to_numpy(dtype=object), names[0], names[-1])
            return table.iloc[bounds].reset_index(drop=True)

        return self.outline.with_each(own)


def _between(names: NDArray[np.object_], first: str, last: str) -> slice:
    """Where the names from the first to the last stand, among ascending ones."""
    return slice(int(np.searchsorted(names, first)), int(np.searchsorted(names, last, side="right")))
