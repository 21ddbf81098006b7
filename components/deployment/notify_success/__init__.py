"""See component.py."""

from components.deployment.notify_success.component import notify_success

__all__ = ["notify_success"]
