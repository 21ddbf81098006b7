"""Weighs the models on rolling origins of the validation split."""

from kfp import dsl

from kubecast.components import images


@images.component(base_image=images.BASE)
@images.each_kind()
def stack_ensemble(
    panel: dsl.Input[dsl.Dataset],
    ensemble: dsl.Output[dsl.Model],
    report: dsl.Output[dsl.HTML],
    settings: str = "",
    **models: dsl.Input[dsl.Model],
) -> None:
    """Fit weights and quantiles, cross-fitted over folds of origins; a model that failed is named.

    Args:
        panel: From prepare_data.
        ensemble: Weights and quantiles, as evaluated and for production, with the forecasts of every member
            and the ensemble beside the targets.
        report: Contribution of each member.
        settings: JSON of the settings that a search chose; empty: those of ensemble.yaml.
        models: Model of each kind that is trained, from its trainer.
    """
    from pathlib import Path

    from kubecast.steps.stack import stack_ensemble

    members = {kind: Path(model.path) for kind, model in models.items() if model}
    stack_ensemble(Path(panel.path), members, settings, Path(ensemble.path), Path(report.path))
