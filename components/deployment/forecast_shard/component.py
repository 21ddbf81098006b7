"""Forecasts one shard of series with a published ensemble."""

from kubecast.components import images


@images.component(base_image=images.SERVING)
def forecast_shard(shard: str, registry: str, attempts: int) -> str:
    """Forecast beyond the end of each series, in a process that is begun again where it dies.

    Args:
        shard: Its URL, from prepare_history.
        registry: Path or URL.
        attempts: How many more times the process is begun.

    Returns:
        JSON of how it ended; a shard that fails does not end the run.
    """
    from kubecast.steps.forecast_shard import forecast_shard

    return forecast_shard(shard, registry, attempts).model_dump_json()
