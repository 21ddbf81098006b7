from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from kubecast.models.arima import css as module
from kubecast.models.arima.css import Limits, Orders, count_differences, fit_css, search_css
from kubecast.models.arima.filter import Arima

Floats = NDArray[np.float64]
SEASONAL = Orders(1, 1, 1, 1, 12, constant=True)


def simulated(ar: list[float], ma: list[float], rows: int = 2_000, period: int = 1) -> Floats:
    noise = np.random.default_rng(0).normal(size=rows + 200)
    return np.asarray(module.lfilter([1, *ma], [1, *(-np.array(ar))], noise))[200:]


def test_parameters_of_a_simulated_series_are_found() -> None:
    found = fit_css(simulated([0.6, -0.3], [0.4]) + 5, Orders(2, 1, constant=True))
    np.testing.assert_allclose(found.parameters, [0.6, -0.3, 0.4, 5], atol=0.12)
    assert found.squares / len(found.residuals) == pytest.approx(1, abs=0.08)


def test_seasonal_parameters_are_found() -> None:
    ar = np.convolve([1, -0.5], [1, *[0] * 11, -0.6])
    found = fit_css(simulated(list(-ar[1:]), []), Orders(1, 0, 1, 0, 12))
    np.testing.assert_allclose(found.parameters, [0.5, 0.6], atol=0.06)
    np.testing.assert_allclose(found.ar, ar, atol=0.06)


def test_a_least_squares_autoregression_is_the_same() -> None:
    values = simulated([0.6, -0.3], [])
    lagged = np.column_stack([values[1:-1], values[:-2]])
    expected = np.linalg.lstsq(lagged, values[2:], rcond=None)[0]
    np.testing.assert_allclose(fit_css(values, Orders(2, 0)).parameters, expected, rtol=1e-6)


@pytest.mark.parametrize("orders", [Orders(2, 2), Orders(0, 1), Orders(3, 0, constant=True), SEASONAL])
def test_derivatives_are_those_of_the_residuals(orders: Orders) -> None:
    values = simulated([0.5], [0.3], rows=200)
    at = np.linspace(0.1, 0.3, orders.size)
    slopes = module._derivatives(values, module._evaluate(values, orders, at))
    for number, step in enumerate(1e-6 * np.eye(orders.size)):
        above, below = (module._evaluate(values, orders, at + sign * step).residuals for sign in (1, -1))
        np.testing.assert_allclose(slopes[number], (above - below) / 2e-6, atol=1e-6)


def test_residuals_are_those_of_the_filter_that_forecasts_once_its_start_is_forgotten() -> None:
    values = simulated([0.5], [0.3])
    found = fit_css(values, Orders(1, 1))
    expected = Arima(found.ar, found.ma, (0, 0), 1).residuals(values)
    np.testing.assert_allclose(found.residuals[50:], expected[51:], atol=1e-9)


@pytest.mark.parametrize("weights", list(product([-1.1, -0.4, 0.5, 0.85], repeat=3)))
def test_a_factor_is_stable_where_its_roots_are(weights: tuple[float, ...]) -> None:
    roots = np.abs(np.roots([1, *(-np.array(weights))]))
    assert module._is_inside(np.array(weights)) == bool(roots.max() < 1)


def test_a_fit_to_an_explosive_series_is_stable_and_not_taken() -> None:
    values = 1.05 ** np.arange(200) + np.random.default_rng(0).normal(size=200)
    found = fit_css(values, Orders(1, 0))
    assert Arima(found.ar, found.ma, (0, 0), 1).is_stable()
    assert found.criterion("aic") == np.inf


def test_too_few_values_are_refused() -> None:
    with pytest.raises(ValueError, match="20 values"):
        fit_css(np.arange(20.0), Orders(0, 0, 1, 0, 24))


@pytest.mark.parametrize("stepwise", [True, False])
def test_a_search_finds_the_orders_of_a_simulated_series(stepwise: bool) -> None:
    found = search_css(simulated([0.6, -0.3], []), Limits(4, 4), "bic", True, stepwise)
    assert found.orders == Orders(2, 0)


@pytest.mark.parametrize("criterion", ["aic", "aicc", "bic"])
def test_a_stepwise_search_ends_where_no_neighbour_is_better(criterion: module.Criterion) -> None:
    values, limits = simulated([0.6, -0.3], [0.5]), Limits(5, 5)
    best = search_css(values, limits, criterion, True, True)
    near = [orders for orders in module._neighbours(best.orders) if limits.allow(orders, len(values))]
    assert best.criterion(criterion) <= min(fit_css(values, orders).criterion(criterion) for orders in near)


def test_a_stepwise_search_fits_fewer_orders_than_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[Orders] = []

    def counted(values: Floats, orders: Orders) -> module.Css:
        fitted.append(orders)
        return fit_css(values, orders)

    monkeypatch.setattr(module, "fit_css", counted)
    for stepwise in (True, False):
        search_css(simulated([0.6], [0.3], rows=300), Limits(5, 5), "aic", True, stepwise)
    every = 2 * 6 * 6
    assert len(fitted) - every <= every / 2
    assert len(set(fitted[-every:])) == every


def test_a_season_of_a_week_of_hours_is_searched() -> None:
    ar = np.convolve([1, -0.5], [1, *[0] * 167, -0.7])
    found = search_css(simulated(list(-ar[1:]), [], rows=1_500), Limits(2, 1, 168), "bic", False, True)
    assert (found.orders.p, found.orders.period) == (1, 168)
    assert found.orders.seasonal_p


def test_no_order_at_all_is_an_error() -> None:
    with pytest.raises(ValueError, match="no orders fit 2 values"):
        search_css(np.arange(2.0), Limits(1, 1), "aic", False, True)


@pytest.mark.parametrize(("times", "most", "expected"), [(0, 2, 0), (1, 2, 1), (2, 2, 2), (2, 1, 1)])
def test_differences_are_counted(times: int, most: int, expected: int) -> None:
    values = np.random.default_rng(0).normal(size=500)
    for _ in range(times):
        values = values.cumsum()
    assert count_differences(values, most) == expected


def test_a_constant_needs_no_difference() -> None:
    assert count_differences(np.full(50, 3.0), 2) == 0
