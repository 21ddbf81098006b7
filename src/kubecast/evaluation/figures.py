"""The figures of the leaderboard's tables, as fields of their rows."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from kubecast.scoring.metrics import (
    ENSEMBLE,
    METRICS,
    RANKING,
    Groups,
    MetricTables,
    RowLosses,
    ScoredRows,
    count_points,
)
from kubecast.scoring.over_series import OverSeries
from kubecast.scoring.significance import finite

POINTS_ONLY = "a member forecasts points; its quantiles are scored on the test split of a full history alone"


class Breakdown(NamedTuple):
    """Every metric of each group of targets, over the series in it.

    Attributes:
        metrics: Over the series.
        points: The number of targets ``scored`` and ``skipped``, indexed by group.
    """

    metrics: OverSeries
    points: pd.DataFrame

    @classmethod
    def of(
        cls,
        table: pd.DataFrame,
        scored: "pd.Series[bool]",
        losses: RowLosses,
        by: str,
        models: Sequence[str],
        levels: Sequence[float] = (),
    ) -> "Breakdown":
        """Break a block of series down by split and another column.

        Args:
            table: Forecasts.
            scored: From ``scorable``.
            losses: Of the rows that are.
            by: The column.
            models: Columns of point forecasts.
            levels: Quantile levels beside the column ``ensemble``.
        """
        groups = Groups.of(losses.rows, ["split", "unique_id", by])
        metrics = ScoredRows(losses, groups, models, levels).metrics()
        keys = ["split", by]
        return cls(OverSeries.of(metrics, keys), count_points(table, scored, keys))

    @classmethod
    def joined(cls, blocks: "Sequence[Breakdown]") -> "Breakdown":
        """Put blocks of different series together."""
        points = pd.concat([block.points for block in blocks])
        return cls(
            OverSeries.joined([block.metrics for block in blocks]),
            points.groupby(level=blocks[0].metrics.keys).sum(),
        )

    def rows(self, models: Sequence[str]) -> list[dict[str, Any]]:
        """The figures of some of the models; see ``figures_of_groups``."""
        return figures_of_groups(self.metrics.tables(), self.points, models, self.metrics.keys)


def figures_of_groups(
    metrics: MetricTables, counts: pd.DataFrame, models: Sequence[str], keys: list[str]
) -> list[dict[str, Any]]:
    """One dictionary for each group and model; a group with nothing scored has counts only."""
    values = {name: frame.reindex(counts.index).to_dict("index") for name, frame in metrics.items()}
    table = []
    for group, scored, skipped in counts.itertuples():
        named = dict(zip(keys, group if isinstance(group, tuple) else (group,), strict=True))
        for model in models:
            figures = {name: finite(rows[group].get(model)) for name, rows in values.items()}
            coverage = {name: figures.pop(name) for name in list(figures) if name.startswith("coverage_")}
            inside = {name.removeprefix("coverage_"): v for name, v in coverage.items() if v is not None}
            count = {"scored": int(scored), "skipped": int(skipped)}
            table.append({"model": model, **named, **figures, "coverage": inside, **count})
    return table


def spread_over_series(mase: pd.DataFrame, split: str, model: str) -> dict[str, float | None]:
    """Whether a few series rule a model's mean."""
    if split not in mase.index.get_level_values("split"):
        return {}
    values = mase.xs(split, level="split")[model].sort_values(ascending=False)
    total = values.sum()
    worst = values.head(5).sum() / total if total > 0 else None
    return {"mase_median": finite(values.median()), "mase_worst_five": finite(worst)}


def undefined_reasons(row: Mapping[str, Any]) -> dict[str, str]:
    """The reason by metric of a row that has no value."""
    if not row["scored"]:
        return {RANKING: "no observed target of a series that has a scale"}
    points_only = row["model"] != ENSEMBLE
    reasons = {
        name: POINTS_ONLY if metric.of_quantiles and points_only else metric.undefined
        for name, metric in METRICS.items()
    }
    return {name: reason for name, reason in reasons.items() if reason and row.get(name) is None}
