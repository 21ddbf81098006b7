import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kubecast.data import parquet
from kubecast.data.history import history_panel
from kubecast.data.panel import Cutoffs, Panel
from kubecast.ensemble.bundle import Bundle, Contract
from kubecast.ensemble.forecaster import Ensemble, combine, own_scales, usable_weights
from kubecast.errors import IntegrityError, InvalidName, ModelError
from kubecast.models.base import FitPlan
from kubecast.models.seasonal_naive import SeasonalNaive
from kubecast.scoring.metrics import ENSEMBLE
from tests.support.forecasts import forecasts, stack_table
from tests.support.panels import hourly, small_settings
from tests.unit.ensemble.stacks import GREEDY, recipe_of, stacked


def test_missing_member_renormalises_the_weights_and_is_named(caplog: pytest.LogCaptureFixture) -> None:
    recipe = recipe_of({"a": 0.5, "b": 0.3, "c": 0.2})
    with caplog.at_level(logging.WARNING):
        assert usable_weights(recipe, ["a", "b"]) == pytest.approx({"a": 0.625, "b": 0.375})
    assert "without c" in caplog.text


def test_weights_that_cancel_become_equal() -> None:
    recipe = recipe_of({"a": 0.5, "b": -0.5, "c": 1.0})
    assert usable_weights(recipe, ["a", "b"]) == {"a": 0.5, "b": 0.5}


def test_no_member_at_hand_is_refused() -> None:
    with pytest.raises(ModelError, match="no forecast of a, b"):
        usable_weights(recipe_of({"a": 0.5, "b": 0.5}), ["c"])


def test_combination_repeats_the_judged_table() -> None:
    table = forecasts({"a": 1.0, "b": 1.0, "c": 1.0}, origins=20)
    recipe, prediction = stacked(table)
    test = prediction[prediction["split"] == "test"].reset_index(drop=True)
    combined = combine(recipe.as_evaluated(), test)
    assert list(combined.columns) == ["unique_id", "cutoff", "ds", "yhat", "q0.1", "q0.5", "q0.9"]
    np.testing.assert_allclose(combined["yhat"], test[ENSEMBLE])
    np.testing.assert_allclose(combined[["q0.1", "q0.9"]], test[["q0.1", "q0.9"]])


def test_combination_takes_scales_of_series_that_the_recipe_has_not_seen() -> None:
    recipe = recipe_of({"a": 1.0})
    table = forecasts({"a": 1.0}, series=1, splits=["test"]).assign(unique_id="new")
    flat, scaled = combine(recipe, table), combine(recipe, table, {"new": 2.0})
    assert (flat["q0.9"] == flat["yhat"]).all()
    assert (scaled["q0.9"] > scaled["q0.1"]).all()


NAIVES = {"day": "seasonal_naive", "hour": "seasonal_naive"}


@pytest.fixture
def ensemble(panel: Panel) -> Ensemble:
    origins = Cutoffs.from_frame(panel.origins)
    table = panel.targets(origins).merge(panel.origins, on=["unique_id", "cutoff"])
    members = {"day": SeasonalNaive(24, "day"), "hour": SeasonalNaive(1, "hour")}
    for member in members.values():
        fitted, _ = member.fit(panel, panel.train_end, FitPlan())
        table = table.merge(fitted.forecast(panel, origins), on=["unique_id", "cutoff", "ds"])
    series = panel.series[panel.series["unique_id"] != "s2"]
    recipe, _ = stack_table(table, series, GREEDY.model_copy(update={"min_models": 0}), NAIVES, {}, 24)
    return Ensemble(members, recipe.model_copy(update={"weights": {"day": 0.75, "hour": 0.25}}))


def test_ensemble_forecasts_like_any_forecaster(ensemble: Ensemble, panel: Panel) -> None:
    origins = panel.split("test")
    prediction = ensemble.forecast(panel, origins)
    day, hour = (member.forecast(panel, origins)[name] for name, member in ensemble.members.items())
    assert list(prediction.columns) == ["unique_id", "cutoff", "ds", ensemble.name]
    np.testing.assert_allclose(prediction[ENSEMBLE], 0.75 * day + 0.25 * hour)


def test_prediction_gives_unseen_series_quantiles_from_their_history(
    ensemble: Ensemble, panel: Panel
) -> None:
    prediction = ensemble.predict(panel, panel.ends)
    assert set(prediction["unique_id"]) == {"s0", "s1", "s2"}
    assert (prediction["q0.9"] > prediction["q0.1"]).all()
    np.testing.assert_allclose(prediction["yhat"], ensemble.forecast(panel, panel.ends)[ENSEMBLE])


@pytest.mark.parametrize(
    ("y", "relative", "scale"),
    [
        ([50.0, 54.0, 46.0], 0.1, 5.0),  # two differences make none of its own
        ([50.0] * 30, 0.1, 5.0),
        ([0.0] * 30, 0.1, 2.5),  # no level either: the median of the recipe's scales
        ([50.0] * 30, None, 2.5),  # a version of before there was a relative scale
        ([50.0, 54.0] * 15, 0.1, 4.0),
    ],
)
def test_a_lone_new_series_without_a_scale_has_the_recipes(
    ensemble: Ensemble, panel: Panel, y: list[float], relative: float | None, scale: float
) -> None:
    ds = pd.date_range("2025-01-01", periods=len(y), freq="h")
    rows = pd.DataFrame({"unique_id": "new", "ds": ds, "y": y})
    alone = history_panel(rows, small_settings(), panel.spec)
    known = {"s0": 1.0, "s1": 4.0, "constant": None}
    recipe = ensemble.recipe.model_copy(update={"relative_scale": relative, "scales": known})
    assert own_scales(recipe, alone, alone.ends) == {"new": pytest.approx(scale)}
    prediction = Ensemble(ensemble.members, recipe).predict(alone, alone.ends)
    assert (prediction["q0.9"] > prediction["q0.1"]).all()


def test_quantiles_of_a_recipe_without_a_usual_scale_do_not_depend_on_blocks(
    ensemble: Ensemble, panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    constant = hourly(series=3)
    constant["y"] = constant["y"].mask(constant["unique_id"] == "s2", 5.0)
    known = {"s0": 1.0, "s1": 4.0, "s2": None}
    recipe = ensemble.recipe.model_copy(update={"relative_scale": None, "scales": known})
    contract = Contract(
        spec=panel.spec,
        training=small_settings(),
        fitted_through={"s0": constant["ds"].max().to_pydatetime()},
    )
    bundle = Bundle(contract, Ensemble(ensemble.members, recipe))
    whole = bundle.forecast(constant)
    monkeypatch.setattr(parquet, "BLOCK_ROWS", 50)
    monkeypatch.setattr("kubecast.ensemble.bundle.FORECAST_ROWS", 50)
    pd.testing.assert_frame_equal(bundle.forecast(constant), whole, rtol=1e-12, atol=0)
    last = whole[whole["unique_id"] == "s2"]
    assert (last["q0.9"] > last["q0.1"]).all()


def test_unseen_series_is_forecast_by_members_that_are_not_fitted_series_by_series(
    ensemble: Ensemble, panel: Panel, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = ensemble.recipe.model_copy(update={"members": {"day": "catboost", "hour": "arima"}})
    prediction = Ensemble(ensemble.members, recipe).predict(panel, panel.ends)
    both = ensemble.predict(panel, panel.ends)
    day = ensemble.members["day"].forecast(panel, panel.ends)["day"]
    new = prediction["unique_id"] == "s2"
    pd.testing.assert_frame_equal(prediction[~new], both[~new])
    np.testing.assert_allclose(prediction.loc[new, "yhat"], day[new])
    assert "s2: new to the model" in caplog.text
    assert "without hour" in caplog.text


def test_unseen_series_is_forecast_without_a_local_member_that_is_gone(
    ensemble: Ensemble, panel: Panel
) -> None:
    day = ensemble.members["day"]
    recipe = ensemble.recipe.model_copy(update={"members": {"day": "catboost", "hour": "arima"}})
    prediction = Ensemble({"day": day}, recipe).predict(panel, panel.ends)
    np.testing.assert_allclose(prediction["yhat"], day.forecast(panel, panel.ends)["day"])


def test_fallback_for_an_unseen_series_is_named(
    ensemble: Ensemble, panel: Panel, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = ensemble.recipe.model_copy(update={"members": {"day": "arima", "hour": "arima"}})
    prediction = Ensemble(ensemble.members, recipe).predict(panel, panel.ends)
    assert np.isfinite(prediction["yhat"]).all()
    assert "s2: new to the model: the seasonal naive forecast of day is used" in caplog.text


def test_series_none_of_which_is_known_are_named_whatever_the_members(
    ensemble: Ensemble, panel: Panel, caplog: pytest.LogCaptureFixture
) -> None:
    kinds = {"members": {"day": "catboost", "hour": "lstm"}, "scales": {"1": 1.0}}
    Ensemble(ensemble.members, ensemble.recipe.model_copy(update=kinds)).predict(panel, panel.ends)
    assert "no series is known: the model was trained on others, e.g. 1" in caplog.text
    assert caplog.text.count("new to the model") == 1


def test_scales_of_unseen_series_see_nothing_after_the_first_origin(ensemble: Ensemble, panel: Panel) -> None:
    origins = panel.split("test")
    late = panel.frame["ds"] > origins.frame["cutoff"].min()
    altered = Panel(
        panel.frame.assign(y=panel.frame["y"].where(~late, panel.frame["y"] * 50)),
        *(panel.static, panel.spec, panel.series, panel.origins),
    )
    first = Cutoffs(origins.frame[origins.frame["cutoff"] == origins.frame["cutoff"].min()])
    pd.testing.assert_frame_equal(ensemble.predict(panel, first), ensemble.predict(altered, first))


def test_seen_series_need_no_history(ensemble: Ensemble, panel: Panel) -> None:
    seen = Cutoffs(panel.ends.frame.iloc[:2])
    assert len(ensemble.predict(panel, seen)) == 2 * panel.spec.horizon


def test_saved_and_loaded_predictions_are_identical(ensemble: Ensemble, panel: Panel, tmp_path: Path) -> None:
    ensemble.save(tmp_path)
    loaded = Ensemble.load(tmp_path)
    assert {path.name for path in (tmp_path / "members").iterdir()} == {"day", "hour"}
    pd.testing.assert_frame_equal(
        loaded.predict(panel, panel.ends), ensemble.predict(panel, panel.ends), check_exact=True
    )


def test_member_without_weight_is_not_saved(ensemble: Ensemble, panel: Panel, tmp_path: Path) -> None:
    alone = ensemble.recipe.model_copy(update={"weights": {"day": 1.0, "hour": 0.0}})
    Ensemble(ensemble.members, alone).save(tmp_path)
    assert [path.name for path in (tmp_path / "members").iterdir()] == ["day"]
    np.testing.assert_allclose(
        Ensemble.load(tmp_path).forecast(panel, panel.ends)[ENSEMBLE],
        ensemble.members["day"].forecast(panel, panel.ends)["day"],
    )


def test_member_that_is_gone_is_left_out_and_named(
    ensemble: Ensemble, panel: Panel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Ensemble({"day": ensemble.members["day"]}, ensemble.recipe).save(tmp_path)
    prediction = Ensemble.load(tmp_path).forecast(panel, panel.ends)
    np.testing.assert_allclose(
        prediction[ENSEMBLE], ensemble.members["day"].forecast(panel, panel.ends)["day"]
    )
    assert "without hour" in caplog.text


class Failing(SeasonalNaive):
    def forecast(self, panel: Panel, origins: Cutoffs) -> pd.DataFrame:
        raise ModelError("out of its depth")


def test_member_that_fails_to_forecast_is_left_out_and_named(
    ensemble: Ensemble, panel: Panel, caplog: pytest.LogCaptureFixture
) -> None:
    broken = Ensemble({**ensemble.members, "hour": Failing(1, "hour")}, ensemble.recipe)
    prediction = broken.forecast(panel, panel.ends)
    np.testing.assert_allclose(
        prediction[ENSEMBLE], ensemble.members["day"].forecast(panel, panel.ends)["day"]
    )
    assert "hour cannot forecast (out of its depth)" in caplog.text


@pytest.mark.parametrize("content", ["not json", "{}", None])
def test_what_is_no_ensemble_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "ensemble.json").write_text(content)
    with pytest.raises(IntegrityError, match="not an ensemble"):
        Ensemble.load(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ('"day":"seasonal_naive"', '"day":"pickle"', IntegrityError),
        ('"day":"seasonal_naive"', '"../../day":"seasonal_naive"', InvalidName),
        ('"weights":{"day"', '"weights":{"x"', IntegrityError),
    ],
)
def test_altered_recipe_is_refused(
    ensemble: Ensemble, tmp_path: Path, old: str, new: str, error: type[Exception]
) -> None:
    text = ensemble.recipe.model_dump_json()
    assert old in text
    (tmp_path / "ensemble.json").write_text(text.replace(old, new))
    with pytest.raises(error):
        Ensemble.load(tmp_path)
