"""The pipeline that forecasts new data with a published ensemble."""

from typing import Any, NamedTuple

from kfp import dsl

from components.deployment.batch_forecast import batch_forecast
from kubecast.config import AllSettings
from pipelines.pods import configure_all


class Forecast(NamedTuple):
    """What the pipeline returns."""

    batch: str
    forecasts: dsl.Dataset


def batch_pipeline(settings: AllSettings, on_cluster: bool) -> Any:
    """Make the pipeline; see ``training_pipeline``."""

    @dsl.pipeline(
        name="kubecast-batch-forecast",
        description="Forecasts new data with a published model.",
    )
    def pipeline(
        data: str,
        registry: str,
        model: str,
        destination: str,
        horizon: int = 0,
        future: str = "",
        as_of: str = "",
    ) -> Forecast:
        """One task, never cached: data, champion and covariates may have changed."""
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
        return Forecast(batch=task.outputs["Output"], forecasts=task.outputs["forecasts"])

    return pipeline
