"""Weights of models that are averaged, from the error of each."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def inverse_error_weights(errors: Sequence[float] | NDArray[np.float64], power: int) -> NDArray[np.float64]:
    """Weigh models by an inverse power of their errors.

    Args:
        errors: One of each model, at least 0 and finite.
        power: 0: all alike; the higher, the more the best one has.

    Returns:
        Weights that sum to 1. Where some errors are 0, these models share the weight equally.
    """
    values = np.asarray(errors, dtype=np.float64)
    best = values.min()
    weights = (best / values) ** power if best > 0 else (values == 0).astype(np.float64)
    return np.asarray(weights / weights.sum())
