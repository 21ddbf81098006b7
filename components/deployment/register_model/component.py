"""Publishes one version: the ensemble as judged and for production."""

from kfp import dsl

from components import images


@images.component(base_image=images.BASE)
def register_model(
    panel: dsl.Input[dsl.Dataset],
    ensemble: dsl.Input[dsl.Model],
    evaluation: dsl.Input[dsl.Metrics],
    registry: str,
    model_name: str,
    inputs_digest: str,
    forecast: dsl.Output[dsl.Dataset],
    arima: dsl.Input[dsl.Model] = None,
    lstm: dsl.Input[dsl.Model] = None,
    transformer: dsl.Input[dsl.Model] = None,
    catboost: dsl.Input[dsl.Model] = None,
) -> str:
    """Publish always; move the alias champion only when the decision says so.

    Args:
        panel: From prepare_data.
        ensemble: From stack_ensemble.
        evaluation: From evaluate_models.
        registry: Path or URL.
        model_name: Empty: from the settings.
        inputs_digest: From resolve_inputs.
        forecast: The production forecast, from the end of every series.
        arima: From final_fit, with the judged model inside; where there is no final fit, from train_arima.
        lstm: As arima.
        transformer: As arima.
        catboost: As arima.

    Returns:
        ``NAME@VERSION``.
    """
    from pathlib import Path

    from kubecast.steps.register import register_model

    models = {"arima": arima, "lstm": lstm, "transformer": transformer, "catboost": catboost}
    members = {kind: Path(model.path) for kind, model in models.items() if model}
    inputs = Path(panel.path), Path(ensemble.path), Path(evaluation.path)
    return register_model(*inputs, members, registry, model_name, inputs_digest, Path(forecast.path))
