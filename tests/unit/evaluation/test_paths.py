"""Paths of series whose values are far apart."""

import math

import pandas as pd
import pytest

from kubecast.evaluation.paths import SeriesPath, fine_decimals, series_paths
from tests.support.forecasts import NOISE, forecasts, panel_of


def path_of(values: list[float]) -> SeriesPath:
    """The path of one series that ends with these actuals and was not evaluated."""
    panel = panel_of(forecasts(NOISE, series=1))
    panel.frame["y"] = [0.0] * (len(panel.frame) - len(values)) + values
    nothing = pd.DataFrame(columns=["unique_id", "cutoff", "ds", "split"])
    [path] = series_paths(nothing, panel, [], ["s1"])
    return path


@pytest.mark.parametrize(
    "values",
    [
        [3.2, 1.7, 0.4, 2.9, 2e6, 2.2, 0.9],
        [1e308, -1e308, 1.7976931348623157e308, 3.2],
        [1e-320, 3e-320, 5e-324],
    ],
)
def test_values_beside_an_outlier_are_kept(values: list[float]) -> None:
    assert path_of(values).y[-len(values) :] == pytest.approx(values, rel=1e-5, abs=0)


def test_values_far_from_zero_are_as_fine_as_their_range() -> None:
    path = path_of([1e9 + shift for shift in (*range(24), 0.123456)])
    assert path.y[-1] == pytest.approx(1e9 + 0.12, abs=0.01)


@pytest.mark.parametrize("values", [[1e308, -1e308], [0.0, 5e-324], [1e-320, 0.0]])
def test_unit_of_any_range_is_finite_and_above_zero(values: list[float]) -> None:
    unit = 10.0 ** -fine_decimals(values)
    assert unit > 0
    assert all(math.isfinite(value / unit) for value in values)
