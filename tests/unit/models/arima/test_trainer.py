"""What ARIMA does beyond what every forecaster must."""

import json
import logging
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kubecast.data.panel import Cutoffs, Panel
from kubecast.data.sample import generate_series
from kubecast.errors import ConfigError, ModelError
from kubecast.models.arima.settings import ArimaSettings
from kubecast.models.arima.trainer import ArimaTrainer
from kubecast.models.base import FitPlan
from tests.support.panels import hourly
from tests.unit.models.arima.support import FAST, MakePanel, train


def test_averaged_autoregressions_are_replayed_with_their_weights(panel: Panel) -> None:
    settings = ArimaSettings(engine="burg", max_order=[30, 1, 0], n_models=5)
    forecaster, log = ArimaTrainer(settings, "arima").fit(panel, panel.train_end, FitPlan())
    assert {len(models) for models in forecaster.models.values()} == {5}
    for models in forecaster.models.values():
        weights = [model.recipe.weight for model in models]
        assert weights == sorted(weights, reverse=True)
        assert sum(weights) == pytest.approx(1)
    again, replayed = ArimaTrainer(settings, "arima").fit(
        panel, panel.train_end, FitPlan(fixed_fit=json.loads(json.dumps(log.fixed_fit)))
    )
    assert replayed.fixed_fit == log.fixed_fit
    for key, models in forecaster.models.items():
        repeated = [model.recipe for model in again.models[key]]
        assert [each.order for each in repeated] == [model.recipe.order for model in models]
        assert [each.weight for each in repeated] == pytest.approx([model.recipe.weight for model in models])
    forecasts, expected = (each.forecast(panel, panel.split("test"))["arima"] for each in (again, forecaster))
    np.testing.assert_allclose(forecasts, expected, rtol=1e-9)  # a sum's last bits go by where arrays lie


@pytest.mark.slow
def test_a_fit_sees_the_newest_rows_only(make_panel: MakePanel) -> None:
    rows = hourly(series=1)
    panel = make_panel(rows)
    rows.loc[:99, "y"] *= 50
    changed = make_panel(rows)
    first, second = (train(p, max_rows=150).models["s0"] for p in (panel, changed))
    assert first == second


def test_each_series_that_is_not_fitted_has_its_reason(
    panel: Panel, make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = hourly(series=3)
    rows.loc[rows["unique_id"] == "s1", "y"] = 7.0
    extra = hourly(series=1, rows=50).assign(unique_id="s3")
    extra["ds"] += rows["ds"].max() - extra["ds"].max()
    panel = make_panel(pd.concat([rows, extra]))
    trainer = ArimaTrainer(ArimaSettings(**FAST), "arima")
    until = Cutoffs(panel.train_end.frame[panel.train_end.frame["unique_id"] != "s2"])
    forecaster, log = trainer.fit(panel, until, FitPlan())
    assert list(forecaster.models) == ["s0"]
    assert log.fallbacks["s1"].startswith("constant")
    assert log.fallbacks["s2"] == "no rows up to the cut-off"
    assert "s3" in log.fallbacks
    _, replayed = trainer.fit(panel, panel.ends, FitPlan(fixed_fit=log.fixed_fit))
    assert replayed.fallbacks["s2"] == "no orders to replay"


def monthly(rows: int, season: float) -> pd.DataFrame:
    """Two series on one level, with a season of 12 months of that height."""
    tables = []
    for number in range(2):
        phase = 2 * np.pi * (np.arange(rows) + 3 * number) / 12
        noise = np.random.default_rng(number).normal(0, 5, rows)
        ds = pd.date_range("2020-01-01", periods=rows, freq="MS")
        y = 100 + season * np.sin(phase) + noise
        tables.append(pd.DataFrame({"unique_id": f"s{number}", "ds": ds, "y": y}))
    return pd.concat(tables, ignore_index=True)


@pytest.mark.slow
@pytest.mark.parametrize(("height", "seasons"), [(40.0, ((12, 0.5),)), (0.0, ())])
def test_a_history_too_short_to_compare_profiles_has_its_season_where_that_is_clear(
    make_panel: MakePanel, height: float, seasons: tuple[object, ...]
) -> None:
    panel = make_panel(monthly(39, height), horizon=12, frequency="MS", season_lengths=[12])
    assert panel.spec.splits.train == 27
    models = train(panel).models
    assert {model.recipe.seasons for (model,) in models.values()} == {seasons}


@pytest.mark.parametrize(("height", "fitted"), [(40.0, False), (0.0, True)])
def test_a_series_without_two_cycles_of_a_season_that_others_show_is_left_to_the_seasonal_naive(
    make_panel: MakePanel, height: float, fitted: bool
) -> None:
    rows = monthly(120, height)
    short = rows["unique_id"].eq("s1") & rows["ds"].lt("2027-10-01")
    panel = make_panel(rows[~short], horizon=6, frequency="MS", season_lengths=[12])
    assert panel.series["route"].tolist() == ["model", "model"]
    trainer = ArimaTrainer(ArimaSettings(**FAST), "arima")
    forecaster, log = trainer.fit(panel, panel.train_end, FitPlan())
    assert ("s1" in forecaster.models) == fitted
    if not fitted:
        assert log.fallbacks["s1"] == (
            "too short: 20 training rows, two cycles of a season that others show take 24"
        )
        forecasts = forecaster.forecast(panel, panel.ends).set_index("unique_id")["arima"].loc["s1"]
        y = rows.loc[rows["unique_id"] == "s1", "y"].to_numpy()
        np.testing.assert_allclose(forecasts, y[-12:-6])


@pytest.mark.slow
def test_rows_that_are_not_fitted_to_still_show_the_season(make_panel: MakePanel) -> None:
    panel = make_panel(generate_series(4, [600, 600, 600, 90]))
    trainer = ArimaTrainer(ArimaSettings(**FAST, max_rows=40), "arima")
    forecaster, log = trainer.fit(panel, panel.train_end, FitPlan())
    assert list(forecaster.models) == ["s0", "s1", "s2"]
    assert log.fallbacks["s3"].startswith("too short")


@pytest.mark.slow
def test_a_series_shorter_than_the_season_of_the_fallback_repeats_a_shorter_one(
    make_panel: MakePanel,
) -> None:
    rows = generate_series(3, [1200, 1200, 160])
    rows["y"] *= np.where(rows["ds"].dt.dayofweek >= 5, 0.5, 1.0)
    panel = make_panel(rows, horizon=24, season_lengths=[24, 168])
    trainer = ArimaTrainer(ArimaSettings(**FAST), "arima")
    forecaster, log = trainer.fit(panel, panel.train_end, FitPlan())
    assert forecaster.fallback_season == 168
    assert "s2" in log.fallbacks
    forecasts = forecaster.forecast(panel, panel.ends).set_index("unique_id")["arima"].loc["s2"]
    np.testing.assert_allclose(forecasts, rows["y"].to_numpy()[-24:])


def test_few_rows_have_few_orders(make_panel: MakePanel) -> None:
    panel = make_panel(monthly(14, 0.0), horizon=3, frequency="MS", season_lengths=[1])
    for model, *_ in train(panel, max_order=[5, 1, 5]).models.values():
        p, _, q = model.recipe.order
        assert max(p, q) <= 1


def test_no_series_fitted_is_a_model_error(make_panel: MakePanel) -> None:
    rows = hourly(series=2)
    rows.loc[rows["unique_id"] == "s0", "y"] = 3.0
    panel = make_panel(rows)
    constant = Cutoffs(panel.train_end.frame.iloc[:1])
    with pytest.raises(ModelError, match="the first, s0: constant"):
        ArimaTrainer(ArimaSettings(**FAST), "arima").fit(panel, constant, FitPlan())


@pytest.mark.slow
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
