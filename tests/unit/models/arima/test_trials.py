"""Season profiles are chosen by their forecasts of the newest training rows."""

from typing import Any

import numpy as np
import pytest

from kubecast.data.panel import Panel
from kubecast.models.arima import estimation, trials
from kubecast.models.arima.filter import Arima
from kubecast.models.arima.recipe import SeriesModel, forecast_series
from kubecast.models.seasonal_naive import seasonal_naive
from tests.support.panels import hourly
from tests.unit.models.arima.support import MakePanel, errors, train


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["css", "pmdarima", "statsforecast"])
@pytest.mark.parametrize("deseasonalize", ["auto", "profile", "fourier"])
def test_removed_season_beats_no_season(make_panel: MakePanel, engine: str, deseasonalize: str) -> None:
    panel = make_panel(hourly(series=1))
    origins = panel.split("test")
    settings = {"engine": engine, "deseasonalize": deseasonalize}
    forecasts = train(panel, **settings).forecast(panel, origins)["arima"].to_numpy()
    none = train(panel, deseasonalize="none").forecast(panel, origins)["arima"].to_numpy()
    assert errors(panel, forecasts, origins) < 0.5 * errors(panel, none, origins)
    assert errors(panel, forecasts, origins) < errors(panel, seasonal_naive(panel, origins, 24), origins)


def test_profile_takes_the_season_length_that_forecasts_best(make_panel: MakePanel) -> None:
    rows = hourly(series=1, rows=800)
    rows["y"] += np.where(np.arange(800) % 48 < 24, 40.0, -40.0)
    panel = make_panel(rows, season_lengths=[24, 48])
    forecaster = train(panel)
    assert forecaster.models["s0"][0].recipe.start == 48
    assert forecaster.fallback_season == 48


@pytest.mark.parametrize("seed", range(4))
def test_auto_forecasts_a_random_walk_as_well_as_the_naive_method(make_panel: MakePanel, seed: int) -> None:
    rows = hourly(series=1)
    rows["y"] = np.cumsum(np.random.default_rng(seed).normal(size=len(rows)))
    panel = make_panel(rows)
    origins = panel.split("test")
    forecasts = train(panel).forecast(panel, origins)["arima"].to_numpy()
    assert errors(panel, forecasts, origins) < 1.5 * errors(panel, seasonal_naive(panel, origins, 1), origins)


def test_profile_removes_a_season_where_it_is_asked_for(make_panel: MakePanel) -> None:
    rows = hourly(series=1)
    rows["y"] = np.cumsum(np.random.default_rng(2).normal(size=len(rows)))
    assert train(make_panel(rows), deseasonalize="profile").models["s0"][0].recipe.start == 24


def test_a_daily_and_a_weekly_season_are_removed_one_after_the_other(make_panel: MakePanel) -> None:
    hours = np.arange(1200)
    weekly = np.where(hours % 168 < 120, 20.0, -20.0)
    daily = np.sin(2 * np.pi * hours / 24) * np.linspace(5, 15, 1200)
    rows = hourly(series=1, rows=1200)
    rows["y"] = 100 + weekly + daily + np.random.default_rng(0).normal(0, 0.3, 1200)
    panel = make_panel(rows, season_lengths=[24, 168])
    forecaster = train(panel)
    assert [length for length, _ in forecaster.models["s0"][0].recipe.seasons] == [168, 24]
    forecasts = forecaster.forecast(panel, panel.split("test"))["arima"].to_numpy()
    assert errors(panel, forecasts, panel.split("test")) < 1


def test_a_drift_goes_on(make_panel: MakePanel) -> None:
    rows = hourly(series=1)
    rows["y"] = 5.0 * np.arange(len(rows)) + np.random.default_rng(3).normal(size=len(rows)).cumsum()
    panel = make_panel(rows)
    forecaster = train(panel, deseasonalize="none")
    assert forecaster.models["s0"][0].recipe.constant
    forecasts = forecaster.forecast(panel, panel.split("test"))["arima"].to_numpy()
    assert errors(panel, forecasts, panel.split("test")) < 5


@pytest.mark.parametrize("seed", range(3))
def test_a_drift_goes_on_beside_a_season(make_panel: MakePanel, seed: int) -> None:
    rows, t = hourly(series=1, rows=800), np.arange(800)
    noise = np.random.default_rng(seed).normal(0, 0.5, 800)
    rows["y"] = 0.1 * t + 8 * np.sin(2 * np.pi * t / 24) + noise
    panel = make_panel(rows, horizon=48)
    forecasts = train(panel, engine="css", max_order=[5, 1, 5]).forecast(panel, panel.split("test"))["arima"]
    assert errors(panel, forecasts.to_numpy(), panel.split("test")) < 1


@pytest.mark.parametrize("smoothing", [0.5, 1.0])
def test_a_drift_goes_on_over_several_seasons(
    smoothing: float, monkeypatch: pytest.MonkeyPatch, make_panel: MakePanel
) -> None:
    monkeypatch.setattr(trials, "SMOOTHINGS", (smoothing,))
    rows, t = hourly(series=1, rows=600), np.arange(600)
    rows["y"] = 0.5 * t + 8 * np.sin(2 * np.pi * t / 24)
    panel = make_panel(rows, horizon=72)
    forecasts = train(panel, engine="burg", max_order=[4, 1, 0], deseasonalize="profile").forecast(
        panel, panel.split("test")
    )
    assert errors(panel, forecasts["arima"].to_numpy(), panel.split("test")) < 1


def test_backtests_begin_where_the_model_has_its_rows(
    make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = []

    def recorded(model: SeriesModel, y: Any, x: Any, x_future: Any, ends: Any) -> Any:
        begun.append(ends.min() - model.needed)
        return forecast_series(model, y, x, x_future, ends)

    monkeypatch.setattr(trials, "forecast_series", recorded)
    panel = make_panel(hourly(series=1, rows=500), season_lengths=[24, 168])
    train(panel, engine="burg", max_order=[168, 1, 0], n_models=3)
    assert begun
    assert min(begun) >= 0


def test_a_backtest_that_fails_leaves_the_profile_out(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:

    outcomes = iter([ValueError("no fit"), Arima([1.0, -1.3], [1.0], (0, 0), 1)])

    def failing(*_: Any) -> Arima:
        outcome = next(outcomes, ArithmeticError("no fit"))
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(estimation, "refit", failing)
    assert {model.recipe.start for (model,) in train(panel).models.values()} == {0}
