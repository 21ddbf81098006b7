"""Losses over the observed targets of windows."""

from typing import Any

from kubecast.models.neural.backend import tf


def mean_loss(loss: str, outputs: Any, targets: Any, weights: Any) -> Any:
    """Mean loss over the observed targets; 0 where there are none.

    It is written out, since those of Keras round otherwise outside a graph: old curves would not repeat.

    Args:
        loss: ``mse``, ``mae`` or ``huber``, whose delta is 1.
        outputs: Of the network; shape (windows, horizon).
        targets: Of the same shape.
        weights: 1 where a target is observed, else 0; of the same shape.
    """
    error = tf.abs(outputs - targets)
    if loss == "mse":
        error = error**2
    elif loss == "huber":
        error = tf.where(error < 1, error**2 / 2, error - 0.5)
    return tf.reduce_sum(weights * error) / tf.maximum(tf.reduce_sum(weights), 1.0)
