"""The engines that search the orders of an ARIMA and estimate its parameters."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np

from kubecast.models.arima.css import Orders, fit_css
from kubecast.models.arima.filter import Arima, Floats, burg, differenced, invertible
from kubecast.models.arima.recipe import Recipe
from kubecast.models.arima.regressors import constant_column, regress
from kubecast.models.arima.search import Limits, search_css
from kubecast.models.arima.stationarity import count_differences
from kubecast.models.arima.task import Engine, Search

# p, d, q; P, D, Q; whether there is a constant; the polynomials of the autoregression and the moving average.
_Orders = tuple[tuple[int, int, int], tuple[int, int, int], bool, list[float], list[float]]


def search_orders(
    values: Floats, recipe: Recipe, search: Search, difference: int | None
) -> tuple[Recipe, Arima]:
    """Search orders by the engine of the search, and estimate their parameters.

    Args:
        values: Of about unit scale; shape (rows,).
        recipe: Whose orders are replaced.
        search: How every series is fitted.
        difference: The differencing; None: by a test.
    """
    run = {"css": _css_search, "pmdarima": _pmdarima_search, "statsforecast": _statsforecast_search}
    if search.settings.max_order[1] == 0:
        difference = 0
    order, seasonal, constant, ar, ma = run[search.engine](values, search, difference)
    searched = replace(recipe, order=order, seasonal=seasonal, constant=constant)
    return searched, Arima(ar, ma, (order[1], seasonal[1]), search.period)


def _seasonal_difference(values: Floats, search: Search) -> int:
    if search.period == 1 or len(values) < 2 * search.period:  # the tests fail on fewer
        return 0
    from pmdarima.arima import nsdiffs

    return int(nsdiffs(values, m=search.period, max_D=1, test=search.settings.seasonal_test))


def _css_search(values: Floats, search: Search, difference: int | None) -> _Orders:
    (p, d, q), settings = search.largest_orders(len(values)), search.settings
    seasonal_d = _seasonal_difference(values, search)
    values = differenced(values, (0, seasonal_d), search.period)
    d = count_differences(values, d) if difference is None else difference
    css = search_css(
        differenced(values, (d, 0), search.period),
        Limits(p, q, search.period),
        settings.information_criterion,
        constant=d + seasonal_d < 2,
        stepwise=settings.stepwise,
    )
    orders = css.orders
    seasonal = (orders.seasonal_p, seasonal_d, orders.seasonal_q)
    return (orders.p, d, orders.q), seasonal, orders.constant, css.ar, css.ma


def _pmdarima_search(values: Floats, search: Search, difference: int | None) -> _Orders:
    from pmdarima import auto_arima

    (p, d, q), settings = search.largest_orders(len(values)), search.settings
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
    return cast(_Orders, (order, seasonal, constant, *_pmdarima_polynomials(fit)))


def _pmdarima_polynomials(fit: Any) -> tuple[list[float], list[float]]:
    results = fit.arima_res_
    return results.polynomial_reduced_ar.tolist(), results.polynomial_reduced_ma.tolist()


def _statsforecast_search(values: Floats, search: Search, difference: int | None) -> _Orders:
    from statsforecast.arima import auto_arima_f

    (max_p, max_d, max_q), settings = search.largest_orders(len(values)), search.settings
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


def refit(values: Floats, recipe: Recipe, period: int, engine: Engine) -> Arima:
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
    css = fit_css(differenced(values, differences, period), orders)
    return Arima(css.ar, css.ma, differences, period)
