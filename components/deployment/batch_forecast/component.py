"""Forecasts new data with a published ensemble and keeps the result in object storage."""

from kfp import dsl

from kubecast.components import images


@images.component(base_image=images.SERVING)
def batch_forecast(
    data: str,
    registry: str,
    model: str,
    destination: str,
    horizon: int,
    future: str,
    as_of: str,
    forecasts: dsl.Output[dsl.Dataset],
    report: dsl.Output[dsl.HTML],
) -> str:
    """Forecast beyond the end of the data; the same request twice is kept once.

    Args:
        data: Path or URL of a file, a folder, a table or a database.
        registry: Path or URL.
        model: ``NAME``, ``NAME@ALIAS`` or ``NAME@VERSION``; a name alone is its champion.
        destination: Path or URL of the folder that holds the batches.
        horizon: Steps; 0: the model's.
        future: Path or URL of known-future covariates over the horizon; empty for none.
        as_of: ISO date or time after which targets are not seen; empty for none.
        forecasts: ``unique_id``, ``ds``, ``yhat`` and the quantiles.
        report: One self-contained page: what to look at, any series, and where the file is.

    Returns:
        The batch's name below ``destination/NAME``.
    """
    from pathlib import Path

    from kubecast.steps.batch import batch_forecast

    outputs = Path(forecasts.path), Path(report.path)
    batch = batch_forecast(data, registry, model, destination, horizon, future, as_of, *outputs)
    forecasts.metadata.update(model=batch.model, batch=batch.batch, sha256=batch.file.sha256)
    return batch.batch
