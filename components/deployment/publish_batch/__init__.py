"""See component.py."""

from kubecast.components.deployment.publish_batch.component import publish_batch

__all__ = ["publish_batch"]
