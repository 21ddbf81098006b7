"""The pipeline that forecasts new data with a published ensemble."""

from typing import Any

from kfp import dsl

from kubecast.components.deployment.batch_forecast import batch_forecast
from kubecast.pipelines.notifications import Notifications
from kubecast.pipelines.pods import configure_all
from kubecast.settings.loading import AllSettings


def batch_pipeline(settings: AllSettings, on_cluster: bool) -> Any:
    """Make the pipeline of mode ``score``; see ``training_pipeline``."""
    notifications = Notifications(settings.cluster, on_cluster)

    def pipeline(
        data: str,
        registry: str,
        model: str,
        destination: str,
        horizon: int = 0,
        future: str = "",
        as_of: str = "",
    ) -> None:
        """One task, never cached: data, champion and covariates may have changed."""
        with notifications.of_failure():
            task: Any = batch_forecast(
                data=data,
                registry=registry,
                model=model,
                destination=destination,
                horizon=horizon,
                future=future,
                as_of=as_of,
            )
            task.set_caching_options(False)
        if on_cluster:
            configure_all(settings)

    described = "Forecasts new data with a published model."
    return dsl.pipeline(name="kubecast-batch-forecast", description=described)(pipeline)
