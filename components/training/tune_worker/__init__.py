"""See component.py."""

from components.training.tune_worker.component import tune_worker

__all__ = ["tune_worker"]
