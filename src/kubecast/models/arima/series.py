"""One series' ARIMA: its season profile and orders chosen, its parameters estimated, its forecasts made."""

import itertools
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from kubecast.errors import ModelError
from kubecast.models.arima.css import Limits, Orders, count_differences, fit_css, search_css
from kubecast.models.arima.filter import (
    Arima,
    Floats,
    Ints,
    Smoothed,
    burg,
    constant_column,
    differenced,
    independent_columns,
    invertible,
    regress,
    season_profile,
)
from kubecast.models.arima.settings import ArimaSettings
from kubecast.models.averaging import inverse_error_weights

MIN_ROWS = 20  # fewer do not tell one order from another
SMOOTHINGS = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0)  # of one season
BOTH = ((0.1, 0.3, 0.6), (0.1, 0.3, 0.6, 0.9))  # of a longer season, and of a shorter one in what that leaves
SHARPNESS = 6  # power of the inverse errors that profiles are weighed by
ROWS_PER_ORDER = 4  # fewer rows for each weight of a long autoregression would be fitted to noise
CLEARLY = 1.1  # times better or worse: whether a search of orders takes a trial's differencing, and keeps it
BACKTESTS = 48  # origins that a profile is chosen by, in the last half of the training rows

T = TypeVar("T")
Engine = Literal["css", "pmdarima", "statsforecast", "burg"]


@dataclass(frozen=True)
class Recipe:
    """What a replay repeats without a search.

    Attributes:
        order: p, d, q.
        seasonal: P, D, Q.
        constant: Whether there is a mean or, after one difference, a drift.
        seasons: Of the profile, the longest first: length and smoothing of each.
        weight: Share in the series' forecast.
    """

    order: tuple[int, int, int]
    seasonal: tuple[int, int, int] = (0, 0, 0)
    constant: bool = False
    seasons: tuple[Smoothed, ...] = ()
    weight: float = 1.0

    @property
    def start(self) -> int:
        """Rows that the profile takes before it expects anything."""
        return sum(length for length, _ in self.seasons)


@dataclass(frozen=True)
class SeriesModel:
    """One ARIMA of a series.

    Attributes:
        recipe: What was found by the search.
        arima: Its parameters.
        columns: Positions of the regressors used, among covariates and then Fourier terms.
        beta: Their coefficients, after the constant's where there is one.
        anchor: The first row that was fitted to: time zero of the Fourier terms.
    """

    recipe: Recipe
    arima: Arima
    columns: list[int]
    beta: list[float]
    anchor: str = ""

    @property
    def needed(self) -> int:
        """Rows that an origin must have behind it."""
        return self.recipe.start + self.arima.memory


@dataclass(frozen=True)
class Task:
    """What a fit sees of one series: ``y`` and ``observed`` (rows,), regressors ``x`` (rows, columns).

    ``recipes`` are those of a replay; without them the fit searches.
    """

    unique_id: str
    y: Floats
    observed: NDArray[np.bool_]
    x: Floats
    anchor: str
    recipes: list[Recipe] | None


@dataclass(frozen=True)
class Search:
    """How every series is fitted: ``period`` of a seasonal ARIMA, else 1; season lengths of ``profiles``."""

    settings: ArimaSettings
    engine: Engine
    period: int
    profiles: list[int]
    horizon: int


def fit_series(task: Task, search: Search) -> tuple[str, list[SeriesModel] | str]:
    """Fit one series.

    Returns:
        Its name, and its models, whose weights sum to 1, or the reason why there is none.
    """
    # Of trial orders that the search then leaves: what matters of them is the error, if there is one.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = _fit_models(task, search)
    models = [model for model in found if isinstance(model, SeriesModel)]
    if not models:
        return task.unique_id, next(reason for reason in found if isinstance(reason, str))
    total = sum(model.recipe.weight for model in models)
    return task.unique_id, [
        replace(model, recipe=replace(model.recipe, weight=model.recipe.weight / total), anchor=task.anchor)
        for model in models
    ]


def _fit_models(task: Task, search: Search) -> list[SeriesModel | str]:
    """Every model of the series, or the reason why it could not be fitted."""
    if task.recipes is not None:
        return [_attempt(_fit_recipe, task, recipe, search) for recipe in task.recipes]
    trials = _attempt(_best_trials, task, search)
    if isinstance(trials, str):
        return [trials]
    return [_attempt(_fit_trial, task, trial, search) for trial in trials]


def _attempt(step: Callable[..., T], *arguments: Any) -> T | str:
    """What a step finds, or the reason why it fails: whatever the libraries raise, the others go on."""
    try:
        return step(*arguments)
    except ModelError as error:
        return str(error)
    except Exception as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _checked(model: SeriesModel) -> SeriesModel:
    finite = np.isfinite([*model.beta, *model.arima.ar, *model.arima.ma]).all()
    if not finite or not model.arima.is_stable():
        raise ModelError(f"no stable parameters for order {model.recipe.order} {model.recipe.seasonal}")
    return model


def _fit_recipe(task: Task, recipe: Recipe, search: Search) -> SeriesModel:
    return _checked(_estimate(task, recipe, search, search.engine))


def _fit_trial(task: Task, trial: "_Trial", search: Search) -> SeriesModel:
    return _checked(_search_trial(task, trial, search))


def _search_trial(task: Task, trial: "_Trial", search: Search) -> SeriesModel:
    if search.engine == "burg":
        return _estimate(task, trial.recipe, search, "burg")
    model = _estimate(task, trial.recipe, search, None, trial.difference)
    # A long autoregression may hold a trend by a root so near 1 that no searched orders may have it.
    if trial.difference is None or _error(task, model, search) <= CLEARLY * trial.error:
        return model
    return _estimate(task, trial.recipe, search, None)


class _Trial(NamedTuple):
    """A profile with an autoregression by Burg's method.

    Attributes:
        error: Of its backtest.
        recipe: What is tried.
        difference: For the search of orders; None: by its own test.
    """

    error: float
    recipe: Recipe
    difference: int | None = None


def _best_trials(task: Task, search: Search) -> list[_Trial]:
    """The profiles, with their differencing, whose forecasts from the last training origins are best."""
    tried = [
        _Trial(_backtest(task, recipe, search), recipe)
        for seasons in _profiles(search)
        for difference in range(min(search.settings.max_order[1], 1) + 1)
        for recipe in [_trial_recipe(seasons, difference, task, search)]
    ]
    tried = [trial._replace(difference=_clear_difference(trial, tried)) for trial in tried]
    best = sorted((trial for trial in tried if trial.error < np.inf), key=lambda trial: trial.error)
    best = best[: search.settings.averaged]
    if not best:  # nothing could be compared
        return [_Trial(np.inf, _trial_recipe((), min(search.settings.max_order[1], 1), task, search))]
    shares = inverse_error_weights([trial.error for trial in best], SHARPNESS).tolist()
    return [
        trial._replace(recipe=replace(trial.recipe, weight=share))
        for trial, share in zip(best, shares, strict=True)
        if share > 0
    ]


def _clear_difference(trial: _Trial, tried: list[_Trial]) -> int | None:
    """The trial's differencing, unless another does nearly as well."""
    difference = trial.recipe.order[1]
    others = [other.error for other in tried if other.recipe.order[1] != difference]
    return difference if CLEARLY * trial.error < min(others, default=np.inf) else None


def _trial_recipe(seasons: tuple[Smoothed, ...], difference: int, task: Task, search: Search) -> Recipe:
    start = sum(length for length, _ in seasons)
    p = min(search.settings.max_order[0], max(len(task.y) - start, 0) // ROWS_PER_ORDER)
    return Recipe((p, difference, 0), constant=difference == 0, seasons=seasons)


def _profiles(search: Search) -> list[tuple[Smoothed, ...]]:
    """Those that are tried: of one season, of two, and where the settings allow it none."""
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
        return _error(task, _estimate(task, recipe, search, "burg"), search)
    except (ValueError, ArithmeticError, np.linalg.LinAlgError):
        return float("inf")


def _error(task: Task, model: SeriesModel, search: Search) -> float:
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


def _estimate(
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
        recipe, arima = _search_orders(remainder / scale, recipe, search, difference)
        if not arima.is_stable():  # statsforecast's conditional least squares does not exclude it
            arima = _refit(remainder / scale, recipe, search.period, search.engine)
    else:
        arima = _refit(remainder / scale, recipe, search.period, engine)
    if recipe.constant:
        design = np.column_stack([constant_column(len(target), arima), design])
    return SeriesModel(recipe, arima, columns, regress(arima, target, design).tolist())


def _least_squares(target: Floats, design: Floats) -> Floats:
    """What the columns explain of the target beside a mean: a first guess, before the errors are known."""
    if design.shape[1] == 0:
        return np.zeros_like(target)
    centred = design - design.mean(axis=0)
    return np.asarray(centred @ np.linalg.lstsq(centred, target, rcond=None)[0])


def _search_orders(
    values: Floats, recipe: Recipe, search: Search, difference: int | None
) -> tuple[Recipe, Arima]:
    run = {"css": _css_search, "pmdarima": _pmdarima_search, "statsforecast": _statsforecast_search}
    if search.settings.max_order[1] == 0:
        difference = 0
    order, seasonal, constant, ar, ma = run[search.engine](values, search, difference)
    found = replace(recipe, order=order, seasonal=seasonal, constant=constant)
    return found, Arima(ar, ma, (order[1], seasonal[1]), search.period)


_Found = tuple[tuple[int, int, int], tuple[int, int, int], bool, list[float], list[float]]


def _seasonal_difference(values: Floats, search: Search) -> int:
    if search.period == 1 or len(values) < 2 * search.period:  # the tests fail on fewer
        return 0
    from pmdarima.arima import nsdiffs

    return int(nsdiffs(values, m=search.period, max_D=1, test=search.settings.seasonal_test))


def _css_search(values: Floats, search: Search, difference: int | None) -> _Found:
    (p, d, q), settings = search.settings.max_order, search.settings
    seasonal_d = _seasonal_difference(values, search)
    values = differenced(values, (0, seasonal_d), search.period)
    d = count_differences(values, d) if difference is None else difference
    found = search_css(
        differenced(values, (d, 0), search.period),
        Limits(p, q, search.period),
        settings.information_criterion,
        constant=d + seasonal_d < 2,
        stepwise=settings.stepwise,
    )
    orders = found.orders
    seasonal = (orders.seasonal_p, seasonal_d, orders.seasonal_q)
    return (orders.p, d, orders.q), seasonal, orders.constant, found.ar, found.ma


def _pmdarima_search(values: Floats, search: Search, difference: int | None) -> _Found:
    from pmdarima import auto_arima

    (p, d, q), settings = search.settings.max_order, search.settings
    fit = auto_arima(
        values,
        start_p=min(p, 2),
        start_q=min(q, 2),
        d=difference,
        D=_seasonal_difference(values, search),
        max_p=p,
        max_d=d,
        max_q=q,
        max_order=None,
        m=search.period,
        seasonal=search.period > 1,
        information_criterion=settings.information_criterion,
        stepwise=settings.stepwise,
        suppress_warnings=True,
        error_action="ignore",
    )
    seasonal = tuple(int(number) for number in fit.seasonal_order[:3])
    order = tuple(int(number) for number in fit.order)
    constant = bool(fit.with_intercept) and order[1] + seasonal[1] <= 1
    return cast(_Found, (order, seasonal, constant, *_pmdarima_polynomials(fit)))


def _pmdarima_polynomials(fit: Any) -> tuple[list[float], list[float]]:
    results = fit.arima_res_
    return results.polynomial_reduced_ar.tolist(), results.polynomial_reduced_ma.tolist()


def _statsforecast_search(values: Floats, search: Search, difference: int | None) -> _Found:
    from statsforecast.arima import auto_arima_f

    (max_p, max_d, max_q), settings = search.settings.max_order, search.settings
    fit = auto_arima_f(  # type: ignore[no-untyped-call]
        values,
        d=difference,
        D=_seasonal_difference(values, search),
        max_p=max_p,
        max_d=max_d,
        max_q=max_q,
        max_order=max_p + max_q + 4,
        seasonal=search.period > 1,
        period=search.period,
        ic=settings.information_criterion,
        stepwise=settings.stepwise,
    )
    p, q, seasonal_p, seasonal_q, _, d, seasonal_d = (int(number) for number in fit["arma"])
    constant = "intercept" in fit["coef"] or "drift" in fit["coef"]
    return (p, d, q), (seasonal_p, seasonal_d, seasonal_q), constant, *_statsforecast_polynomials(fit)


def _statsforecast_polynomials(fit: Mapping[str, Any]) -> tuple[list[float], list[float]]:
    phi, theta = np.asarray(fit["model"]["phi"]), np.asarray(fit["model"]["theta"])
    return [1.0, *(-phi).tolist()], invertible([1.0, *np.trim_zeros(theta, "b").tolist()])


def _refit(values: Floats, recipe: Recipe, period: int, engine: Engine) -> Arima:
    """Estimate the parameters of given orders."""
    differences = (recipe.order[1], recipe.seasonal[1])
    if engine == "css":
        return _css_refit(values, recipe, differences, period)
    if recipe.constant:
        white = Arima([1.0], [1.0], differences, period)
        column = constant_column(len(values), white)
        values = values - column * regress(white, values, column[:, None])
    if engine == "pmdarima":
        from pmdarima import ARIMA

        seasonal = (*recipe.seasonal, period) if period > 1 else (0, 0, 0, 0)
        fit = ARIMA(recipe.order, seasonal_order=seasonal, with_intercept=False, suppress_warnings=True).fit(
            values
        )
        polynomials = _pmdarima_polynomials(fit)
    elif engine == "burg":
        polynomials = (burg(np.diff(values, recipe.order[1]), recipe.order[0]), [1.0])
    else:
        from statsforecast.arima import arima

        orders = {"order": recipe.seasonal, "period": period}
        polynomials = _statsforecast_polynomials(
            arima(values, recipe.order, orders, include_mean=False, method="CSS-ML")
        )
    return Arima(*polynomials, differences, period)


def _css_refit(values: Floats, recipe: Recipe, differences: tuple[int, int], period: int) -> Arima:
    (p, _, q), (seasonal_p, _, seasonal_q) = recipe.order, recipe.seasonal
    orders = Orders(p, q, seasonal_p, seasonal_q, period, recipe.constant)
    found = fit_css(differenced(values, differences, period), orders)
    return Arima(found.ar, found.ma, differences, period)


def forecast_series(model: SeriesModel, y: Floats, x: Floats, x_future: Floats, ends: Ints) -> Floats:
    """Forecast one series from many origins by one pass over its history.

    Args:
        model: Of the series.
        y: Its history, shape (rows,).
        x: Its regressors, shape (rows, columns).
        x_future: The same after each origin, shape (origins, horizon, columns).
        ends: Each origin's row, at least ``model.needed``; shape (origins,).

    Returns:
        Shape (origins, horizon).
    """
    recipe, arima, horizon = model.recipe, model.arima, x_future.shape[1]
    profile = season_profile(y, recipe.seasons)
    x_profile = season_profile(x[:, model.columns], recipe.seasons)
    design = (x[:, model.columns] - x_profile.before)[profile.start :]
    future = x_profile.remainder_ahead(ends, x_future[:, :, model.columns])
    local = ends - profile.start
    if recipe.constant:
        constants = constant_column(len(y) - profile.start + horizon, arima)
        design = np.column_stack([constants[: len(design)], design])
        ahead = constants[local[:, None] + 1 + np.arange(horizon)]
        future = np.concatenate([ahead[:, :, None], future], axis=2)
    beta = np.asarray(model.beta)
    remainder = (y - profile.before)[profile.start :] - design @ beta
    return profile.values_ahead(ends, arima.forecast(remainder, local, horizon) + future @ beta)
