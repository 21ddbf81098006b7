"""See component.py."""

from kubecast.components.training.train_catboost.component import train_catboost

__all__ = ["train_catboost"]
