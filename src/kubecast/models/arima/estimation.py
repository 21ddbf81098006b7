"""The parameters of one ARIMA and the coefficients of its regressors."""

import numpy as np

from kubecast.models.arima.engines import refit, search_orders
from kubecast.models.arima.filter import Floats
from kubecast.models.arima.profile import season_profile
from kubecast.models.arima.recipe import Recipe, SeriesModel
from kubecast.models.arima.regressors import constant_column, independent_columns, regress
from kubecast.models.arima.task import Engine, Search, Task


def estimate(
    task: Task,
    recipe: Recipe,
    search: Search,
    engine: Engine | None,
    difference: int | None = None,
) -> SeriesModel:
    """Fit the recipe's orders by an engine, or with ``None`` search them; then fit the regressors.

    ``difference`` is that of a search, which tests for it where there is none.
    """
    profile = season_profile(task.y, recipe.seasons)
    target = (task.y - profile.before)[profile.start :]
    design = (task.x - season_profile(task.x, recipe.seasons).before)[profile.start :]
    columns = independent_columns(design)
    design = design[:, columns]
    remainder = target - _least_squares(target, design)
    scale = float(remainder.std()) or 1.0
    if engine is None:
        recipe, arima = search_orders(remainder / scale, recipe, search, difference)
        if not arima.is_stable():  # statsforecast's conditional least squares does not exclude it
            arima = refit(remainder / scale, recipe, search.period, search.engine)
    else:
        arima = refit(remainder / scale, recipe, search.period, engine)
    if recipe.constant:
        design = np.column_stack([constant_column(len(target), arima), design])
    return SeriesModel(recipe, arima, columns, regress(arima, target, design).tolist())


def _least_squares(target: Floats, design: Floats) -> Floats:
    """The part of the target that the columns explain beside a mean: a guess, before the errors are known."""
    if design.shape[1] == 0:
        return np.zeros_like(target)
    centred = design - design.mean(axis=0)
    return np.asarray(centred @ np.linalg.lstsq(centred, target, rcond=None)[0])
