"""The pipeline that forecasts new data with a published ensemble, a task for each shard of the series."""

from typing import Any

from kfp import dsl

from kubecast.components.deployment.forecast_shard import forecast_shard
from kubecast.components.deployment.prepare_history import prepare_history
from kubecast.components.deployment.publish_batch import publish_batch
from kubecast.pipelines.notifications import Notifications
from kubecast.pipelines.pods import configure_all
from kubecast.settings.loading import AllSettings


def batch_pipeline(settings: AllSettings, on_cluster: bool) -> Any:
    """Make the pipeline of mode ``score``; see ``training_pipeline``."""
    cluster, shape = settings.cluster, settings.pipeline
    notifications = Notifications(cluster, on_cluster)
    at_once = cluster.parallelism if on_cluster else 1  # of KFP's local runner two would run at one time

    def pipeline(
        data: str,
        registry: str,
        model: str,
        destination: str,
        horizon: int = 0,
        future: str = "",
        as_of: str = "",
    ) -> None:
        """Tasks that are never cached: data, champion and covariates may have changed."""
        with notifications.of_failure():
            kept = {"registry": registry, "destination": destination}
            prepared = prepare_history(
                data=data,
                model=model,
                horizon=horizon,
                future=future,
                as_of=as_of,
                shards=str(shape.shards),
                work=cluster.work.url,
                keep_days=cluster.work.keep_days,
                **kept,
            )
            # KFP's local runner finds the items of a loop where they are a task's only output.
            with dsl.ParallelFor(prepared.output, name="shards", parallelism=at_once) as shard:
                forecast = forecast_shard(shard=shard, registry=registry, attempts=cluster.retries.attempts)
            published: Any = publish_batch(
                statuses=dsl.Collected(forecast.output), min_shards=shape.min_shards, **kept
            )
            for task in (prepared, forecast, published):
                task.set_caching_options(False)
        if on_cluster:
            configure_all(settings)

    described = "Forecasts new data with a published model."
    return dsl.pipeline(name="kubecast-batch-forecast", description=described)(pipeline)
