"""The filter of a fitted ARIMA, against the state space form."""

import numpy as np
import pytest
from scipy.signal import lfilter
from statsmodels.tsa.statespace.sarimax import SARIMAX

from kubecast.models.arima.filter import Arima, burg, invertible


@pytest.mark.parametrize(
    ("order", "seasonal"),
    [((2, 1, 1), (1, 1, 1)), ((3, 1, 0), (0, 0, 0)), ((0, 0, 2), (0, 0, 0)), ((0, 0, 0), (0, 0, 0))],
)
def test_forecasts_equal_those_of_the_state_space_form(
    order: tuple[int, int, int], seasonal: tuple[int, int, int]
) -> None:
    random = np.random.default_rng(0)
    values = np.cumsum(random.normal(size=400)) + np.sin(np.arange(400) * np.pi / 6)
    model = SARIMAX(values, order=order, seasonal_order=(*seasonal, 12 if any(seasonal) else 0))
    known = dict(zip(model.param_names, [0.3, -0.1, 0.4, 0.1, -0.5, 1.0], strict=False))
    fitted = model.smooth([*list(known.values())[:-1], 1.0])
    polynomials = fitted.polynomial_reduced_ar.tolist(), fitted.polynomial_reduced_ma.tolist()
    arima = Arima(*polynomials, (order[1], seasonal[1]), 12)
    forecasts = arima.forecast(values, np.array([300, 399]), 24)
    np.testing.assert_allclose(forecasts[1], fitted.forecast(24), atol=1e-6)
    again = arima.forecast(values[:301], np.array([300]), 24)
    np.testing.assert_allclose(forecasts[0], again[0])


def test_an_explosive_polynomial_is_not_stable() -> None:
    assert not Arima([1.0, -1.1], [1.0], (0, 0), 1).is_stable()
    assert not Arima([1.0], [1.0, 1.5], (0, 0), 1).is_stable()
    assert Arima([1.0, -0.9], [1.0, 0.5], (1, 0), 1).is_stable()


def test_a_moving_average_is_made_invertible_without_changing_its_autocorrelation() -> None:
    inverted = np.array(invertible([1.0, -2.5, 1.0]))  # roots 2 and 1/2
    np.testing.assert_allclose(inverted, [1.0, -1.0, 0.25])
    assert invertible([1.0, -0.5]) == [1.0, -0.5]
    assert invertible([1.0]) == [1.0]


def test_burg_finds_the_autoregression() -> None:
    random = np.random.default_rng(0)
    values = lfilter([1.0], [1.0, -0.6, 0.3], random.normal(size=5_000))
    np.testing.assert_allclose(burg(values, 3), [1.0, -0.6, 0.3, 0.0], atol=0.05)
    assert burg(np.zeros(10), 2) == [1.0, 0.0, 0.0]
    assert np.abs(np.roots(burg(values[:30].cumsum(), 8))).max() < 1
