"""The name and tag of each image, once, and the decorators that make components on them."""

import copy
import functools
import inspect
import os
from collections.abc import Callable, Iterable
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from kfp import dsl

from kubecast.models import KINDS

if TYPE_CHECKING:
    from kfp.dsl.python_component import PythonComponent

TAG = version("kubecast")


def named(name: str) -> str:
    """The image of a folder in ``images/``."""
    return f"kubecast-{name}:{TAG}"


BASE = named("base")
TENSORFLOW = named("tensorflow")
TENSORFLOW_GPU = named("tensorflow-gpu")  # in its place, where a task requests an accelerator
SERVING = named("serving")

OF_KIND = {name: named(kind.image) for name, kind in KINDS.items()} | {"ensemble": SERVING}
"""A model is fitted in its framework's image; a trial of the ensemble fits them all."""


_SCRIPT = (
    'm=$(mktemp -d)/m.py; echo "$0" >$m; _KFP_RUNTIME=true'
    ' exec python3 -m kfp.dsl.executor_main --component_module_path $m "$@"'
)
"""Starts a component's source, which is its first argument, as KFP does in more characters."""


def component(base_image: str, source: str = "") -> Callable[[Callable[..., Any]], Any]:
    """A decorator: a lightweight component on an image that has everything baked in, the function included.

    Args:
        base_image: From this module.
        source: Python that makes the function, under its own name; empty: it is imported from its module.

    The compiled file names the function, where KFP writes its source, and holds no descriptions: each text of
    a component is some eight times in the Workflow object of a run, which must not exceed 1 MiB.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        if os.environ.get("_KFP_RUNTIME") == "true":  # KFP's executor needs the function
            return function
        built = dsl.component(function, base_image=base_image, install_kfp_package=False)
        spec = built.component_spec
        spec.description = None
        for each in (*(spec.inputs or {}).values(), *(spec.outputs or {}).values()):
            each.description = None
        imported = source or f"from {function.__module__} import {function.__name__}"
        spec.implementation.container.command = ["sh", "-ec", _SCRIPT, imported]
        return built

    return decorate


def each_kind(
    pattern: str = "{}", default: str = "", kinds: Iterable[str] = KINDS, required: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator: one input for each kind of model, in place of the function's parameter ``**models``.

    Kubeflow Pipelines reads the inputs off the signature. They are of that parameter's type.

    Args:
        pattern: Name of an input, with the kind for ``{}``.
        default: Default of texts.
        kinds: Kinds that have an input.
        required: Whether the inputs must be given.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(function)
        *own, models = signature.parameters.values()
        absent = inspect.Parameter.empty if required else default if models.annotation is str else None
        inputs = [
            inspect.Parameter(
                pattern.format(kind),
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
                annotation=models.annotation,
                default=absent,
            )
            for kind in kinds
        ]
        combined = signature.replace(parameters=[*own, *inputs])

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:  # a graph's arguments come by their places
            return function(**combined.bind(*args, **kwargs).arguments)

        call.__signature__ = combined  # type: ignore[attr-defined]
        call.__annotations__ = {each.name: each.annotation for each in combined.parameters.values()}
        call.__annotations__["return"] = signature.return_annotation
        return call

    return decorate


def renamed(component: "PythonComponent", name: str, image: str) -> "PythonComponent":
    """Copy a component under another name, which its tasks have in the dashboard, and on another image."""
    spec = copy.deepcopy(component.component_spec)
    spec.name, spec.implementation.container.image = name, image
    return type(component)(component_spec=spec, python_func=component.python_func)


def with_kinds(component: "PythonComponent", kinds: Iterable[str]) -> "PythonComponent":
    """Copy a component without the inputs of other kinds of models, each of which a Workflow repeats."""
    spec = copy.deepcopy(component.component_spec)
    others = KINDS.keys() - {*kinds}
    spec.inputs = {name: each for name, each in (spec.inputs or {}).items() if name not in others}
    return type(component)(component_spec=spec, python_func=component.python_func)
