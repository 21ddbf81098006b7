"""Series are fitted in processes that a deadline can end."""

import time
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import joblib
import numpy as np
import pytest

from kubecast.data.panel import Panel
from kubecast.models.arima import parallel
from kubecast.models.arima import trainer as trainer_module
from kubecast.models.arima.settings import ArimaSettings
from kubecast.models.arima.trainer import ArimaTrainer
from kubecast.models.base import FitPlan
from kubecast.models.seasonal_naive import seasonal_naive
from tests.support.panels import hourly
from tests.unit.models.arima.support import MakePanel, train


@pytest.mark.slow
def test_every_series_of_a_large_panel_is_fitted_in_processes(
    panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = train(panel)
    monkeypatch.setattr(parallel, "SMALL", 0)
    steps: list[float] = []
    plan = FitPlan(deadline=time.monotonic() + 500, on_step=lambda step, share: steps.append(share))
    assert train(panel, plan).models == here.models
    assert steps == pytest.approx([1 / 3, 2 / 3, 1])


@pytest.mark.slow
def test_a_series_that_is_still_searched_at_the_deadline_gets_the_fallback(
    make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = make_panel(hourly(series=1))
    monkeypatch.setattr(trainer_module, "SAVING", 0.0)
    settings = ArimaSettings(engine="pmdarima", seasonal=True, stepwise=False)  # hours of work
    forecaster, log = ArimaTrainer(settings, "arima").fit(
        panel, panel.train_end, FitPlan(deadline=time.monotonic() + 0.3)
    )
    assert (log.stopped, log.fallbacks) == ("time_limit", {"s0": "time limit"})
    forecasts = forecaster.forecast(panel, panel.ends)["arima"]
    np.testing.assert_array_equal(forecasts, seasonal_naive(panel, panel.ends, 24).ravel())


@pytest.mark.parametrize("bound", ["SMALL", "FEW"])
def test_a_worker_that_dies_without_a_deadline_is_not_hidden(
    panel: Panel, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    class Dying:
        def __init__(self, **settings: Any) -> None:
            pass

        def __call__(self, tasks: Any) -> Any:
            raise BrokenProcessPool("killed")

    monkeypatch.setattr(parallel, bound, 0)
    monkeypatch.setattr(joblib, "Parallel", Dying)
    with pytest.raises(BrokenProcessPool, match="killed"):
        train(panel)
