"""See component.py."""

from kubecast.components.evaluation.forecast_champion.component import forecast_champion

__all__ = ["forecast_champion"]
