"""The course of single series: their actuals, and the last evaluated forecast beside them."""

import math
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime

import pandas as pd
from pydantic import Field

from kubecast.data.calendars import offset_of
from kubecast.data.panel import Panel
from kubecast.documents import Document
from kubecast.scoring.metrics import ENSEMBLE, intervals, quantile_column

HISTORY = 5  # horizons of actuals
MOST_PATHS = 1_000  # series
FINE = 3  # decimal digits of a value that is drawn, within the range of its series
DIGITS = 6  # significant ones of a value that is kept, where they are finer
_MOST_DECIMALS = 323  # 10 to the power of minus 324 is 0


class SeriesPath(Document):
    """The newest actuals of a series, and a forecast from its last test origin.

    Attributes:
        unique_id: Of the series.
        begins: Time of the first actual, in UTC where the data has a zone and steps are shorter than days.
        y: The actuals, one for each step of the frequency; None where unobserved.
        at: Position in ``y`` of the first step of the forecast.
        forecast: From there on; empty where the series was not evaluated.
        level: Nominal coverage of the interval in percent; empty where there is none.
        low: Its lower bounds, as ``forecast``.
        high: Its upper bounds.
    """

    unique_id: str
    begins: datetime
    y: list[float | None]
    at: int = 0
    forecast: list[float] = Field(default=[])
    level: str = ""
    low: list[float] = Field(default=[])
    high: list[float] = Field(default=[])

    def times(self, frequency: str) -> pd.DatetimeIndex:
        """The times of the actuals."""
        return pd.date_range(self.begins, periods=len(self.y), freq=offset_of(frequency))


def series_paths(
    table: pd.DataFrame,
    panel: Panel,
    levels: Sequence[float],
    chosen: Sequence[str],
    model: str = ENSEMBLE,
) -> list[SeriesPath]:
    """The paths of some series, in their order.

    Args:
        table: Forecasts, with quantile columns.
        panel: Gives the actuals.
        levels: Of the quantile columns.
        chosen: Names of series.
        model: Column of the point forecasts.
    """
    codes = {str(name): code for code, name in enumerate(panel.ids)}
    last = _last_forecasts(table, chosen)
    level, (low, high) = next(iter(intervals(levels).items()), ("", (0.0, 0.0)))
    columns = [model, *([quantile_column(low), quantile_column(high)] if level else [])]
    ds, y = panel.frame["ds"], panel.frame["y"].to_numpy()
    paths = []
    for name in chosen:
        begin, end = panel.indptr[codes[name]], panel.indptr[codes[name] + 1]
        rows = last.get(name)
        first = end if rows is None else begin + int(ds[begin:end].searchsorted(rows["ds"].iloc[0]))
        start = max(begin, min(end - HISTORY * panel.spec.horizon, first - panel.spec.horizon))
        actuals = y[start:end].tolist()
        drawn = [] if rows is None else [rows[column].tolist() for column in columns]
        decimals = fine_decimals([*actuals, *(value for each in drawn for value in each)])
        values = [[_rounded(value, decimals) for value in each] for each in drawn]
        paths.append(
            SeriesPath(
                unique_id=name,
                begins=ds[start].to_pydatetime(),
                y=[None if value != value else _rounded(value, decimals) for value in actuals],
                at=int(first - start),
                level=level if rows is not None else "",
                **dict(zip(("forecast", "low", "high"), values, strict=False)),
            )
        )
    return paths


def _last_forecasts(table: pd.DataFrame, chosen: Sequence[str]) -> dict[str, pd.DataFrame]:
    """The rows from each series' last test origin."""
    test = table[(table["split"] == "test") & table["unique_id"].isin(chosen)]
    newest = test.groupby("unique_id", observed=True)["cutoff"].transform("max")
    rows = test[test["cutoff"] == newest].sort_values(["unique_id", "ds"])
    return {str(name): group for name, group in rows.groupby("unique_id", observed=True)}


def _rounded(value: float, decimals: int) -> float:
    """The value to so many decimals, and to six significant digits at least: an outlier hides no other."""
    if not value or not math.isfinite(value):
        return value
    return round(value, max(decimals, DIGITS - 1 - math.floor(math.log10(abs(value)))))


def fine_decimals(values: Iterable[float | None]) -> int:
    """The decimals at which the range of the values is some thousands of steps; below 0 where it is large.

    >>> fine_decimals([100_000.0, 100_012.5, None]), fine_decimals([0.0, 5e6])
    (2, -3)
    """
    known = [value for value in values if value is not None and math.isfinite(value)]
    spread = max(known) - min(known) if known else 0.0
    if spread <= 0:
        spread = abs(known[0]) if known and known[0] else 1.0
    # A range may be beyond what a float holds.
    order = math.floor(math.log10(min(spread, sys.float_info.max)))
    return min(FINE - order, _MOST_DECIMALS)
