"""Each image's name and tag, once, and how a function becomes a component on one."""

import copy
import os
from collections.abc import Callable
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from kfp import dsl

if TYPE_CHECKING:
    from kfp.dsl.python_component import PythonComponent

TAG = version("kubecast")

BASE = f"kubecast-base:{TAG}"
ARIMA = f"kubecast-arima:{TAG}"
TENSORFLOW = f"kubecast-tensorflow:{TAG}"
TENSORFLOW_GPU = f"kubecast-tensorflow-gpu:{TAG}"  # in its place, where a task asks for an accelerator
CATBOOST = f"kubecast-catboost:{TAG}"
SERVING = f"kubecast-serving:{TAG}"

OF_KIND = {
    "arima": ARIMA,
    "lstm": TENSORFLOW,
    "transformer": TENSORFLOW,
    "catboost": CATBOOST,
    "ensemble": SERVING,
}
"""A model is fitted in its framework's image; a trial of the ensemble fits them all."""


_SCRIPT = (
    'm=$(mktemp -d)/m.py; echo "$0" >$m; _KFP_RUNTIME=true'
    ' exec python3 -m kfp.dsl.executor_main --component_module_path $m "$@"'
)
"""As KFP starts a component's source, which is its first argument, in fewer characters."""


def component(base_image: str) -> Callable[[Callable[..., Any]], Any]:
    """A decorator: a lightweight component on an image that has everything baked in, the function included.

    The compiled file names the function, where KFP writes its source, and holds no descriptions: each text of
    a component is some eight times in the Workflow object of a run, which must not exceed 1 MiB.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        if os.environ.get("_KFP_RUNTIME") == "true":  # KFP's executor asks for the function
            return function
        made = dsl.component(function, base_image=base_image, install_kfp_package=False)
        spec = made.component_spec
        spec.description = None
        for each in (*(spec.inputs or {}).values(), *(spec.outputs or {}).values()):
            each.description = None
        source = f"from {function.__module__} import {function.__name__}"
        spec.implementation.container.command = ["sh", "-ec", _SCRIPT, source]
        return made

    return decorate


def renamed(component: "PythonComponent", name: str, image: str) -> "PythonComponent":
    """The component under another name, which its tasks have in the dashboard, and on another image."""
    spec = copy.deepcopy(component.component_spec)
    spec.name, spec.implementation.container.image = name, image
    return type(component)(component_spec=spec, python_func=component.python_func)
