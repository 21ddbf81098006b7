"""Keeps the forecasts of all shards as one batch in object storage."""

from kfp import dsl

from kubecast.components import images


@images.component(base_image=images.BASE)
def publish_batch(
    statuses: list[str],
    registry: str,
    destination: str,
    min_shards: float,
    forecasts: dsl.Output[dsl.Dataset],
    report: dsl.Output[dsl.HTML],
) -> str:
    """Write the batch, its manifest and its page; the same request twice is kept once.

    Args:
        statuses: From forecast_shard, of each shard.
        registry: Path or URL.
        destination: Path or URL of the folder that holds the batches.
        min_shards: Share of the shards that must not have failed.
        forecasts: ``unique_id``, ``ds``, ``yhat`` and the quantiles.
        report: One self-contained page: what to look at, any series, and where the files are.

    Returns:
        The batch's name below ``destination/NAME``.
    """
    from pathlib import Path

    from kubecast.steps.publish_batch import publish_batch

    outputs = Path(forecasts.path), Path(report.path)
    batch = publish_batch(statuses, registry, destination, min_shards, *outputs)
    forecasts.metadata.update(
        model=batch.model, batch=batch.batch, files=len(batch.files), missing=len(batch.missing)
    )
    return batch.batch
