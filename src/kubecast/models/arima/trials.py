"""Trials of season profiles, each with a quick autoregression, on the newest training rows."""

import itertools
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from kubecast.models.arima.estimation import estimate
from kubecast.models.arima.naive import naive_error
from kubecast.models.arima.profile import Smoothed
from kubecast.models.arima.recipe import Recipe, SeriesModel, forecast_series
from kubecast.models.arima.task import MIN_ROWS, Search, Task
from kubecast.models.averaging import inverse_error_weights

SMOOTHINGS = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0)  # of one season
BOTH = ((0.1, 0.3, 0.6), (0.1, 0.3, 0.6, 0.9))  # of a longer season, and of a shorter one in what that leaves
UNCOMPARED = 0.5  # smoothing of a season where nothing can be compared
SHARPNESS = 6  # power of the inverse errors that profiles are weighed by
ROWS_PER_ORDER = 4  # fewer rows for each weight of a long autoregression would be fitted to noise
CLEARLY = 1.1  # times better or worse: whether a search of orders takes a trial's differencing, and keeps it
BACKTESTS = 48  # origins that a profile is chosen by, in the last half of the training rows


class Trial(NamedTuple):
    """A profile with an autoregression by Burg's method.

    Attributes:
        error: Of its backtest.
        recipe: What is tried.
        difference: For the search of orders; None: by its own test.
    """

    error: float
    recipe: Recipe
    difference: int | None = None


def best_trials(task: Task, search: Search) -> list[Trial]:
    """Find the profiles, with their differencing, whose forecasts from the last training origins are best."""
    tried = [
        Trial(_backtest(task, recipe, search), recipe)
        for seasons in _profiles(search)
        for difference in range(min(search.settings.max_order[1], 1) + 1)
        for recipe in [_trial_recipe(seasons, difference, task, search)]
    ]
    tried = [trial._replace(difference=_clear_difference(trial, tried)) for trial in tried]
    best = sorted((trial for trial in tried if trial.error < np.inf), key=lambda trial: trial.error)
    best = best[: search.settings.n_models]
    if not best:  # nothing could be compared
        difference = min(search.settings.max_order[1], 1)
        return [Trial(np.inf, _trial_recipe(_plain_season(task, search), difference, task, search))]
    shares = inverse_error_weights([trial.error for trial in best], SHARPNESS).tolist()
    return [
        trial._replace(recipe=replace(trial.recipe, weight=share))
        for trial, share in zip(best, shares, strict=True)
        if share > 0
    ]


def _plain_season(task: Task, search: Search) -> tuple[Smoothed, ...]:
    """The profile of a history too short for a backtest: of a season whose naive errs clearly less."""
    leads, y = np.arange(1, search.horizon + 1), task.y
    shown = [m for m in search.profiles if 2 * m <= len(y) <= m + MIN_ROWS + search.horizon]
    best = min(shown, key=lambda season: naive_error(y, season, leads), default=1)
    is_clear = best > 1 and CLEARLY * naive_error(y, best, leads) < naive_error(y, 1, leads)
    return ((best, UNCOMPARED),) if is_clear else ()


def _clear_difference(trial: Trial, tried: list[Trial]) -> int | None:
    """The trial's differencing, unless another does nearly as well."""
    difference = trial.recipe.order[1]
    others = [other.error for other in tried if other.recipe.order[1] != difference]
    return difference if CLEARLY * trial.error < min(others, default=np.inf) else None


def _trial_recipe(seasons: tuple[Smoothed, ...], difference: int, task: Task, search: Search) -> Recipe:
    start = sum(length for length, _ in seasons)
    p = min(search.settings.max_order[0], max(len(task.y) - start, 0) // ROWS_PER_ORDER)
    return Recipe((p, difference, 0), constant=difference == 0, seasons=seasons)


def _profiles(search: Search) -> list[tuple[Smoothed, ...]]:
    """Profiles that are tried: of one season, of two, and where the settings allow it none."""
    if not search.profiles:
        return [()] if search.engine == "burg" else []
    lengths = sorted(search.profiles, reverse=True)
    none: list[tuple[Smoothed, ...]] = [()] if search.settings.deseasonalize == "auto" else []
    one = [((length, smoothing),) for length in lengths for smoothing in SMOOTHINGS]
    pairs = itertools.product(itertools.combinations(lengths, 2), *BOTH)
    return [*none, *one, *(((long, slow), (short, fast)) for (long, short), slow, fast in pairs)]


def _backtest(task: Task, recipe: Recipe, search: Search) -> float:
    """The error of a recipe with Burg's autoregression; infinite where it does not work."""
    try:
        return backtest_error(task, estimate(task, recipe, search, "burg"), search)
    except (ValueError, ArithmeticError, np.linalg.LinAlgError):
        return float("inf")


def backtest_error(task: Task, model: SeriesModel, search: Search) -> float:
    """Mean absolute error over the horizon in the newer half of the rows; infinite where there is none."""
    size, horizon = len(task.y), search.horizon
    first = max(size // 2, model.recipe.start + MIN_ROWS, model.needed)
    last = size - 1 - horizon
    if first > last:
        return float("inf")
    ends = np.unique(np.linspace(first, last, BACKTESTS).astype(np.int64))
    later = ends[:, None] + 1 + np.arange(horizon)
    errors = np.abs(forecast_series(model, task.y, task.x, task.x[later], ends) - task.y[later])
    error = float(errors[task.observed[later]].mean()) if task.observed[later].any() else float("inf")
    return error if np.isfinite(error) else float("inf")
