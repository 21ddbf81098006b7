"""See component.py."""

from kubecast.components.deployment.notify_failure.component import notify_failure

__all__ = ["notify_failure"]
