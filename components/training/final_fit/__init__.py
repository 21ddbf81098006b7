"""See component.py."""

from components.training.final_fit.component import final_fit

__all__ = ["final_fit"]
