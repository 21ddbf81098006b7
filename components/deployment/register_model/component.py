"""Publishes one version: the ensemble as evaluated and for production."""

from kfp import dsl

from kubecast.components import images


@images.component(base_image=images.BASE)
@images.each_kind()
def register_model(
    panel: dsl.Input[dsl.Dataset],
    ensemble: dsl.Input[dsl.Model],
    evaluation: dsl.Input[dsl.Metrics],
    registry: str,
    model_name: str,
    inputs_digest: str,
    forecast: dsl.Output[dsl.Dataset],
    report: dsl.Output[dsl.HTML],
    **models: dsl.Input[dsl.Model],
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
        report: One self-contained page: the verdict, the forecasts and the errors.
        models: Models by kind, from final_fit, with the evaluated model inside; where there is no final fit,
            from the trainers.

    Returns:
        ``NAME@VERSION``.
    """
    from pathlib import Path

    from kubecast.steps.register import register_model

    members = {kind: Path(model.path) for kind, model in models.items() if model}
    inputs = Path(panel.path), Path(ensemble.path), Path(evaluation.path)
    outputs = Path(forecast.path), Path(report.path)
    return register_model(*inputs, members, registry, model_name, inputs_digest, *outputs)
