"""Metrics of a table of forecasts, each series weighing the same.

A *forecasts* table has ``unique_id``, ``cutoff``, ``ds``, ``part``, ``block``, ``y`` (NaN where unobserved),
``observed`` and one column for each model. A *series* table has ``unique_id``, ``scale``, ``rmsse_scale``
and, for R², ``train_mean``. A target that was not observed, or of a series without a scale, is skipped.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from utilsforecast import losses

from kubecast.data.panel import Panel

POINT_METRICS = ("mse", "mae", "r2", "rmse", "mase", "rmsse", "wape", "smape")
CHUNK_ROWS = 500_000  # of forecasts that are scored at once
ENSEMBLE = "ensemble"  # the one column with quantiles beside it

Metrics = dict[str, pd.DataFrame]
"""By metric, a frame indexed by (part, unique_id[, by]) with a column for each model; NaN where undefined."""


def quantile_column(level: float) -> str:
    """What the column of a quantile is called: ``q0.1``."""
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
) -> Metrics:
    """Every metric of every series.

    MASE and RMSSE divide by the stored scales: those of the training part, the same at every origin.
    R² compares with the series' training mean. sMAPE is that of M4 as a share: 0 to 2. WQL is the mean over
    the levels of twice the pinball loss over the mean absolute target.

    Args:
        table: Forecasts.
        series: Scales.
        models: Columns of ``table``.
        by: A further column to group by, e.g. ``block``.
        levels: Quantile levels beside the column ``ensemble``: its WQL and coverage are given too.

    Source: Hyndman & Athanasopoulos (2021), "Forecasting: principles and practice", chapter 5; utilsforecast.
    """
    keys = ["part", "unique_id", *([by] if by else [])]
    found = [_chunk_metrics(chunk, series, models, keys, levels) for chunk in _chunks(table)]
    return {name: pd.concat([chunk[name] for chunk in found]).sort_index() for name in found[0]}


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
) -> Metrics:
    rows = table[scorable(table, series)]
    rows = rows.merge(series[["unique_id", *_extra_columns(series)]], on="unique_id", how="left")
    grouped = rows.groupby(keys, sort=True)
    index = grouped.size().index
    data = rows[["y", *models]].assign(group=grouped.ngroup())
    names = list(models)

    def each(loss: Any, **options: Any) -> pd.DataFrame:
        return _indexed(loss(data, models=names, id_col="group", **options), index)

    mae, mse = each(losses.mae), each(losses.mse)
    rmse = mse**0.5
    found = {
        "mse": mse,
        "mae": mae,
        "r2": _r2(mse, rows, keys),
        "rmse": rmse,
        "mase": mae.div(grouped["scale"].first(), axis=0),
        "rmsse": rmse.div(grouped["rmsse_scale"].first(), axis=0),
        "wape": each(losses.nd),
        "smape": 2 * each(losses.smape),
    }
    if levels:
        found |= _quantile_metrics(rows.assign(group=data["group"]), index, levels)
    return {name: frame.replace([np.inf, -np.inf], np.nan) for name, frame in found.items()}


def overall(metrics: Metrics, keys: Sequence[str]) -> Metrics:
    """The mean over series in each group of ``keys``; of R², which one flat series could ruin, the median."""
    found = {}
    for name, frame in metrics.items():
        grouped = frame.groupby(level=list(keys))
        found[name] = grouped.median() if name == "r2" else grouped.mean()
    return found


def _extra_columns(series: pd.DataFrame) -> list[str]:
    return [column for column in ("scale", "rmsse_scale", "train_mean") if column in series]


def _r2(mse: pd.DataFrame, rows: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    if "train_mean" not in rows:
        return mse * np.nan
    squares = (rows["y"] - rows["train_mean"]) ** 2
    variance = squares.groupby([rows[key] for key in keys]).mean()
    return 1 - mse.div(variance.where(variance > 0), axis=0)


def _quantile_metrics(rows: pd.DataFrame, index: pd.Index, levels: Sequence[float]) -> Metrics:
    columns = {quantile_column(level): level for level in levels}
    pinball = losses.mqloss(
        rows[["group", "y", *columns]],
        models={ENSEMBLE: list(columns)},
        quantiles=np.array(list(columns.values())),
        id_col="group",
    )
    size = rows["y"].abs().groupby(rows["group"]).mean().to_numpy()
    size = np.where(size > 0, size, np.nan)
    found = {"wql": (2 * _indexed(pinball, index)).div(size, axis=0)}
    for nominal, (low, high) in intervals(levels).items():
        bounds = rows[["group", "y"]].assign(**{f"{ENSEMBLE}-lo-0": rows[quantile_column(low)]})
        bounds[f"{ENSEMBLE}-hi-0"] = rows[quantile_column(high)]
        covered = losses.coverage(bounds, models=[ENSEMBLE], level=0, id_col="group")
        found[f"coverage_{nominal}"] = _indexed(covered, index)
    return found


def _indexed(found: pd.DataFrame, index: pd.Index) -> pd.DataFrame:
    return found.set_index("group").sort_index().set_axis(index, axis=0)
