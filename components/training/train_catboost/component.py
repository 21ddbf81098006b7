"""Trains CatBoost, or with ``fitted`` repeats that fit on all rows."""

from kfp import dsl

from components import images


@images.component(base_image=images.CATBOOST)
def train_catboost(
    panel: dsl.Input[dsl.Dataset],
    settings: str,
    seed: int,
    on_failure: str,
    model: dsl.Output[dsl.Model],
    forecasts: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
    fitted: dsl.Input[dsl.Model] = None,
) -> None:
    """Fit CatBoost and forecast from every origin.

    Args:
        panel: From prepare_data.
        settings: JSON of catboost.yaml.
        seed: Of every random choice.
        on_failure: continue or stop, where the model cannot be fitted.
        model: The fitted model, or why there is none.
        forecasts: From validation, test and production origins.
        metrics: Seconds and length of the fit.
        report: Loss curves, importance, resources and forecasts.
        summary: How the fit ended.
        fitted: The model as judged; its fit is then replayed on all rows.
    """
    from pathlib import Path

    from kubecast.steps.metrics import log_metrics
    from kubecast.steps.train import fit_metrics, fit_summary, train_model

    earlier = Path(fitted.path) if fitted else None
    paths = Path(panel.path), settings, seed, on_failure, Path(model.path), Path(forecasts.path)
    train_model("catboost", *paths, fitted=earlier, report=Path(report.path))
    log_metrics(metrics, fit_metrics(Path(model.path)))
    Path(summary.path).write_text(fit_summary(Path(model.path)))
