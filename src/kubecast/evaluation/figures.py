"""The figures of the leaderboard's tables, as fields of their rows."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from kubecast.evaluation.rows import fields_of
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
        groups, keys = Groups.of(table, ["split", "unique_id", by]), ["split", by]
        metrics = ScoredRows(losses, groups.only(scored.to_numpy()), models, levels).metrics()
        points = count_points(groups, scored).groupby(level=keys).sum()
        return cls(OverSeries.of(metrics, keys), points)

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
    """The fields of a row for each group and model; a group with nothing scored has counts only."""
    return [fields_of(row) for row in table_of_groups(metrics, counts, models, keys).to_dict("records")]


def table_of_groups(
    metrics: MetricTables, counts: pd.DataFrame, models: Sequence[str], keys: list[str]
) -> pd.DataFrame:
    """The same as a table, group after group: NaN where a figure is undefined.

    Args:
        metrics: By metric, a frame indexed by group with a column for each model.
        counts: ``scored`` and ``skipped``, indexed by group.
        models: In each group.
        keys: Names of the levels of groups.
    """
    columns: dict[str, Any] = {"model": pd.Categorical([*models] * len(counts), categories=[*models])}
    for at, key in enumerate(keys):
        columns[key] = counts.index.get_level_values(at).repeat(len(models))
    for name, frame in metrics.items():
        values = frame.reindex(index=counts.index, columns=[*models]).to_numpy(dtype=np.float64).ravel()
        columns[name] = np.where(np.isfinite(values), values, np.nan)
    for name in ("scored", "skipped"):
        columns[name] = counts[name].to_numpy(dtype=np.int64).repeat(len(models))
    return pd.DataFrame(columns, copy=False)


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
