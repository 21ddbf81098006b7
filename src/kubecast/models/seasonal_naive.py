"""Seasonal naive: the value one season before. The yardstick, and what a series falls back to."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kubecast.data.panel import Cutoffs, Panel
from kubecast.models.base import FitLog, FitPlan


@dataclass(frozen=True)
class SeasonalNaive:
    """Repeats the last season; a history shorter than one season repeats its last value.

    Attributes:
        season_length: In steps; 1 is the naive forecast.
        name: Column of the forecasts.
    """

    season_length: int
    name: str

    def fit(self, panel: Panel, until: Cutoffs, plan: FitPlan) -> tuple["SeasonalNaive", FitLog]:
        """Return itself: there is nothing to fit."""
        return self, FitLog(stopped="converged")

    def forecast(self, panel: Panel, origins: Cutoffs) -> pd.DataFrame:
        """See ``Forecaster.forecast``."""
        values = seasonal_naive(panel, origins, self.season_length)
        return forecast_frame(panel, origins, values, self.name)

    def save(self, directory: Path) -> None:
        """Write ``seasonal_naive.json``."""
        directory.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"name": self.name, "season_length": self.season_length})
        (directory / "seasonal_naive.json").write_text(text)

    @classmethod
    def load(cls, directory: Path) -> "SeasonalNaive":
        """Read what ``save`` wrote."""
        return cls(**json.loads((directory / "seasonal_naive.json").read_text()))


def seasonal_naive(
    panel: Panel, origins: Cutoffs, season_length: int, shorter: Sequence[int] = ()
) -> NDArray[np.float64]:
    """Forecast the values one season before, from the causally filled target.

    Args:
        panel: Holds the histories.
        origins: What is forecast from.
        season_length: In steps.
        shorter: See ``season_before``.

    Returns:
        Shape (origins, horizon).
    """
    return np.asarray(panel.filled[season_before(panel, origins, season_length, shorter)])


def season_before(
    panel: Panel, origins: Cutoffs, season_length: int, shorter: Sequence[int] = ()
) -> NDArray[np.int64]:
    """The rows of the panel that are one season before each step.

    Args:
        panel: Holds the histories.
        origins: What is forecast from.
        season_length: In steps.
        shorter: Season lengths, of which a history shorter than ``season_length`` repeats the longest that it
            has a cycle of; else its last value.

    Returns:
        Shape (origins, horizon).
    """
    ends = panel.row_index(origins)
    season = np.ones((len(ends), 1), dtype=np.int64)
    for length in sorted({season_length, *(m for m in shorter if m < season_length)}):
        season[panel.history_lengths(ends) >= length] = length
    return np.asarray(ends[:, None] - season + 1 + np.arange(panel.spec.horizon) % season)


def forecast_frame(panel: Panel, origins: Cutoffs, values: NDArray[np.float64], name: str) -> pd.DataFrame:
    """Lay forecasts of shape (origins, horizon) out as a ``Forecaster`` returns them."""
    grid = panel.grid(origins)
    grid[name] = np.asarray(values, dtype=np.float64).ravel()
    return grid
