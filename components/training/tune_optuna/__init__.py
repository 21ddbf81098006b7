"""See component.py."""

from kubecast.components.training.tune_optuna.component import tune_optuna

__all__ = ["tune_optuna"]
