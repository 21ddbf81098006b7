"""See component.py."""

from kubecast.components.training.train_lstm.component import train_lstm

__all__ = ["train_lstm"]
