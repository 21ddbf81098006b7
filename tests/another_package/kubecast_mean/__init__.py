"""A kind of model in a package of its own: the mean of each series' newest values."""

from kubecast.models import Kind

KIND = Kind(
    settings="kubecast_mean.settings:MeanSettings",
    trainer="kubecast_mean.model:MeanTrainer",
    forecaster="kubecast_mean.model:MeanForecaster",
    search="kubecast_mean:search.yaml",
    image="base",
    divisible=True,
)
