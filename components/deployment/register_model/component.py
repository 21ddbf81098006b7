"""Publishes one version: the ensemble as judged and for production."""

from kfp import dsl

from components import images


@images.component(base_image=images.BASE)
def register_model(
    panel: dsl.Input[dsl.Dataset],
    ensemble: dsl.Input[dsl.Model],
    evaluation: dsl.Input[dsl.Artifact],
    report: dsl.Input[dsl.HTML],
    registry: str,
    model_name: str,
    inputs_digest: str,
    forecast: dsl.Output[dsl.Dataset],
    arima_judged: dsl.Input[dsl.Model] = None,
    arima_final: dsl.Input[dsl.Model] = None,
    arima_forecasts: dsl.Input[dsl.Dataset] = None,
    lstm_judged: dsl.Input[dsl.Model] = None,
    lstm_final: dsl.Input[dsl.Model] = None,
    lstm_forecasts: dsl.Input[dsl.Dataset] = None,
    transformer_judged: dsl.Input[dsl.Model] = None,
    transformer_final: dsl.Input[dsl.Model] = None,
    transformer_forecasts: dsl.Input[dsl.Dataset] = None,
    catboost_judged: dsl.Input[dsl.Model] = None,
    catboost_final: dsl.Input[dsl.Model] = None,
    catboost_forecasts: dsl.Input[dsl.Dataset] = None,
) -> str:
    """Publish always; move the alias champion only when the decision says so.

    Args:
        panel: From prepare_data.
        ensemble: From stack_ensemble.
        evaluation: From evaluate_models.
        report: From evaluate_models.
        registry: Path or URL.
        model_name: Empty: from the settings.
        inputs_digest: From resolve_inputs.
        forecast: The production forecast, from the end of every series.
        arima_judged: From train_arima.
        arima_final: The model to publish for production.
        arima_forecasts: Its forecasts.
        lstm_judged: From train_lstm.
        lstm_final: The model to publish for production.
        lstm_forecasts: Its forecasts.
        transformer_judged: From train_transformer.
        transformer_final: The model to publish for production.
        transformer_forecasts: Its forecasts.
        catboost_judged: From train_catboost.
        catboost_final: The model to publish for production.
        catboost_forecasts: Its forecasts.

    Returns:
        ``NAME@VERSION``.
    """
    from pathlib import Path

    from kubecast.steps.register import MemberPaths, register_model

    members = {
        "arima": (arima_judged, arima_final, arima_forecasts),
        "lstm": (lstm_judged, lstm_final, lstm_forecasts),
        "transformer": (transformer_judged, transformer_final, transformer_forecasts),
        "catboost": (catboost_judged, catboost_final, catboost_forecasts),
    }
    given = {name: [Path(part.path) for part in parts if part] for name, parts in members.items()}
    paths = {name: MemberPaths(*found) for name, found in given.items() if found}
    inputs = Path(panel.path), Path(ensemble.path), Path(evaluation.path), Path(report.path)
    return register_model(*inputs, paths, registry, model_name, inputs_digest, Path(forecast.path))
