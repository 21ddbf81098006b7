"""See component.py."""

from kubecast.components.training.stack_ensemble.component import stack_ensemble

__all__ = ["stack_ensemble"]
