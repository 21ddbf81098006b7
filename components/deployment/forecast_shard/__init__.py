"""See component.py."""

from kubecast.components.deployment.forecast_shard.component import forecast_shard

__all__ = ["forecast_shard"]
