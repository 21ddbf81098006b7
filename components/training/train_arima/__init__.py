"""See component.py."""

from kubecast.components.training.train_arima.component import train_arima

__all__ = ["train_arima"]
