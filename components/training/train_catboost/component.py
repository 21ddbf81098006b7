"""Trains CatBoost; final_fit repeats that fit on all rows."""

from kfp import dsl

from components import images


@images.component(base_image=images.CATBOOST)
def train_catboost(
    panel: dsl.Input[dsl.Dataset],
    model: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    settings: str = "",
) -> None:
    """Fit CatBoost and forecast from every origin.

    Args:
        panel: From prepare_data, with the run's settings.
        model: The fitted model, or why there is none, and its forecasts from validation, test and production
            origins.
        metrics: Seconds and length of the fit.
        report: Loss curves, importance, resources and forecasts.
        settings: JSON of the settings that a search found; empty: those of catboost.yaml.
    """
    from pathlib import Path

    from kubecast.steps.metrics import log_metrics
    from kubecast.steps.train import fit_metrics, train_model

    made = Path(model.path)
    train_model("catboost", Path(panel.path), made, settings, report=Path(report.path))
    log_metrics(metrics, fit_metrics(made))
