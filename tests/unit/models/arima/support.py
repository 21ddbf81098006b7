"""ARIMAs that are fitted in a moment."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.signal import lfilter

from kubecast.data.panel import Cutoffs, Panel
from kubecast.models.arima.filter import Floats
from kubecast.models.arima.forecaster import ArimaForecaster
from kubecast.models.arima.settings import ArimaSettings
from kubecast.models.arima.trainer import ArimaTrainer
from kubecast.models.base import FitPlan

FAST = {"engine": "statsforecast", "max_order": [1, 1, 1]}
MakePanel = Callable[..., Panel]


def train(panel: Panel, plan: FitPlan | None = None, **settings: Any) -> ArimaForecaster:
    trainer = ArimaTrainer(ArimaSettings(**{**FAST, **settings}), "arima")
    return trainer.fit(panel, panel.train_end, plan or FitPlan())[0]


def errors(panel: Panel, values: np.ndarray, origins: Cutoffs) -> float:
    targets = panel.targets(origins)["y"].to_numpy()
    return float(np.mean(np.abs(targets - values.ravel())))


def simulated(ar: list[float], ma: list[float], rows: int = 2_000, period: int = 1) -> Floats:
    noise = np.random.default_rng(0).normal(size=rows + 200)
    return np.asarray(lfilter([1, *ma], [1, *(-np.array(ar))], noise))[200:]
