"""Batches of forecasts: how they are made, and their manifests, as whoever takes the forecasts reads them."""

from pathlib import Path

from kubecast.steps.batch_store import Batch
from kubecast.steps.forecast_shard import ShardRequest, forecast_rows
from kubecast.steps.prepare_history import prepare_history
from kubecast.steps.publish_batch import publish_batch
from kubecast.steps.shard_status import ShardStatus
from kubecast.storage.store import open_store


def read_batch(destination: str, model: str, batch: str = "") -> Batch:
    """Read the manifest of a batch, or of the one with the newest first forecast."""
    path = f"{model}/{batch}/manifest.json" if batch else f"{model}/latest.json"
    return Batch.parse(open_store(destination).read(path)[0], path)


def batch_forecast(
    data: str,
    registry: str,
    model: str,
    destination: str,
    horizon: int,
    future: str,
    as_of: str,
    forecasts: Path,
    report: Path | None = None,
    *,
    shards: str = "auto",
    min_shards: float = 1.0,
) -> Batch:
    """Run the steps of the pipeline ``score`` in this process, one after the other."""
    request = data, registry, model, destination, horizon, future, as_of
    urls = prepare_history(*request, shards, "", 7)
    for url in urls:
        forecast_rows(ShardRequest(shard=url, registry=registry))
    given = [ShardStatus(shard=url).model_dump_json() for url in urls]
    return publish_batch(given, registry, destination, min_shards, forecasts, report)
