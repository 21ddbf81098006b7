"""The specification of windows: how rows become inputs, with the scaling that is learnt for that."""

import logging
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, NonNegativeInt

from kubecast.data.panel import Cutoffs, Panel, PanelSpec
from kubecast.errors import DataError
from kubecast.models.neural.settings import NeuralSettings

_LOG = logging.getLogger(__name__)

HARMONICS = 3  # of each season, in the calendar phase of an origin

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Rows = NDArray[np.int64]
Moments = tuple[float, float]  # mean and standard deviation


class Inputs(NamedTuple):
    """The inputs of a network, of each window.

    Attributes:
        target: Differenced and normalised; (windows, steps).
        extra: Its change over the residual's season, 0 before there is one; whether it was observed; the
            known-future and the past-only covariates; (windows, steps, channels).
        context: Calendar phase of the origin, then the static covariates; (windows, width).
        future: Known-future covariates over the horizon; (windows, horizon times covariates).
    """

    target: Any
    extra: Any
    context: Any
    future: Any


class WindowSpec(BaseModel):
    """How rows become a network's inputs and its outputs forecasts, with all that is learnt for that.

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
        """Number of rows up to an origin without which it has no window."""
        return max(self.sequence_length, self.season) + self.difference

    @property
    def season(self) -> int:
        """Number of steps that the residual looks back: the longest season, or 1."""
        return max(self.season_lengths) if self.residual == "season" else 1

    @property
    def phase_columns(self) -> int:
        """Number of columns of the context that hold the calendar phase; they are its first."""
        return 2 * sum(count_harmonics(season) for season in self.season_lengths)

    @property
    def shapes(self) -> Inputs:
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
        actual = (spec.horizon, spec.frequency, spec.future, spec.past, sorted(spec.static))
        for (name, allowed), value in zip(expected.items(), actual, strict=True):
            if value != allowed:
                raise DataError(
                    f"the panel's {name}: {value}; allowed: {allowed}, as in the rows that were fitted to"
                )


def sequence_length(settings: NeuralSettings, spec: PanelSpec) -> int:
    """Steps of a window; `auto` is brought up to a multiple of ``patch_length``.

    Of a short history it is brought down to one that leaves the median series a window to be fitted to, and
    one to be stopped by; the production fit has the same. It is no shorter than the horizon, and one that
    ``patch_length`` does not divide is read as a single patch.
    """
    patch, steps = settings.patch_length, settings.sequence_length
    if steps == "auto":
        steps = -(-max(*spec.season_lengths, 2 * spec.horizon) // patch) * patch
    room = spec.splits.train - 2 * spec.horizon - difference_lag(settings, spec)
    longest = max(room, spec.horizon)
    if spec.splits.is_full or longest >= steps:
        return steps
    whole = longest // patch * patch
    shortened = whole if whole >= spec.horizon else longest
    _LOG.warning("windows of %d steps for %d training rows, not of %d", shortened, spec.splits.train, steps)
    return shortened


def fit_spec(panel: Panel, until: Cutoffs, settings: NeuralSettings) -> WindowSpec:
    """Learn the scaling of covariates and series from the rows up to ``until``, and from no others."""
    ends = panel.row_index(until)
    visible = [np.arange(panel.indptr[panel.series_codes[end]], end + 1) for end in ends]
    rows = panel.frame.iloc[np.concatenate(visible)]
    static = panel.static[panel.static["unique_id"].isin(until.frame["unique_id"])]
    numeric = [name for name in panel.spec.static if pd.api.types.is_numeric_dtype(panel.static[name])]
    lag = difference_lag(settings, panel.spec)
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


def difference_lag(settings: NeuralSettings, spec: PanelSpec) -> int:
    """Lag that the target is differenced by before windows are read; 0: none."""
    if settings.difference != "season":
        return settings.difference or 0
    return min((season for season in spec.season_lengths if season > 1), default=0)


def differenced_target(panel: Panel, lag: int) -> Doubles:
    """Each series' target less that of ``lag`` steps before; 0 where there is none before."""
    if not lag:
        return panel.filled
    before = panel.lagged(panel.filled, np.arange(len(panel.filled)), lag)
    return np.where(np.isnan(before), 0.0, panel.filled - before)


def _own_moments(panel: Panel, until: Cutoffs, visible: list[Rows], lag: int) -> dict[str, Moments]:
    """Mean and standard deviation of each series' differenced target, on the rows that may be seen."""
    values = differenced_target(panel, lag)
    changes = zip(until.frame["unique_id"], (values[rows[lag:]] for rows in visible), strict=True)
    return {str(name): (float(y.mean()), float(y.std())) for name, y in changes if len(y)}


def _moments(values: "pd.Series[Any]") -> Moments:
    spread = float(values.std(ddof=0))
    return float(np.nan_to_num(values.mean())), spread if spread > 0 else 1.0


def count_harmonics(season: int) -> int:
    """Number of harmonics of a season in the calendar phase."""
    return min(HARMONICS, season // 2)
