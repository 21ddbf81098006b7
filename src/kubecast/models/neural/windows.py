"""Windows over every series of a panel, read batch by batch from flat arrays.

A window is known by the row it ends on, its origin; nothing is copied once for each window, so that memory
grows with the rows of the panel and not with rows times window length.
"""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, NonNegativeInt

from kubecast.data.panel import Cutoffs, Panel, PanelSpec
from kubecast.errors import DataError, ModelError
from kubecast.models.neural.settings import NeuralSettings

HARMONICS = 3  # of each season, in the calendar phase of an origin
MAX_TARGET = 20.0  # in window scales; a nearly constant window would otherwise outweigh all others
TAIL_SHARE = 0.1
_EPOCH = np.datetime64("2000-01-03", "ns")

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Rows = NDArray[np.int64]
Moments = tuple[float, float]  # mean and standard deviation


class WindowSpec(BaseModel):
    """How rows become a network's inputs and its outputs become forecasts, with all that is learnt for that.

    Attributes:
        sequence_length: Steps of a window.
        horizon: Steps to forecast.
        frequency: A pandas offset alias.
        season_lengths: In steps.
        normalization: What a window's values are centred and scaled by: its own mean and standard deviation
            (``instance``), its series' (``series``; a series unseen at fit gets ``instance``), or nothing.
        residual: What the scaled output is added to: the centre, the last value, or the value one longest
            season before.
        difference: Lag that a series is differenced by before windows are read; 0: none. A forecast is added
            to the newest known value a multiple of the lag before its step.
        future: Mean and standard deviation of each known-future covariate.
        past: The same for each past-only covariate.
        numbers: The same for each numeric static covariate.
        levels: The levels of each static covariate that is text; another level is all zeros.
        series: The same for each series' target, with ``series`` normalisation.
        target_scale: What the network's output is multiplied by beside the window's scale.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    sequence_length: int
    horizon: int
    frequency: str
    season_lengths: list[int]
    normalization: Literal["instance", "series", "none"]
    residual: Literal["none", "last", "season"]
    difference: NonNegativeInt = 0
    future: dict[str, Moments] = {}
    past: dict[str, Moments] = {}
    numbers: dict[str, Moments] = {}
    levels: dict[str, list[str]] = {}
    series: dict[str, Moments] = {}
    target_scale: float = 1.0

    @property
    def history(self) -> int:
        """Rows up to an origin without which it has no window."""
        return max(self.sequence_length, self.season) + self.difference

    @property
    def season(self) -> int:
        """How many steps the residual looks back: the longest season, or 1."""
        return max(self.season_lengths) if self.residual == "season" else 1

    @property
    def phase_columns(self) -> int:
        """How many columns of the context tell the calendar phase; they are its first."""
        return 2 * sum(_harmonics(season) for season in self.season_lengths)

    @property
    def shapes(self) -> "Inputs":
        """The shapes of the inputs, without the batch axis."""
        context = self.phase_columns + len(self.numbers) + sum(map(len, self.levels.values()))
        return Inputs(
            (self.sequence_length,),
            (self.sequence_length, 2 + len(self.future) + len(self.past)),
            (context,),
            (self.horizon * len(self.future),),
        )

    def check(self, panel: Panel) -> None:
        """Raise unless ``panel`` has the horizon, frequency and covariates that the model was fitted with.

        Raises:
            DataError: Naming the first difference.
        """
        expected = {
            "horizon": self.horizon,
            "frequency": self.frequency,
            "known-future covariates": list(self.future),
            "past-only covariates": list(self.past),
            "static covariates": sorted([*self.numbers, *self.levels]),
        }
        spec = panel.spec
        found = (spec.horizon, spec.frequency, spec.future, spec.past, sorted(spec.static))
        for (what, wanted), value in zip(expected.items(), found, strict=True):
            if value != wanted:
                raise DataError(
                    f"the panel's {what}: {value}; allowed: {wanted}, as in the rows that were fitted to"
                )


class Inputs(NamedTuple):
    """What a network sees of each window.

    Attributes:
        target: Differenced and normalised; (windows, steps).
        extra: Its change over the residual's season, 0 before there is one; whether it was observed; the
            known-future and the past-only covariates; (windows, steps, channels).
        context: Calendar phase of the origin, then the static covariates; (windows, width).
        ahead: Known-future covariates over the horizon; (windows, horizon times covariates).
    """

    target: Any
    extra: Any
    context: Any
    ahead: Any


@dataclass(frozen=True)
class Batch:
    """Windows by origin.

    Attributes:
        inputs: float32.
        base: What the scaled output is added to; shape (windows, horizon).
        scale: What the output is multiplied by; shape (windows, 1). 0 for a constant window.
    """

    inputs: Inputs
    base: Doubles
    scale: Doubles

    def forecasts(self, outputs: Floats) -> Doubles:
        """Turn outputs into forecasts, both of shape (windows, horizon)."""
        return np.asarray(self.base + self.scale * outputs)


@dataclass(frozen=True)
class WindowOrigins:
    """Rows that training and validation windows end on.

    Attributes:
        train: Every target lies before the tail.
        validation: Every target lies in the tail; empty without one.
        short: Reason by series, for each that has no training window.
    """

    train: Rows
    validation: Rows
    short: dict[str, str]


class Windows:
    """A panel's rows in flat arrays, from which windows are read."""

    def __init__(self, panel: Panel, spec: WindowSpec) -> None:
        spec.check(panel)
        frame = panel.frame
        self.spec = spec
        self._level, self._y = panel.filled, _differenced(panel, spec.difference)
        self._observed = frame["observed"].to_numpy(dtype=bool)
        self._ds = frame["ds"].to_numpy(dtype="datetime64[ns]")
        self._codes, self._starts = panel.codes, panel.starts
        self._future = _standardized(frame, spec.future)
        self._past = _standardized(frame, spec.past)
        self._static = _static(panel, spec)
        self._moments = _series_moments(panel, spec)
        self._periods = [
            (_period(season, spec.frequency), _harmonics(season)) for season in spec.season_lengths
        ]

    def history(self, rows: Rows) -> Rows:
        """Rows that each origin's series has up to it."""
        return np.asarray(rows - self._starts[self._codes[rows]] + 1)

    def batch(self, rows: Rows, ahead: pd.DataFrame | None = None) -> Batch:
        """Read the windows that end on ``rows``.

        Args:
            rows: Shape (windows,); each has ``spec.history`` rows.
            ahead: Known-future covariates over the horizon of each origin; default: from the panel's own
                rows, which must then reach so far.
        """
        steps = rows[:, None] + np.arange(1 - self.spec.sequence_length, 1)
        values = self._y[steps]
        centre, scale = self._scaling(rows, values)
        divisor = np.where(scale > 0, scale, 1.0)
        before = steps - self.spec.season
        first = self._starts[self._codes[rows]][:, None] + self.spec.difference
        change = np.where(before >= first, values - self._y[before], 0.0)
        own = np.stack([change / divisor, self._observed[steps]], axis=2).astype(np.float32)
        known = self._future[self._after(rows)] if ahead is None else _standardized(ahead, self.spec.future)
        inputs = Inputs(
            ((values - centre) / divisor).astype(np.float32),
            np.concatenate([own, self._future[steps], self._past[steps]], axis=2),
            np.concatenate([self._phases(rows), self._static[self._codes[rows]]], axis=1),
            known.reshape(len(rows), int(self.spec.shapes.ahead[0])),
        )
        return Batch(inputs, self._base(rows, centre), scale * self.spec.target_scale)

    def targets(self, rows: Rows, batch: Batch) -> tuple[Floats, Floats]:
        """The outputs that a perfect network would give, and 1 where they are observed, else 0.

        Returns:
            Two arrays of shape (windows, horizon); an unobserved target, and any of a constant window, is 0.
        """
        after = self._after(rows)
        scored = self._observed[after] & (batch.scale > 0)
        limit = MAX_TARGET / self.spec.target_scale if self.spec.normalization == "instance" else np.inf
        ratio = (self._level[after] - batch.base) / np.where(batch.scale > 0, batch.scale, 1.0)
        outputs = np.where(scored, np.clip(ratio, -limit, limit), 0.0)
        return outputs.astype(np.float32), scored.astype(np.float32)

    def _after(self, rows: Rows) -> Rows:
        return np.asarray(rows[:, None] + np.arange(1, self.spec.horizon + 1))

    def _scaling(self, rows: Rows, values: Doubles) -> tuple[Doubles, Doubles]:
        if self.spec.normalization == "none":
            return np.zeros((len(rows), 1)), np.ones((len(rows), 1))
        own = np.stack([values.mean(axis=1), values.std(axis=1)], axis=1)
        if self._moments is not None:
            series = self._moments[self._codes[rows]]
            own = np.where(np.isnan(series), own, series)
        centre, scale = own[:, :1], own[:, 1:]
        # Below this the spread is rounding: the window, or its change, is constant.
        size = np.maximum(np.abs(centre), np.abs(self._level[rows])[:, None])
        return centre, np.where(scale > 1e-9 * size, scale, 0.0)

    def _base(self, rows: Rows, centre: Doubles) -> Doubles:
        if self.spec.residual == "none":
            base = np.repeat(centre, self.spec.horizon, axis=1)
        else:
            base = self._ago(self._y, rows, self.spec.season)
        return base + self._ago(self._level, rows, self.spec.difference) if self.spec.difference else base

    def _ago(self, values: Doubles, rows: Rows, lag: int) -> Doubles:
        """The newest known value a multiple of ``lag`` before each step ahead."""
        return np.asarray(values[rows[:, None] + 1 - lag + np.arange(self.spec.horizon) % lag])

    def _phases(self, rows: Rows) -> Floats:
        elapsed = (self._ds[rows] - _EPOCH).astype(np.int64)
        columns = [np.empty((len(rows), 0))]
        for period, harmonics in self._periods:
            angle = 2 * np.pi * ((elapsed % period) / period)[:, None] * np.arange(1, harmonics + 1)
            columns += [np.sin(angle), np.cos(angle)]
        return np.concatenate(columns, axis=1).astype(np.float32)


def sequence_length(settings: NeuralSettings, spec: PanelSpec) -> int:
    """Steps of a window; `auto` is brought up to a multiple of ``patch_length``."""
    if settings.sequence_length != "auto":
        return settings.sequence_length
    least = max(*spec.season_lengths, 2 * spec.horizon)
    return -(-least // settings.patch_length) * settings.patch_length


def fit_spec(panel: Panel, until: Cutoffs, settings: NeuralSettings) -> WindowSpec:
    """Learn the scaling of covariates and series from the rows up to ``until``, and from no others."""
    ends = panel.rows_of(until)
    visible = [np.arange(panel.starts[panel.codes[end]], end + 1) for end in ends]
    rows = panel.frame.iloc[np.concatenate(visible)]
    static = panel.static[panel.static["unique_id"].isin(until.frame["unique_id"])]
    numeric = [name for name in panel.spec.static if pd.api.types.is_numeric_dtype(panel.static[name])]
    lag = _difference(settings, panel.spec)
    return WindowSpec(
        sequence_length=sequence_length(settings, panel.spec),
        horizon=panel.spec.horizon,
        frequency=panel.spec.frequency,
        season_lengths=panel.spec.season_lengths,
        normalization=settings.normalization,
        residual=settings.residual,
        difference=lag,
        future={name: _moments(rows[name]) for name in panel.spec.future},
        past={name: _moments(rows[name]) for name in panel.spec.past},
        numbers={name: _moments(static[name]) for name in numeric},
        levels={
            name: sorted(static[name].dropna().astype(str).unique())
            for name in panel.spec.static
            if name not in numeric
        },
        series=_own_moments(panel, until, visible, lag) if settings.normalization == "series" else {},
    )


def window_origins(panel: Panel, until: Cutoffs, spec: WindowSpec, hold_out: bool) -> WindowOrigins:
    """Find the rows that training and validation windows end on.

    Args:
        panel: Holds the rows.
        until: The last row of each series that may be seen.
        spec: Gives the history that a window needs, and the horizon.
        hold_out: Keep the last max(horizon, 10 %) rows of each series for validation windows.

    Raises:
        ModelError: No series has a training window; the message gives the fewest rows for one.
    """
    least = _least_rows(spec, hold_out)
    observed = np.concatenate([[0], np.cumsum(panel.frame["observed"].to_numpy(dtype=np.int64))])
    train, validation, short, longest = [], [], {}, 0
    for name, end in zip(until.frame["unique_id"], panel.rows_of(until), strict=True):
        first = int(panel.starts[panel.codes[end]])
        length = int(end) - first + 1
        longest = max(longest, length)
        tail = _tail(length, spec.horizon) if hold_out else 0
        rows = np.arange(first + spec.history - 1, end - spec.horizon + 1)
        rows = rows[observed[rows + 1 + spec.horizon] > observed[rows + 1]]
        train.append(rows[rows <= end - tail - spec.horizon])
        validation.append(rows[rows >= end - tail] if hold_out else rows[:0])
        if not len(train[-1]):
            short[str(name)] = f"{length} rows up to the cut-off, {least} needed to fit to it"
    if not sum(map(len, train)):
        raise ModelError(
            f"no series has a window: the longest has {longest} rows up to its cut-off; allowed: at least"
            f" {least} for sequence_length {spec.sequence_length} and horizon {spec.horizon}"
        )
    return WindowOrigins(np.concatenate(train), np.concatenate(validation), short)


def _tail(length: int, horizon: int) -> int:
    return max(horizon, int(np.ceil(TAIL_SHARE * length)))


def _least_rows(spec: WindowSpec, hold_out: bool) -> int:
    least = spec.history + spec.horizon
    while hold_out and least - _tail(least, spec.horizon) < spec.history + spec.horizon:
        least += 1
    return least


def _harmonics(season: int) -> int:
    return min(HARMONICS, season // 2)


def _period(season: int, frequency: str) -> int:
    """Mean duration of a season in nanoseconds: a year for 12 months, a week for 5 business days."""
    times = pd.date_range(_EPOCH, periods=4 * season + 1, freq=frequency)
    return int((times[-1] - times[0]).value) // 4


def _moments(values: "pd.Series[Any]") -> Moments:
    spread = float(values.std(ddof=0))
    return float(np.nan_to_num(values.mean())), spread if spread > 0 else 1.0


def _standardized(frame: pd.DataFrame, moments: dict[str, Moments]) -> Floats:
    """Shape (rows, columns); a missing value is 0."""
    values = frame[list(moments)].to_numpy(dtype=np.float64)
    mean, spread = np.array(list(moments.values())).reshape(-1, 2).T
    return np.asarray(np.nan_to_num((values - mean) / spread), dtype=np.float32)


def _static(panel: Panel, spec: WindowSpec) -> Floats:
    table = panel.static.set_index("unique_id").reindex(panel.ids)
    columns = [_standardized(table, spec.numbers)]
    for name, levels in spec.levels.items():
        texts = table[name].astype(str).to_numpy()
        columns.append((texts[:, None] == np.array(levels, dtype=object)).astype(np.float32))
    return np.concatenate(columns, axis=1)


def _difference(settings: NeuralSettings, spec: PanelSpec) -> int:
    if settings.difference != "season":
        return settings.difference or 0
    return min((season for season in spec.season_lengths if season > 1), default=0)


def _differenced(panel: Panel, lag: int) -> Doubles:
    """The series' values less those of ``lag`` steps before; what has none before it is 0."""
    if not lag:
        return panel.filled
    before = panel.lagged(panel.filled, np.arange(len(panel.filled)), lag)
    return np.where(np.isnan(before), 0.0, panel.filled - before)


def _own_moments(panel: Panel, until: Cutoffs, visible: list[Rows], lag: int) -> dict[str, Moments]:
    """By series, of its differenced target on the rows that may be seen."""
    values = _differenced(panel, lag)
    changes = zip(until.frame["unique_id"], (values[rows[lag:]] for rows in visible), strict=True)
    return {str(name): (float(y.mean()), float(y.std())) for name, y in changes if len(y)}


def _series_moments(panel: Panel, spec: WindowSpec) -> Doubles | None:
    if spec.normalization != "series":
        return None
    unseen = (np.nan, np.nan)
    return np.array([spec.series.get(str(name), unseen) for name in panel.ids], dtype=np.float64)
