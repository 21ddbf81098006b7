"""See component.py."""

from kubecast.components.data_processing.resolve_inputs.component import resolve_inputs

__all__ = ["resolve_inputs"]
