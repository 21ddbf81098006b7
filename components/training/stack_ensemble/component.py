"""Weighs the models on rolling origins of the validation part."""

from kfp import dsl

from components import images


@images.component(base_image=images.BASE)
def stack_ensemble(
    panel: dsl.Input[dsl.Dataset],
    settings: str,
    ensemble: dsl.Output[dsl.Model],
    forecasts: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    arima_model: dsl.Input[dsl.Model] = None,
    arima_forecasts: dsl.Input[dsl.Dataset] = None,
    lstm_model: dsl.Input[dsl.Model] = None,
    lstm_forecasts: dsl.Input[dsl.Dataset] = None,
    transformer_model: dsl.Input[dsl.Model] = None,
    transformer_forecasts: dsl.Input[dsl.Dataset] = None,
    catboost_model: dsl.Input[dsl.Model] = None,
    catboost_forecasts: dsl.Input[dsl.Dataset] = None,
) -> None:
    """Fit weights and quantiles, cross-fitted over blocks of origins; a model that failed is named.

    Args:
        panel: From prepare_data.
        settings: JSON of ensemble.yaml.
        ensemble: Weights and quantiles, as judged and for production.
        forecasts: Every member, the ensemble and its quantiles, beside the targets.
        metrics: Weights, and the error on the validation part.
        report: What each member adds.
        arima_model: From train_arima.
        arima_forecasts: From train_arima.
        lstm_model: From train_lstm.
        lstm_forecasts: From train_lstm.
        transformer_model: From train_transformer.
        transformer_forecasts: From train_transformer.
        catboost_model: From train_catboost.
        catboost_forecasts: From train_catboost.
    """
    from pathlib import Path

    from kubecast.steps.metrics import log_metrics
    from kubecast.steps.stack import stack_ensemble

    members = {
        "arima": (arima_model, arima_forecasts),
        "lstm": (lstm_model, lstm_forecasts),
        "transformer": (transformer_model, transformer_forecasts),
        "catboost": (catboost_model, catboost_forecasts),
    }
    paths = {name: (Path(m.path), Path(f.path)) for name, (m, f) in members.items() if m and f}
    outputs = Path(ensemble.path), Path(forecasts.path), Path(report.path)
    log_metrics(metrics, stack_ensemble(Path(panel.path), paths, settings, *outputs).figures())
