"""See component.py."""

from components.training.train_lstm.component import train_lstm

__all__ = ["train_lstm"]
