"""kubecast: forecasting models trained, stacked, evaluated and published."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kubecast.api import Model, fit, load

    __version__: str

__all__ = ["Model", "__version__", "fit", "load"]


def __getattr__(name: str) -> Any:
    """Import what a notebook uses at its first use: the command's ``--help`` needs none of it."""
    if name == "__version__":
        from importlib.metadata import version

        return version("kubecast")
    if name in __all__:
        from kubecast import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
