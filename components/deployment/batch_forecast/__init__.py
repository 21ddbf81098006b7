"""See component.py."""

from components.deployment.batch_forecast.component import batch_forecast

__all__ = ["batch_forecast"]
