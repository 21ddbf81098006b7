"""See component.py."""

from kubecast.components.training.choose_settings.component import choose_settings

__all__ = ["choose_settings"]
