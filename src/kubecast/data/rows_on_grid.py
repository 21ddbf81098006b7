"""Rows on the grid, each series from its first target to its last, and what is known after that."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import chain

import pandas as pd

from kubecast.config.training import TrainingSettings
from kubecast.data.extents import extents_of
from kubecast.data.findings import Notes
from kubecast.data.grid import complete_grids
from kubecast.data.row_blocks import Keep, Rows, cut, own_categories
from kubecast.errors import DataError


@dataclass(frozen=True)
class RowsOnGrid:
    """Rows on the grid, each series from its first target to its last.

    Attributes:
        rows: Of all series.
        ahead: What is known in advance after them.
        extents: Of the series.
    """

    rows: Rows
    ahead: pd.DataFrame
    extents: pd.DataFrame


def to_grid(rows: Rows, frequency: str, settings: TrainingSettings, notes: Notes, keep: Keep) -> RowsOnGrid:
    """Bring rows onto the grid.

    Args:
        rows: From ``read_blocks``.
        frequency: Of the grid.
        settings: Name the covariates, and say how rows are brought together.
        notes: Receives the findings.
        keep: Keeps the rows.

    Raises:
        DataError: Rows are off the grid, or no series has a target.
    """
    ahead: list[pd.DataFrame] = []
    extents: list[pd.DataFrame] = []

    def blocks() -> Iterator[pd.DataFrame]:
        for block in complete_grids(
            lambda: chain.from_iterable(map(cut, rows())), frequency, settings, notes
        ):
            own, after = _split_ahead(block, settings, notes)
            ahead.append(plain(after))
            extents.extend([extents_of(own)] if len(own) else [])
            yield own

    kept = keep("grid", blocks())
    if not extents:
        raise DataError("no series has a target value; allowed: numbers in y")
    return RowsOnGrid(kept, pd.concat(ahead, ignore_index=True), pd.concat(extents, ignore_index=True))


def of_series(ahead: pd.DataFrame, series: pd.DataFrame) -> pd.DataFrame:
    """The rows of these series."""
    return ahead[ahead["unique_id"].isin(series["unique_id"])].reset_index(drop=True)


def without(frame: pd.DataFrame, names: Collection[str]) -> pd.DataFrame:
    """The rows of all series but these."""
    kept = ~frame["unique_id"].isin(names)
    return frame if kept.all() else own_categories(frame[kept].reset_index(drop=True))


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows with names as text, and an index from 0."""
    return frame.assign(unique_id=frame["unique_id"].astype(object)).reset_index(drop=True)


def _split_ahead(
    frame: pd.DataFrame, settings: TrainingSettings, notes: Notes
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cut each series to where its target begins and ends; what is known after that is kept apart."""
    covariates = settings.data.covariates
    frame["observed"] = frame["y"].notna()
    times = frame["ds"].where(frame["observed"]).groupby(frame["unique_id"], observed=True)
    first, last = times.transform("min"), times.transform("max")
    for name in frame.loc[last.isna(), "unique_id"].unique():
        notes.add("left_out", "no target value at all", series=str(name))
    kept = frame[(frame["ds"] >= first) & (frame["ds"] <= last)].reset_index(drop=True)
    columns = ["unique_id", "ds", "y", "observed", *covariates.future, *covariates.past, *covariates.static]
    ahead = frame.loc[(frame["ds"] > last) & bool(covariates.future), ["unique_id", "ds", *covariates.future]]
    return own_categories(kept[columns]), ahead.dropna()
