"""Manifests of batches of forecasts, as whoever takes the forecasts reads them."""

from kubecast.steps.batch_store import Batch
from kubecast.storage.store import open_store


def read_batch(destination: str, model: str, batch: str = "") -> Batch:
    """Read the manifest of a batch, or of the one with the newest first forecast."""
    path = f"{model}/{batch}/manifest.json" if batch else f"{model}/latest.json"
    return Batch.parse(open_store(destination).read(path)[0], path)
