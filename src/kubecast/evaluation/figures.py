"""The figures of the leaderboard's tables, as fields of their rows."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

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
    columns = columns_of_groups(metrics, counts, models, keys)
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def columns_of_groups(
    metrics: MetricTables, counts: pd.DataFrame, models: Sequence[str], keys: list[str]
) -> dict[str, list[Any]]:
    """The same by columns, group after group.

    Args:
        metrics: By metric, a frame indexed by group with a column for each model.
        counts: ``scored`` and ``skipped``, indexed by group.
        models: In each group.
        keys: Names of the levels of groups.
    """
    tables = {name: frame.reindex(counts.index) for name, frame in metrics.items()}
    figures = {
        name: _finite(frame.reindex(columns=[*models]).to_numpy(dtype=np.float64).ravel())
        for name, frame in tables.items()
    }
    nominal = [name for name in figures if name.startswith(COVERAGE)]
    inside = {name.removeprefix(COVERAGE): figures.pop(name) for name in nominal}
    groups = {key: counts.index.get_level_values(at).tolist() for at, key in enumerate(keys)}
    repeated = {name: counts[name].astype(int).tolist() for name in ("scored", "skipped")}
    return {
        "model": [*models] * len(counts),
        **{name: _each_model(values, models) for name, values in groups.items()},
        **figures,
        "coverage": _coverage(inside, len(counts) * len(models)),
        **{name: _each_model(values, models) for name, values in repeated.items()},
    }


def _each_model(values: list[Any], models: Sequence[str]) -> list[Any]:
    return [value for value in values for _ in models]


def _coverage(inside: Mapping[str, list[float | None]], rows: int) -> list[dict[str, float]]:
    """Shares of targets by nominal coverage in percent, as far as they are defined."""
    shares: list[dict[str, float]] = [{} for _ in range(rows)]
    for name, values in inside.items():
        for row, value in zip(shares, values, strict=True):
            if value is not None:
                row[name] = value
    return shares


def _finite(values: NDArray[np.float64]) -> list[float | None]:
    """The values, None in place of those that are not finite."""
    return [value if math.isfinite(value) else None for value in values.tolist()]


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
