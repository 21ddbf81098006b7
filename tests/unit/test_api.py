import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import kubecast
from kubecast.api import Fitted
from kubecast.errors import ConfigError, DataError
from tests.support import drawings
from tests.support.panels import hourly

pytestmark = pytest.mark.slow

SETTINGS = ["training.data.min_samples=1", "training.validation.max_origins=8", "catboost.iterations=10"]


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    return kubecast.fit(
        hourly(series=2), 6, freq="h", season_length=[24], models=["catboost"], overrides=SETTINGS
    )


def test_columns_that_cannot_be_stored_are_refused_in_one_line() -> None:
    rows = hourly(series=2)
    mixed = rows.assign(unique_id=rows["unique_id"].map({"s0": 1, "s1": "b"}))
    for df in (mixed, pd.concat([rows, rows["y"]], axis=1)):
        with pytest.raises(DataError, match=r"^df: .*; allowed: columns of one type each") as caught:
            kubecast.fit(df, horizon=6)
        assert "\n" not in str(caught.value)


def test_leaderboard_has_each_model_on_each_part(fitted: Fitted) -> None:
    board = fitted.leaderboard
    models = {"catboost", "seasonal_naive_24", "seasonal_naive_1", "ensemble"}
    assert set(zip(board["split"], board["model"], strict=True)) == {
        (split, model) for split in ("validation", "test") for model in models
    }
    assert board.loc[board["model"] != "seasonal_naive_1", "mase"].between(0, 2).all()


def test_forecast_begins_after_the_last_row_of_each_series(fitted: Fitted) -> None:
    rows = hourly(series=2)
    found = fitted.forecast(rows)
    assert found.groupby("unique_id").size().to_dict() == {"s0": 6, "s1": 6}
    assert found["ds"].min() == rows["ds"].max() + pd.Timedelta(hours=1)
    assert (found["q0.1"] < found["q0.9"]).all()
    fewer = rows[rows["ds"] <= rows["ds"].max() - pd.Timedelta(hours=3)]
    assert fitted.forecast(fewer)["ds"].min() == fewer["ds"].max() + pd.Timedelta(hours=1)


def test_report_is_the_page_and_the_object_prints_short(fitted: Fitted) -> None:
    assert fitted.report().startswith("<!DOCTYPE html>")
    assert len(repr(fitted)) < 200


@pytest.mark.long
def test_future_covariates_come_from_a_frame_of_their_own() -> None:
    rows = hourly(series=2, covariates=True)[["unique_id", "ds", "y", "promotion"]]
    known = 'training.data.covariates.future=["promotion"]'
    settings = [*SETTINGS, known, "pipeline.final_fit=false"]
    model = kubecast.fit(rows, 6, "h", [24], ["catboost"], overrides=settings)
    with pytest.raises(DataError, match="promotion"):
        model.forecast(rows)
    ends = rows.groupby("unique_id")["ds"].max()
    ahead = pd.concat(
        pd.DataFrame(
            {
                "unique_id": name,
                "ds": pd.date_range(end, periods=7, freq="h")[1:],
                "promotion": value,
            }
        )
        for value, (name, end) in enumerate(ends.items())
    )
    assert len(model.forecast(rows, ahead)) == 12


def test_mistake_in_the_frame_is_told_of_the_frame() -> None:
    rows = hourly(series=1).rename(columns={"y": "load"})
    with pytest.raises(DataError, match=r"^df: column y is missing; found: unique_id, ds, load"):
        kubecast.fit(rows, 6, freq="h", overrides=SETTINGS)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"horizon": 0}, "training.horizon"),
        ({"models": ["prophet"]}, "pipeline.models.0"),
        ({"freq": "bogus"}, "training.frequency 'bogus' is not known"),
        ({"config": "nowhere"}, "nowhere: no such configuration folder"),
    ],
)
def test_wrong_setting_is_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        kubecast.fit(**{"df": hourly(series=1), "horizon": 6, **wrong})  # type: ignore[arg-type]


def test_importing_kubecast_and_its_settings_loads_nothing_heavy() -> None:
    code = (
        "import sys, kubecast, kubecast.settings.loading; print('pandas' in sys.modules);"
        "kubecast.fit; print('pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_unknown_attribute_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'kubecast' has no attribute 'train'"):
        kubecast.train  # noqa: B018


@pytest.mark.long
def test_models_and_the_ensemble_are_tuned_where_the_settings_ask_for_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tuning = [
        "pipeline.tuning={tuner: optuna, models: [catboost, ensemble]}",
        "training.optimization.n_trials=2",
    ]
    given = {"freq": "h", "season_length": [24], "models": ["catboost"]}
    found = kubecast.fit(hourly(series=2), 6, overrides=[*SETTINGS, *tuning], **given)
    told = caplog.text
    assert all(f"progress tune_{kind} 2/2" in told for kind in ("catboost", "ensemble"))
    assert len(found.leaderboard)
    with pytest.raises(ConfigError, match="katib: its trials are pods of a cluster"):
        kubecast.fit(hourly(series=2), 6, overrides=[*SETTINGS, "pipeline.tuning.tuner=katib"], **given)


def years(seed: int = 0) -> pd.DataFrame:
    """Yearly series of 14 to 47 rows that end in different years, like those of M1 and M3."""
    random = np.random.default_rng(seed)
    tables = []
    for number, rows in enumerate([14, 15, 17, 20, 24, 30, 38, 47]):
        ds = pd.date_range(f"{1940 + 2 * number}-01-01", periods=rows, freq="YS")
        y = 1000 * (1 + number) * np.exp(np.cumsum(random.normal(0.03, 0.05, rows)))
        tables.append(pd.DataFrame({"unique_id": f"Y{number}", "ds": ds, "y": y}))
    return pd.concat(tables, ignore_index=True)


def months(rows: int) -> pd.DataFrame:
    """Series with a clear season."""
    random = np.random.default_rng(1)
    tables = []
    for number in range(3):
        ds = pd.date_range("2020-01-01", periods=rows, freq="MS")
        y = 100 + 30 * np.sin(2 * np.pi * (np.arange(rows) + number) / 12) + random.normal(0, 5, rows)
        tables.append(pd.DataFrame({"unique_id": f"m{number}", "ds": ds, "y": y}))
    return pd.concat(tables, ignore_index=True)


@pytest.mark.parametrize(
    ("df", "horizon", "rung", "season"),
    [
        (months(39), 12, "no_validation", 12),
        (years(), 6, "one_fold", 1),
    ],
    ids=["39 months", "14 to 47 years"],
)
def test_short_histories_train_with_no_setting_changed(
    df: pd.DataFrame, horizon: int, rung: str, season: int
) -> None:
    with drawings.left_empty():
        fitted = kubecast.fit(df, horizon, models=["arima", "catboost"], overrides=["catboost.iterations=20"])
    evaluation = fitted.evaluation
    assert (evaluation.spec.splits.rung, evaluation.season_length) == (rung, season)
    assert not evaluation.missing
    assert evaluation.row("ensemble", "test").mase is not None
    assert not evaluation.ensemble.calibrated
    forecast = fitted.forecast(df)
    assert forecast.groupby("unique_id").size().eq(horizon).all()
    assert set(forecast["unique_id"]) == set(df["unique_id"])
    assert (forecast["q0.1"] < forecast["q0.9"]).all()
