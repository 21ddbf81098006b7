"""Keras and TensorFlow, with the environment that they read when they are imported.

Every module of the networks takes them from here, since none may import them before these lines have run.
"""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kubecast.environment import ACCELERATORS_VARIABLE
from kubecast.models.neural.settings import NeuralSettings

__all__ = ["computing_in", "keras", "layers", "tf", "uses_xla", "warn_without_gpu"]

# oneDNN takes the kernels of this processor: another kind may round otherwise. With 0 all round alike, and
# updates take up to twice as long.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

STANDARD_ERROR = 2  # the process's file descriptor, which C++ writes to, whatever sys.stderr is


@contextmanager
def _silenced() -> Iterator[None]:
    """Discard standard error: TensorFlow reports oneDNN there at any log level; what goes wrong it raises."""
    sys.stderr.flush()
    kept = os.dup(STANDARD_ERROR)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, STANDARD_ERROR)
    try:
        yield
    finally:
        os.dup2(kept, STANDARD_ERROR)
        os.close(kept)
        os.close(nowhere)


with _silenced():
    import keras
    import tensorflow as tf

tf.get_logger().setLevel("ERROR")  # it warns of graphs traced again, once for each fit

layers = keras.layers

_LOG = logging.getLogger(__name__)


def warn_without_gpu() -> None:
    """Warn where the pod requests a GPU and TensorFlow sees none: training would just be slow."""
    requested = os.environ.get(ACCELERATORS_VARIABLE, "0")
    if requested not in ("", "0") and not tf.config.list_physical_devices("GPU"):
        _LOG.warning(
            "the pod requests a GPU (%s) and TensorFlow sees none: training on processors; either the image"
            " (%s) is not kubecast-tensorflow-gpu, or the node's driver is missing or too old for it",
            requested,
            os.environ.get("KUBECAST_IMAGE", "unknown"),
        )


@contextmanager
def computing_in(precision: str) -> Iterator[None]:
    """Make layers that compute in a precision; Keras has only a setting of the whole process for it."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def uses_xla(network: Any, settings: NeuralSettings) -> bool:
    """Whether updates are compiled; layers that run a kernel of cuDNN report that they do not allow it."""
    if settings.jit_compile != "auto":
        return settings.jit_compile
    on_gpu = bool(tf.config.list_physical_devices("GPU"))
    return on_gpu and all(layer.supports_jit for layer in network.layers)
