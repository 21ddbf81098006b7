"""See component.py."""

from kubecast.components.training.final_fit.component import final_fit

__all__ = ["final_fit"]
