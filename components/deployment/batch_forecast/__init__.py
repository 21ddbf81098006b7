"""See component.py."""

from kubecast.components.deployment.batch_forecast.component import batch_forecast

__all__ = ["batch_forecast"]
