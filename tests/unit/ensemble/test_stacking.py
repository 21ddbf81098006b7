import numpy as np
import pandas as pd
import pytest

from kubecast.ensemble.recipe import StackRecipe
from kubecast.ensemble.settings import EnsembleSettings
from kubecast.errors import InvalidName, ModelError
from kubecast.scoring.metrics import ENSEMBLE
from tests.support.forecasts import forecasts, scales, stack_table, stack_whole
from tests.unit.ensemble.stacks import GREEDY, KINDS, cross_fit, mixture, stacked


@pytest.mark.slow
def test_stack_of_independent_members_beats_the_best() -> None:
    recipe, table = stacked(forecasts({"a": 1.0, "b": 1.0, "c": 1.0}, origins=20))
    assert recipe.method == "greedy"
    assert recipe.loss < recipe.member_losses[recipe.best_member]
    assert list(recipe.loss_without) == ["a", "b", "c"]
    assert min(recipe.loss_without.values()) > recipe.loss
    test = table[table["split"] == "test"]
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
    table = forecasts({"a": 1.0, "b": error, "c": error}, series=1, folds=4, origins=3, seed=4)
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
    better_half = sorted(recipe.member_losses, key=recipe.member_losses.__getitem__)[:3]
    assert min(recipe.weights[name] for name in better_half) >= recipe.shrinkage / 3


@pytest.mark.slow
def test_shrinkage_that_costs_less_than_a_standard_error_is_taken() -> None:
    table = forecasts({"a": 1.0, "b": 1.15}, series=1, folds=5, origins=4, seed=0)
    recipe, _ = stacked(table, kinds={"a": "catboost", "b": "lstm"})
    losses = {}
    for shrinkage in (0.0, 0.25, 0.5, 0.75, 1.0):
        combined, _ = cross_fit(table[table["split"] == "validation"], scales(table), "greedy", shrinkage)
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
    assert recipe.loss_best_member >= min(recipe.member_losses.values())


def test_identical_members_give_a_convex_ensemble_equal_to_them() -> None:
    table = forecasts({"a": 1.0}, seed=2)
    for method in ("greedy", "equal"):  # an average of three is theirs but for its last digits
        settings = GREEDY.model_copy(update={"method": method})
        recipe, result = stacked(table.assign(b=table["a"], c=table["a"]), settings)
        assert sum(recipe.weights.values()) == pytest.approx(1)
        np.testing.assert_allclose(result[ENSEMBLE], table["a"])
        assert not any("chance" in note for note in recipe.notes)


def test_one_member() -> None:
    recipe, result = stacked(forecasts({"a": 1.0}), kinds={"a": "arima"})
    assert recipe.weights == {"a": 1.0}
    assert recipe.loss_without == {}
    pd.testing.assert_series_equal(result[ENSEMBLE], result["a"], check_names=False)


@pytest.mark.parametrize("method", ["greedy", "nnls", "equal"])
def test_every_method_stacks(method: str) -> None:
    table = forecasts({"a": 1.0, "b": 1.0, "c": 1.0}, origins=20)
    recipe, result = stacked(table, EnsembleSettings.model_validate({"method": method, "quantiles": [0.5]}))
    assert recipe.method == method
    assert np.isfinite(result[[ENSEMBLE, "q0.5"]]).all(axis=None)


def test_ols_stacks_one_series() -> None:
    table = mixture(noise=0.05, series=1)
    recipe, _ = stacked(table, EnsembleSettings(method="ols", quantiles=[0.5]))
    assert recipe.method == "ols"
    assert recipe.weights["a"] == pytest.approx(0.7, abs=0.05)


def test_too_few_trained_models_are_refused_with_the_reasons() -> None:
    table = forecasts({"c": 1.0})
    with pytest.raises(ModelError, match=r"0 trained models .*missing: lstm: loss is NaN.*min_models = 1"):
        stack_table(
            table,
            scales(table),
            GREEDY,
            {"c": "seasonal_naive"},
            {"lstm": "loss is NaN"},
            24,
        )


def test_validation_without_a_scored_target_is_refused() -> None:
    table = forecasts({"a": 1.0, "b": 1.0, "c": 1.0})
    with pytest.raises(ModelError, match="no target of the validation split"):
        stacked(table.assign(observed=table["split"] == "test"))


def test_member_name_that_is_a_path_is_refused() -> None:
    table = forecasts({"../a": 1.0, "b": 1.0})
    with pytest.raises(InvalidName):
        stacked(table, kinds={"../a": "lstm", "b": "seasonal_naive"})


def test_constant_series_is_forecast_without_a_scale() -> None:
    table = forecasts({"a": 1.0, "b": 1.0, "c": 1.0})
    series = scales(table)
    series.loc[series["unique_id"] == "s2", "scale"] = np.nan
    recipe, result = stack_whole(table, series, GREEDY, KINDS, {"arima": "too short"}, 24)
    assert recipe.scales == {"s1": 1.0, "s2": None, "s3": 3.0}
    assert recipe.missing == {"arima": "too short"}
    assert np.isfinite(result[[ENSEMBLE, "q0.1", "q0.9"]]).all(axis=None)
    flat = result[result["unique_id"] == "s2"]
    np.testing.assert_array_equal(flat["q0.1"], flat[ENSEMBLE])


def test_perfect_forecasts_give_finite_quantiles_and_json() -> None:
    recipe, result = stacked(forecasts({"a": 0.0, "b": 0.0, "c": 0.0}))
    assert recipe.loss == pytest.approx(0, abs=1e-12)
    np.testing.assert_array_equal(result["q0.1"], result["y"])
    assert StackRecipe.model_validate_json(recipe.model_dump_json()) == recipe


def test_test_targets_choose_nothing_that_is_judged() -> None:
    table = forecasts({"a": 1.0, "b": 1.0, "c": 1.0}, origins=10)
    altered = table.assign(y=table["y"].where(table["split"] == "validation", 0.0))
    recipe, before = stacked(table)
    changed, after = stacked(altered)
    pd.testing.assert_frame_equal(before.drop(columns="y"), after.drop(columns="y"), check_exact=True)
    assert changed.as_evaluated().quantiles == recipe.as_evaluated().quantiles
    assert changed.quantiles != recipe.quantiles


def test_validation_quantiles_of_a_block_do_not_see_its_own_errors() -> None:
    table = forecasts({"a": 1.0, "b": 9.0, "c": 9.0}, origins=10, gap=5)
    wild = table["y"] + np.where(table["fold"] == 1, 1000.0, 0.0)
    _, result = stacked(table.assign(y=wild.where(table["split"] == "validation", table["y"])), kinds=KINDS)
    validation = result[result["split"] == "validation"]
    width = (validation["q0.9"] - validation["q0.1"]).groupby(validation["fold"]).max()
    assert width[1] < 100
    assert width[0] > 900


@pytest.mark.slow
def test_coverage_of_the_test_part_is_near_nominal() -> None:
    table = forecasts({"a": 1.0, "b": 1.0, "c": 1.5}, series=60, folds=4, origins=5, horizon=4, gap=4)
    _, result = stacked(table)
    for split in ("validation", "test"):
        rows = result[result["split"] == split]
        inside = ((rows["y"] >= rows["q0.1"]) & (rows["y"] <= rows["q0.9"])).mean()
        assert inside == pytest.approx(0.8, abs=0.02)


def test_blocks_that_all_overlap_are_combined_equally_and_named() -> None:
    table = forecasts({"a": 1.0, "b": 1.0, "c": 1.0}, origins=1, horizon=12)
    recipe, result = stacked(table)
    assert recipe.method == "equal"
    assert recipe.fold_weights == {}
    (note,) = recipe.notes
    assert "nothing is held out" in note
    np.testing.assert_allclose(result[ENSEMBLE], result[["a", "b", "c"]].mean(axis=1))


def test_blocks_without_a_scored_target_hold_nothing_out() -> None:
    table = forecasts({"a": 1.0, "b": 1.2, "c": 2.0}, series=1, folds=2, origins=2, gap=6)
    table.loc[(table["split"] == "validation") & (table["fold"] == 0), "observed"] = False
    recipe, _ = stacked(table)
    assert recipe.method == "equal"


@pytest.mark.parametrize("seed", range(6))
def test_two_blocks_excuse_no_stack_that_is_worse_by_over_a_tenth(seed: int) -> None:
    table = forecasts({"a": 1.0, "b": 4.0, "c": 4.0}, series=1, folds=2, origins=4, gap=12, seed=seed)
    recipe, _ = stacked(table, GREEDY.model_copy(update={"method": "equal"}))
    assert recipe.method == "best_member"
    assert recipe.loss >= 1.1 * recipe.loss_best_member
    (note,) = recipe.notes
    assert "better by more than a tenth" in note


def test_one_block_alone_is_combined_equally_and_named() -> None:
    recipe, result = stacked(forecasts({"a": 0.1, "b": 1.0, "c": 1.0}, folds=1))
    assert recipe.weights == pytest.approx({"a": 1 / 3, "b": 1 / 3, "c": 1 / 3})
    assert "nothing is held out" in recipe.notes[0]
    assert np.isfinite(result[["q0.1", "q0.9"]]).all(axis=None)


def test_block_that_overlaps_all_others_is_named() -> None:
    table = forecasts({"a": 1.0, "b": 1.0, "c": 1.0}, folds=3, origins=3, horizon=4)
    recipe, _ = stacked(table)
    assert set(recipe.fold_weights) == {0, 2}
    assert "validation folds 1 overlap all others" in recipe.notes[0]
