"""Metrics over series, each weighing the same, as sums that add up over blocks of series."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import pandas as pd

from kubecast.scoring.metrics import METRICS, MetricTables


@dataclass(frozen=True)
class OverSeries:
    """Each metric over the series of each group: its mean, or the metric's ``over_series``.

    Attributes:
        keys: Levels of the groups.
        sums: By metric that is a mean, the sums over series; a row for each group, a column for each model.
        counts: Series that have a value, as ``sums``.
        values: By metric that is a median, the values themselves; several rows for each group.
    """

    keys: list[str]
    sums: MetricTables
    counts: MetricTables
    values: MetricTables

    @classmethod
    def of(cls, metrics: MetricTables, keys: Sequence[str]) -> Self:
        """Add the series of one block up.

        Args:
            metrics: From ``series_metrics``, or ``ScoredRows.metrics``.
            keys: Those levels of their index that make a group.
        """
        keys, sums, counts, values = list(keys), {}, {}, {}
        for name, frame in metrics.items():
            if name in METRICS and METRICS[name].over_series == "median":
                values[name] = frame.reset_index()[[*keys, *frame.columns]].set_index(keys)
            else:
                grouped = frame.groupby(level=keys, observed=True)
                sums[name], counts[name] = grouped.sum(), grouped.count()
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
            {name: pd.concat([each.values[name] for each in blocks]) for name in first.values},
        )

    def tables(self) -> MetricTables:
        """By metric, a row for each group and a column for each model; NaN where no series has a value."""
        means = {name: self.sums[name] / self.counts[name] for name in self.sums}
        return means | {name: each.groupby(level=self.keys).median() for name, each in self.values.items()}
