"""See component.py."""

from kubecast.components.deployment.notify_success.component import notify_success

__all__ = ["notify_success"]
