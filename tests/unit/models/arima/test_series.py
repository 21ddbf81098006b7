"""One series that fails does not take others with it."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from kubecast.data.panel import Panel
from kubecast.models.arima import estimation, series
from kubecast.models.arima.filter import Arima
from kubecast.models.arima.settings import ArimaSettings
from kubecast.models.arima.trainer import ArimaTrainer
from kubecast.models.base import FitPlan
from tests.unit.models.arima.support import FAST, train


def test_orders_whose_search_ends_unstable_are_estimated_again(
    panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:

    def unstable(values: Any, recipe: Any, *how: Any) -> Any:
        return dataclasses.replace(recipe, order=(1, 0, 0)), Arima([1.0, -1.3], [1.0], (0, 0), 1)

    monkeypatch.setattr(estimation, "search_orders", unstable)
    assert all(model.arima.is_stable() for (model,) in train(panel).models.values())


@pytest.mark.parametrize("fault", ["raises", "explodes"])
def test_a_series_that_fails_does_not_take_the_others_with_it(
    panel: Panel, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:

    search = estimation.search_orders
    calls = []

    def failing(values: Any, recipe: Any, *how: Any) -> Any:
        calls.append(1)
        searched, arima = search(values, recipe, *how)
        if len(calls) > 1:
            return searched, arima
        if fault == "raises":
            raise np.linalg.LinAlgError("did not\nconverge")
        return searched, Arima([1.0, -2.0], arima.ma, arima.differences, arima.period)

    monkeypatch.setattr(estimation, "search_orders", failing)
    if fault == "explodes":
        monkeypatch.setattr(estimation, "refit", lambda *_: Arima([1.0, -2.0], [1.0], (0, 0), 1))
    _, log = ArimaTrainer(ArimaSettings(**FAST), "arima").fit(panel, panel.train_end, FitPlan())
    reasons = {"raises": "LinAlgError: did not converge", "explodes": "no stable parameters"}
    assert list(log.fallbacks) == ["s0"]
    assert log.fallbacks["s0"].startswith(reasons[fault])


@pytest.mark.parametrize("name", ["best_trials", "estimate"])
def test_whatever_is_raised_on_a_series_is_its_reason(
    panel: Panel, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    step = getattr(series, name)

    def failing(task: Any, *how: Any) -> Any:
        if task.unique_id == "s0":
            raise IndexError("out of rows")
        return step(task, *how)

    monkeypatch.setattr(series, name, failing)
    _, log = ArimaTrainer(ArimaSettings(**FAST), "arima").fit(panel, panel.train_end, FitPlan())
    assert log.fallbacks == {"s0": "IndexError: out of rows"}


def test_a_model_that_fails_leaves_its_weight_to_the_others(
    panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ArimaSettings(engine="burg", max_order=[30, 1, 0], n_models=3)
    trainer = ArimaTrainer(settings, "arima")
    _, log = trainer.fit(panel, panel.train_end, FitPlan())
    refit = estimation.refit
    failed = log.fixed_fit["orders"]["s0"][0]["seasons"]

    def failing(values: Any, recipe: Any, *how: Any) -> Arima:
        if [list(season) for season in recipe.seasons] == failed:
            raise ArithmeticError("no fit")
        return refit(values, recipe, *how)

    monkeypatch.setattr(estimation, "refit", failing)
    forecaster, _ = trainer.fit(panel, panel.train_end, FitPlan(fixed_fit=log.fixed_fit))
    weights = [model.recipe.weight for model in forecaster.models["s0"]]
    assert 0 < len(weights) < 3
    assert sum(weights) == pytest.approx(1)
