import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kubecast.data.panel import Cutoffs, Panel
from kubecast.ensemble.settings import EnsembleSettings
from kubecast.ensemble.stacking import (
    MAX_ROWS,
    Ensemble,
    StackRecipe,
    combine,
    cross_fit,
    fit_weights,
    folds,
    stack,
    usable_weights,
)
from kubecast.errors import ConfigError, IntegrityError, InvalidName, ModelError
from kubecast.models.base import FitPlan
from kubecast.models.seasonal_naive import SeasonalNaive
from kubecast.scoring.metrics import ENSEMBLE
from tests.unit.forecast_tables import forecasts, scales

GREEDY = EnsembleSettings(quantiles=[0.1, 0.5, 0.9])
KINDS = {"a": "catboost", "b": "lstm", "c": "seasonal_naive"}


def stacked(
    table: pd.DataFrame, settings: EnsembleSettings = GREEDY, kinds: dict[str, str] | None = None
) -> tuple[StackRecipe, pd.DataFrame]:
    return stack(table, scales(table), settings, kinds or KINDS, {}, season_length=24)


def mixture(noise: float = 0.0, series: int = 3) -> pd.DataFrame:
    """The target is 0.7 a + 0.3 b, plus noise; c is far off."""
    table = forecasts({"a": 1.0, "b": 1.0, "c": 5.0}, series=series, origins=10)
    random = np.random.default_rng(1)
    number = table["unique_id"].str[1:].astype(float)
    table["y"] = 0.7 * table["a"] + 0.3 * table["b"] + number * random.normal(0, noise, len(table))
    return table


# --- weights ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["greedy", "nnls"])
def test_known_mixture_is_found(method: str) -> None:
    table = mixture(noise=0.1)
    weights = fit_weights(table, scales(table), ["a", "b", "c"], method, rounds=50)
    assert weights["a"] == pytest.approx(0.7, abs=0.03)
    assert weights["b"] == pytest.approx(0.3, abs=0.03)


def test_ols_finds_weights_beyond_convexity_for_one_series() -> None:
    table = mixture(series=1)
    table["y"] = 1.5 * table["a"] - 0.5 * table["b"]
    weights = fit_weights(table, scales(table), ["a", "b"], "ols")
    assert weights == pytest.approx({"a": 1.5, "b": -0.5})


def test_ols_with_several_series_is_refused() -> None:
    table = mixture()
    with pytest.raises(ConfigError, match=r"ols with 3 series; allowed: one series"):
        fit_weights(table, scales(table), ["a", "b"], "ols")


def test_equal_weights() -> None:
    table = mixture()
    assert fit_weights(table, scales(table), ["a", "b"], "equal") == {"a": 0.5, "b": 0.5}


@pytest.mark.parametrize("method", ["greedy", "nnls"])
@pytest.mark.parametrize("seed", range(3))
def test_weights_are_convex(method: str, seed: int) -> None:
    table = forecasts({"a": 1.0, "b": 0.8, "c": 2.0, "d": 0.9}, seed=seed)
    weights = fit_weights(table, scales(table), ["a", "b", "c", "d"], method, rounds=20)
    assert min(weights.values()) >= 0
    assert sum(weights.values()) == pytest.approx(1)


def test_greedy_weighs_each_series_the_same() -> None:
    many = forecasts({"a": 0.0, "b": 1.0}, series=1, origins=60)
    few = forecasts({"a": 1.0, "b": 0.0}, series=2, origins=2).query("unique_id == 's2'")
    few = few.assign(a=few["y"] + 6.0)
    both = pd.concat([many, few], ignore_index=True)
    assert fit_weights(both, scales(both), ["a", "b"])["b"] == 1.0


def test_perfect_member_takes_all_weight() -> None:
    table = forecasts({"a": 0.0, "b": 1.0})
    assert fit_weights(table, scales(table), ["b", "a"]) == {"b": 0.0, "a": 1.0}


@pytest.mark.parametrize("method", ["greedy", "nnls"])
def test_nothing_scored_gives_equal_weights(method: str) -> None:
    table = forecasts({"a": 0.0, "b": 1.0}).assign(observed=False)
    assert fit_weights(table, scales(table), ["a", "b"], method) == {"a": 0.5, "b": 0.5}


def test_nnls_without_a_positive_weight_falls_back_to_equal() -> None:
    table = forecasts({"a": 0.0, "b": 0.0})
    table = table.assign(a=-table["y"], b=-table["y"])
    assert fit_weights(table, scales(table), ["a", "b"], "nnls") == {"a": 0.5, "b": 0.5}


def test_large_tables_are_thinned_without_losing_the_mixture() -> None:
    table = pd.concat([mixture(noise=0.1)] * (MAX_ROWS // 800), ignore_index=True)
    assert len(table) > MAX_ROWS
    assert fit_weights(table, scales(table), ["a", "b", "c"], rounds=20)["a"] == pytest.approx(0.7, abs=0.06)


# --- cross-fitting ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["greedy", "nnls"])
def test_altering_a_blocks_targets_does_not_change_its_combination(method: str) -> None:
    table = forecasts({"a": 1.0, "b": 1.2}, parts=["validation"], origins=8)
    held = table["block"] == 1
    # A target that lies inside the block's range is the same number in every row that shows it.
    inside = table["ds"].between(table.loc[held, "ds"].min(), table.loc[held, "ds"].max())
    altered = table.assign(y=table["y"].where(~inside, table["y"] * -7 + 3))
    before, weights = cross_fit(table, scales(table), ["a", "b"], method, 20)
    after, changed = cross_fit(altered, scales(table), ["a", "b"], method, 20)
    pd.testing.assert_series_equal(before[held], after[held], check_exact=True)
    assert weights[1] == changed[1]
    assert weights[0] != changed[0]


def test_origins_whose_targets_overlap_a_block_are_not_fitted_to() -> None:
    table = forecasts({"a": 1.0}, series=1, horizon=3, parts=["validation"])
    found = table[folds(table)[1].others]
    held = table[table["block"] == 1]
    assert len(found)
    assert ((found["ds"] < held["ds"].min()) | (found["ds"] > held["ds"].max())).all()
    # Cut-offs are hours 0 to 11 and block 1's are 4 to 7, whose targets are hours 5 to 10.
    hours = (found["cutoff"] - table["cutoff"].min()) / pd.Timedelta(hours=1)
    assert sorted(set(hours)) == [0.0, 1.0, 10.0, 11.0]


def test_series_without_an_origin_in_the_block_goes_by_the_others_clock() -> None:
    table = forecasts({"a": 1.0}, series=2, horizon=3, parts=["validation"])
    table = table[~((table["unique_id"] == "s2") & (table["block"] == 1))]
    kept = table[folds(table)[1].others]
    cutoffs = kept.groupby("unique_id")["cutoff"].unique()
    assert cutoffs["s1"].tolist() == cutoffs["s2"].tolist()


def test_blocks_that_all_overlap_are_combined_equally_and_named() -> None:
    table = forecasts({"a": 1.0, "b": 1.0, "c": 1.0}, origins=1, horizon=12)
    recipe, found = stacked(table)
    assert recipe.method == "equal"
    assert recipe.block_weights == {}
    (note,) = recipe.notes
    assert "nothing is held out" in note
    np.testing.assert_allclose(found[ENSEMBLE], found[["a", "b", "c"]].mean(axis=1))


def test_blocks_without_a_scored_target_hold_nothing_out() -> None:
    table = forecasts({"a": 1.0, "b": 1.2, "c": 2.0}, series=1, blocks=2, origins=2, gap=6)
    table.loc[(table["part"] == "validation") & (table["block"] == 0), "observed"] = False
    recipe, _ = stacked(table)
    assert recipe.method == "equal"


@pytest.mark.parametrize("seed", range(6))
def test_two_blocks_excuse_no_stack_that_is_worse_by_over_a_tenth(seed: int) -> None:
    table = forecasts({"a": 1.0, "b": 4.0, "c": 4.0}, series=1, blocks=2, origins=4, gap=12, seed=seed)
    recipe, _ = stacked(table, GREEDY.model_copy(update={"method": "equal"}))
    assert recipe.method == "best_member"
    assert recipe.loss >= 1.1 * recipe.loss_best_member
    (note,) = recipe.notes
    assert "better by more than a tenth" in note


def test_one_block_alone_is_combined_equally_and_named() -> None:
    recipe, found = stacked(forecasts({"a": 0.1, "b": 1.0, "c": 1.0}, blocks=1))
    assert recipe.weights == pytest.approx({"a": 1 / 3, "b": 1 / 3, "c": 1 / 3})
    assert "nothing is held out" in recipe.notes[0]
    assert np.isfinite(found[["q0.1", "q0.9"]]).all(axis=None)


def test_block_that_overlaps_all_others_is_named() -> None:
    table = forecasts({"a": 1.0, "b": 1.0, "c": 1.0}, blocks=3, origins=3, horizon=4)
    recipe, _ = stacked(table)
    assert set(recipe.block_weights) == {0, 2}
    assert "validation blocks 1 overlap all others" in recipe.notes[0]


# --- the stack ----------------------------------------------------------------------------------------


def test_stack_of_independent_members_beats_the_best() -> None:
    recipe, table = stacked(forecasts({"a": 1.0, "b": 1.0, "c": 1.0}, origins=20))
    assert recipe.method == "greedy"
    assert recipe.loss < recipe.loss_alone[recipe.best_member]
    assert list(recipe.loss_without) == ["a", "b", "c"]
    assert min(recipe.loss_without.values()) > recipe.loss
    test = table[table["part"] == "test"]
    error = {name: (test["y"] - test[name]).abs().mean() for name in ("a", "b", "c", ENSEMBLE)}
    assert error[ENSEMBLE] < min(error[name] for name in ("a", "b", "c"))


def test_stack_no_better_than_its_best_member_is_that_member() -> None:
    recipe, table = stacked(forecasts({"a": 0.0, "b": 3.0, "c": 3.0}))
    assert recipe.method == "best_member"
    assert recipe.weights == {"a": 1.0, "b": 0.0, "c": 0.0}
    assert recipe.active == ["a"]
    assert recipe.notes[-1].endswith("the stack's MASE is its best member's, 0: a alone is used")
    pd.testing.assert_series_equal(table[ENSEMBLE], table["a"], check_names=False)


@pytest.mark.parametrize(("error", "method"), [(2.4, "equal"), (4.0, "best_member")])
def test_stack_is_left_for_a_member_that_is_better_by_more_than_chance(error: float, method: str) -> None:
    table = forecasts({"a": 1.0, "b": error, "c": error}, series=1, blocks=4, origins=3, seed=4)
    settings = GREEDY.model_copy(update={"method": "equal"})
    recipe, _ = stacked(table, settings)
    assert recipe.loss > recipe.loss_best_member
    assert recipe.method == method
    assert any("better by more than chance gives" in note for note in recipe.notes) == (error == 4.0)


def test_weights_of_equally_good_members_are_shrunk_to_equal_ones() -> None:
    kinds = {"a": "catboost", "b": "lstm", "c": "arima", "d": "transformer", "e": "seasonal_naive"}
    table = forecasts({"a": 1.0, "b": 1.0, "c": 1.0, "d": 1.0, "e": 9.0}, series=1, origins=6)
    recipe, _ = stacked(table, kinds=kinds)
    assert recipe.shrinkage > 0
    assert sum(recipe.weights.values()) == pytest.approx(1)
    better_half = sorted(recipe.loss_alone, key=recipe.loss_alone.__getitem__)[:3]
    assert min(recipe.weights[name] for name in better_half) >= recipe.shrinkage / 3


def test_shrinkage_that_costs_less_than_a_standard_error_is_taken() -> None:
    table = forecasts({"a": 1.0, "b": 1.15}, series=1, blocks=5, origins=4, seed=0)
    recipe, _ = stacked(table, kinds={"a": "catboost", "b": "lstm"})
    losses = {}
    for shrinkage in (0.0, 0.25, 0.5, 0.75, 1.0):
        combined, _ = cross_fit(
            table[table["part"] == "validation"], scales(table), ["a", "b"], "greedy", 50, shrinkage
        )
        held = table.loc[combined.index]
        losses[shrinkage] = float((held["y"] - combined).abs().mean())
    assert min(losses, key=losses.__getitem__) < recipe.shrinkage


def test_weights_of_a_clear_mixture_are_not_shrunk() -> None:
    recipe, _ = stacked(mixture(noise=0.01))
    assert recipe.shrinkage == 0
    assert recipe.weights["a"] == pytest.approx(0.7, abs=0.03)


def test_best_member_is_judged_on_blocks_that_did_not_choose_it() -> None:
    """The smallest of three losses flatters; held out, the choice is no better than any of them."""
    table = forecasts({"a": 1.0, "b": 1.0, "c": 1.0}, origins=8)
    recipe, _ = stacked(table)
    assert recipe.loss_best_member >= min(recipe.loss_alone.values())


def test_identical_members_give_a_convex_ensemble_equal_to_them() -> None:
    table = forecasts({"a": 1.0}, seed=2)
    for method in ("greedy", "equal"):  # an average of three is theirs but for its last digits
        settings = GREEDY.model_copy(update={"method": method})
        recipe, found = stacked(table.assign(b=table["a"], c=table["a"]), settings)
        assert sum(recipe.weights.values()) == pytest.approx(1)
        np.testing.assert_allclose(found[ENSEMBLE], table["a"])
        assert not any("chance" in note for note in recipe.notes)


def test_one_member() -> None:
    recipe, found = stacked(forecasts({"a": 1.0}), kinds={"a": "arima"})
    assert recipe.weights == {"a": 1.0}
    assert recipe.loss_without == {}
    pd.testing.assert_series_equal(found[ENSEMBLE], found["a"], check_names=False)


@pytest.mark.parametrize("method", ["greedy", "nnls", "equal"])
def test_every_method_stacks(method: str) -> None:
    table = forecasts({"a": 1.0, "b": 1.0, "c": 1.0}, origins=20)
    recipe, found = stacked(table, EnsembleSettings.model_validate({"method": method, "quantiles": [0.5]}))
    assert recipe.method == method
    assert np.isfinite(found[[ENSEMBLE, "q0.5"]]).all(axis=None)


def test_ols_stacks_one_series() -> None:
    table = mixture(noise=0.05, series=1)
    recipe, _ = stacked(table, EnsembleSettings(method="ols", quantiles=[0.5]))
    assert recipe.method == "ols"
    assert recipe.weights["a"] == pytest.approx(0.7, abs=0.05)


def test_too_few_trained_models_are_refused_with_the_reasons() -> None:
    table = forecasts({"c": 1.0})
    with pytest.raises(ModelError, match=r"0 trained models .*missing: lstm: loss is NaN.*min_models = 1"):
        stack(table, scales(table), GREEDY, {"c": "seasonal_naive"}, {"lstm": "loss is NaN"}, 24)


def test_validation_without_a_scored_target_is_refused() -> None:
    table = forecasts({"a": 1.0, "b": 1.0, "c": 1.0})
    with pytest.raises(ModelError, match="no target of the validation part"):
        stacked(table.assign(observed=table["part"] == "test"))


def test_member_name_that_is_a_path_is_refused() -> None:
    table = forecasts({"../a": 1.0, "b": 1.0})
    with pytest.raises(InvalidName):
        stacked(table, kinds={"../a": "lstm", "b": "seasonal_naive"})


def test_constant_series_is_forecast_without_a_scale() -> None:
    table = forecasts({"a": 1.0, "b": 1.0, "c": 1.0})
    series = scales(table)
    series.loc[series["unique_id"] == "s2", "scale"] = np.nan
    recipe, found = stack(table, series, GREEDY, KINDS, {"arima": "too short"}, 24)
    assert recipe.scales == {"s1": 1.0, "s2": None, "s3": 3.0}
    assert recipe.missing == {"arima": "too short"}
    assert np.isfinite(found[[ENSEMBLE, "q0.1", "q0.9"]]).all(axis=None)
    flat = found[found["unique_id"] == "s2"]
    np.testing.assert_array_equal(flat["q0.1"], flat[ENSEMBLE])


def test_perfect_forecasts_give_finite_quantiles_and_json() -> None:
    recipe, found = stacked(forecasts({"a": 0.0, "b": 0.0, "c": 0.0}))
    assert recipe.loss == pytest.approx(0, abs=1e-12)
    np.testing.assert_array_equal(found["q0.1"], found["y"])
    assert StackRecipe.model_validate_json(recipe.model_dump_json()) == recipe


def test_test_targets_choose_nothing_that_is_judged() -> None:
    table = forecasts({"a": 1.0, "b": 1.0, "c": 1.0}, origins=10)
    altered = table.assign(y=table["y"].where(table["part"] == "validation", 0.0))
    recipe, before = stacked(table)
    changed, after = stacked(altered)
    pd.testing.assert_frame_equal(before.drop(columns="y"), after.drop(columns="y"), check_exact=True)
    assert changed.as_judged().quantiles == recipe.as_judged().quantiles
    assert changed.quantiles != recipe.quantiles


def test_validation_quantiles_of_a_block_do_not_see_its_own_errors() -> None:
    table = forecasts({"a": 1.0, "b": 9.0, "c": 9.0}, origins=10, gap=5)
    wild = table["y"] + np.where(table["block"] == 1, 1000.0, 0.0)
    _, found = stacked(table.assign(y=wild.where(table["part"] == "validation", table["y"])), kinds=KINDS)
    validation = found[found["part"] == "validation"]
    width = (validation["q0.9"] - validation["q0.1"]).groupby(validation["block"]).max()
    assert width[1] < 100
    assert width[0] > 900


def test_coverage_of_the_test_part_is_near_nominal() -> None:
    table = forecasts({"a": 1.0, "b": 1.0, "c": 1.5}, series=60, blocks=4, origins=5, horizon=4, gap=4)
    _, found = stacked(table)
    for part in ("validation", "test"):
        rows = found[found["part"] == part]
        inside = ((rows["y"] >= rows["q0.1"]) & (rows["y"] <= rows["q0.9"])).mean()
        assert inside == pytest.approx(0.8, abs=0.02)


# --- forecasting --------------------------------------------------------------------------------------


def recipe_of(weights: dict[str, float], kinds: dict[str, str] | None = None) -> StackRecipe:
    table = forecasts(dict.fromkeys(weights, 1.0))
    kinds = kinds or dict.fromkeys(weights, "catboost")
    recipe, _ = stack(table, scales(table), GREEDY.model_copy(update={"min_models": 0}), kinds, {}, 24)
    return recipe.model_copy(update={"weights": weights})


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
    recipe, found = stacked(table)
    test = found[found["part"] == "test"].reset_index(drop=True)
    combined = combine(recipe.as_judged(), test)
    assert list(combined.columns) == ["unique_id", "cutoff", "ds", "yhat", "q0.1", "q0.5", "q0.9"]
    np.testing.assert_allclose(combined["yhat"], test[ENSEMBLE])
    np.testing.assert_allclose(combined[["q0.1", "q0.9"]], test[["q0.1", "q0.9"]])


def test_combination_takes_scales_of_series_that_the_recipe_has_not_seen() -> None:
    recipe = recipe_of({"a": 1.0})
    table = forecasts({"a": 1.0}, series=1, parts=["test"]).assign(unique_id="new")
    flat, scaled = combine(recipe, table), combine(recipe, table, {"new": 2.0})
    assert (flat["q0.9"] == flat["yhat"]).all()
    assert (scaled["q0.9"] > scaled["q0.1"]).all()


NAIVES = {"day": "seasonal_naive", "hour": "seasonal_naive"}


@pytest.fixture
def ensemble(panel: Panel) -> Ensemble:
    origins = Cutoffs.of(panel.origins)
    table = panel.targets(origins).merge(panel.origins, on=["unique_id", "cutoff"])
    members = {"day": SeasonalNaive(24, "day"), "hour": SeasonalNaive(1, "hour")}
    for member in members.values():
        fitted, _ = member.fit(panel, panel.train_end, FitPlan())
        table = table.merge(fitted.forecast(panel, origins), on=["unique_id", "cutoff", "ds"])
    series = panel.series[panel.series["unique_id"] != "s2"]
    recipe, _ = stack(table, series, GREEDY.model_copy(update={"min_models": 0}), NAIVES, {}, 24)
    return Ensemble(members, recipe.model_copy(update={"weights": {"day": 0.75, "hour": 0.25}}))


def test_ensemble_forecasts_like_any_forecaster(ensemble: Ensemble, panel: Panel) -> None:
    origins = panel.part("test")
    found = ensemble.forecast(panel, origins)
    day, hour = (member.forecast(panel, origins)[name] for name, member in ensemble.members.items())
    assert list(found.columns) == ["unique_id", "cutoff", "ds", ensemble.name]
    np.testing.assert_allclose(found[ENSEMBLE], 0.75 * day + 0.25 * hour)


def test_prediction_gives_unseen_series_quantiles_from_their_history(
    ensemble: Ensemble, panel: Panel
) -> None:
    found = ensemble.predict(panel, panel.ends)
    assert set(found["unique_id"]) == {"s0", "s1", "s2"}
    assert (found["q0.9"] > found["q0.1"]).all()
    np.testing.assert_allclose(found["yhat"], ensemble.forecast(panel, panel.ends)[ENSEMBLE])


def test_unseen_series_is_forecast_by_members_that_are_not_fitted_series_by_series(
    ensemble: Ensemble, panel: Panel, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = ensemble.recipe.model_copy(update={"members": {"day": "catboost", "hour": "arima"}})
    found = Ensemble(ensemble.members, recipe).predict(panel, panel.ends)
    both = ensemble.predict(panel, panel.ends)
    day = ensemble.members["day"].forecast(panel, panel.ends)["day"]
    new = found["unique_id"] == "s2"
    pd.testing.assert_frame_equal(found[~new], both[~new])
    np.testing.assert_allclose(found.loc[new, "yhat"], day[new])
    assert "s2: new to the model" in caplog.text
    assert "without hour" in caplog.text


def test_fallback_for_an_unseen_series_is_named(
    ensemble: Ensemble, panel: Panel, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = ensemble.recipe.model_copy(update={"members": {"day": "arima", "hour": "arima"}})
    found = Ensemble(ensemble.members, recipe).predict(panel, panel.ends)
    assert np.isfinite(found["yhat"]).all()
    assert "s2: new to the model: the seasonal naive forecast of day is used" in caplog.text


def test_scales_of_unseen_series_see_nothing_after_the_first_origin(ensemble: Ensemble, panel: Panel) -> None:
    origins = panel.part("test")
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
    found = Ensemble.load(tmp_path).forecast(panel, panel.ends)
    np.testing.assert_allclose(found[ENSEMBLE], ensemble.members["day"].forecast(panel, panel.ends)["day"])
    assert "without hour" in caplog.text


class Failing(SeasonalNaive):
    def forecast(self, panel: Panel, origins: Cutoffs) -> pd.DataFrame:
        raise ModelError("out of its depth")


def test_member_that_fails_to_forecast_is_left_out_and_named(
    ensemble: Ensemble, panel: Panel, caplog: pytest.LogCaptureFixture
) -> None:
    broken = Ensemble({**ensemble.members, "hour": Failing(1, "hour")}, ensemble.recipe)
    found = broken.forecast(panel, panel.ends)
    np.testing.assert_allclose(found[ENSEMBLE], ensemble.members["day"].forecast(panel, panel.ends)["day"])
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
