"""See component.py."""

from kubecast.components.deployment.prepare_history.component import prepare_history

__all__ = ["prepare_history"]
