"""Regressors: their coefficients, their independence, Fourier terms."""

import numpy as np

from kubecast.models.arima.filter import Arima
from kubecast.models.arima.regressors import fourier, independent_columns, regress


def test_regression_recovers_coefficients_under_correlated_errors() -> None:
    random = np.random.default_rng(0)
    columns = random.normal(size=(500, 2))
    walk = np.cumsum(random.normal(size=500))
    beta = regress(Arima([1.0], [1.0], (1, 0), 1), columns @ [3.0, -2.0] + walk, columns)
    np.testing.assert_allclose(beta, [3, -2], atol=0.15)


def test_constant_and_collinear_columns_are_dropped() -> None:
    first = np.random.default_rng(0).normal(size=50)
    columns = np.column_stack([np.full(50, 7.0), first, 2 * first + 3, np.zeros(50), first**2])
    assert independent_columns(columns) == [1, 4]


def test_fourier_terms_have_full_rank_up_to_half_a_season() -> None:
    columns = fourier(5, 48, [4, 6], 9)
    assert columns.shape == (48, 3 + 5)
    assert np.linalg.matrix_rank(columns) == 3 + 5 - 1  # half a season of both is the same alternation
    np.testing.assert_allclose(columns[12], fourier(17, 1, [4, 6], 9)[0], atol=1e-12)
