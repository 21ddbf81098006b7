"""What ARIMA does beyond what every forecaster must."""

import dataclasses
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from scipy.signal import lfilter
from statsmodels.tsa.statespace.sarimax import SARIMAX

from kubecast.data.panel import Cutoffs, Panel
from kubecast.errors import ConfigError, DataError, ModelError
from kubecast.models.arima import series
from kubecast.models.arima import trainer as module
from kubecast.models.arima.filter import (
    Arima,
    burg,
    fourier,
    independent_columns,
    invertible,
    regress,
    season_profile,
)
from kubecast.models.arima.series import SeriesModel, forecast_series
from kubecast.models.arima.settings import ArimaSettings
from kubecast.models.arima.trainer import ArimaForecaster, ArimaTrainer
from kubecast.models.base import FitPlan
from kubecast.models.seasonal_naive import seasonal_naive
from tests.conftest import hourly

FAST = {"engine": "statsforecast", "max_order": [1, 1, 1]}
MakePanel = Callable[..., Panel]


def train(panel: Panel, plan: FitPlan | None = None, **settings: Any) -> ArimaForecaster:
    trainer = ArimaTrainer(ArimaSettings(**{**FAST, **settings}), "arima")
    return trainer.fit(panel, panel.train_end, plan or FitPlan())[0]


def errors(panel: Panel, values: np.ndarray, origins: Cutoffs) -> float:
    targets = panel.targets(origins)["y"].to_numpy()
    return float(np.mean(np.abs(targets - values.ravel())))


def test_season_profile_is_causal_and_smooths_each_phase() -> None:
    values = np.array([1.0, 10.0, 3.0, 20.0, 8.0, 30.0])
    profile = season_profile(values, [(2, 0.5)])
    np.testing.assert_array_equal(profile.before, [1, 10, 1, 10, 2, 15])
    flat = np.zeros((1, 3))
    np.testing.assert_array_equal(profile.values_ahead(np.array([3]), flat), [[2, 15, 2]])


def test_season_profile_without_smoothing_is_the_mean_so_far() -> None:
    values = np.random.default_rng(0).normal(size=(40, 2))
    profile = season_profile(values, [(4, 0.0)])
    np.testing.assert_allclose(profile.parts[0].after[-1], values[3::4].mean(axis=0))
    np.testing.assert_allclose(season_profile(values, [(4, 1.0)]).before[4:], values[:-4])


@pytest.mark.parametrize("seasons", [[(4, 0.3)], [(12, 0.0), (4, 0.6)], []])
def test_season_profile_ahead_is_what_the_later_rows_would_give(seasons: list[tuple[int, float]]) -> None:
    values = np.random.default_rng(1).normal(size=60).cumsum()
    profile = season_profile(values, seasons)
    ends, ahead = np.array([30, 37]), np.arange(1, 21)
    later = values[ends[:, None] + ahead]
    remainder = (values - profile.before)[ends[:, None] + ahead]
    np.testing.assert_allclose(profile.remainder_ahead(ends, later), remainder)
    np.testing.assert_allclose(profile.values_ahead(ends, remainder), later)


@pytest.mark.parametrize(
    ("order", "seasonal"),
    [((2, 1, 1), (1, 1, 1)), ((3, 1, 0), (0, 0, 0)), ((0, 0, 2), (0, 0, 0)), ((0, 0, 0), (0, 0, 0))],
)
def test_forecasts_equal_those_of_the_state_space_form(
    order: tuple[int, int, int], seasonal: tuple[int, int, int]
) -> None:
    random = np.random.default_rng(0)
    values = np.cumsum(random.normal(size=400)) + np.sin(np.arange(400) * np.pi / 6)
    model = SARIMAX(values, order=order, seasonal_order=(*seasonal, 12 if any(seasonal) else 0))
    known = dict(zip(model.param_names, [0.3, -0.1, 0.4, 0.1, -0.5, 1.0], strict=False))
    fitted = model.smooth([*list(known.values())[:-1], 1.0])
    polynomials = fitted.polynomial_reduced_ar.tolist(), fitted.polynomial_reduced_ma.tolist()
    arima = Arima(*polynomials, (order[1], seasonal[1]), 12)
    found = arima.forecast(values, np.array([300, 399]), 24)
    np.testing.assert_allclose(found[1], fitted.forecast(24), atol=1e-6)
    again = arima.forecast(values[:301], np.array([300]), 24)
    np.testing.assert_allclose(found[0], again[0])


def test_an_explosive_polynomial_is_not_stable() -> None:
    assert not Arima([1.0, -1.1], [1.0], (0, 0), 1).is_stable()
    assert not Arima([1.0], [1.0, 1.5], (0, 0), 1).is_stable()
    assert Arima([1.0, -0.9], [1.0, 0.5], (1, 0), 1).is_stable()


def test_a_moving_average_is_made_invertible_without_changing_its_autocorrelation() -> None:
    found = np.array(invertible([1.0, -2.5, 1.0]))  # roots 2 and 1/2
    np.testing.assert_allclose(found, [1.0, -1.0, 0.25])
    assert invertible([1.0, -0.5]) == [1.0, -0.5]
    assert invertible([1.0]) == [1.0]


def test_regression_recovers_coefficients_under_correlated_errors() -> None:
    random = np.random.default_rng(0)
    columns = random.normal(size=(500, 2))
    walk = np.cumsum(random.normal(size=500))
    found = regress(Arima([1.0], [1.0], (1, 0), 1), columns @ [3.0, -2.0] + walk, columns)
    np.testing.assert_allclose(found, [3, -2], atol=0.15)


def test_constant_and_collinear_columns_are_dropped() -> None:
    first = np.random.default_rng(0).normal(size=50)
    columns = np.column_stack([np.full(50, 7.0), first, 2 * first + 3, np.zeros(50), first**2])
    assert independent_columns(columns) == [1, 4]


def test_fourier_terms_have_full_rank_up_to_half_a_season() -> None:
    columns = fourier(5, 48, [4, 6], 9)
    assert columns.shape == (48, 3 + 5)
    assert np.linalg.matrix_rank(columns) == 3 + 5 - 1  # half a season of both is the same alternation
    np.testing.assert_allclose(columns[12], fourier(17, 1, [4, 6], 9)[0], atol=1e-12)


@pytest.mark.parametrize("engine", ["css", "pmdarima", "statsforecast"])
@pytest.mark.parametrize("deseasonalize", ["auto", "profile", "fourier"])
def test_removed_season_beats_no_season(make_panel: MakePanel, engine: str, deseasonalize: str) -> None:
    panel = make_panel(hourly(series=1))
    origins = panel.part("test")
    settings = {"engine": engine, "deseasonalize": deseasonalize}
    found = train(panel, **settings).forecast(panel, origins)["arima"].to_numpy()
    none = train(panel, deseasonalize="none").forecast(panel, origins)["arima"].to_numpy()
    assert errors(panel, found, origins) < 0.5 * errors(panel, none, origins)
    assert errors(panel, found, origins) < errors(panel, seasonal_naive(panel, origins, 24), origins)


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
    origins = panel.part("test")
    found = train(panel).forecast(panel, origins)["arima"].to_numpy()
    assert errors(panel, found, origins) < 1.5 * errors(panel, seasonal_naive(panel, origins, 1), origins)


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
    found = forecaster.forecast(panel, panel.part("test"))["arima"].to_numpy()
    assert errors(panel, found, panel.part("test")) < 1


def test_averaged_autoregressions_are_replayed_with_their_weights(panel: Panel) -> None:
    settings = ArimaSettings(engine="burg", max_order=[30, 1, 0], averaged=5)
    forecaster, log = ArimaTrainer(settings, "arima").fit(panel, panel.train_end, FitPlan())
    assert {len(models) for models in forecaster.models.values()} == {5}
    for models in forecaster.models.values():
        weights = [model.recipe.weight for model in models]
        assert weights == sorted(weights, reverse=True)
        assert sum(weights) == pytest.approx(1)
    again, replayed = ArimaTrainer(settings, "arima").fit(
        panel, panel.train_end, FitPlan(replay=json.loads(json.dumps(log.replay)))
    )
    assert replayed.replay == log.replay
    for key, models in forecaster.models.items():
        repeated = [model.recipe for model in again.models[key]]
        assert [each.order for each in repeated] == [model.recipe.order for model in models]
        assert [each.weight for each in repeated] == pytest.approx([model.recipe.weight for model in models])
    found, expected = (each.forecast(panel, panel.part("test"))["arima"] for each in (again, forecaster))
    np.testing.assert_allclose(found, expected, rtol=1e-9)  # a sum's last bits go by where arrays lie


def test_burg_finds_the_autoregression() -> None:
    random = np.random.default_rng(0)
    values = lfilter([1.0], [1.0, -0.6, 0.3], random.normal(size=5_000))
    np.testing.assert_allclose(burg(values, 3), [1.0, -0.6, 0.3, 0.0], atol=0.05)
    assert burg(np.zeros(10), 2) == [1.0, 0.0, 0.0]
    assert np.abs(np.roots(burg(values[:30].cumsum(), 8))).max() < 1


def test_a_drift_goes_on(make_panel: MakePanel) -> None:
    rows = hourly(series=1)
    rows["y"] = 5.0 * np.arange(len(rows)) + np.random.default_rng(3).normal(size=len(rows)).cumsum()
    panel = make_panel(rows)
    forecaster = train(panel, deseasonalize="none")
    assert forecaster.models["s0"][0].recipe.constant
    found = forecaster.forecast(panel, panel.part("test"))["arima"].to_numpy()
    assert errors(panel, found, panel.part("test")) < 5


@pytest.mark.parametrize("seed", range(3))
def test_a_drift_goes_on_beside_a_season(make_panel: MakePanel, seed: int) -> None:
    rows, t = hourly(series=1, rows=800), np.arange(800)
    noise = np.random.default_rng(seed).normal(0, 0.5, 800)
    rows["y"] = 0.1 * t + 8 * np.sin(2 * np.pi * t / 24) + noise
    panel = make_panel(rows, horizon=48)
    found = train(panel, engine="css", max_order=[5, 1, 5]).forecast(panel, panel.part("test"))["arima"]
    assert errors(panel, found.to_numpy(), panel.part("test")) < 1


@pytest.mark.parametrize("smoothing", [0.5, 1.0])
def test_a_drift_goes_on_over_several_seasons(
    smoothing: float, monkeypatch: pytest.MonkeyPatch, make_panel: MakePanel
) -> None:
    monkeypatch.setattr(series, "SMOOTHINGS", (smoothing,))
    rows, t = hourly(series=1, rows=600), np.arange(600)
    rows["y"] = 0.5 * t + 8 * np.sin(2 * np.pi * t / 24)
    panel = make_panel(rows, horizon=72)
    found = train(panel, engine="burg", max_order=[4, 1, 0], deseasonalize="profile").forecast(
        panel, panel.part("test")
    )
    assert errors(panel, found["arima"].to_numpy(), panel.part("test")) < 1


def test_backtests_begin_where_the_model_has_its_rows(
    make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = []

    def told(model: SeriesModel, y: Any, x: Any, x_future: Any, ends: Any) -> Any:
        begun.append(ends.min() - model.needed)
        return forecast_series(model, y, x, x_future, ends)

    monkeypatch.setattr(series, "forecast_series", told)
    panel = make_panel(hourly(series=1, rows=500), season_lengths=[24, 168])
    train(panel, engine="burg", max_order=[168, 1, 0], averaged=3)
    assert begun
    assert min(begun) >= 0


@pytest.mark.parametrize("engine", ["css", "pmdarima", "statsforecast"])
def test_seasonal_orders_are_searched_and_replayed(make_panel: MakePanel, engine: str) -> None:
    random = np.random.default_rng(0)
    ds = pd.date_range("2000-01-01", periods=140, freq="MS")
    y = 50 + 0.2 * np.arange(140) + 10 * np.tile([1, 3, -2, 0], 35) + random.normal(size=140)
    panel = make_panel(pd.DataFrame({"ds": ds, "y": y}), season_lengths=[4], frequency="MS")
    trainer = ArimaTrainer(ArimaSettings(engine=engine, max_order=[1, 1, 0], seasonal=True), "arima")
    forecaster, log = trainer.fit(panel, panel.train_end, FitPlan())
    recipe = forecaster.models["series"][0].recipe
    assert recipe.start == 0
    assert any(recipe.seasonal)
    found = forecaster.forecast(panel, panel.part("test"))["arima"].to_numpy()
    assert errors(panel, found, panel.part("test")) < 3
    _, replayed = trainer.fit(panel, panel.ends, FitPlan(replay=log.replay))
    assert (replayed.replay, replayed.stopped, replayed.fallbacks) == (log.replay, "replayed", {})


def test_fourier_terms_keep_their_phase_when_the_history_begins_elsewhere(
    make_panel: MakePanel,
) -> None:
    rows = hourly(series=1)
    panel, later = make_panel(rows), make_panel(rows.iloc[31:])
    for fitted, other in ((panel, later), (later, panel)):
        forecaster = train(fitted, deseasonalize="fourier")
        origins = fitted.part("test")
        expected = forecaster.forecast(fitted, origins)["arima"]
        np.testing.assert_allclose(forecaster.forecast(other, origins)["arima"], expected, rtol=0.01)


def test_a_fit_sees_the_newest_rows_only(make_panel: MakePanel) -> None:
    rows = hourly(series=1)
    panel = make_panel(rows)
    rows.loc[:99, "y"] *= 50
    changed = make_panel(rows)
    first, second = (train(p, max_rows=150).models["s0"] for p in (panel, changed))
    assert first == second


def test_every_series_of_a_large_panel_is_fitted_in_processes(
    panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = train(panel)
    monkeypatch.setattr(module, "SMALL", 0)
    steps: list[float] = []
    plan = FitPlan(deadline=time.monotonic() + 500, report=lambda step, share: steps.append(share))
    assert train(panel, plan).models == here.models
    assert steps == pytest.approx([1 / 3, 2 / 3, 1])


def test_a_series_that_is_still_searched_at_the_deadline_gets_the_fallback(
    make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = make_panel(hourly(series=1))
    monkeypatch.setattr(module, "SAVING", 0.0)
    settings = ArimaSettings(engine="pmdarima", seasonal=True, stepwise=False)  # hours of work
    forecaster, log = ArimaTrainer(settings, "arima").fit(
        panel, panel.train_end, FitPlan(deadline=time.monotonic() + 0.3)
    )
    assert (log.stopped, log.fallbacks) == ("time_limit", {"s0": "time limit"})
    found = forecaster.forecast(panel, panel.ends)["arima"]
    np.testing.assert_array_equal(found, seasonal_naive(panel, panel.ends, 24).ravel())


def test_a_worker_that_dies_without_a_deadline_is_not_hidden(
    panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dying:
        def __init__(self, **settings: Any) -> None:
            pass

        def __call__(self, tasks: Any) -> Any:
            raise module.BrokenProcessPool("killed")

    monkeypatch.setattr(module, "SMALL", 0)
    monkeypatch.setattr(module.joblib, "Parallel", Dying)
    with pytest.raises(module.BrokenProcessPool, match="killed"):
        train(panel)


def test_each_series_that_is_not_fitted_has_its_reason(
    panel: Panel, make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = hourly(series=3)
    rows.loc[rows["unique_id"] == "s1", "y"] = 7.0
    extra = hourly(series=1, rows=70).assign(unique_id="s3")
    extra["ds"] += rows["ds"].max() - extra["ds"].max()
    panel = make_panel(pd.concat([rows, extra]))
    trainer = ArimaTrainer(ArimaSettings(**FAST), "arima")
    until = Cutoffs(panel.train_end.frame[panel.train_end.frame["unique_id"] != "s2"])
    forecaster, log = trainer.fit(panel, until, FitPlan())
    assert list(forecaster.models) == ["s0"]
    assert log.fallbacks["s1"].startswith("constant")
    assert log.fallbacks["s2"] == "no rows up to the cut-off"
    assert "s3" in log.fallbacks
    _, replayed = trainer.fit(panel, panel.ends, FitPlan(replay=log.replay))
    assert replayed.fallbacks["s2"] == "no orders to replay"


def test_orders_whose_search_ends_unstable_are_estimated_again(
    panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:

    def unstable(values: Any, recipe: Any, *how: Any) -> Any:
        return dataclasses.replace(recipe, order=(1, 0, 0)), Arima([1.0, -1.3], [1.0], (0, 0), 1)

    monkeypatch.setattr(series, "_search_orders", unstable)
    assert all(model.arima.is_stable() for (model,) in train(panel).models.values())


def test_a_backtest_that_fails_leaves_the_profile_out(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:

    outcomes = iter([ValueError("no fit"), Arima([1.0, -1.3], [1.0], (0, 0), 1)])

    def failing(*_: Any) -> Arima:
        outcome = next(outcomes, ArithmeticError("no fit"))
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(series, "_refit", failing)
    assert {model.recipe.start for (model,) in train(panel).models.values()} == {0}


@pytest.mark.parametrize("fault", ["raises", "explodes"])
def test_a_series_that_fails_does_not_take_the_others_with_it(
    panel: Panel, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:

    search = series._search_orders
    calls = []

    def failing(values: Any, recipe: Any, *how: Any) -> Any:
        calls.append(1)
        found, arima = search(values, recipe, *how)
        if len(calls) > 1:
            return found, arima
        if fault == "raises":
            raise np.linalg.LinAlgError("did not\nconverge")
        return found, Arima([1.0, -2.0], arima.ma, arima.differences, arima.period)

    monkeypatch.setattr(series, "_search_orders", failing)
    if fault == "explodes":
        monkeypatch.setattr(series, "_refit", lambda *_: Arima([1.0, -2.0], [1.0], (0, 0), 1))
    _, log = ArimaTrainer(ArimaSettings(**FAST), "arima").fit(panel, panel.train_end, FitPlan())
    reasons = {"raises": "LinAlgError: did not converge", "explodes": "no stable parameters"}
    assert list(log.fallbacks) == ["s0"]
    assert log.fallbacks["s0"].startswith(reasons[fault])


@pytest.mark.parametrize("name", ["_best_trials", "_estimate"])
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
    settings = ArimaSettings(engine="burg", max_order=[30, 1, 0], averaged=3)
    trainer = ArimaTrainer(settings, "arima")
    _, log = trainer.fit(panel, panel.train_end, FitPlan())
    refit = series._refit
    failed = log.replay["orders"]["s0"][0]["seasons"]

    def failing(values: Any, recipe: Any, *how: Any) -> Arima:
        if [list(season) for season in recipe.seasons] == failed:
            raise ArithmeticError("no fit")
        return refit(values, recipe, *how)

    monkeypatch.setattr(series, "_refit", failing)
    forecaster, _ = trainer.fit(panel, panel.train_end, FitPlan(replay=log.replay))
    weights = [model.recipe.weight for model in forecaster.models["s0"]]
    assert 0 < len(weights) < 3
    assert sum(weights) == pytest.approx(1)


@pytest.mark.parametrize("rows", [20, 30, 47])
def test_fewer_rows_than_two_seasons_are_not_differenced_by_it(make_panel: MakePanel, rows: int) -> None:
    panel = make_panel(hourly(series=1, rows=400))
    early = panel.frame.groupby("unique_id").nth(rows - 1)[["unique_id", "ds"]]
    trainer = ArimaTrainer(ArimaSettings(engine="css", max_order=[1, 1, 1], seasonal=True), "arima")
    forecaster, log = trainer.fit(panel, Cutoffs.of(early, "ds"), FitPlan())
    assert not log.fallbacks
    assert forecaster.models["s0"][0].recipe.seasonal[1] == 0


def test_no_series_fitted_is_a_model_error(make_panel: MakePanel) -> None:
    rows = hourly(series=2)
    rows.loc[rows["unique_id"] == "s0", "y"] = 3.0
    panel = make_panel(rows)
    constant = Cutoffs(panel.train_end.frame.iloc[:1])
    with pytest.raises(ModelError, match="the first, s0: constant"):
        ArimaTrainer(ArimaSettings(**FAST), "arima").fit(panel, constant, FitPlan())


def test_a_forecast_far_outside_the_history_is_replaced(
    panel: Panel, caplog: pytest.LogCaptureFixture
) -> None:
    rows = panel.frame.copy()
    last = int(panel.starts[1]) - 1
    trend = Arima([1.0], [1.0], (2, 0), 1)  # a double difference runs away from a jump
    forecaster = train(panel)
    models = {**forecaster.models, "s0": [module.SeriesModel(module.Recipe((0, 2, 0)), trend, [], [])]}
    rows.loc[last, "y"] = 1e9
    jumped = Panel(rows, panel.static, panel.spec, panel.series, panel.origins)
    origin = Cutoffs(panel.ends.frame.iloc[:1])
    broken = ArimaForecaster("arima", models, [], [24], 0, 24)
    with caplog.at_level(logging.WARNING):
        found = broken.forecast(jumped, origin)["arima"]
    np.testing.assert_array_equal(found, seasonal_naive(jumped, origin, 24).ravel())
    assert "1 of 1 forecasts were not plausible" in caplog.text


def test_collinear_covariate_is_dropped_and_named(
    make_panel: MakePanel, caplog: pytest.LogCaptureFixture
) -> None:
    rows = hourly(series=2, covariates=True)
    rows["twice"] = 2 * rows["promotion"]
    covariates = {"min_samples": 1, "covariates": {"future": ["promotion", "twice"]}}
    panel = make_panel(rows, data=covariates)
    with caplog.at_level(logging.WARNING):
        forecaster = train(panel)
    assert "covariate twice is constant or a combination of others in 2 of 2 series" in caplog.text
    assert "promotion" not in caplog.text
    assert forecaster.models["s0"][0].beta[-1] == pytest.approx(50, rel=0.1)


def test_forecasting_without_a_covariate_of_the_fit_is_an_error(covariate_panel: Panel, panel: Panel) -> None:
    with pytest.raises(DataError, match="covariate promotion is missing"):
        train(covariate_panel).forecast(panel, panel.ends)


def test_what_is_saved_is_one_json_file_that_loads_to_the_same_model(panel: Panel, tmp_path: Path) -> None:
    forecaster = train(panel)
    forecaster.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["arima.json"]
    json.loads((tmp_path / "arima.json").read_text(), parse_constant=pytest.fail)
    assert ArimaForecaster.load(tmp_path) == forecaster


def test_forecasting_no_origins_gives_no_rows(panel: Panel) -> None:
    assert train(panel).forecast(panel, Cutoffs(panel.ends.frame.iloc[:0])).empty


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_order": [1, 3, 1]}, "differences 3 times"),
        ({"seasonal": True, "deseasonalize": "profile"}, "removes the season that seasonal searches"),
        ({"fourier_terms": 3}, "fourier_terms has no effect"),
        ({"engine": "burg", "max_order": [48, 1, 1]}, "48, 1, 1] with engine burg"),
        ({"engine": "burg", "max_order": [48, 1, 0], "seasonal": True}, "seasonal: true with engine burg"),
        ({"max_order": [48, 1, 0]}, "a search of such orders takes too long"),
    ],
)
def test_settings_without_effect_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ArimaSettings(**settings)


@pytest.mark.parametrize(
    ("settings", "seasons", "message"),
    [
        ({"seasonal": True}, [1], "seasonal: true has no effect"),
        ({"deseasonalize": "fourier"}, [1], "deseasonalize: fourier has no effect"),
        ({"seasonal": True, "engine": "statsforecast"}, [168], "season length 168 does not end in useful"),
    ],
)
def test_settings_that_do_not_fit_the_season_are_refused(
    make_panel: MakePanel, settings: dict[str, Any], seasons: list[int], message: str
) -> None:
    panel = make_panel(hourly(series=1, rows=700), season_lengths=seasons)
    with pytest.raises(ConfigError, match=message):
        train(panel, **settings)


@pytest.mark.parametrize(
    ("rows", "settings", "engine"),
    [
        (150, {}, "statsforecast"),
        (151, {}, "css"),
        (150, {"engine": "css"}, "css"),
        (151, {"engine": "pmdarima"}, "pmdarima"),
    ],
)
def test_auto_engine(
    make_panel: MakePanel,
    monkeypatch: pytest.MonkeyPatch,
    rows: int,
    settings: dict[str, Any],
    engine: str,
) -> None:
    panel = make_panel(hourly(series=1, rows=rows + 40))
    early = panel.frame.groupby("unique_id").nth(rows - 1)[["unique_id", "ds"]]
    trainer = ArimaTrainer(ArimaSettings(max_order=[1, 1, 1], **settings), "arima")
    _, log = trainer.fit(panel, Cutoffs.of(early, "ds"), FitPlan())
    assert log.replay["engine"] == engine
    refit, used = series._refit, []

    def told(values: Any, recipe: Any, period: int, engine: str) -> Arima:
        used.append(engine)
        return refit(values, recipe, period, engine)  # type: ignore[arg-type]

    monkeypatch.setattr(series, "_refit", told)
    trainer.fit(panel, panel.ends, FitPlan(replay=log.replay))
    assert set(used) == {engine}
