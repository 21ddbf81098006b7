"""Stacks of tables of forecasts whose right answers are known."""

import numpy as np
import pandas as pd

from kubecast.ensemble.cross_fitting import FoldSpans, fit_folds, scored_folds
from kubecast.ensemble.recipe import StackRecipe, Weights
from kubecast.ensemble.settings import EnsembleSettings
from kubecast.ensemble.weights import ScaledForecasts, combine_columns
from tests.support.forecasts import forecasts, scales, stack_table, stack_whole

GREEDY = EnsembleSettings(quantiles=[0.1, 0.5, 0.9])
KINDS = {"a": "catboost", "b": "lstm", "c": "seasonal_naive"}


def stacked(
    table: pd.DataFrame, settings: EnsembleSettings = GREEDY, kinds: dict[str, str] | None = None
) -> tuple[StackRecipe, pd.DataFrame]:
    """The recipe of a table and its forecasts."""
    return stack_whole(table, scales(table), settings, kinds or KINDS, {}, season_length=24)


def cross_fit(
    validation: pd.DataFrame, series: pd.DataFrame, method: str, shrinkage: float = 0.0
) -> tuple["pd.Series[float]", dict[int, Weights]]:
    """The folds of members a and b, each combined with the weights of the others, and these weights."""
    folds = FoldSpans.of(validation).folds(validation)
    data = ScaledForecasts.from_table(validation, series, ["a", "b"])
    fits = fit_folds(data, scored_folds(folds, validation, series), method, rounds=50)
    weights = {number: fit.fitted.shrunk(shrinkage) for number, fit in fits.items()}
    combined = pd.Series(np.nan, validation.index)
    for number, fold in folds.items():
        combined[fold.held] = combine_columns(validation[fold.held], weights[number])
    return combined, weights


def mixture(noise: float = 0.0, series: int = 3) -> pd.DataFrame:
    """The target is 0.7 a + 0.3 b, plus noise; c is far off."""
    table = forecasts({"a": 1.0, "b": 1.0, "c": 5.0}, series=series, origins=10)
    random = np.random.default_rng(1)
    number = table["unique_id"].str[1:].astype(float)
    table["y"] = 0.7 * table["a"] + 0.3 * table["b"] + number * random.normal(0, noise, len(table))
    return table


def recipe_of(weights: dict[str, float], kinds: dict[str, str] | None = None) -> StackRecipe:
    """A recipe with these weights."""
    table = forecasts(dict.fromkeys(weights, 1.0))
    kinds = kinds or dict.fromkeys(weights, "catboost")
    recipe, _ = stack_table(table, scales(table), GREEDY.model_copy(update={"min_models": 0}), kinds, {}, 24)
    return recipe.model_copy(update={"weights": weights})
