"""Losses over the observed targets of windows."""

import keras
import numpy as np
import pytest

from kubecast.models.neural.losses import mean_loss


@pytest.mark.parametrize(
    ("loss", "reference"),
    [
        ("mse", keras.losses.mean_squared_error),
        ("mae", keras.losses.mean_absolute_error),
        ("huber", keras.losses.huber),
    ],
)
def test_loss_is_that_of_keras_over_the_observed_targets(loss: str, reference: object) -> None:
    random = np.random.default_rng(0)
    outputs, targets = random.normal(scale=2, size=(2, 64, 24)).astype(np.float32)
    observed = random.random((64, 24)) > 0.2
    mean = float(mean_loss(loss, outputs, targets, observed.astype(np.float32)))
    expected = float(reference(targets[observed], outputs[observed]))  # type: ignore[operator]
    assert mean == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("loss", ["mse", "mae", "huber"])
def test_loss_without_an_observed_target_is_zero(loss: str) -> None:
    ones = np.ones((2, 3), dtype=np.float32)
    assert float(mean_loss(loss, ones, 0 * ones, 0 * ones)) == 0
