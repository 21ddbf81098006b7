"""Metrics of a table of forecasts, each series weighing the same.

A *forecasts* table has ``unique_id``, ``cutoff``, ``ds``, ``split``, ``fold``, ``y`` (NaN where unobserved),
``observed`` and one column for each model. A *series* table has ``unique_id``, ``scale``, ``rmsse_scale``
and, for R², ``train_mean``. A target that was not observed, or of a series without a scale, is skipped.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

MOST_CELLS = 20  # of a table of all groups that there could be, for each row
CHUNK_ROWS = 500_000  # of forecasts that are scored at once
COVERAGE = "coverage_"  # and the nominal coverage in percent: a metric of an interval
ENSEMBLE = "ensemble"  # the one column with quantiles beside it

Floats = NDArray[np.float64]
MetricTables = dict[str, pd.DataFrame]
"""By metric, a frame indexed by (split, unique_id[, by]) a column for each model; NaN where undefined."""


def _sorted_codes(column: "pd.Series[Any]") -> tuple[NDArray[np.int64], "pd.Index[Any]"]:
    """Each value as a position among the column's values in ascending order; some may be absent."""
    if not isinstance(column.dtype, pd.CategoricalDtype):
        codes, values = pd.factorize(column, sort=True)
        return codes, pd.Index(values)
    order = np.argsort(column.cat.categories.to_numpy())
    return np.argsort(order)[column.cat.codes.to_numpy()], column.cat.categories[order]


@dataclass(frozen=True)
class Groups:
    """Rows in groups: those of a split, of a series in a split or, within that, of a lead time.

    Attributes:
        numbers: The group of each row, as a position in ``keys``; shape (rows,).
        keys: Of each group, in ascending order; indexed by the columns' names.
    """

    numbers: NDArray[np.int64]
    keys: "pd.Index[Any]"

    @classmethod
    def of(cls, table: pd.DataFrame, columns: list[str]) -> Self:
        """Number the groups of rows that are alike in some columns, all of whose cells have a value.

        pandas is slow to group by text, and slower than counting where the groups are few.
        """
        codes, values = zip(*(_sorted_codes(table[name]) for name in columns), strict=True)
        shape = tuple(max(len(each), 1) for each in values)
        cells, size = np.asarray(np.ravel_multi_index(codes, shape)), math.prod(shape)
        if size <= MOST_CELLS * max(len(cells), 1):
            is_present = np.bincount(cells, minlength=size) > 0
            numbers, present = (np.cumsum(is_present) - 1)[cells], np.flatnonzero(is_present)
        else:
            numbers, present = pd.factorize(cells, sort=True)
        places = np.unravel_index(present, shape)
        keys = [np.asarray(each)[at] for each, at in zip(values, places, strict=True)]
        index = pd.MultiIndex.from_arrays(keys, names=columns)
        return cls(numbers, index if len(columns) > 1 else index.get_level_values(0))

    def only(self, rows: NDArray[np.bool_]) -> Self:
        """The groups of some of the rows; one may have none of them."""
        return type(self)(self.numbers[rows], self.keys)

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """Rows of each group; shape (groups,)."""
        return np.bincount(self.numbers, minlength=len(self.keys))

    @cached_property
    def _runs(self) -> NDArray[np.intp]:
        """The first row of each run of rows of one group."""
        return np.flatnonzero(np.diff(self.numbers, prepend=-1))

    def sums(self, values: NDArray[Any]) -> Floats:
        """The sum of one value for each row; shape (groups,)."""
        numbers, runs = self.numbers, self._runs
        if 2 * len(runs) < len(numbers):  # rows of one origin stand together: they are added up faster
            numbers, values = numbers[runs], np.add.reduceat(values, runs, dtype=np.float64)
        return np.asarray(np.bincount(numbers, values, len(self.keys)), dtype=np.float64)


def _symmetric(y: Floats, forecast: Floats) -> Floats:
    """The symmetric relative error, 0 to 2; a forecast of 0 for a target of 0 is right."""
    error, size = np.abs(y - forecast), np.abs(y) + np.abs(forecast)
    with np.errstate(invalid="ignore"):  # of a forecast that is not finite
        return np.asarray(2 * np.divide(error, size, out=np.zeros_like(error), where=size != 0))


_ROW_LOSSES: dict[str, Callable[[Floats, Floats], Floats]] = {
    "absolute": lambda y, forecast: np.abs(y - forecast),
    "squared": lambda y, forecast: (y - forecast) ** 2,
    "symmetric": _symmetric,
}


def pinball_losses(above: Floats, level: float) -> Floats:
    """The pinball losses of forecasts of a quantile, from how far each target lies above its own."""
    return np.maximum(level * above, (level - 1) * above)


class RowLosses:
    """Rows that are scored, and what each of them loses, which is computed once for all ways to group them.

    Attributes:
        rows: ``y``, the models, the quantiles and the series' scales.
        y: The targets; shape (rows,).
    """

    def __init__(self, rows: pd.DataFrame) -> None:
        self.rows = rows
        self.y = self.values("y")
        self._known: dict[tuple[object, ...], Floats] = {}

    @classmethod
    def of(cls, rows: pd.DataFrame, series: pd.DataFrame) -> Self:
        """Add the columns of their series to rows, all of which are ``scorable``."""
        codes, names = pd.factorize(rows["unique_id"])
        extra = series.set_index("unique_id")[_extra_columns(series)].reindex(names)
        return cls(rows.assign(**{str(column): each.to_numpy()[codes] for column, each in extra.items()}))

    def values(self, column: str) -> Floats:
        """A column of ``rows``; shape (rows,)."""
        return self.rows[column].to_numpy(dtype=np.float64)

    def loss(self, kind: str, model: str) -> Floats:
        """The absolute, squared or symmetric error of each row; shape (rows,)."""
        if (kind, model) not in self._known:
            self._known[kind, model] = _ROW_LOSSES[kind](self.y, self.values(model))
        return self._known[kind, model]

    def pinball(self, levels: Sequence[float]) -> Floats:
        """The mean pinball loss over the levels; shape (rows,)."""
        key = "pinball", *levels
        if key not in self._known:
            each = (pinball_losses(self.y - self.values(quantile_column(level)), level) for level in levels)
            self._known[key] = sum(each, np.zeros(len(self.rows))) / max(len(levels), 1)
        return self._known[key]

    def inside(self, low: str, high: str) -> Floats:
        """1 where the target lies between two columns, else 0; shape (rows,)."""
        key = "inside", low, high
        if key not in self._known:
            is_inside = (self.y >= self.values(low)) & (self.y <= self.values(high))
            self._known[key] = is_inside.astype(np.float64)
        return self._known[key]


@dataclass(frozen=True)
class ScoredRows:
    """Rows that are scored, in groups of one series each.

    Attributes:
        losses: Of each row.
        groups: Of the rows.
        models: Columns of the rows.
        levels: Quantile levels beside the column ``ensemble``.
    """

    losses: RowLosses
    groups: Groups
    models: Sequence[str]
    levels: Sequence[float] = ()

    @cached_property
    def mae(self) -> pd.DataFrame:
        """Mean absolute error; shape (groups, models)."""
        return self.by_model("absolute")

    @cached_property
    def mse(self) -> pd.DataFrame:
        """Mean squared error; shape (groups, models)."""
        return self.by_model("squared")

    def by_model(self, kind: str) -> pd.DataFrame:
        """The mean of a loss of ``RowLosses``; shape (groups, models)."""
        return self.table({model: self.mean(self.losses.loss(kind, model)) for model in self.models})

    def shared(self, column: str) -> Floats:
        """A column's value in each group, whose rows have the same; shape (groups,)."""
        values = np.full(len(self.groups.keys), np.nan)
        values[self.groups.numbers] = self.losses.values(column)
        return values

    def mean(self, values: NDArray[Any]) -> Floats:
        """The mean of one value for each row; NaN of a group without rows; shape (groups,)."""
        with np.errstate(invalid="ignore"):
            return np.asarray(self.groups.sums(values) / self.groups.sizes)

    def table(self, columns: Mapping[str, Floats]) -> pd.DataFrame:
        """Values by group under names; shape (groups, names)."""
        return pd.DataFrame(dict(columns), self.groups.keys)

    def pinball(self) -> pd.DataFrame:
        """Mean pinball loss over the levels; shape (groups, 1)."""
        return self.table({ENSEMBLE: self.mean(self.losses.pinball(self.levels))})

    def coverage(self, low: float, high: float) -> pd.DataFrame:
        """Share of targets between the quantiles of two levels; shape (groups, 1)."""
        return self.table({ENSEMBLE: self.mean(self.losses.inside(*map(quantile_column, (low, high))))})

    def metrics(self) -> "MetricTables":
        """Every metric that these columns have; NaN where it is undefined."""
        tables = {
            name: metric.compute(self)
            for name, metric in METRICS.items()
            if self.levels or not metric.of_quantiles
        }
        for nominal, (low, high) in intervals(self.levels).items():
            tables[f"{COVERAGE}{nominal}"] = self.coverage(low, high)
        return {name: frame.replace([np.inf, -np.inf], np.nan) for name, frame in tables.items()}


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
    return scored.mae.div(scored.shared("scale"), axis=0)


def _rmsse(scored: ScoredRows) -> pd.DataFrame:
    return (scored.mse**0.5).div(scored.shared("rmsse_scale"), axis=0)


def _r2(scored: ScoredRows) -> pd.DataFrame:
    """R² against the mean of the series' training split."""
    if "train_mean" not in scored.losses.rows:
        return scored.mse * np.nan
    variance = scored.mean((scored.losses.y - scored.losses.values("train_mean")) ** 2)
    return 1 - scored.mse.div(_above_zero(variance), axis=0)


def _wql(scored: ScoredRows) -> pd.DataFrame:
    """Mean over the levels of twice the pinball loss, over the mean absolute target."""
    return (2 * scored.pinball()).div(_size(scored), axis=0)


def _wape(scored: ScoredRows) -> pd.DataFrame:
    return scored.mae.div(_size(scored), axis=0)


def _size(scored: ScoredRows) -> Floats:
    """The mean absolute target; NaN where every target is 0."""
    return _above_zero(scored.mean(np.abs(scored.losses.y)))


def _above_zero(values: Floats) -> Floats:
    return np.where(values > 0, values, np.nan)


RANKING = "mase"
METRICS: dict[str, Metric] = {
    RANKING: Metric("MASE", _mase),
    "rmsse": Metric("RMSSE", _rmsse),
    "wape": Metric("WAPE", _wape, format="percent", undefined="every target is 0"),
    "smape": Metric("sMAPE", lambda scored: scored.by_model("symmetric"), format="percent"),  # that of M4
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

Source: Hyndman & Athanasopoulos (2021), "Forecasting: principles and practice", chapter 5.
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


def lead_times(table: pd.DataFrame) -> "pd.Series[int]":
    """Steps between each row and its origin, from 1; an origin's rows are complete and in order of time."""
    return table["cutoff"].groupby(origin_codes(table)).cumcount() + 1


def origin_codes(table: pd.DataFrame) -> NDArray[np.int64]:
    """A number for each row's origin, by which rows are grouped faster than by two keys; shape (rows,).

    The numbers have gaps and are in no order; those of ``Groups`` are not so, and take twice as long.
    """
    names, times = pd.factorize(table["unique_id"])[0], pd.factorize(table["cutoff"])[0]
    return np.asarray(names * (times.max(initial=0) + 1) + times, dtype=np.int64)


def scorable(table: pd.DataFrame, series: pd.DataFrame) -> "pd.Series[bool]":
    """Whether each row counts: its target was observed and its series has a scale."""
    scale = table["unique_id"].map(series.set_index("unique_id")["scale"]).astype(np.float64)
    return table["observed"].astype(bool) & table["y"].notna() & (scale > 0) & np.isfinite(scale)


def count_points(groups: Groups, scored: "pd.Series[bool]") -> pd.DataFrame:
    """The number of points ``scored`` and ``skipped`` in each group.

    Args:
        groups: Of a table of forecasts.
        scored: From ``scorable``.
    """
    counts = scored.to_numpy()
    points = {"scored": groups.sums(counts), "skipped": groups.sums(~counts)}
    return pd.DataFrame(points, groups.keys).astype(int)


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
    chunks = []
    for chunk in _chunks(table):
        losses = RowLosses.of(chunk[scorable(chunk, series)], series)
        chunks.append(ScoredRows(losses, Groups.of(losses.rows, keys), models, levels).metrics())
    return {name: pd.concat([chunk[name] for chunk in chunks]).sort_index() for name in chunks[0]}


def _chunks(table: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The rows of some series at a time: metrics need several times the memory of the rows they are of."""
    codes, names = pd.factorize(table["unique_id"])
    count = max(1, min(len(names), round(len(table) / CHUNK_ROWS)))
    for some in np.array_split(np.arange(len(names)), count):
        yield table[np.isin(codes, some)] if count > 1 else table


def _extra_columns(series: pd.DataFrame) -> list[str]:
    return [column for column in ("scale", "rmsse_scale", "train_mean") if column in series]
