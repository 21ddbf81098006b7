"""How often a series is differenced."""

import warnings

import numpy as np
import pytest
from statsforecast.arima import ndiffs
from statsmodels.tsa.stattools import kpss

from kubecast.models.arima.filter import Floats
from kubecast.models.arima.stationarity import KPSS_CRITICAL, count_differences


def walks(rows: int) -> list[Floats]:
    """Noise that is summed up to twice, of several seeds."""
    noise = [np.random.default_rng(seed).normal(size=rows) for seed in range(15)]
    return [sum_up(values) for values in noise for sum_up in (np.array, np.cumsum, twice)]


def twice(values: Floats) -> Floats:
    return values.cumsum().cumsum()


def kpss_statistic(values: Floats) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values outside its table of probabilities
        return float(kpss(values, "c", nlags=int(3 * np.sqrt(len(values)) / 13))[0])


@pytest.mark.parametrize(("times", "most", "expected"), [(0, 2, 0), (1, 2, 1), (2, 2, 2), (2, 1, 1)])
def test_differences_are_counted(times: int, most: int, expected: int) -> None:
    values = np.random.default_rng(0).normal(size=500)
    for _ in range(times):
        values = values.cumsum()
    assert count_differences(values, most) == expected


def test_a_constant_needs_no_difference() -> None:
    assert count_differences(np.full(50, 3.0), 2) == 0


@pytest.mark.parametrize("rows", [20, 150, 1000])
def test_the_first_difference_is_taken_where_statsforecast_takes_it(rows: int) -> None:
    for values in walks(rows):
        assert count_differences(values, 1) == ndiffs(values, max_d=1)


@pytest.mark.parametrize("rows", [20, 150, 1000])
def test_differences_are_taken_until_the_test_of_statsmodels_accepts_a_level(rows: int) -> None:
    for values in walks(rows):
        count = count_differences(values, 2)
        levels = [kpss_statistic(np.diff(values, times)) for times in range(count + 1)]
        assert min([np.inf, *levels[:-1]]) > KPSS_CRITICAL
        assert count == 2 or levels[-1] <= KPSS_CRITICAL
