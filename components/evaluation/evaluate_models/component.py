"""Evaluates every model and the ensemble on the test split; reads tables only."""

from kfp import dsl

from kubecast.components import images


@images.component(base_image=images.BASE)
def evaluate_models(
    panel: dsl.Input[dsl.Dataset],
    ensemble: dsl.Input[dsl.Model],
    champion: dsl.Input[dsl.Dataset],
    evaluation: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
) -> None:
    """Write the leaderboard, the report and the decision on promotion.

    Args:
        panel: From prepare_data.
        ensemble: From stack_ensemble.
        champion: From forecast_champion.
        evaluation: The leaderboard and the decision as JSON; its metrics are the ensemble's.
        report: One self-contained page.
    """
    from pathlib import Path

    from kubecast.steps.evaluate import evaluate_models

    outputs = Path(evaluation.path), Path(report.path)
    figures = evaluate_models(Path(panel.path), Path(ensemble.path), *outputs, Path(champion.path))
    evaluation.metadata.update(figures)
