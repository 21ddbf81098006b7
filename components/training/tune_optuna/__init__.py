"""See component.py."""

from components.training.tune_optuna.component import tune_optuna

__all__ = ["tune_optuna"]
