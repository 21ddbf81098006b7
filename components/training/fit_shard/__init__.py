"""See component.py."""

from kubecast.components.training.fit_shard.component import fit_shard

__all__ = ["fit_shard"]
