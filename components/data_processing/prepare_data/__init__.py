"""See component.py."""

from kubecast.components.data_processing.prepare_data.component import prepare_data

__all__ = ["prepare_data"]
