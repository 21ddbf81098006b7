import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import kubecast
from kubecast import Model
from kubecast.errors import ConfigError, DataError
from tests.support.panels import QUICK_FIT, hourly


def test_columns_that_cannot_be_stored_are_refused_in_one_line() -> None:
    rows = hourly(series=2)
    mixed = rows.assign(unique_id=rows["unique_id"].map({"s0": 1, "s1": "b"}))
    for df in (mixed, pd.concat([rows, rows["y"]], axis=1)):
        with pytest.raises(DataError, match=r"^df: .*; allowed: columns of one type each") as caught:
            kubecast.fit(df, horizon=6)
        assert "\n" not in str(caught.value)


@pytest.mark.long
def test_future_covariates_come_from_a_frame_of_their_own() -> None:
    rows = hourly(series=2, covariates=True)[["unique_id", "ds", "y", "promotion"]]
    known = 'training.data.covariates.future=["promotion"]'
    settings = [*QUICK_FIT, known, "pipeline.final_fit=false"]
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
        kubecast.fit(rows, 6, freq="h", overrides=QUICK_FIT)


def test_remedy_for_a_missing_column_is_an_argument_that_works() -> None:
    rows = hourly(series=1, rows=5).rename(columns={"y": "sales"})
    with pytest.raises(
        DataError, match=r"allowed: one of these, named in target_col, e\.g\. target_col=sales$"
    ):
        kubecast.fit(rows, 6, freq="h")
    with pytest.raises(DataError, match="rows"):  # the column is found, the rows are too few
        kubecast.fit(rows, 6, freq="h", target_col="sales")


@pytest.mark.slow
def test_a_file_in_place_of_a_frame_is_fitted_and_named_in_messages(tmp_path: Path) -> None:
    file = tmp_path / "demand.csv"
    hourly(series=1).rename(columns={"y": "sales"}).to_csv(file, index=False)
    with pytest.raises(DataError, match=rf"^{file}: column y is missing; .* target_col=sales$"):
        kubecast.fit(file, 6, freq="h")
    model = kubecast.fit(str(file), 6, "h", [24], ["catboost"], overrides=QUICK_FIT, target_col="sales")
    assert model.forecast().equals(model.forecast(file))


@pytest.mark.slow
def test_time_limit_is_shared_out_among_the_fits(model: Model) -> None:
    settings = model._metadata["settings"]
    assert settings["catboost"]["time_limit"] == 30  # train and fit again


@pytest.mark.slow
def test_names_of_the_columns_are_arguments(model: Model, rows: pd.DataFrame) -> None:
    assert [*model.forecast(rows).columns[:3]] == ["store", "hour", "yhat"]
    assert [*model.forecast(rows)["store"].unique()] == ["s0", "s1"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"horizon": 0}, "training.horizon"),
        ({"models": ["prophet"]}, "pipeline.models.0"),
        ({"freq": "bogus"}, "training.frequency 'bogus' is not known"),
        ({"config": "nowhere"}, "nowhere: no such configuration folder"),
        ({"time_limit": 0}, "time_limit 0; allowed: seconds above 0"),
        ({"id_col": "ds"}, "column ds has two roles"),
    ],
)
def test_wrong_setting_is_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        kubecast.fit(**{"df": hourly(series=1), "horizon": 6, **wrong})  # type: ignore[arg-type]


@pytest.mark.slow
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
    found = kubecast.fit(hourly(series=2), 6, overrides=[*QUICK_FIT, *tuning], **given)
    told = caplog.text
    assert all(f"progress tune_{kind} 2/2" in told for kind in ("catboost", "ensemble"))
    assert len(found.leaderboard)
    with pytest.raises(ConfigError, match="katib: its trials are pods of a cluster"):
        kubecast.fit(hourly(series=2), 6, overrides=[*QUICK_FIT, "pipeline.tuning.tuner=katib"], **given)


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


@pytest.mark.slow
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
    model = kubecast.fit(df, horizon, models=["arima", "catboost"], overrides=["catboost.iterations=20"])
    evaluation = model.evaluation
    assert (evaluation.spec.splits.rung, evaluation.season_length) == (rung, season)
    assert not evaluation.missing
    assert evaluation.row("ensemble", "test").mase is not None
    assert not evaluation.ensemble.calibrated
    forecast = model.forecast(df)
    assert forecast.groupby("unique_id").size().eq(horizon).all()
    assert set(forecast["unique_id"]) == set(df["unique_id"])
    assert (forecast["q0.1"] < forecast["q0.9"]).all()
