"""The component that trains one kind of model; each kind has its own, by name."""

from typing import Any

from kfp import dsl

from kubecast.components import images


def trainer(kind: str) -> Any:
    """Make the component ``train_<kind>``, on the kind's image.

    Args:
        kind: Key of ``kubecast.models.KINDS``.
    """

    def train(
        panel: dsl.Input[dsl.Dataset],
        model: dsl.Output[dsl.Model],
        metrics: dsl.Output[dsl.Metrics],
        report: dsl.Output[dsl.HTML],
        settings: str = "",
    ) -> None:
        """Fit the model and forecast from every origin.

        Args:
            panel: From prepare_data, with the run's settings.
            model: The fitted model, or the reason why there is none, and its forecasts from validation, test
                and production origins.
            metrics: Seconds and length of the fit.
            report: Loss curves, importance, resources and forecasts.
            settings: JSON of the settings that a search chose; empty: those of the kind's file.
        """
        from pathlib import Path

        from kubecast.steps.outputs import log_metrics
        from kubecast.steps.train import fit_metrics, train_model

        directory = Path(model.path)
        train_model(kind, Path(panel.path), directory, settings, report=Path(report.path))
        log_metrics(metrics, fit_metrics(directory))

    train.__name__ = train.__qualname__ = f"train_{kind}"
    source = f"from {__name__} import trainer\n{train.__name__} = trainer({kind!r})"
    return images.component(base_image=images.OF_KIND[kind], source=source)(train)
