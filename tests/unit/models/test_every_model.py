"""What every forecaster must do, whatever its kind."""

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kubecast import models
from kubecast.data.panel import Cutoffs, Panel
from kubecast.data.preparation import build_panel
from kubecast.models import load_forecaster, make_trainer
from kubecast.models.base import FitLog, FitPlan, Forecaster
from kubecast.models.seasonal_naive import SeasonalNaive
from tests.support.models import SETTINGS
from tests.support.panels import WITH_COVARIATES, hourly, small_settings

KINDS = list(SETTINGS)
MARKS = {"lstm": pytest.mark.slow, "transformer": pytest.mark.long}  # loop and windows of both are the same
CUT = pd.Timestamp("2024-01-14T23:00")


def until(panel: Panel, cut: pd.Timestamp = CUT) -> Cutoffs:
    return Cutoffs(pd.DataFrame({"unique_id": panel.ids, "cutoff": cut}))


def fit(kind: str, panel: Panel, plan: FitPlan | None = None, at: Cutoffs | None = None) -> Forecaster:
    forecaster, _ = make_trainer(kind, SETTINGS[kind]).fit(panel, at or until(panel), plan or FitPlan(seed=1))
    return forecaster


@pytest.fixture(
    scope="module",
    params=[pytest.param(kind, marks=MARKS.get(kind, ())) for kind in KINDS],
)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def fitted(kind: str, covariate_panel: Panel) -> Forecaster:
    return fit(kind, covariate_panel)


@pytest.fixture(scope="module")
def plain(kind: str, panel: Panel) -> tuple[Forecaster, FitLog]:
    """A fit without covariates, and its log."""
    return make_trainer(kind, SETTINGS[kind]).fit(panel, until(panel), FitPlan(seed=1))


def test_forecasts_many_origins_at_once_in_their_order(
    kind: str, fitted: Forecaster, covariate_panel: Panel
) -> None:
    origins = covariate_panel.split("test")
    forecasts = fitted.forecast(covariate_panel, origins)
    expected = covariate_panel.grid(origins)
    pd.testing.assert_frame_equal(forecasts[["unique_id", "cutoff", "ds"]], expected)
    assert list(forecasts.columns) == ["unique_id", "cutoff", "ds", kind]
    assert np.isfinite(forecasts[kind]).all()


def test_forecast_from_one_origin_equals_that_of_many(
    kind: str, fitted: Forecaster, covariate_panel: Panel
) -> None:
    origins = covariate_panel.split("test")
    many = fitted.forecast(covariate_panel, origins)
    one = fitted.forecast(covariate_panel, Cutoffs(origins.frame.iloc[[3]].reset_index(drop=True)))
    again = many[(many["unique_id"] == one["unique_id"][0]) & (many["cutoff"] == one["cutoff"][0])]
    np.testing.assert_allclose(one[kind], again[kind], rtol=1e-4)


def test_saved_and_loaded_forecasts_are_identical(
    kind: str, fitted: Forecaster, covariate_panel: Panel, tmp_path: Path
) -> None:
    fitted.save(tmp_path)
    loaded = load_forecaster(kind, tmp_path)
    origins = covariate_panel.split("test")
    assert loaded.name == fitted.name
    pd.testing.assert_frame_equal(
        loaded.forecast(covariate_panel, origins), fitted.forecast(covariate_panel, origins), check_exact=True
    )
    assert not [path for path in tmp_path.rglob("*") if path.suffix in {".pkl", ".pickle", ".joblib", ".h5"}]


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=pytest.mark.slow if kind in MARKS else ()) for kind in KINDS],
    indirect=True,
)
@pytest.mark.parametrize("change", ["altered", "deleted"])
def test_nothing_after_the_cutoff_changes_fit_or_forecast(
    kind: str, fitted: Forecaster, covariate_panel: Panel, change: str
) -> None:
    rows = hourly(covariates=True)
    late = rows["ds"] > CUT
    if change == "altered":
        rows.loc[late, "y"] = np.where(np.arange(late.sum()) % 7 == 0, np.nan, rows.loc[late, "y"] * 3 + 1000)
        rows.loc[late, "visitors"] = -5.0
    else:
        rows.loc[late, "visitors"] = np.nan
        rows.loc[late & (rows["ds"] > CUT + pd.Timedelta(hours=6)), "y"] = np.nan
        rows = rows[~late | (rows["ds"] <= CUT + pd.Timedelta(hours=6))]
    settings = small_settings(data={**WITH_COVARIATES, "max_missing": 0.9})
    panel = build_panel(rows, settings)
    origins = until(panel)
    expected = fitted.forecast(covariate_panel, until(covariate_panel))
    pd.testing.assert_frame_equal(fitted.forecast(panel, origins), expected, check_exact=True)
    refitted = fit(kind, panel).forecast(panel, origins)
    np.testing.assert_allclose(refitted[kind], expected[kind], rtol=1e-5)


def test_known_future_covariate_matters(kind: str) -> None:
    if not models.KINDS[kind].covariates:
        pytest.skip(f"{kind} uses no covariates")
    rows = hourly(series=2, covariates=True)
    origins = until(build_panel(rows, small_settings(data=WITH_COVARIATES)))
    forecasts = []
    for value in (0.0, 1.0):
        rows.loc[rows["ds"] > CUT, "promotion"] = value
        changed = build_panel(rows, small_settings(data=WITH_COVARIATES))
        forecasts.append(fit(kind, changed).forecast(changed, origins)[kind])
    assert not np.allclose(forecasts[0], forecasts[1])


def test_series_unseen_at_fit_is_forecast(kind: str, panel: Panel) -> None:
    seen = Cutoffs(until(panel).frame.iloc[:2])
    forecaster = fit(kind, panel, at=seen)
    forecasts = forecaster.forecast(panel, panel.ends)
    assert np.isfinite(forecasts[kind]).all()
    assert set(forecasts["unique_id"]) == set(panel.ids)


def test_short_history_gets_the_fallback(kind: str, panel: Panel, plain: tuple[Forecaster, FitLog]) -> None:
    forecaster, _ = plain
    early = Cutoffs(
        panel.frame.groupby("unique_id").nth(1)[["unique_id", "ds"]].rename(columns={"ds": "cutoff"})
    )
    forecasts = forecaster.forecast(panel, Cutoffs(early.frame.reset_index(drop=True)))
    assert np.isfinite(forecasts[kind]).all()


def test_horizon_of_one(kind: str) -> None:
    panel = build_panel(hourly(series=2), small_settings(horizon=1))
    forecasts = fit(kind, panel).forecast(panel, panel.split("test"))
    assert len(forecasts) == len(panel.split("test"))
    assert np.isfinite(forecasts[kind]).all()


def test_gaps_and_a_constant_series(kind: str) -> None:
    rows = hourly(series=2)
    rows.loc[rows["unique_id"] == "s1", "y"] = 7.0
    rows = rows.drop(index=range(100, 110))
    panel = build_panel(rows, small_settings())
    forecasts = fit(kind, panel).forecast(panel, panel.ends)
    assert np.isfinite(forecasts[kind]).all()
    np.testing.assert_allclose(forecasts.loc[forecasts["unique_id"] == "s1", kind], 7.0, rtol=0.05)


def test_same_seed_gives_the_same_forecast(kind: str, panel: Panel, plain: tuple[Forecaster, FitLog]) -> None:
    first, second = (each.forecast(panel, panel.ends) for each in (plain[0], fit(kind, panel)))
    np.testing.assert_allclose(first[kind], second[kind], rtol=1e-5)


def test_replay_repeats_the_fit_on_more_rows(
    kind: str, panel: Panel, plain: tuple[Forecaster, FitLog]
) -> None:
    trainer, (_, log) = make_trainer(kind, SETTINGS[kind]), plain
    forecaster, replayed = trainer.fit(panel, panel.ends, FitPlan(seed=1, fixed_fit=log.fixed_fit))
    assert replayed.stopped == "replayed"
    assert replayed.fixed_fit == log.fixed_fit
    assert np.isfinite(forecaster.forecast(panel, panel.ends)[kind]).all()


def test_deadline_already_past_still_gives_a_finite_model(kind: str, panel: Panel) -> None:
    trainer = make_trainer(kind, SETTINGS[kind])
    forecaster, log = trainer.fit(panel, until(panel), FitPlan(seed=1, deadline=time.monotonic()))
    assert log.stopped == "time_limit"
    assert np.isfinite(forecaster.forecast(panel, panel.ends)[kind]).all()


def test_log_survives_json(plain: tuple[Forecaster, FitLog]) -> None:
    _, log = plain
    assert type(log).model_validate_json(log.model_dump_json()) == log


def test_seasonal_naive_repeats_the_last_season(panel: Panel) -> None:
    forecasts = SeasonalNaive(24, "naive").forecast(panel, panel.split("test"))
    joined = forecasts.merge(
        panel.frame.assign(ds=panel.frame["ds"] + pd.Timedelta(hours=24)), on=["unique_id", "ds"]
    )
    np.testing.assert_array_equal(joined["naive"], joined["y"])
