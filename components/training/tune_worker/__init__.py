"""See component.py."""

from kubecast.components.training.tune_worker.component import tune_worker

__all__ = ["tune_worker"]
