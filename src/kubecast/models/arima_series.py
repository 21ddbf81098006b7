"""One series' ARIMA: its season profile and orders chosen, its parameters estimated, its forecasts made."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from kubecast.config import ArimaSettings
from kubecast.models.arima_css import Limits, Orders, count_differences, fit_css, search_css
from kubecast.models.arima_filter import (
    Arima,
    Floats,
    Ints,
    constant_column,
    differenced,
    independent_columns,
    invertible,
    regress,
    season_profile,
)

MIN_ROWS = 20  # fewer do not tell one order from another
SMOOTHINGS = (0.0, 0.2, 0.5, 1.0)
BACKTESTS = 24  # origins that a profile is chosen by, in the last 30 % of the training rows

Engine = Literal["css", "pmdarima", "statsforecast"]


@dataclass(frozen=True)
class Recipe:
    """What a replay repeats without a search.

    Attributes:
        order: p, d, q.
        seasonal: P, D, Q.
        constant: Whether there is a mean or, after one difference, a drift.
        season_length: Of the profile; 0 for none.
        smoothing: Of the profile.
    """

    order: tuple[int, int, int]
    seasonal: tuple[int, int, int] = (0, 0, 0)
    constant: bool = False
    season_length: int = 0
    smoothing: float = 0.0


@dataclass(frozen=True)
class SeriesModel:
    """One fitted series.

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
        return self.recipe.season_length + self.arima.memory


@dataclass(frozen=True)
class Task:
    """What a fit sees of one series: ``y`` and ``observed`` (rows,), regressors ``x`` (rows, columns)."""

    unique_id: str
    y: Floats
    observed: NDArray[np.bool_]
    x: Floats
    anchor: str
    recipe: Recipe | None


@dataclass(frozen=True)
class Search:
    """How every series is fitted: ``period`` of a seasonal ARIMA, else 1; season lengths of ``profiles``."""

    settings: ArimaSettings
    engine: Engine
    period: int
    profiles: list[int]
    horizon: int


def fit_series(task: Task, search: Search) -> tuple[str, SeriesModel | str]:
    """Fit one series.

    Returns:
        Its name, and its model or the reason why there is none.
    """
    try:
        # Of trial orders that the search then leaves: what matters of them is the error, if there is one.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = _fit_model(task, search)
    except Exception as error:  # whatever the libraries raise on one series, the others go on
        return task.unique_id, f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    if not model.arima.is_stable() or not np.isfinite([*model.beta, *model.arima.ar, *model.arima.ma]).all():
        return task.unique_id, f"no stable parameters for order {model.recipe.order} {model.recipe.seasonal}"
    return task.unique_id, replace(model, anchor=task.anchor)


def _fit_model(task: Task, search: Search) -> SeriesModel:
    if task.recipe is not None:
        return _estimate(task, task.recipe, search, search.engine)
    season, smoothing = _choose_profile(task, search)
    start = Recipe((0, 0, 0), season_length=season, smoothing=smoothing)
    return _estimate(task, start, search, None)


def _choose_profile(task: Task, search: Search) -> tuple[int, float]:
    """The profile whose forecasts, with an ARMA of low order, are best from the last training origins.

    Returns:
        Season length, 0 for none, and smoothing.
    """
    best = (np.inf, 0, 0.0)
    candidates = [(m, smoothing) for m in search.profiles for smoothing in SMOOTHINGS]
    if search.settings.deseasonalize == "auto" and candidates:
        candidates.append((0, 0.0))
    p, d, q = search.settings.max_order
    for season, smoothing in candidates:
        for difference in range(min(d, 1) + 1):
            order = (min(p, 2), difference, min(q, 1))
            recipe = Recipe(order, constant=difference == 0, season_length=season, smoothing=smoothing)
            best = min(best, (_backtest(task, recipe, search), season, smoothing))
    return best[1:]


def _backtest(task: Task, recipe: Recipe, search: Search) -> float:
    """Mean absolute error over the horizon; infinite where the recipe does not work."""
    size, horizon = len(task.y), search.horizon
    first, last = max(int(0.7 * size), recipe.season_length + MIN_ROWS), size - 1 - horizon
    if first > last:
        return float("inf")
    try:
        model = _estimate(task, recipe, search, "css")
    except (ValueError, ArithmeticError, np.linalg.LinAlgError):
        return float("inf")
    if not model.arima.is_stable():
        return float("inf")
    ends = np.unique(np.linspace(first, last, BACKTESTS).astype(np.int64))
    later = ends[:, None] + 1 + np.arange(horizon)
    errors = np.abs(forecast_series(model, task.y, task.x, task.x[later], ends) - task.y[later])
    error = float(errors[task.observed[later]].mean()) if task.observed[later].any() else float("inf")
    return error if np.isfinite(error) else float("inf")


def _estimate(task: Task, recipe: Recipe, search: Search, engine: Engine | None) -> SeriesModel:
    """Fit the recipe's orders by an engine, or with ``None`` search them; then fit the regressors."""
    season = recipe.season_length
    target = (task.y - season_profile(task.y, season, recipe.smoothing).before)[season:]
    design = (task.x - season_profile(task.x, season, recipe.smoothing).before)[season:]
    columns = independent_columns(design)
    design = design[:, columns]
    remainder = target - _least_squares(target, design)
    scale = float(remainder.std()) or 1.0
    if engine is None:
        recipe, arima = _search_orders(remainder / scale, recipe, search)
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


def _search_orders(values: Floats, recipe: Recipe, search: Search) -> tuple[Recipe, Arima]:
    run = {"css": _css_search, "pmdarima": _pmdarima_search, "statsforecast": _statsforecast_search}
    order, seasonal, constant, ar, ma = run[search.engine](values, search)
    found = replace(recipe, order=order, seasonal=seasonal, constant=constant)
    return found, Arima(ar, ma, (order[1], seasonal[1]), search.period)


_Found = tuple[tuple[int, int, int], tuple[int, int, int], bool, list[float], list[float]]


def _seasonal_difference(values: Floats, search: Search) -> int:
    from pmdarima.arima import nsdiffs

    if search.period == 1:
        return 0
    return int(nsdiffs(values, m=search.period, max_D=1, test=search.settings.seasonal_test))


def _css_search(values: Floats, search: Search) -> _Found:
    (p, d, q), settings = search.settings.max_order, search.settings
    seasonal_d = _seasonal_difference(values, search)
    values = differenced(values, (0, seasonal_d), search.period)
    d = count_differences(values, d)
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


def _pmdarima_search(values: Floats, search: Search) -> _Found:
    from pmdarima import auto_arima

    (p, d, q), settings = search.settings.max_order, search.settings
    fit = auto_arima(
        values,
        start_p=min(p, 2),
        start_q=min(q, 2),
        d=None if d else 0,
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


def _statsforecast_search(values: Floats, search: Search) -> _Found:
    from statsforecast.arima import auto_arima_f

    (max_p, max_d, max_q), settings = search.settings.max_order, search.settings
    fit = auto_arima_f(  # type: ignore[no-untyped-call]
        values,
        d=None if max_d else 0,
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
    season = recipe.season_length
    profile = season_profile(y, season, recipe.smoothing)
    x_profile = season_profile(x[:, model.columns], season, recipe.smoothing)
    design = (x[:, model.columns] - x_profile.before)[season:]
    future = x_future[:, :, model.columns] - x_profile.ahead(ends, horizon)
    local = ends - season
    if recipe.constant:
        constants = constant_column(len(y) - season + horizon, arima)
        design = np.column_stack([constants[: len(design)], design])
        ahead = constants[local[:, None] + 1 + np.arange(horizon)]
        future = np.concatenate([ahead[:, :, None], future], axis=2)
    beta = np.asarray(model.beta)
    remainder = (y - profile.before)[season:] - design @ beta
    ahead = arima.forecast(remainder, local, horizon) + profile.ahead(ends, horizon)
    return np.asarray(ahead + future @ beta)
