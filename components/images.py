"""Each image's name and tag, once."""

import functools
from importlib.metadata import version

from kfp import dsl

TAG = version("kubecast")

BASE = f"kubecast-base:{TAG}"
ARIMA = f"kubecast-arima:{TAG}"
TENSORFLOW = f"kubecast-tensorflow:{TAG}"
TENSORFLOW_GPU = f"kubecast-tensorflow-gpu:{TAG}"  # in its place, where a task asks for an accelerator
CATBOOST = f"kubecast-catboost:{TAG}"
SERVING = f"kubecast-serving:{TAG}"

component = functools.partial(dsl.component, install_kfp_package=False)
"""A lightweight component on an image that has everything baked in."""
