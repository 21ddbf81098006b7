"""Learning rates: constant, by a cosine, or halved where the loss no longer falls."""

from collections.abc import Sequence

import numpy as np

from kubecast.models.neural.settings import NeuralSettings


def next_learning_rate(settings: NeuralSettings, rates: Sequence[float], best: int) -> float:
    """The learning rate of the next epoch; it follows from what was, so that a resumed fit has the same.

    Args:
        settings: Name the schedule.
        rates: Of each epoch so far.
        best: The best epoch so far; 0: none is better than the untrained network.
    """
    epoch = len(rates)
    if settings.schedule == "cosine":
        return float(settings.learning_rate * (1 + np.cos(np.pi * epoch / settings.epochs)) / 2)
    if settings.schedule == "constant" or not rates:
        return settings.learning_rate
    wait = max(1, settings.early_stopping.patience // 2)
    at_this_rate = epoch - rates.index(rates[-1])
    return rates[-1] / 2 if min(epoch - best, at_this_rate) >= wait else rates[-1]
