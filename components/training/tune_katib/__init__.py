"""See component.py."""

from kubecast.components.training.tune_katib.component import tune_katib

__all__ = ["tune_katib"]
