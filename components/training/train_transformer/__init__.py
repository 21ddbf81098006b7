"""See component.py."""

from kubecast.components.training.train_transformer.component import train_transformer

__all__ = ["train_transformer"]
