"""Metrics of a table of forecasts, each series weighing the same.

A *forecasts* table has ``unique_id``, ``cutoff``, ``ds``, ``split``, ``fold``, ``y`` (NaN where unobserved),
``observed`` and one column for each model. A *series* table has ``unique_id``, ``scale``, ``rmsse_scale``
and, for R², ``train_mean``. A target that was not observed, or of a series without a scale, is skipped.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd

from kubecast.data.panel import Panel

CHUNK_ROWS = 500_000  # of forecasts that are scored at once
ENSEMBLE = "ensemble"  # the one column with quantiles beside it

MetricTables = dict[str, pd.DataFrame]
"""By metric, a frame indexed by (split, unique_id[, by]) a column for each model; NaN where undefined."""


@dataclass(frozen=True)
class ScoredRows:
    """Rows that are scored, in groups: a series' rows in a split or, within that, at a lead time.

    Attributes:
        rows: ``y``, the models, the quantiles and the series' scales.
        keys: Columns of ``rows`` whose values make a group.
        models: Columns of ``rows``.
        levels: Quantile levels beside the column ``ensemble``.
    """

    rows: pd.DataFrame
    keys: list[str]
    models: list[str]
    levels: Sequence[float] = ()

    @cached_property
    def mae(self) -> pd.DataFrame:
        """Mean absolute error; shape (groups, models)."""
        return self.loss("mae")

    @cached_property
    def mse(self) -> pd.DataFrame:
        """Mean squared error; shape (groups, models)."""
        return self.loss("mse")

    def loss(self, name: str) -> pd.DataFrame:
        """A point loss of ``utilsforecast.losses``; shape (groups, models)."""
        from utilsforecast import losses  # not on top: checking settings needs none

        return self._by_group(getattr(losses, name)(self._points, models=self.models, id_col="group"))

    def first(self, column: str) -> "pd.Series[Any]":
        """A column's first value in each group; shape (groups,)."""
        values: pd.Series[Any] = self._groups[column].first()
        return values.set_axis(self._index)

    def mean(self, values: "pd.Series[Any]") -> "pd.Series[Any]":
        """The mean of values on the index of ``rows``; shape (groups,)."""
        return values.groupby(self._group).mean().set_axis(self._index)

    def pinball(self) -> pd.DataFrame:
        """Mean pinball loss over the levels; shape (groups, 1)."""
        total = pd.Series(0.0, self.rows.index)
        for level in self.levels:
            above = self.rows["y"] - self.rows[quantile_column(level)]
            total += np.maximum(level * above, (level - 1) * above)
        return self.mean(total / max(len(self.levels), 1)).to_frame(ENSEMBLE)

    def coverage(self, low: float, high: float) -> pd.DataFrame:
        """Share of targets between the quantiles of two levels; shape (groups, 1)."""
        from utilsforecast import losses

        bounds = {"lo": self.rows[quantile_column(low)], "hi": self.rows[quantile_column(high)]}
        table = self.rows[["y"]].assign(
            group=self._group, **{f"{ENSEMBLE}-{end}-0": values for end, values in bounds.items()}
        )
        return self._by_group(losses.coverage(table, models=[ENSEMBLE], level=0, id_col="group"))

    @cached_property
    def _group(self) -> "pd.Series[int]":
        """Number of each row's group, by which rows are grouped faster than by their keys' text."""
        numbers: pd.Series[int] = self.rows.groupby(self.keys, sort=True).ngroup()
        return numbers

    @cached_property
    def _groups(self) -> Any:
        return self.rows.groupby(self._group, sort=True)

    @cached_property
    def _index(self) -> "pd.Index[Any]":
        """The keys of each group."""
        index: pd.Index[Any] = self._groups[self.keys].first().set_index(self.keys).index
        return index

    @cached_property
    def _points(self) -> pd.DataFrame:
        return self.rows[["y", *self.models]].assign(group=self._group)

    def _by_group(self, table: pd.DataFrame) -> pd.DataFrame:
        return table.set_index("group").sort_index().set_axis(self._index, axis=0)


@dataclass(frozen=True)
class Metric:
    """A column of the leaderboard.

    Attributes:
        label: Its name on pages.
        compute: Gives its values, a row for each group and a column for each model; infinite: undefined.
        better: Which values are the better ones.
        format: How pages write it: four significant digits, or percent.
        over_series: How the values of the series become one.
        of_quantiles: Whether it is of the quantiles, which the ensemble has, and not of the point forecast.
        undefined: Why it may have no value; empty where it always has one.
    """

    label: str
    compute: Callable[[ScoredRows], pd.DataFrame]
    better: Literal["lower", "higher"] = "lower"
    format: Literal["figure", "percent"] = "figure"
    over_series: Literal["mean", "median"] = "mean"
    of_quantiles: bool = False
    undefined: str = ""


def _mase(scored: ScoredRows) -> pd.DataFrame:
    """MAE over the stored scale, that of the training split, the same at every origin."""
    return scored.mae.div(scored.first("scale"), axis=0)


def _rmsse(scored: ScoredRows) -> pd.DataFrame:
    return (scored.mse**0.5).div(scored.first("rmsse_scale"), axis=0)


def _r2(scored: ScoredRows) -> pd.DataFrame:
    """R² against the mean of the series' training split."""
    if "train_mean" not in scored.rows:
        return scored.mse * np.nan
    variance = scored.mean((scored.rows["y"] - scored.rows["train_mean"]) ** 2)
    return 1 - scored.mse.div(variance.where(variance > 0), axis=0)


def _wql(scored: ScoredRows) -> pd.DataFrame:
    """Mean over the levels of twice the pinball loss, over the mean absolute target."""
    size = scored.mean(scored.rows["y"].abs()).to_numpy()
    return (2 * scored.pinball()).div(np.where(size > 0, size, np.nan), axis=0)


RANKING = "mase"
METRICS: dict[str, Metric] = {
    RANKING: Metric("MASE", _mase),
    "rmsse": Metric("RMSSE", _rmsse),
    "wape": Metric("WAPE", lambda scored: scored.loss("nd"), format="percent", undefined="every target is 0"),
    # That of M4 as a share, 0 to 2: utilsforecast's is half of it.
    "smape": Metric("sMAPE", lambda scored: 2 * scored.loss("smape"), format="percent"),
    "wql": Metric("WQL", _wql, of_quantiles=True, undefined="every target is 0"),
    "mae": Metric("MAE", lambda scored: scored.mae),
    "rmse": Metric("RMSE", lambda scored: scored.mse**0.5),
    "mse": Metric("MSE", lambda scored: scored.mse),
    # The median, since one flat series could ruin a mean.
    "r2": Metric(
        "R²",
        _r2,
        better="higher",
        over_series="median",
        undefined="no series varies around its training mean",
    ),
}
"""Every metric by its key in ``leaderboard.json``, in the order of pages; ``RANKING`` puts models in order.

Source: Hyndman & Athanasopoulos (2021), "Forecasting: principles and practice", chapter 5; utilsforecast.
"""


def quantile_column(level: float) -> str:
    """The name of a quantile's column: ``q0.1``."""
    return f"q{level:g}"


def intervals(levels: Sequence[float]) -> dict[str, tuple[float, float]]:
    """The central intervals that the quantile levels hold.

    Returns:
        Lower and upper level by nominal coverage in percent, widest first: ``{"80": (0.1, 0.9), ...}``.
    """
    pairs = [(low, high) for low in levels for high in levels if low < 0.5 and abs(low + high - 1) < 1e-9]
    return {f"{100 * (high - low):g}": (low, high) for low, high in sorted(pairs)}


def series_with_means(panel: Panel) -> pd.DataFrame:
    """The panel's series table with ``train_mean``, the mean of each series' observed training rows."""
    rows = panel.frame.merge(panel.series[["unique_id", "train_end"]], on="unique_id")
    rows = rows[rows["observed"] & (rows["ds"] <= rows["train_end"])]
    means = rows.groupby("unique_id")["y"].mean()
    return panel.series.assign(train_mean=panel.series["unique_id"].map(means).astype(np.float64))


def lead_times(table: pd.DataFrame) -> "pd.Series[int]":
    """Steps between each row and its origin, from 1; an origin's rows are complete and in order of time."""
    return table.groupby(["unique_id", "cutoff"], sort=False).cumcount() + 1


def scorable(table: pd.DataFrame, series: pd.DataFrame) -> "pd.Series[bool]":
    """Whether each row counts: its target was observed and its series has a scale."""
    scale = table["unique_id"].map(series.set_index("unique_id")["scale"]).astype(np.float64)
    return table["observed"].astype(bool) & table["y"].notna() & (scale > 0) & np.isfinite(scale)


def count_points(table: pd.DataFrame, series: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """The number of points ``scored`` and ``skipped`` in each group of ``keys``."""
    scored = scorable(table, series)
    groups = [table[key] for key in keys]
    return pd.DataFrame(
        {
            "scored": scored.groupby(groups).sum().astype(int),
            "skipped": (~scored).groupby(groups).sum().astype(int),
        }
    )


def series_metrics(
    table: pd.DataFrame,
    series: pd.DataFrame,
    models: Sequence[str],
    by: str | None = None,
    levels: Sequence[float] = (),
) -> MetricTables:
    """Every metric of every series.

    Args:
        table: Forecasts.
        series: Scales.
        models: Columns of ``table``.
        by: A further column to group by, e.g. ``fold``.
        levels: Quantile levels beside the column ``ensemble``: the metrics of its quantiles, and the coverage
            of each interval as ``coverage_80`` and so on, are given too.
    """
    keys = ["split", "unique_id", *([by] if by else [])]
    chunks = [_chunk_metrics(chunk, series, models, keys, levels) for chunk in _chunks(table)]
    return {name: pd.concat([chunk[name] for chunk in chunks]).sort_index() for name in chunks[0]}


def _chunks(table: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The rows of some series at a time: metrics need several times the memory of the rows they are of."""
    codes, names = pd.factorize(table["unique_id"])
    count = max(1, min(len(names), round(len(table) / CHUNK_ROWS)))
    for some in np.array_split(np.arange(len(names)), count):
        yield table[np.isin(codes, some)] if count > 1 else table


def _chunk_metrics(
    table: pd.DataFrame,
    series: pd.DataFrame,
    models: Sequence[str],
    keys: list[str],
    levels: Sequence[float],
) -> MetricTables:
    rows = table[scorable(table, series)]
    rows = rows.merge(series[["unique_id", *_extra_columns(series)]], on="unique_id", how="left")
    scored = ScoredRows(rows, keys, list(models), levels)
    tables = {
        name: metric.compute(scored) for name, metric in METRICS.items() if levels or not metric.of_quantiles
    }
    for nominal, (low, high) in intervals(levels).items():
        tables[f"coverage_{nominal}"] = scored.coverage(low, high)
    return {name: frame.replace([np.inf, -np.inf], np.nan) for name, frame in tables.items()}


def overall(metrics: MetricTables, keys: Sequence[str]) -> MetricTables:
    """Each metric over the series in each group of ``keys``: their mean, or the metric's ``over_series``."""
    tables = {}
    for name, frame in metrics.items():
        grouped = frame.groupby(level=list(keys))
        median = name in METRICS and METRICS[name].over_series == "median"
        tables[name] = grouped.median() if median else grouped.mean()
    return tables


def _extra_columns(series: pd.DataFrame) -> list[str]:
    return [column for column in ("scale", "rmsse_scale", "train_mean") if column in series]
