"""Series of benchmarks/training_shifts.py, and its figures on a few of them."""

import numpy as np
import pytest

from benchmarks.level_shifts import FREQUENCIES
from benchmarks.training_shifts import compare, shifted_inside, table_of


@pytest.mark.parametrize("frequency", list(FREQUENCIES))
def test_half_of_the_series_shift_inside_the_rows_that_models_are_fitted_to(frequency: str) -> None:
    generated = shifted_inside(frequency, 4, seed=5)
    ratios = (generated.rows["y"] / generated.unchanged["y"]).to_numpy().reshape(4, -1)
    np.testing.assert_allclose(ratios[:, 0], 1)
    np.testing.assert_allclose(ratios[:, FREQUENCIES[frequency].rows], generated.changes["factor"])
    assert generated.changes["kind"].tolist() == ["inside", "inside", "nothing", "nothing"]
    assert (np.abs(np.log(ratios[:2, -1])) > 0.3).all()
    np.testing.assert_allclose(ratios[2:], 1)


@pytest.mark.long
def test_intervals_are_as_wide_as_without_the_shift() -> None:
    compared = compare(shifted_inside("D", 12, seed=5), ["catboost"], ["catboost.iterations=60"])
    inside = compared[compared["kind"] == "inside"]
    assert inside["width"].between(0.8, 1.25).all()
    assert table_of(compared, "title").rows[0]["width, mean"] == round(inside["width"].mean(), 2)
