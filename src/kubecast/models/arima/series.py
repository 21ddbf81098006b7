"""The fit of one series: its season profiles chosen, their orders searched, their parameters estimated."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from kubecast.errors import ModelError, one_line
from kubecast.models.arima.estimation import estimate
from kubecast.models.arima.recipe import Recipe, SeriesModel
from kubecast.models.arima.task import Search, Task
from kubecast.models.arima.trials import CLEARLY, Trial, backtest_error, best_trials

T = TypeVar("T")


def fit_series(task: Task, search: Search) -> tuple[str, list[SeriesModel] | str]:
    """Fit one series.

    Returns:
        Its name, and its models, whose weights sum to 1, or the reason why there is none.
    """
    # Of trial orders that the search then leaves: what matters of them is the error, if there is one.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outcomes = _fit_models(task, search)
    models = [outcome for outcome in outcomes if isinstance(outcome, SeriesModel)]
    if not models:
        return task.unique_id, next(outcome for outcome in outcomes if isinstance(outcome, str))
    total = sum(model.recipe.weight for model in models)
    return task.unique_id, [
        replace(model, recipe=replace(model.recipe, weight=model.recipe.weight / total), anchor=task.anchor)
        for model in models
    ]


def _fit_models(task: Task, search: Search) -> list[SeriesModel | str]:
    """Every model of the series, or the reason why it could not be fitted."""
    if task.recipes is not None:
        return [_attempt(_fit_recipe, task, recipe, search) for recipe in task.recipes]
    trials = _attempt(best_trials, task, search)
    if isinstance(trials, str):
        return [trials]
    return [_attempt(_fit_trial, task, trial, search) for trial in trials]


def _attempt(step: Callable[..., T], *arguments: Any) -> T | str:
    """Result of a step, or the reason why it fails: whatever the libraries raise, the others go on."""
    try:
        return step(*arguments)
    except ModelError as error:
        return str(error)
    except Exception as error:
        return f"{type(error).__name__}: {one_line(error)}"


def _checked(model: SeriesModel) -> SeriesModel:
    finite = np.isfinite([*model.beta, *model.arima.ar, *model.arima.ma]).all()
    if not finite or not model.arima.is_stable():
        raise ModelError(f"no stable parameters for order {model.recipe.order} {model.recipe.seasonal}")
    return model


def _fit_recipe(task: Task, recipe: Recipe, search: Search) -> SeriesModel:
    return _checked(estimate(task, recipe, search, search.engine))


def _fit_trial(task: Task, trial: Trial, search: Search) -> SeriesModel:
    return _checked(_search_trial(task, trial, search))


def _search_trial(task: Task, trial: Trial, search: Search) -> SeriesModel:
    if search.engine == "burg":
        return estimate(task, trial.recipe, search, "burg")
    model = estimate(task, trial.recipe, search, None, trial.difference)
    # A long autoregression may hold a trend by a root so near 1 that no searched orders may have it.
    if trial.difference is None or backtest_error(task, model, search) <= CLEARLY * trial.error:
        return model
    return estimate(task, trial.recipe, search, None)
