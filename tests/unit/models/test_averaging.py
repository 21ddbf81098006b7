"""Weights of models that are averaged."""

import numpy as np
import pytest

from kubecast.models.averaging import inverse_error_weights


def test_a_model_of_half_the_error_has_the_power_of_two_in_weight() -> None:
    assert inverse_error_weights([2.0, 1.0], 3) == pytest.approx([1 / 9, 8 / 9])


def test_models_without_error_share_the_weight() -> None:
    np.testing.assert_array_equal(inverse_error_weights([0.0, 1.0, 0.0], 6), [0.5, 0, 0.5])


def test_tiny_and_huge_errors_do_not_overflow() -> None:
    weights = inverse_error_weights([1e-300, 1e300], 12)
    np.testing.assert_array_equal(weights, [1, 0])
