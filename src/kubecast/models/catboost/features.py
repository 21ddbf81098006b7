"""Features of a global model for one-step forecasts.

Lags and rolling means of the differenced, scaled target, which mlforecast computes for the fit and, step by
step, in a forecast; the calendar, that of the data's own time zone; covariates. Every (series, origin) is a
series of its own on a clock of whole steps: one call forecasts all origins, and every frequency is alike.
A row is divided by a scale known just before it: series of other levels, new ones too, look the same.
"""

import warnings
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from mlforecast import MLForecast
from mlforecast.lag_transforms import RollingMean
from mlforecast.target_transforms import Differences
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from kubecast.data.calendars import offset_of
from kubecast.data.panel import Cutoffs, Panel
from kubecast.models.catboost.settings import CatBoostSettings

RECENT = 24  # newest steps that are features by default
LARGEST_TARGET = 100.0  # mean changes; the first ones after a still start would outweigh all others
CHUNK_CELLS = 20_000_000  # values of history features at a time: 160 MB
TRAINING_CELLS = 10_000_000  # the same of a fit, whose targets and scales stand beside them

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


class FeatureSpec(BaseModel):
    """The features of a model; with its file, all that a forecast needs.

    Attributes:
        horizon: Steps to forecast.
        season_lengths: In steps.
        differences: Lags that the target is differenced by, one after the other.
        lags: Of the differenced target.
        windows: Lengths of rolling means that end one step before the row.
        calendar: Names in ``_CALENDAR``.
        timezone: The zone whose calendar it is; None for that of ``ds``.
        future: Known-future covariates; their values at the row and at each difference before it.
        past: Past-only covariates, lagged by ``past_lags``.
        static: Static covariates that are numbers.
        levels: Static covariates that are categories, with the values known at the fit.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    horizon: int
    season_lengths: list[int]
    differences: list[int]
    lags: list[int]
    windows: list[int]
    calendar: list[str]
    timezone: str | None
    future: list[str]
    past: list[str]
    static: list[str]
    levels: dict[str, list[str]]

    @property
    def needed(self) -> int:
        """Number of rows of history below which a series gets the fallback; longer lags may be missing."""
        return sum(self.differences) + max(self.season_lengths[0], 2)

    @property
    def reach(self) -> int:
        """Number of rows of history that a forecast sees."""
        return sum(self.differences) + max([*self.lags, *self.windows]) + 1

    @property
    def past_lags(self) -> list[int]:
        """Lags of past-only covariates: never shorter than the horizon, so known at every lead time."""
        season = self.season_lengths[0]
        return sorted({self.horizon, -(-self.horizon // season) * season})

    @cached_property
    def dynamic(self) -> list[str]:
        """Names of the features that change over time and are not the target's."""
        return [
            *(f"calendar:{name}" for name in self.calendar),
            *(f"{name}:lag{lag}" for name in self.future for lag in (0, *self.differences)),
            *(f"{name}:lag{lag}" for name in self.past for lag in self.past_lags),
        ]

    @cached_property
    def statics(self) -> list[str]:
        """Names of the features that are one value for each series."""
        return [f"static:{name}" for name in (*self.static, *self.levels)]

    @property
    def width(self) -> int:
        """The number of features."""
        return len(self.lags) + len(self.windows) + len(self.dynamic) + len(self.statics)

    @property
    def categories(self) -> list[str]:
        """Names of the features that are categories."""
        return [f"static:{name}" for name in self.levels]


def design(panel: Panel, until: Cutoffs, settings: CatBoostSettings, differences: list[int]) -> FeatureSpec:
    """Choose the features of a panel; categories are those of the series in ``until``."""
    spec, seasons = panel.spec, [m for m in panel.spec.season_lengths if m > 1]
    lags = settings.lags or [*range(1, RECENT + 1), *(lag for m in seasons for lag in (m, m + 1))]
    if settings.lags is None and seasons:
        lags.append(2 * seasons[0])
    static = panel.static[panel.static["unique_id"].isin(until.frame["unique_id"])]
    numbers = [name for name in spec.static if pd.api.types.is_numeric_dtype(static[name])]
    levels = {
        name: sorted({str(value) for value in static[name].dropna()})
        for name in spec.static
        if name not in numbers
    }
    return FeatureSpec(
        horizon=spec.horizon,
        season_lengths=spec.season_lengths,
        differences=differences,
        lags=sorted(set(lags)),
        windows=sorted(set(settings.rolling_windows or [6, *seasons])),
        calendar=_calendar_names(spec.frequency),
        timezone=spec.timezone,
        future=spec.future,
        past=spec.past,
        static=numbers,
        levels=levels,
    )


def row_scales(panel: Panel, differences: list[int]) -> Floats:
    """Compute the mean absolute differenced target of each series from its first row up to each row.

    Returns:
        Shape (rows of the panel,); NaN before the first difference, which is of one step if there is none.
    """
    values = panel.filled
    rows = np.arange(len(values))
    for lag in differences or [1]:
        values = values - panel.lagged(values, rows, lag)
    change = pd.Series(np.abs(values))
    known = change.notna()
    total = change.fillna(0.0).groupby(panel.series_codes).cumsum()
    count = known.astype(np.float64).groupby(panel.series_codes).cumsum()
    return np.asarray((total / count.where(count > 0)).to_numpy(), dtype=np.float64)


def training_features(
    panel: Panel, until: Cutoffs, spec: FeatureSpec, max_rows: int
) -> tuple[pd.DataFrame, Floats, Rows]:
    """Compute scaled features and targets to fit to, for each observed target up to ``until``.

    Args:
        panel: The panel.
        until: One cut-off for each series; the others are left out.
        spec: The features.
        max_rows: Newest rows of each series that are kept: one series may have more than a whole sample.

    Returns:
        Features of shape (rows, features), differenced and scaled targets, the rows' positions in the panel.
    """
    until = Cutoffs(until.frame[panel.history_lengths(panel.row_index(until)) > spec.needed])
    if not len(until):
        return pd.DataFrame(), np.empty(0), np.empty(0, dtype=np.int64)
    scales = row_scales(panel, spec.differences)
    rows_of = np.minimum(panel.history_lengths(panel.row_index(until)), max_rows + spec.reach)
    number = np.cumsum(rows_of) // max(TRAINING_CELLS // spec.width, 1)
    chunks = [
        _training_chunk(panel, Cutoffs(until.frame[number == each]), spec, max_rows, scales)
        for each in np.unique(number)
    ]
    features, targets, rows = zip(*chunks, strict=True)
    return pd.concat(features, ignore_index=True), np.concatenate(targets), np.concatenate(rows)


def _training_chunk(
    panel: Panel, until: Cutoffs, spec: FeatureSpec, kept: int, scales: Floats
) -> tuple[pd.DataFrame, Floats, Rows]:
    """Those of some series, in half the memory: CatBoost sees 32 bits of a number whatever it is given."""
    rows = _last_rows(panel, until, kept + spec.reach)
    frame = pd.DataFrame({"id": panel.series_codes[rows], "ds": rows, "y": panel.filled[rows]})
    lagged = {name: panel.lagged(values, rows, lag) for name, values, lag in _covariates(panel, spec)}
    frame = frame.assign(**_calendar(panel.frame["ds"].iloc[rows], spec), **lagged)
    made = _preprocess(make_mlforecast(spec), frame, panel, spec)
    rows = made["ds"].to_numpy(dtype=np.int64)
    scale = panel.lagged(scales, rows, 1)
    usable_rows = np.isin(rows, _last_rows(panel, until, kept)) & panel.frame["observed"].to_numpy()[rows]
    usable_rows &= (panel.history_lengths(rows) > spec.needed) & (scale > 0)
    made = made[usable_rows].reset_index(drop=True)
    scaled = made.columns.difference(["id", "ds", *spec.dynamic, *spec.statics])
    made[scaled] = made[scaled].to_numpy() / scale[usable_rows, None]
    target = made.pop("y").to_numpy(dtype=np.float64).clip(-LARGEST_TARGET, LARGEST_TARGET)
    numbers = made.columns.difference(["id", "ds", *spec.categories])
    return (
        made.drop(columns=["id", "ds"]).astype(dict.fromkeys(numbers, np.float32)),
        target,
        rows[usable_rows],
    )


def usable(panel: Panel, origins: Cutoffs, spec: FeatureSpec) -> NDArray[np.bool_]:
    """Whether each origin has enough history, not all of it constant; shape (origins,)."""
    ends = panel.row_index(origins)
    return np.asarray(
        (panel.history_lengths(ends) >= spec.needed) & (row_scales(panel, spec.differences)[ends] > 0)
    )


def recursive_forecast(panel: Panel, origins: Cutoffs, spec: FeatureSpec, model: Any) -> Floats:
    """Forecast step by step, each forecast becoming a lag of the next; origins must be ``usable``.

    Returns:
        Shape (origins, horizon).
    """
    scales = row_scales(panel, spec.differences)
    size = max(CHUNK_CELLS // (spec.reach * spec.width), 1)
    parts = [
        _forecast_chunk(panel, Cutoffs(origins.frame.iloc[start : start + size]), spec, model, scales)
        for start in range(0, len(origins), size)
    ]
    return np.concatenate(parts) if parts else np.empty((0, spec.horizon))


def _forecast_chunk(panel: Panel, origins: Cutoffs, spec: FeatureSpec, model: Any, scales: Floats) -> Floats:
    ends = panel.row_index(origins)
    scale = scales[ends]
    lengths = np.minimum(panel.history_lengths(ends), spec.reach)
    number = np.repeat(np.arange(len(ends)), lengths)
    rows = _last_rows(panel, origins, spec.reach)
    history = pd.DataFrame(
        {"id": number, "ds": rows - ends[number], "y": panel.filled[rows] / scale[number]}
    ).assign(**dict.fromkeys(spec.dynamic, 0.0))  # mlforecast needs the columns, not the values
    maker = make_mlforecast(spec)
    _preprocess(maker, history, panel, spec, codes=panel.series_codes[rows])
    maker.models_ = {"model": model}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Found null values in")  # long lags of a short history
        future = _future(panel, origins, spec) if spec.dynamic else None
        forecasts = maker.predict(spec.horizon, X_df=future)
    values = forecasts["model"].to_numpy(dtype=np.float64).reshape(len(ends), spec.horizon)
    return np.asarray(values * scale[:, None])


def make_mlforecast(spec: FeatureSpec) -> Any:
    """Make the ``MLForecast`` that computes lags, rolling means and differences; it holds no model."""
    return MLForecast(
        models={},
        freq=1,
        lags=spec.lags,
        lag_transforms={1: [RollingMean(window, min_samples=1) for window in spec.windows]},
        target_transforms=[Differences(spec.differences)] if spec.differences else None,
    )


def _preprocess(
    maker: Any, frame: pd.DataFrame, panel: Panel, spec: FeatureSpec, codes: Rows | None = None
) -> pd.DataFrame:
    static = _static(panel, spec, frame["id"].to_numpy() if codes is None else codes)
    made: pd.DataFrame = maker.preprocess(
        pd.concat([frame, static], axis=1),
        id_col="id",
        time_col="ds",
        target_col="y",
        static_features=spec.statics,
        dropna=False,
    )
    return made


def _last_rows(panel: Panel, cutoffs: Cutoffs, last: int) -> Rows:
    """Positions of each cut-off's newest rows, at most ``last``, oldest first, in the cut-offs' order."""
    ends = panel.row_index(cutoffs)
    lengths = np.minimum(panel.history_lengths(ends), last)
    parts = [np.arange(end - n + 1, end + 1) for end, n in zip(ends, lengths, strict=True)]
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)


def _covariates(panel: Panel, spec: FeatureSpec) -> list[tuple[str, Floats, int]]:
    """Name, values of the covariate, and lag of each covariate feature."""
    pairs = [(name, lag) for name in spec.future for lag in (0, *spec.differences)]
    pairs += [(name, lag) for name in spec.past for lag in spec.past_lags]
    return [(f"{name}:lag{lag}", panel.frame[name].to_numpy(dtype=np.float64), lag) for name, lag in pairs]


def _future(panel: Panel, origins: Cutoffs, spec: FeatureSpec) -> pd.DataFrame:
    """Features of the horizon's rows that are known at the origin, for each origin and step."""
    future = panel.future(origins)
    shape, leads = (len(origins), spec.horizon), np.arange(1, spec.horizon + 1)
    ends = panel.row_index(origins)[:, None]
    columns: dict[str, Any] = {"id": np.repeat(np.arange(len(origins)), spec.horizon)}
    columns["ds"] = np.tile(leads, len(origins))
    columns |= _calendar(future["ds"], spec)
    for feature, values, lag in _covariates(panel, spec):
        lagged = panel.lagged(values, ends, np.maximum(lag - leads, 0)[None, :])
        if lag < spec.horizon:  # a known-future covariate: the other lags reach back behind the origin
            known = future[feature.rsplit(":", 1)[0]].to_numpy(dtype=np.float64).reshape(shape)
            lagged[:, lag:] = known[:, : spec.horizon - lag]
        columns[feature] = lagged.ravel()
    return pd.DataFrame(columns)


def _static(panel: Panel, spec: FeatureSpec, codes: Rows) -> pd.DataFrame:
    """Static covariates of the series of each row; a category unknown at the fit is -1."""
    table = panel.static.set_index("unique_id").reindex(panel.ids)
    columns = {f"static:{name}": table[name].to_numpy(dtype=np.float64)[codes] for name in spec.static}
    for name, levels in spec.levels.items():
        columns[f"static:{name}"] = pd.Index(levels).get_indexer(pd.Index(table[name].astype(str)))[codes]
    return pd.DataFrame(columns, index=range(len(codes)))


_CALENDAR = {
    "time": lambda ds: ds.hour * 60 + ds.minute,
    "weekday": lambda ds: ds.dayofweek,
    "day": lambda ds: ds.day,
    "week": lambda ds: ds.isocalendar().week,
    "month": lambda ds: ds.month,
}


def _calendar_names(frequency: str) -> list[str]:
    """The calendar features that differ between neighbouring steps and repeat within a few years of data."""
    offset = offset_of(frequency)
    start = pd.Timestamp("2024-01-01")
    step = (start + 12 * offset - start) / 12
    if step < pd.Timedelta(days=1):
        return ["time", "weekday"]
    if step < pd.Timedelta(days=6):
        return ["weekday", "day", "month"]
    return ["week"] if step < pd.Timedelta(days=20) else ["month"]


def _calendar(ds: "pd.Series[Any]", spec: FeatureSpec) -> dict[str, Floats]:
    times, at = np.unique(ds.to_numpy(dtype="datetime64[ns]"), return_inverse=True)
    clock = pd.DatetimeIndex(times)
    if spec.timezone is not None:
        clock = clock.tz_localize("UTC").tz_convert(spec.timezone)
    return {
        f"calendar:{name}": np.asarray(_CALENDAR[name](clock), dtype=np.float64)[at] for name in spec.calendar
    }
