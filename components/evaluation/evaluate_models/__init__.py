"""See component.py."""

from kubecast.components.evaluation.evaluate_models.component import evaluate_models

__all__ = ["evaluate_models"]
