"""A table of forecasts as losses by series and origin, which is all that tests and resamples need of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kubecast.data.panel import Panel
from kubecast.scoring.metrics import Groups, RowLosses, scorable

FEWEST_GROUPS = 5  # of series, below which their spread is not that of many groups

Floats = NDArray[np.float64]
Means = Mapping[str, Floats]
"""By column, its mean loss over series, each weighing the same: MASE of a model, coverage of an interval."""


@dataclass(frozen=True)
class LossGrid:
    """Sums of the rows' losses by series and origin.

    Attributes:
        sums: By column, shape (series, origins), origins in order of time.
        counts: Rows that are scored, shape (series, origins).
        groups: Code of each series' top group, else of the series itself; shape (series,).
        overlap: Origins in a row that share targets with the first of them; 1: none but itself.
        same_dates: Whether an origin is one date for all series, which share what happened then.
    """

    sums: dict[str, Floats]
    counts: Floats
    groups: NDArray[np.int64]
    overlap: int
    same_dates: bool

    @classmethod
    def from_table(
        cls, table: pd.DataFrame, series: pd.DataFrame, panel: Panel, models: Sequence[str]
    ) -> Self:
        """Add the rows of one split up; see ``LossSums.from_table``."""
        return cls.joined([LossSums.from_table(table, series, panel, models)], panel)

    @classmethod
    def joined(cls, blocks: Sequence["LossSums"], panel: Panel) -> Self:
        """Put blocks of different series together.

        Args:
            blocks: In ascending order of series.
            panel: Says what groups series have.
        """
        names = pd.Index(np.concatenate([block.names for block in blocks]))
        times = np.unique(np.concatenate([block.times for block in blocks]))

        def rows(block: LossSums, values: Floats) -> Floats:
            cells = np.zeros((len(block.names), len(times)))
            cells[:, np.searchsorted(times, block.times)] = values
            return cells

        sums = {
            name: np.concatenate([rows(block, block.sums[name]) for block in blocks])
            for name in blocks[0].sums
        }
        counts = np.concatenate([rows(block, block.counts) for block in blocks])
        longest = max(blocks, key=lambda block: block.longest)  # the first of equal ones
        groups, same_dates = _group_codes(names, panel), panel.spec.align == "calendar"
        return cls(sums, counts, groups, longest.overlap, same_dates)

    @property
    def n_series(self) -> int:
        """Series with a scored target."""
        return len(self.counts)

    @property
    def n_origins(self) -> int:
        """Origins with a scored target."""
        return int(self.counts.shape[1])

    @property
    def n_disjoint(self) -> int:
        """Origins that have separate targets."""
        return -(-self.n_origins // self.overlap)

    @property
    def n_blocks(self) -> int:
        """Dates to draw: whole horizons of origins."""
        return self.n_origins // self.overlap

    @cached_property
    def by_series(self) -> dict[str, Floats]:
        """By column, each series' mean over its rows, shape (series,)."""
        rows = self.counts.sum(axis=1)
        return {name: sums.sum(axis=1) / rows for name, sums in self.sums.items()}

    def means(self) -> Means:
        """By column, the mean over series."""
        return {
            name: np.asarray(values.mean() if len(values) else np.nan)
            for name, values in self.by_series.items()
        }

    def difference_by_origin(self, model: str, against: str) -> Floats:
        """Mean over series of one column less another at each origin, each series weighing the same there."""
        has_rows = self.counts > 0
        cells = np.divide(
            self.sums[model] - self.sums[against], self.counts, out=np.zeros_like(self.counts), where=has_rows
        )
        return np.asarray(cells.sum(axis=0) / has_rows.sum(axis=0))


@dataclass(frozen=True)
class LossSums:
    """Sums of the rows' losses by series and origin, of a block of series.

    Attributes:
        sums: By column, shape (series, origins), origins in order of time.
        counts: Rows that are scored, shape (series, origins).
        names: Of the series, ascending.
        times: Of the origins, see ``common_origins``.
        longest: Rows of its longest series.
        overlap: Of the origins of that, see ``LossGrid``.
    """

    sums: dict[str, Floats]
    counts: Floats
    names: NDArray[np.object_]
    times: NDArray[Any]
    longest: int
    overlap: int

    @classmethod
    def from_table(
        cls, table: pd.DataFrame, series: pd.DataFrame, panel: Panel, models: Sequence[str]
    ) -> Self:
        """Add the rows of one split up.

        Args:
            table: Forecasts of the split, also those that are not scored.
            series: Scales.
            panel: Says what counts as one origin.
            models: Columns of point forecasts; the loss is the absolute error over the series' scale.
        """
        table = table.assign(origin=common_origins(table, panel))
        losses = RowLosses.of(table[scorable(table, series)], series)
        return cls.of(losses, np.ones(len(losses.rows), dtype=bool), models)

    @classmethod
    def of(
        cls,
        losses: RowLosses,
        chosen: NDArray[np.bool_],
        models: Sequence[str],
        intervals: Mapping[str, tuple[str, str]] | None = None,
    ) -> Self:
        """Add some of the rows that are scored up.

        Args:
            losses: Of rows with their ``origin``, from ``common_origins``.
            chosen: Those of one split; shape (rows,).
            models: Columns of point forecasts.
            intervals: By column of the result, the columns of an interval's bounds: the loss is 1 inside.
        """
        rows = losses.rows.loc[chosen, ["unique_id", "origin", "cutoff", "ds"]]
        groups = Groups.of(rows, ["unique_id", "origin"])
        names, times = (groups.keys.get_level_values(level) for level in ("unique_id", "origin"))
        codes, names = pd.factorize(names)
        at, times = pd.factorize(times, sort=True)
        scale = losses.values("scale")[chosen]

        def add_up(values: Floats) -> Floats:
            cells = np.zeros((len(names), len(times)))
            cells[codes, at] = groups.sums(values)
            return cells

        sums = {name: add_up(losses.loss("absolute", name)[chosen] / scale) for name in models}
        for name, bounds in (intervals or {}).items():
            sums[name] = add_up(losses.inside(*bounds)[chosen])
        of_rows = codes[groups.numbers]
        return cls(
            sums,
            add_up(np.ones(len(rows))),
            np.asarray(names, dtype=object),
            np.asarray(times),
            int(np.bincount(of_rows).max(initial=0)),
            _overlap(rows, of_rows),
        )


def common_origins(table: pd.DataFrame, panel: Panel) -> "pd.Series[Any]":
    """The origin of each row, across series: the time or, with unequal clocks, the place from the end.

    Args:
        table: Forecasts, those that are not scored too: they have places.
        panel: Says which.

    Returns:
        On the index of ``table``, in order of time.
    """
    if panel.spec.align == "calendar":
        return table["cutoff"]
    return -table.groupby(["split", "unique_id"], observed=True)["cutoff"].rank(
        method="dense", ascending=False
    )


def _group_codes(names: "pd.Index[Any]", panel: Panel) -> NDArray[np.int64]:
    """The top group of each series, where one is known, else the series.

    It is the static text covariate with the fewest values: its series share weather and promotions.
    """
    values = {column: panel.static.set_index("unique_id")[column] for column in panel.spec.categories}
    counts = {column: each.nunique() for column, each in values.items()}
    usable = [column for column, count in counts.items() if FEWEST_GROUPS <= count < len(names)]
    if not usable:
        return np.arange(len(names))
    top = min(usable, key=counts.__getitem__)
    return np.asarray(pd.factorize(values[top].reindex(names), use_na_sentinel=False)[0], dtype=np.int64)


def _overlap(rows: pd.DataFrame, names: NDArray[np.int64]) -> int:
    """The number of origins in a row that share targets with the first of them, in the longest series."""
    if rows.empty:
        return 1
    longest = rows[names == np.bincount(names).argmax()]
    ends = longest.groupby("cutoff")["ds"].max()
    cutoffs = ends.index.to_numpy()
    return int(np.max(np.searchsorted(cutoffs, ends.to_numpy(), side="left") - np.arange(len(ends))))
