"""The mean of each series' newest values, up to an origin."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from kubecast.data.panel import Cutoffs, Panel
from kubecast.models.base import FitLog, FitPlan
from kubecast.models.seasonal_naive import forecast_frame
from kubecast_mean.settings import MeanSettings


@dataclass(frozen=True)
class MeanForecaster:
    """Forecasts the mean of the newest values at every step."""

    name: str
    steps: int

    def forecast(self, panel: Panel, origins: Cutoffs) -> pd.DataFrame:
        ends = panel.row_index(origins)
        counts = np.minimum(self.steps, panel.history_lengths(ends))
        means = [
            panel.filled[end - count + 1 : end + 1].mean() for end, count in zip(ends, counts, strict=True)
        ]
        values = np.repeat(np.asarray(means)[:, None], panel.spec.horizon, axis=1)
        return forecast_frame(panel, origins, values, self.name)

    def save(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "mean.json").write_text(json.dumps({"name": self.name, "steps": self.steps}))

    @classmethod
    def join(cls, parts: Sequence[Path], directory: Path) -> None:
        """All parts are alike."""
        cls.load(parts[0]).save(directory)

    @classmethod
    def load(cls, directory: Path) -> "MeanForecaster":
        return cls(**json.loads((directory / "mean.json").read_text()))


@dataclass(frozen=True)
class MeanTrainer:
    """Has nothing to fit."""

    settings: MeanSettings
    name: str

    def fit(self, panel: Panel, until: Cutoffs, plan: FitPlan) -> tuple[MeanForecaster, FitLog]:
        plan.on_step(1, 0.0)
        return MeanForecaster(self.name, self.settings.steps), FitLog(stopped="converged")
