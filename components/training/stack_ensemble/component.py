"""Weighs the models on rolling origins of the validation part."""

from kfp import dsl

from components import images


@images.component(base_image=images.BASE)
def stack_ensemble(
    panel: dsl.Input[dsl.Dataset],
    ensemble: dsl.Output[dsl.Model],
    report: dsl.Output[dsl.HTML],
    settings: str = "",
    arima: dsl.Input[dsl.Model] = None,
    lstm: dsl.Input[dsl.Model] = None,
    transformer: dsl.Input[dsl.Model] = None,
    catboost: dsl.Input[dsl.Model] = None,
) -> None:
    """Fit weights and quantiles, cross-fitted over blocks of origins; a model that failed is named.

    Args:
        panel: From prepare_data.
        ensemble: Weights and quantiles, as judged and for production, with the forecasts of every member and
            the ensemble beside the targets.
        report: What each member adds.
        settings: JSON of the settings that a search found; empty: those of ensemble.yaml.
        arima: From train_arima.
        lstm: From train_lstm.
        transformer: From train_transformer.
        catboost: From train_catboost.
    """
    from pathlib import Path

    from kubecast.steps.stack import stack_ensemble

    models = {"arima": arima, "lstm": lstm, "transformer": transformer, "catboost": catboost}
    members = {kind: Path(model.path) for kind, model in models.items() if model}
    stack_ensemble(Path(panel.path), members, settings, Path(ensemble.path), Path(report.path))
