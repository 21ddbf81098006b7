"""See component.py."""

from components.training.train_arima.component import train_arima

__all__ = ["train_arima"]
