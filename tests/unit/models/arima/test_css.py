"""Conditional least squares of ARMAs."""

from itertools import product

import numpy as np
import pytest

from kubecast.models.arima.css import (
    Orders,
    evaluate_css,
    fit_css,
    is_stationary,
    residual_derivatives,
)
from kubecast.models.arima.filter import Arima
from tests.unit.models.arima.support import simulated

SEASONAL = Orders(1, 1, 1, 1, 12, constant=True)


def test_parameters_of_a_simulated_series_are_found() -> None:
    css = fit_css(simulated([0.6, -0.3], [0.4]) + 5, Orders(2, 1, constant=True))
    np.testing.assert_allclose(css.parameters, [0.6, -0.3, 0.4, 5], atol=0.12)
    assert css.squares / len(css.residuals) == pytest.approx(1, abs=0.08)


def test_seasonal_parameters_are_found() -> None:
    ar = np.convolve([1, -0.5], [1, *[0] * 11, -0.6])
    css = fit_css(simulated(list(-ar[1:]), []), Orders(1, 0, 1, 0, 12))
    np.testing.assert_allclose(css.parameters, [0.5, 0.6], atol=0.06)
    np.testing.assert_allclose(css.ar, ar, atol=0.06)


def test_a_least_squares_autoregression_is_the_same() -> None:
    values = simulated([0.6, -0.3], [])
    lagged = np.column_stack([values[1:-1], values[:-2]])
    expected = np.linalg.lstsq(lagged, values[2:], rcond=None)[0]
    np.testing.assert_allclose(fit_css(values, Orders(2, 0)).parameters, expected, rtol=1e-6)


@pytest.mark.parametrize("orders", [Orders(2, 2), Orders(0, 1), Orders(3, 0, constant=True), SEASONAL])
def test_derivatives_are_those_of_the_residuals(orders: Orders) -> None:
    values = simulated([0.5], [0.3], rows=200)
    at = np.linspace(0.1, 0.3, orders.size)
    slopes = residual_derivatives(values, evaluate_css(values, orders, at))
    for number, step in enumerate(1e-6 * np.eye(orders.size)):
        above, below = (evaluate_css(values, orders, at + sign * step).residuals for sign in (1, -1))
        np.testing.assert_allclose(slopes[number], (above - below) / 2e-6, atol=1e-6)


def test_residuals_are_those_of_the_filter_that_forecasts_once_its_start_is_forgotten() -> None:
    values = simulated([0.5], [0.3])
    css = fit_css(values, Orders(1, 1))
    expected = Arima(css.ar, css.ma, (0, 0), 1).residuals(values)
    np.testing.assert_allclose(css.residuals[50:], expected[51:], atol=1e-9)


@pytest.mark.parametrize("weights", list(product([-1.1, -0.4, 0.5, 0.85], repeat=3)))
def test_a_factor_is_stable_where_its_roots_are(weights: tuple[float, ...]) -> None:
    roots = np.abs(np.roots([1, *(-np.array(weights))]))
    assert is_stationary(np.array(weights)) == bool(roots.max() < 1)


def test_a_fit_to_an_explosive_series_is_stable_and_not_taken() -> None:
    values = 1.05 ** np.arange(200) + np.random.default_rng(0).normal(size=200)
    css = fit_css(values, Orders(1, 0))
    assert Arima(css.ar, css.ma, (0, 0), 1).is_stable()
    assert css.criterion("aic") == np.inf


def test_too_few_values_are_refused() -> None:
    with pytest.raises(ValueError, match="20 values"):
        fit_css(np.arange(20.0), Orders(0, 0, 1, 0, 24))
