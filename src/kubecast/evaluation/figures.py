"""The figures of the leaderboard's tables, as fields of their rows."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from kubecast.scoring.metrics import (
    COVERAGE,
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
    """One dictionary for each group and model; a group with nothing scored has counts only."""
    tables = {name: frame.reindex(counts.index) for name, frame in metrics.items()}
    by_model = {model: _records(tables, model) for model in models}
    table = []
    for at, (group, scored, skipped) in enumerate(counts.itertuples()):
        named = dict(zip(keys, group if isinstance(group, tuple) else (group,), strict=True))
        points = {"scored": int(scored), "skipped": int(skipped)}
        table += [{"model": model, **named, **rows[at], **points} for model, rows in by_model.items()]
    return table


def _records(tables: MetricTables, model: str) -> list[dict[str, Any]]:
    """By group, one model's metrics, and its coverage by nominal coverage in percent."""
    values = {name: _finite(frame[model]) for name, frame in tables.items() if model in frame}
    nominal = [name for name in values if name.startswith(COVERAGE)]
    points = [name for name in tables if not name.startswith(COVERAGE)]
    groups = len(next(iter(tables.values())))
    absent: list[Any] = [None] * groups
    figures = zip(*(values.get(name, absent) for name in points), strict=True)
    inside = zip(*(values[name] for name in nominal), strict=True) if nominal else [()] * groups
    names = [name.removeprefix(COVERAGE) for name in nominal]
    return [
        dict(zip(points, each, strict=True))
        | {"coverage": {name: share for name, share in zip(names, shares, strict=True) if share is not None}}
        for each, shares in zip(figures, inside, strict=True)
    ]


def _finite(column: "pd.Series[float]") -> list[float | None]:
    """The values, None in place of those that are not finite."""
    return [value if math.isfinite(value) else None for value in column.tolist()]


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
