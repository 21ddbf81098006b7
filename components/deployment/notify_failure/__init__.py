"""See component.py."""

from components.deployment.notify_failure.component import notify_failure

__all__ = ["notify_failure"]
