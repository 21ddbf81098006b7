"""See component.py."""

from components.training.tune_katib.component import tune_katib

__all__ = ["tune_katib"]
