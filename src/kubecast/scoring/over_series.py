"""Metrics over series, each weighing the same, as sums that add up over blocks of series."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from kubecast.scoring.metrics import METRICS, Groups, MetricTables


@dataclass(frozen=True)
class OverSeries:
    """Each metric over the series of each group: its mean, or the metric's ``over_series``.

    Attributes:
        keys: Levels of the groups.
        sums: By metric that is a mean, the sums over series; a row for each group, a column for each model.
        counts: Series that have a value, as ``sums``.
        values: By metric that is a median, the values themselves, several rows for each group; a table for
            each block.
    """

    keys: list[str]
    sums: MetricTables
    counts: MetricTables
    values: dict[str, list[pd.DataFrame]]

    @classmethod
    def of(cls, metrics: MetricTables, keys: Sequence[str]) -> Self:
        """Add the series of one block up.

        Args:
            metrics: From ``series_metrics``, or ``ScoredRows.metrics``; all with one index.
            keys: Those levels of their index that make a group.
        """
        keys, sums, counts, values = list(keys), {}, {}, {}
        index = next(iter(metrics.values())).index  # that all of them have
        groups = Groups.of(index.to_frame(index=False), keys)
        for name, frame in metrics.items():
            if name in METRICS and METRICS[name].over_series == "median":
                values[name] = [frame.set_axis(groups.keys[groups.numbers])]
            else:
                cells = frame.to_numpy(dtype=np.float64)
                added = [groups.sums(each) for each in np.nan_to_num(cells).T]
                known = [groups.sums(each) for each in ~np.isnan(cells).T]
                sums[name], counts[name] = (
                    pd.DataFrame(dict(zip(frame.columns, each, strict=True)), groups.keys)
                    for each in (added, known)
                )
        return cls(keys, sums, counts, values)

    @classmethod
    def joined(cls, blocks: Sequence["OverSeries"]) -> Self:
        """Put blocks of different series together."""
        first, one = blocks[0], len(blocks) == 1

        def added(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
            return tables[0] if one else pd.concat(tables).groupby(level=first.keys).sum()

        return cls(
            first.keys,
            {name: added([each.sums[name] for each in blocks]) for name in first.sums},
            {name: added([each.counts[name] for each in blocks]) for name in first.counts},
            {name: [table for each in blocks for table in each.values[name]] for name in first.values},
        )

    def tables(self) -> MetricTables:
        """By metric, a row for each group and a column for each model; NaN where no series has a value."""
        means = {name: self.sums[name] / self.counts[name] for name in self.sums}
        return means | {name: _medians(tables, self.keys) for name, tables in self.values.items()}


def _medians(tables: Sequence[pd.DataFrame], keys: list[str]) -> pd.DataFrame:
    """The median of each group and column, one column after the other: there is a row for each series."""
    groups = pd.concat([table.index.to_frame(index=False) for table in tables]).groupby(keys, observed=True)
    numbers, names = groups.ngroup().to_numpy(), groups.size().index
    medians = {
        column: pd.Series(np.concatenate([table[column] for table in tables])).groupby(numbers).median()
        for column in tables[0].columns
    }
    return pd.DataFrame(medians).set_axis(names)
