"""Fitted ARIMAs of every series: their forecasts from any history, and their file."""

import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kubecast.data.calendars import offset_of
from kubecast.data.panel import Cutoffs, Panel
from kubecast.errors import DataError
from kubecast.models.arima.filter import Floats, Ints
from kubecast.models.arima.recipe import SeriesModel, forecast_series, read_series_model
from kubecast.models.arima.regressors import fourier
from kubecast.models.arima.stored import StoredModels, join_models, write_models
from kubecast.models.base import DivisibleForecaster
from kubecast.models.seasonal_naive import forecast_frame, seasonal_naive

FILE, MODELS = "arima.json", "arima.parquet"
PLAUSIBLE = 3.0  # ranges of the history that a forecast may leave it by

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class ArimaForecaster:
    """ARIMAs of each series, averaged; the seasonal naive where there is none or it is not plausible.

    Attributes:
        name: Column of the forecasts.
        models: By series.
        covariates: Known-future covariates, in the order of the regressors.
        season_lengths: Of the Fourier terms, and of the fallback of a history shorter than its season.
        fourier_terms: Pairs for each season; 0 for none.
        fallback_season: Season length of the seasonal naive.
    """

    name: str
    models: Mapping[str, list[SeriesModel]]
    covariates: list[str]
    season_lengths: list[int]
    fourier_terms: int
    fallback_season: int

    def forecast(self, panel: Panel, origins: Cutoffs) -> pd.DataFrame:
        """See ``Forecaster.forecast``."""
        ends = panel.row_index(origins)
        values = seasonal_naive(panel, origins, self.fallback_season, self.season_lengths)
        x_future = self._future(panel, origins)
        codes = panel.series_codes[ends]
        order = np.argsort(codes, kind="stable")
        replaced = 0
        for rows in np.split(order, np.flatnonzero(np.diff(codes[order])) + 1) if len(order) else []:
            models = self.models.get(panel.ids[codes[rows[0]]], [])
            first = panel.indptr[codes[rows[0]]]
            rows = rows[ends[rows] - first >= min([model.needed for model in models], default=np.inf)]
            if len(rows) == 0:
                continue
            forecasts, plausible = self._forecast_series(
                models, panel, first, ends[rows] - first, x_future[rows]
            )
            values[rows[plausible]] = forecasts[plausible]
            replaced += int((~plausible).sum())
        if replaced:
            _LOG.warning(
                "%s: %d of %d forecasts were not plausible; the seasonal naive of %d steps replaces them",
                self.name,
                replaced,
                len(ends),
                self.fallback_season,
                extra={"model": self.name},
            )
        return forecast_frame(panel, origins, values, self.name)

    def _future(self, panel: Panel, origins: Cutoffs) -> Floats:
        """Known-future covariates after each origin; shape (origins, horizon, covariates)."""
        missing = [name for name in self.covariates if name not in panel.spec.future]
        if missing:
            raise DataError(
                f"known-future covariate {', '.join(missing)} is missing; allowed: those of the fit,"
                f" {', '.join(self.covariates)}"
            )
        shape = (len(origins), panel.spec.horizon, len(self.covariates))
        if not self.covariates:
            return np.zeros(shape)
        return panel.future(origins)[self.covariates].to_numpy(dtype=np.float64).reshape(shape)

    def _forecast_series(
        self, models: list[SeriesModel], panel: Panel, first: int, ends: Ints, x_future: Floats
    ) -> tuple[Floats, NDArray[np.bool_]]:
        """Forecast one series from origins on its rows ``ends``, and check which forecasts are plausible.

        From an origin whose history is too short for some of the models the others forecast.
        """
        size, horizon = int(ends.max()) + 1, panel.spec.horizon
        rows = slice(first, first + size)
        y = panel.filled[rows]
        x = panel.frame[self.covariates].iloc[rows].to_numpy(dtype=np.float64)
        if self.fourier_terms:
            shift = _steps_between(
                pd.Timestamp(models[0].anchor), panel.frame["ds"].iloc[first], panel.spec.frequency
            )
            terms = fourier(shift, size + horizon, self.season_lengths, self.fourier_terms)
            x = np.hstack([x, terms[:size]])
            x_future = np.concatenate([x_future, terms[ends[:, None] + 1 + np.arange(horizon)]], axis=2)
        total, weight = np.zeros((len(ends), horizon)), np.zeros((len(ends), 1))
        for model in models:
            use = np.flatnonzero(ends >= model.needed)
            with np.errstate(over="ignore", invalid="ignore"):  # caught by the check below
                total[use] += model.recipe.weight * forecast_series(model, y, x, x_future[use], ends[use])
            weight[use] += model.recipe.weight
        forecasts = total / weight
        lowest, highest = np.minimum.accumulate(y)[ends], np.maximum.accumulate(y)[ends]
        margin = PLAUSIBLE * (highest - lowest)
        plausible = (forecasts >= (lowest - margin)[:, None]) & (forecasts <= (highest + margin)[:, None])
        return forecasts, np.asarray(plausible.all(axis=1))

    def save(self, directory: Path) -> None:
        """Write ``arima.json``, and ``arima.parquet`` with the models of each series."""
        directory.mkdir(parents=True, exist_ok=True)
        shared = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "models"}
        (directory / FILE).write_text(json.dumps(shared, allow_nan=False))
        write_models(self.models, directory / MODELS)

    @classmethod
    def load(cls, directory: Path) -> "ArimaForecaster":
        """Read what ``save`` wrote, or what it did at first, when all was in ``arima.json``."""
        shared = json.loads((directory / FILE).read_text())
        former: dict[str, list[dict[str, Any]]] | None = shared.pop("models", None)
        if former is None:
            return cls(models=StoredModels.open(directory / MODELS), **shared)
        models = {key: [read_series_model(model) for model in each] for key, each in former.items()}
        return cls(models=models, **shared)

    @classmethod
    def join(cls, parts: Sequence[Path], directory: Path) -> None:
        """See ``DivisibleForecaster``."""
        directory.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(parts[0] / FILE, directory / FILE)
        join_models([part / MODELS for part in parts], directory / MODELS)


def _steps_between(earlier: pd.Timestamp, later: pd.Timestamp, frequency: str) -> int:
    if later < earlier:
        return -_steps_between(later, earlier, frequency)
    return len(pd.date_range(earlier, later, freq=offset_of(frequency))) - 1


_forecaster: type[DivisibleForecaster] = ArimaForecaster
