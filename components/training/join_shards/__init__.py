"""See component.py."""

from kubecast.components.training.join_shards.component import join_shards

__all__ = ["join_shards"]
