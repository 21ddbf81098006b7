"""Rows of whole series, a block at a time: held in memory, or in a file from one pass to the next."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kubecast.data import parquet

Rows = Callable[[], Iterator[pd.DataFrame]]
"""Begins a pass over blocks, at least one, in ascending order of series."""

Keep = Callable[[str, Iterable[pd.DataFrame]], Rows]
"""Keeps blocks, at least one, under a name for later passes."""


def in_memory(_name: str, blocks: Iterable[pd.DataFrame]) -> Rows:
    """Keep blocks as they are."""
    held = list(blocks)
    return lambda: iter(held)


def in_folder(folder: Path) -> Keep:
    """Keep blocks in ``<name>.parquet`` of a folder, so that one of them at a time is in memory."""

    def keep(name: str, blocks: Iterable[pd.DataFrame]) -> Rows:
        path, rest = folder / f"{name}.parquet", iter(blocks)
        first = next(rest)
        types = first.dtypes
        parquet.write_series(chain([first], rest), path)
        return lambda: (_as_kept(block, types) for block in parquet.series_blocks(path))

    return keep


def _as_kept(block: pd.DataFrame, types: "pd.Series[Any]") -> pd.DataFrame:
    """Rows that were read, whose texts are categories, in the types that they were kept with."""
    if isinstance(types["unique_id"], pd.CategoricalDtype):
        return own_categories(block).astype(types.drop("unique_id").to_dict())
    return block.astype(types.to_dict())


def own_categories(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows with no name of a series among their categories that none of them has."""
    return frame.assign(unique_id=frame["unique_id"].cat.remove_unused_categories())


def cut(frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Cut rows in order of series into blocks, each with its own categories and an index from 0."""
    for rows in series_slices(frame["unique_id"]):
        yield own_categories(frame.iloc[rows].reset_index(drop=True))


def series_slices(names: "pd.Series[Any]") -> Iterator[slice]:
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


def _ends(names: "pd.Series[Any]") -> NDArray[np.intp]:
    """Rows before which every series ends or begins; the number of rows, which may be 0, is the last."""
    codes, series = pd.factorize(names)
    rows, last = np.arange(len(codes)), np.zeros(len(series), dtype=np.intp)
    last[codes] = rows
    ends = rows[np.maximum.accumulate(last[codes]) == rows] + 1
    return ends if len(ends) else np.array([0])


def one_block(rows: pd.DataFrame) -> Rows:
    """Rows that are in memory, as one block."""
    return lambda: iter([rows])


def as_one(source: Rows) -> Rows:
    """All rows in one block, with what the first block says of them."""
    held = list(source())
    rows = pd.concat(held)
    rows.attrs |= held[0].attrs
    return one_block(rows)


def concat_rows(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Put the tables of blocks together; an empty one says nothing of the types."""
    return pd.concat([table for table in tables if len(table)] or tables[:1])
