"""kubecast: forecasting models trained, stacked, evaluated and published."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kubecast.api import fit

__all__ = ["fit"]


def __getattr__(name: str) -> Any:
    """Import ``fit`` at its first use: the command's ``--help`` needs none of it."""
    if name == "fit":
        from kubecast.api import fit

        return fit
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
